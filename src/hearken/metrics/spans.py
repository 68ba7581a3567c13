"""Timed faults, said against true: matches, precision, recall, F1, mean IoU, onset error.

IoU of two spans is the length of their overlap over the length of their union. Spans are paired
one to one and only within a fault type, so that the number of pairs at or above the threshold is
largest, and among those pairings the sum of IoU (the Hungarian method).

Empty sets. Over a corpus, counts are added first (micro average): a clip with nothing said and
nothing true adds nothing. Of counts alone: nothing said and nothing true is perfect
(precision = recall = F1 = 1); an empty denominator otherwise gives 0. Mean IoU of one clip counts
every unpaired span, said or true, as 0; nothing said and nothing true is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hearken.nouns import Fault

__all__ = ["Counts", "iou", "match", "mean_iou"]


@dataclass(frozen=True)
class Counts:
    """Matches of one clip or of many; counts add.

    Attributes:
        hits: pairs at or above the IoU threshold.
        said: spans said.
        true: spans in the truth.
        onset_errors_s: |start said - start true| of the hits, seconds.
    """

    hits: int = 0
    said: int = 0
    true: int = 0
    onset_errors_s: tuple[float, ...] = ()

    def __add__(self, other: Counts) -> Counts:
        """Counts of both together."""
        return Counts(
            self.hits + other.hits,
            self.said + other.said,
            self.true + other.true,
            self.onset_errors_s + other.onset_errors_s,
        )

    @property
    def precision(self) -> float:
        """Share of what was said that is true, 0-1."""
        return self.hits / self.said if self.said else float(self.true == 0)

    @property
    def recall(self) -> float:
        """Share of the truth that was said, 0-1."""
        return self.hits / self.true if self.true else float(self.said == 0)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: 2 hits / (said + true), 0-1."""
        total = self.said + self.true
        return 2.0 * self.hits / total if total else 1.0


def iou(a: Fault, b: Fault) -> float:
    """Overlap over union of two spans in time, 0-1; types are not compared.

    >>> iou(Fault("hum", 0.0, 2.0, 3), Fault("hum", 1.0, 3.0, 3))
    0.3333333333333333
    """
    overlap = min(a.end_s, b.end_s) - max(a.start_s, b.start_s)
    union = max(a.end_s, b.end_s) - min(a.start_s, b.start_s)
    return max(0.0, overlap) / union if union > 0.0 else 0.0


def match(said: Sequence[Fault], truth: Sequence[Fault], threshold: float = 0.5) -> Counts:
    """Count the spans of one clip that were found, at IoU >= `threshold`."""
    pairs = [(s, t) for s, t, overlap in _pairs(said, truth, threshold) if overlap >= threshold]
    errors = tuple(abs(s.start_s - t.start_s) for s, t in pairs)
    return Counts(len(pairs), len(said), len(truth), errors)


def mean_iou(said: Sequence[Fault], truth: Sequence[Fault]) -> float:
    """Mean IoU of the paired spans of one clip, unpaired ones counting 0; 1 if there are none."""
    paired = [overlap for _, _, overlap in _pairs(said, truth, 0.0) if overlap > 0.0]
    total = len(said) + len(truth) - len(paired)
    return float(sum(paired)) / total if total else 1.0


def _pairs(
    said: Sequence[Fault], truth: Sequence[Fault], threshold: float
) -> list[tuple[Fault, Fault, float]]:
    """One-to-one pairs within each type, as (said, true, IoU)."""
    from scipy.optimize import linear_sum_assignment

    result: list[tuple[Fault, Fault, float]] = []
    for kind in sorted({f.type for f in said} & {f.type for f in truth}):
        ours = [f for f in said if f.type == kind]
        theirs = [f for f in truth if f.type == kind]
        overlap = np.array([[iou(s, t) for t in theirs] for s in ours])
        # A hit outweighs every possible sum of IoU: hits first, then overlap.
        gain = overlap + (overlap >= max(threshold, 1e-9)) * (min(overlap.shape) + 1.0)
        rows, columns = linear_sum_assignment(gain, maximize=True)
        result += [
            (ours[i], theirs[j], float(overlap[i, j])) for i, j in zip(rows, columns, strict=True)
        ]
    return result
