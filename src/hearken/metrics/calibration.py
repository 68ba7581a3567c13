"""Whether stated certainty is earned: intervals of scores, confidence of faults.

An interval that claims 90 % should hold the true value of 90 % of the clips, and be as narrow as
that allows. Of the faults said with confidence 0.8, 80 % should be true; and the surest should be
true more often than the rest, which the precision-recall curve shows and average precision sums up.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from hearken.errors import MetricError
from hearken.metrics.agreement import Interval, bootstrap_ci
from hearken.metrics.spans import iou
from hearken.nouns import FAULT_TYPES, Fault

__all__ = [
    "BINS",
    "Bin",
    "Claim",
    "Claims",
    "Coverage",
    "Point",
    "coverage",
    "span_claims",
    "type_claims",
]

BINS = 10
_ROUNDED = 1e-6  # ends of intervals are written with so much error


@dataclass(frozen=True)
class Coverage:
    """How often intervals hold the truth, 0-1, and their mean width in score points."""

    share: Interval
    width: float


def coverage(
    ends: Sequence[tuple[float, float]],
    truth: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Coverage:
    """Share of true values within their (lo, hi), ends included.

    Raises:
        MetricError: no intervals, or not one for each value.

    >>> coverage([(1, 2), (3, 4)], [2, 5]).share.value
    0.5
    """
    if len(ends) != len(truth) or not ends:
        raise MetricError(f"{len(ends)} intervals for {len(truth)} true values")
    inside = [
        float(lo - _ROUNDED <= t <= hi + _ROUNDED) for (lo, hi), t in zip(ends, truth, strict=True)
    ]
    share = bootstrap_ci(inside, clusters, resamples=resamples, seed=seed)
    return Coverage(share, float(np.mean([hi - lo for lo, hi in ends])))


@dataclass(frozen=True)
class Claim:
    """Something said of a clip with a confidence, 0-1, and whether it is true."""

    confidence: float
    true: bool


@dataclass(frozen=True)
class Bin:
    """Claims of about one confidence: their number, mean confidence, and share that is true."""

    count: int
    confidence: float
    precision: float


@dataclass(frozen=True)
class Point:
    """Precision and recall, 0-1, of the claims with at least this confidence."""

    threshold: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Claims:
    """All claims over a corpus.

    Attributes:
        made: the claims.
        wanted: how many true things there were to be said; the denominator of recall.
    """

    made: tuple[Claim, ...]
    wanted: int

    def bins(self, count: int = BINS) -> tuple[Bin, ...]:
        """The claims by confidence, in `count` bins of equal width; empty ones left out."""
        order = sorted(self.made, key=lambda c: c.confidence)
        found = []
        for _, group in groupby(order, key=lambda c: min(count - 1, int(c.confidence * count))):
            here = list(group)
            mean = sum(c.confidence for c in here) / len(here)
            found.append(Bin(len(here), mean, sum(c.true for c in here) / len(here)))
        return tuple(found)

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error: mean |confidence - precision| of the bins, by count.

        Naeini et al. 2015. None where nothing was claimed.
        """
        if not self.made:
            return None
        return sum(b.count * abs(b.confidence - b.precision) for b in self.bins()) / len(self.made)

    def curve(self) -> tuple[Point, ...]:
        """Precision and recall at every threshold, the highest first; equal ones together."""
        points = []
        hits = said = 0
        order = sorted(self.made, key=lambda c: -c.confidence)
        for threshold, group in groupby(order, key=lambda c: c.confidence):
            for claim in group:
                said += 1
                hits += claim.true
            points.append(Point(threshold, hits / said, hits / self.wanted if self.wanted else 0.0))
        return tuple(points)

    @property
    def average_precision(self) -> float | None:
        """Sum of precision x gain in recall along the curve, 0-1; None where nothing is wanted."""
        if not self.wanted:
            return None
        total = before = 0.0
        for point in self.curve():
            total += point.precision * (point.recall - before)
            before = point.recall
        return total


def type_claims(said: Sequence[Fault], truth: Sequence[Fault]) -> list[Claim]:
    """Fault types claimed of one clip, each once with its highest confidence; true if planted.

    Faults that state no confidence are left out.
    """
    best: dict[str, float] = {}
    for fault in said:
        if fault.confidence is not None:
            best[fault.type] = max(fault.confidence, best.get(fault.type, 0.0))
    planted = {f.type for f in truth}
    return [Claim(confidence, kind in planted) for kind, confidence in best.items()]


def span_claims(
    said: Sequence[Fault], truth: Sequence[Fault], threshold: float = 0.5
) -> list[Claim]:
    """Faults with times of their own claimed of one clip; true where IoU reaches `threshold`.

    As in object detection (Everingham et al. 2010): the surest first, each takes the free true
    fault of its type that it overlaps most; a second one on the same is false.
    """
    free = [f for f in truth if FAULT_TYPES[f.type].localised]
    claims = []
    sure = [(f.confidence, f) for f in said if f.confidence is not None]
    for confidence, fault in sorted(sure, key=lambda pair: -pair[0]):
        if not FAULT_TYPES[fault.type].localised:
            continue
        rivals = [t for t in free if t.type == fault.type]
        best = max(rivals, key=lambda t: iou(fault, t), default=None)
        hit = best is not None and iou(fault, best) >= threshold
        if best is not None and hit:
            free.remove(best)
        claims.append(Claim(confidence, hit))
    return claims
