"""How far two lists of numbers agree, and how sure that is: PCC, SRCC, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hearken.errors import MetricError

__all__ = ["Interval", "bootstrap_ci", "pcc", "srcc", "try_ci", "within_groups"]

Statistic = Callable[[NDArray[Any]], float]


@dataclass(frozen=True)
class Interval:
    """A value and its confidence interval; low and high are NaN where it has none."""

    value: float
    low: float
    high: float
    count: int
    clusters: int


def pcc(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's correlation of two [N], -1 to 1.

    Raises:
        MetricError: lengths that differ, fewer than 3 pairs, NaN, or a constant side.

    >>> pcc([1, 2, 3], [2, 4, 6])
    1.0
    """
    x, y = _pair(a, b)
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def srcc(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank. Range and errors as `pcc`.

    >>> srcc([1, 2, 3], [1, 10, 100])
    1.0
    """
    x, y = _pair(a, b)
    return pcc(_ranks(x), _ranks(y))


def within_groups(
    said: Sequence[float],
    true: Sequence[float],
    groups: Sequence[Hashable],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Mean Spearman correlation within groups, and its interval over groups.

    One sentence through many systems is a group: what differs within it is quality alone.
    Groups of fewer than three clips, or with one true value for all, say nothing and are left
    out; one value said of clips that differ in truth is a correlation of 0.

    Args:
        said: [N] numbers.
        true: [N] what they should agree with.
        groups: [N] labels.
        resamples: draws of the bootstrap.
        seed: the same seed gives the same interval.

    Returns:
        The interval; its `count` is the number of groups.

    Raises:
        MetricError: lengths that differ, or no group that says anything.
    """
    if not len(said) == len(true) == len(groups):
        raise MetricError(f"{len(said)} values, {len(true)} true ones, {len(groups)} groups")
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    found = []
    for rows in members.values():
        ours, theirs = [said[i] for i in rows], [true[i] for i in rows]
        if len(rows) >= 3 and len(set(theirs)) > 1:
            found.append(srcc(ours, theirs) if len(set(ours)) > 1 else 0.0)
    if not found:
        raise MetricError("no group of three clips or more whose true values differ")
    return bootstrap_ci(found, resamples=resamples, seed=seed)


def bootstrap_ci(
    values: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    statistic: Statistic | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of a statistic over rows, whole clusters at a time.

    Clips of one talker are not independent: with `clusters`, talkers are drawn with
    replacement and all their rows come along.

    Args:
        values: [N] or [N, M]; `statistic` gets rows of it.
        clusters: a label for each row; None: each row is its own.
        statistic: of [n] or [n, M] rows; a draw where it raises `MetricError` is left out. None:
            the mean of all.
        resamples: draws.
        level: of the interval.
        seed: the same seed gives the same interval.

    Returns:
        The statistic of all rows; the interval is NaN for fewer than two clusters, or where
        the statistic failed in more than half of the draws.

    Raises:
        MetricError: no rows, or as many labels as rows are not there.
    """
    rows = np.asarray(values, dtype=np.float64)
    if len(rows) == 0:
        raise MetricError("no rows to take an interval of")
    labels = list(range(len(rows))) if clusters is None else list(clusters)
    if len(labels) != len(rows):
        raise MetricError(f"{len(labels)} cluster labels for {len(rows)} rows")
    members: dict[Hashable, list[int]] = {}
    for i, label in enumerate(labels):
        members.setdefault(label, []).append(i)
    groups = [np.array(m) for m in members.values()]
    value = float(np.mean(rows)) if statistic is None else statistic(rows)
    draws: Sequence[float] = ()
    if len(groups) > 1 and statistic is None:
        draws = _draws_of_mean(rows, groups, resamples, seed)
    elif len(groups) > 1 and statistic is not None:
        draws = _draws(rows, groups, statistic, resamples, seed)
    low = high = float("nan")
    if len(draws) * 2 > resamples:
        tail = (1.0 - level) / 2.0
        low, high = (float(q) for q in np.quantile(draws, [tail, 1.0 - tail]))
    return Interval(value, low, high, len(rows), len(groups))


def try_ci(
    values: ArrayLike, clusters: Sequence[Hashable] | None = None, **options: Any
) -> Interval | None:
    """`bootstrap_ci`, or None where there are no rows or the statistic is not defined."""
    try:
        return bootstrap_ci(values, clusters, **options)
    except MetricError:
        return None


def _draws_of_mean(
    rows: NDArray[Any], groups: list[NDArray[Any]], resamples: int, seed: int
) -> list[float]:
    """As `_draws` with the mean: from the clusters' sums, thousands of draws at a time."""
    sums = np.array([rows[g].sum() for g in groups])
    counts = np.array([rows[g].size for g in groups])
    rng = np.random.default_rng(seed)
    draws: list[float] = []
    block = max(1, 1_000_000 // len(groups))
    for start in range(0, resamples, block):
        shape = (min(block, resamples - start), len(groups))
        picked = rng.integers(len(groups), size=shape)
        draws += (sums[picked].sum(1) / counts[picked].sum(1)).tolist()
    return draws


def _draws(
    rows: NDArray[Any],
    groups: list[NDArray[Any]],
    statistic: Statistic,
    resamples: int,
    seed: int,
) -> list[float]:
    rng = np.random.default_rng(seed)
    draws: list[float] = []
    for _ in range(resamples):
        picked = rng.integers(len(groups), size=len(groups))
        try:
            draws.append(statistic(rows[np.concatenate([groups[i] for i in picked])]))
        except MetricError:
            continue
    return draws


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise MetricError(f"correlation: shapes {x.shape} and {y.shape} are not two [N]")
    if len(x) < 3:
        raise MetricError(f"correlation: {len(x)} pairs are too few; three are needed")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise MetricError("correlation: NaN or infinite values")
    if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        raise MetricError("correlation: one side is constant")
    return x, y


def _ranks(x: NDArray[Any]) -> NDArray[Any]:
    """0-based ranks of [N], ties share their mean."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts
    ranks: NDArray[Any] = (first + (counts - 1) / 2.0)[inverse]
    return ranks
