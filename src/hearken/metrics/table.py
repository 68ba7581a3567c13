"""Measure many clips with many metrics: in order, with a progress bar, on several processes.

N items give N rows, always: a metric that fails on a clip is a None and a reason in its row.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from hearken import media
from hearken.errors import HearkenError, MetricError, UsageError, require
from hearken.metrics import blind, intrusive
from hearken.nouns import Audio
from hearken.run.track import track

__all__ = [
    "COLUMNS",
    "INTRUSIVE",
    "METRICS",
    "Item",
    "Row",
    "choose",
    "measure",
    "measure_all",
    "measuring",
]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Metric:
    """A measure: the columns it fills, the package it needs, and whether it needs a reference."""

    columns: tuple[str, ...]
    package: str | None
    intrusive: bool
    run: Callable[[Audio | None, Audio], Mapping[str, float]]


def _with_reference(
    name: str, package: str | None, function: Callable[[Audio, Audio], float]
) -> Metric:
    def run(reference: Audio | None, estimate: Audio) -> Mapping[str, float]:
        if reference is None:
            raise MetricError(f"{name}: no reference for this clip")
        return {name: function(reference, estimate)}

    return Metric((name,), package, True, run)


METRICS: dict[str, Metric] = {
    "pesq_wb": _with_reference("pesq_wb", "pesq", intrusive.pesq_wb),
    "stoi": _with_reference("stoi", "pystoi", intrusive.stoi),
    "estoi": _with_reference("estoi", "pystoi", intrusive.estoi),
    "si_sdr_db": _with_reference("si_sdr_db", None, intrusive.si_sdr_db),
    "dnsmos": Metric(
        ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak"),
        "speechmos",
        False,
        lambda _, x: {f"dnsmos_{k}": v for k, v in blind.dnsmos(x).items()},
    ),
    "distillmos": Metric(
        ("distillmos",), "distillmos", False, lambda _, x: {"distillmos": blind.distillmos(x)}
    ),
}
INTRUSIVE = tuple(name for name, metric in METRICS.items() if metric.intrusive)
COLUMNS = tuple(c for metric in METRICS.values() for c in metric.columns)


@dataclass(frozen=True, eq=False)
class Item:
    """One clip to measure. Sounds are [T] at 16 kHz or paths; `problem` makes an error row."""

    key: str
    estimate: Audio | str | None
    reference: Audio | str | None = None
    problem: str = ""


@dataclass(frozen=True)
class Row:
    """What was measured of one item.

    Attributes:
        key: of the item.
        values: a number for every column asked for, None where the metric failed.
        errors: the reason, by metric.
        seconds: that it took.
    """

    key: str
    values: Mapping[str, float | None]
    errors: Mapping[str, str] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)


def choose(names: str | Iterable[str]) -> tuple[str, ...]:
    """The metrics of "a,b", of a list, "all", or "intrusive"; their packages must be there.

    Raises:
        UsageError: an unknown name, none, or an extra that is not installed.
    """
    wanted = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    groups = {"all": tuple(METRICS), "intrusive": INTRUSIVE}
    flat = [m for n in wanted if n for m in groups.get(n, (n,))]
    for name in flat:
        if name not in METRICS:
            raise UsageError(f"metric {name!r} is none of {', '.join(METRICS)}, intrusive, all")
        package = METRICS[name].package
        if package and importlib.util.find_spec(package) is None:
            raise require(package, "metrics")
    if not flat:
        raise UsageError(f"no metric named: choose of {', '.join(METRICS)}, intrusive, all")
    return tuple(dict.fromkeys(flat))


def measure(item: Item, metrics: Sequence[str]) -> Row:
    """All `metrics` (names of `METRICS`) of one item; failures become its errors."""
    columns: dict[str, float | None] = {c: None for m in metrics for c in METRICS[m].columns}
    if item.problem:
        return Row(item.key, columns, {"input": item.problem})
    try:
        estimate, reference = _sound(item.estimate), _sound(item.reference)
        if estimate is None:
            raise UsageError("nothing to measure")
    except (HearkenError, OSError) as error:
        return Row(item.key, columns, {"input": str(error)})
    errors: dict[str, str] = {}
    start = time.perf_counter()
    for name in metrics:
        try:
            columns.update(METRICS[name].run(reference, estimate))
        # The per-row wall: third-party metric code may raise anything on odd sound, and one
        # clip must not take the table with it.
        except Exception as error:
            errors[name] = str(error) or type(error).__name__
    return Row(item.key, columns, errors, time.perf_counter() - start)


def measure_all(
    items: Sequence[Item], metrics: str | Iterable[str] = INTRUSIVE, workers: int = 1
) -> list[Row]:
    """One `Row` for each item, in their order.

    Args:
        items: what to measure; with paths instead of arrays less is sent to the workers.
        metrics: see `choose`.
        workers: processes; 1 or less measures in this one.

    Raises:
        UsageError: see `choose`.
    """
    with measuring(metrics, workers) as rows_of:
        return list(track(rows_of(items), total=len(items), label="metrics"))


@contextmanager
def measuring(
    metrics: str | Iterable[str] = INTRUSIVE, workers: int = 1
) -> Iterator[Callable[[Sequence[Item]], Iterator[Row]]]:
    """A function from items to their rows, for many calls: the processes start once.

    With several workers measuring begins at the call, and the rows can be taken later; with
    one it is done as they are taken.

    Args:
        metrics: see `choose`.
        workers: processes; 1 or less measures in this one.

    Raises:
        UsageError: see `choose`.
    """
    names = choose(metrics)
    if workers <= 1:
        yield lambda items: (measure(item, names) for item in items)
        return
    import multiprocessing

    # spawn: a fork of a process that holds torch threads can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _one_thread) as pool:

        def rows_of(items: Sequence[Item]) -> Iterator[Row]:
            return pool.map(measure, items, [names] * len(items))

        try:
            yield rows_of
        except BaseException:  # Ctrl-C too: what is not begun is not waited for
            pool.shutdown(cancel_futures=True)
            raise


def _one_thread() -> None:
    """A worker owns one core: more threads than cores are 3-17 times slower."""
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))


def _sound(sound: Audio | str | None) -> Audio | None:
    return media.load_audio(sound) if isinstance(sound, str) else sound
