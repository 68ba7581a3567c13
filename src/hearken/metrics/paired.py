"""Is one training better than another? Differences scene by scene, over several seeds of each.

For scene n and seed k, d(n, k) = ours - base. The mean over seeds, d(n), goes into a mean with
an interval over clusters of scenes (talkers), and into a sign-flip test: if neither is better,
each d(n) is as likely to be -d(n). What the seeds differ by stands beside it: the interval and
the test know these seeds alone. Axes: N scenes, K seeds.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hearken.errors import MetricError
from hearken.metrics.agreement import Interval, bootstrap_ci

__all__ = ["Difference", "difference", "holm", "sign_flip_p"]

_AT_A_TIME = 1000  # permutations held in memory


@dataclass(frozen=True)
class Difference:
    """How two systems differ.

    Attributes:
        mean: of d(n) over the scenes, its interval over clusters.
        p: two-sided, of `sign_flip_p` over the scenes.
        seed_std: standard deviation (n - 1) over seeds of the seed's mean; NaN for one seed.
        seeds: how many had a value.
    """

    mean: Interval
    p: float
    seed_std: float
    seeds: int


def difference(
    ours: ArrayLike,
    base: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    *,
    resamples: int = 1000,
    permutations: int = 9999,
    seed: int = 0,
) -> Difference:
    """Ours less the base, scene by scene.

    Args:
        ours: [N, K], NaN where there is no value.
        base: [N, K] with the same seeds, or [N, 1]: one system for all of them.
        clusters: [N] labels of scenes that are not independent; None: each is its own.
        resamples: draws of the bootstrap.
        permutations: sign flips that are drawn, where there are too many to do all.
        seed: of both.

    Raises:
        MetricError: shapes that do not fit, or not one scene with both values.
    """
    ours_NK, base_NK = np.asarray(ours, np.float64), np.asarray(base, np.float64)
    if ours_NK.ndim != 2 or base_NK.shape not in (ours_NK.shape, (len(ours_NK), 1)):
        raise MetricError(f"paired: shapes {ours_NK.shape} and {base_NK.shape} are no pairs")
    d_NK = ours_NK - base_NK
    known_NK = np.isfinite(d_NK)
    rows_N: NDArray[np.bool_] = np.any(known_NK, axis=1)
    if not rows_N.any():
        raise MetricError("paired: no scene has a value from both")
    d_N = _mean(d_NK, known_NK, 1)[rows_N]
    d_K = _mean(d_NK, known_NK, 0)[known_NK.any(0)]
    labels = None if clusters is None else [c for c, k in zip(clusters, rows_N, strict=True) if k]
    return Difference(
        bootstrap_ci(d_N, labels, resamples=resamples, seed=seed),
        sign_flip_p(d_N, permutations=permutations, seed=seed),
        float(d_K.std(ddof=1)) if len(d_K) > 1 else float("nan"),
        len(d_K),
    )


def sign_flip_p(differences: ArrayLike, *, permutations: int = 9999, seed: int = 0) -> float:
    """Two-sided p of a mean as far from 0 as this one, if every sign were a fair coin's.

    All 2^N flips are done where there are no more than `permutations` of them; else so many are
    drawn, and the least possible p is 2 / (permutations + 1).

    Args:
        differences: [N], finite.
        permutations: the most that are done.
        seed: of the draw.

    Raises:
        MetricError: no differences, or one that is not finite.

    >>> sign_flip_p([1.0, 2.0, 3.0])  # of 8 flips, +++ and --- are as far out
    0.25
    """
    from scipy.stats import permutation_test

    d_N = np.asarray(differences, np.float64)
    if d_N.ndim != 1 or len(d_N) == 0 or not np.isfinite(d_N).all():
        raise MetricError(f"sign flips take [N] finite differences, got shape {d_N.shape}")
    if len(d_N) == 1 or not d_N.any():
        return 1.0  # one flip, or none, changes nothing
    found = permutation_test(
        (d_N,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=permutations,
        batch=_AT_A_TIME,
        random_state=seed,
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's p-values for a family of tests (Holm 1979), in the order given.

    The i-th smallest of m is multiplied by m - i + 1; none is below a smaller one's; at most 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p_M = np.asarray(p_values, np.float64)
    order = np.argsort(p_M, kind="stable")
    raised = np.maximum.accumulate(p_M[order] * np.arange(len(p_M), 0, -1))
    result = np.empty_like(p_M)
    result[order] = np.minimum(raised, 1.0)
    return [float(p) for p in result]


def _mean(d_NK: NDArray[Any], known_NK: NDArray[Any], axis: int) -> NDArray[Any]:
    """Mean over what is known; NaN where nothing is."""
    count = known_NK.sum(axis)
    total = np.where(known_NK, d_NK, 0.0).sum(axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
