"""Faults said and true over many clips: by type, in time, and by confidence.

Rows are those of `hearken.metrics.heard`, and so are the rules.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearken.errors import MetricError
from hearken.metrics import spans
from hearken.metrics.agreement import Interval, try_ci
from hearken.metrics.calibration import Claims, span_claims, type_claims
from hearken.metrics.spans import Counts
from hearken.nouns import FAULT_TYPES, Fault

__all__ = [
    "TypeCounts",
    "claims",
    "commonest_macro",
    "faults_of",
    "faults_text",
    "macro_f1",
    "mean",
    "span_totals",
    "timed_f1",
    "type_counts",
    "type_means",
    "type_spans",
]

Row = Mapping[str, Any]
Span = dict[str, Any]


@dataclass(frozen=True)
class TypeCounts:
    """Clips in which a fault type was said and true (hits), said, and true."""

    hits: int
    said: int
    true: int

    @property
    def recall(self) -> float | None:
        """Hits / true; None where it never occurs."""
        return self.hits / self.true if self.true else None

    @property
    def precision(self) -> float | None:
        """Hits / said; None where it was never said."""
        return self.hits / self.said if self.said else None

    @property
    def f1(self) -> float | None:
        """2 hits / (said + true); None where it never occurs."""
        return 2 * self.hits / (self.said + self.true) if self.true else None


def faults_text(faults: Sequence[Fault]) -> str:
    """Faults as one field of a row: JSON, a list [type, start, end, severity, detail, confidence].

    >>> faults_text([Fault("hum", 0.0, 2.5, 3, "50 Hz", 0.75)])
    '[["hum", 0.0, 2.5, 3, "50 Hz", 0.75]]'
    """
    return json.dumps(
        [[f.type, f.start_s, f.end_s, f.severity, f.detail, f.confidence] for f in faults]
    )


def faults_of(row: Row, side: str) -> list[Fault]:
    """The faults of a row, `side` "said" or "true"."""
    return [Fault(*fields) for fields in json.loads(row[f"{side}/faults"])]


def type_counts(rows: Sequence[Row]) -> dict[str, TypeCounts]:
    """Counts by clip of every fault type that was said or is true, in the closed list's order."""
    hits: Counter[str] = Counter()
    said: Counter[str] = Counter()
    true: Counter[str] = Counter()
    for row in rows:
        ours, theirs = set(row["said/types"].split()), set(row["true/types"].split())
        hits.update(ours & theirs)
        said.update(ours)
        true.update(theirs)
    return {t: TypeCounts(hits[t], said[t], true[t]) for t in FAULT_TYPES if said[t] or true[t]}


def type_means(types: Mapping[str, TypeCounts]) -> dict[str, float | None]:
    """Macro (mean over the types that occur) and micro (counts added) averages."""
    occur = [c for c in types.values() if c.true]
    hits = sum(c.hits for c in types.values())
    both = TypeCounts(
        hits, sum(c.said for c in types.values()), sum(c.true for c in types.values())
    )
    return {
        "macro_recall": mean([c.recall or 0.0 for c in occur]),
        "macro_precision": mean([c.precision or 0.0 for c in occur]),
        "macro_f1": mean([c.f1 or 0.0 for c in occur]),
        "micro_recall": both.recall,
        "micro_precision": both.precision,
        "micro_f1": both.f1,
    }


def commonest_macro(types: Mapping[str, TypeCounts]) -> float | None:
    """Recall of always answering one type: 1 on it, 0 on the others, averaged over types."""
    occur = sum(c.true > 0 for c in types.values())
    return 1.0 / occur if occur else None


def macro_f1(rows: Sequence[Row], **draw: int) -> Interval | None:
    """Mean F1 over the types that occur (in each draw), by clip."""
    names = list(FAULT_TYPES)
    table = np.zeros((len(rows), 3, len(names)))  # hits, said, true
    for i, row in enumerate(rows):
        said, true = set(row["said/types"].split()), set(row["true/types"].split())
        for k, kind in enumerate(names):
            table[i, :, k] = kind in said & true, kind in said, kind in true

    def macro(x: NDArray[Any]) -> float:
        hits, said, true = x.sum(axis=0)
        occur = true > 0
        if not occur.any():
            raise MetricError("no fault occurs")
        return float(np.mean(2 * hits[occur] / (said + true)[occur]))

    return try_ci(table, [r["speaker"] for r in rows], statistic=macro, **draw)


def timed_f1(rows: Sequence[Row], **draw: int) -> Interval | None:
    """F1 at IoU 0.5 of the faults with times of their own."""

    def f1(x: NDArray[Any]) -> float:
        hits, said, true = x.sum(axis=0)
        if said + true == 0:
            raise MetricError("no timed fault was said or is true")
        return float(2 * hits / (said + true))

    table = [[r["timed/hits"], r["timed/said"], r["timed/true"]] for r in rows]
    return try_ci(table, [r["speaker"] for r in rows], statistic=f1, **draw)


def span_totals(rows: Sequence[Row], name: str) -> Span:
    """Counts, precision, recall, F1, mean IoU and onset error of "all" or "timed" faults."""
    total = Counts()
    for r in rows:
        errors = tuple(float(e) for e in r[f"{name}/onset_errors_s"].split())
        total += Counts(r[f"{name}/hits"], r[f"{name}/said"], r[f"{name}/true"], errors)
    return _span(total, [r[f"{name}/iou"] for r in rows if r[f"{name}/iou"] is not None])


def type_spans(rows: Sequence[Row]) -> dict[str, Span]:
    """`span_totals` of each type that has times of its own and was said or is true."""
    pairs = [(faults_of(r, "said"), faults_of(r, "true")) for r in rows]
    found = {}
    for kind in (t for t, about in FAULT_TYPES.items() if about.localised):
        here = [
            ([f for f in said if f.type == kind], [f for f in true if f.type == kind])
            for said, true in pairs
        ]
        here = [pair for pair in here if pair[0] or pair[1]]
        if here:
            total = sum((spans.match(*pair) for pair in here), Counts())
            found[kind] = _span(total, [spans.mean_iou(*pair) for pair in here])
    return found


def _span(total: Counts, ious: Sequence[float]) -> Span:
    return {
        "spans true": total.true,
        "spans said": total.said,
        "precision at IoU 0.5": total.precision,
        "recall at IoU 0.5": total.recall,
        "F1 at IoU 0.5": total.f1,
        "mean IoU": mean(ious),
        "median onset error of hits, s": (
            float(np.median(total.onset_errors_s)) if total.onset_errors_s else None
        ),
    }


def claims(rows: Sequence[Row]) -> dict[str, Claims] | None:
    """What was claimed as "types" and as "timed" faults; None where no fault has a confidence."""
    pairs = [(faults_of(r, "said"), faults_of(r, "true")) for r in rows]
    if not any(f.confidence is not None for said, _ in pairs for f in said):
        return None
    by_type = [c for said, true in pairs for c in type_claims(said, true)]
    by_span = [c for said, true in pairs for c in span_claims(said, true)]
    timed = sum(FAULT_TYPES[f.type].localised for _, true in pairs for f in true)
    return {
        "types": Claims(tuple(by_type), sum(len({f.type for f in true}) for _, true in pairs)),
        "timed": Claims(tuple(by_span), timed),
    }


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return float(np.mean(values)) if len(values) else None
