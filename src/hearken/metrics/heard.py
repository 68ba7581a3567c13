"""What the answers to many clips amount to: correlations, fault types, times, words, controls.

Works on plain rows, one a clip, as the critic's evaluation logs them:

    clip, speaker, control ("" or "silence"), heard, parsed, rouge_l, grade,
    true/<dimension>, said/<dimension>      numbers or None
    true/types, said/types                  fault types, separated by spaces
    {all,timed}/{hits,said,true,iou,onset_errors_s}

Rules. Correlations take the clips whose answer parsed and whose truth is known. Fault types are
counted once a clip; an answer that did not parse said nothing. Recall of a type that never
occurs is not defined and stays out of the macro average; precision of a type that was never said
is 0 where it occurs. Span counts add over clips (see `spans`); mean IoU is over the clips with
a span in answer or truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hearken.errors import MetricError
from hearken.metrics.agreement import Interval, bootstrap_ci, pcc, srcc
from hearken.metrics.spans import Counts
from hearken.metrics.tabulate import Table, plain
from hearken.nouns import DIMENSIONS, FAULT_TYPES

__all__ = ["Results", "TypeCounts", "results", "tables", "type_counts"]

_SHUFFLES = 20

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


@dataclass(frozen=True)
class Results:
    """All numbers of one evaluation; None where the truth does not hold what they need."""

    clips: int
    heard: int
    parsed: float
    pcc: Mapping[str, Interval | None]
    srcc: Mapping[str, Interval | None]
    types: Mapping[str, TypeCounts] | None
    commonest: str | None
    commonest_recall: float | None
    spans: Mapping[str, Span] | None
    rouge_l: Interval | None
    grade: Interval | None
    shuffled: Mapping[str, float | None]
    silence: Mapping[str, float | None] | None
    silence_clips: int

    @property
    def mean_pcc(self) -> float | None:
        """Mean PCC over the dimensions that have one."""
        return _mean([i.value for i in self.pcc.values() if i])

    def summary(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "clips": self.clips,
            "heard": self.heard,
            "parsed": self.parsed,
            "pcc": {d: plain(i) for d, i in self.pcc.items()},
            "srcc": {d: plain(i) for d, i in self.srcc.items()},
            "mean_pcc": self.mean_pcc,
            "types": self._types(),
            "spans": dict(self.spans) if self.spans else None,
            "rouge_l": plain(self.rouge_l),
            "grade": plain(self.grade),
            "controls": {"shuffled": dict(self.shuffled), "silence": self.silence},
        }

    def _types(self) -> dict[str, Any] | None:
        if self.types is None:
            return None
        return {
            **type_means(self.types),
            "commonest": self.commonest,
            "commonest_micro_recall": self.commonest_recall,
            "commonest_macro_recall": _commonest_macro(self.types),
            "each": {
                t: {"recall": c.recall, "precision": c.precision, "f1": c.f1, **asdict(c)}
                for t, c in self.types.items()
            },
        }


def results(rows: Sequence[Row], *, resamples: int = 1000, seed: int = 0) -> Results:
    """Sum up the rows of an evaluation; see the module for their fields and the rules."""
    main = [r for r in rows if not r["control"]]
    silent = [r for r in rows if r["control"] == "silence"]
    draw = {"resamples": resamples, "seed": seed}
    planted = [r for r in main if r.get("true/types") is not None]
    types = type_counts(planted) if planted else None
    commonest = max(types, key=lambda t: types[t].true) if types else None
    total = sum(c.true for c in types.values()) if types else 0
    return Results(
        clips=len(main),
        heard=sum(bool(r["heard"]) for r in main),
        parsed=_mean([float(r["parsed"]) for r in main if r["heard"]]) or 0.0,
        pcc={d: _correlation(main, d, pcc, draw) for d in DIMENSIONS},
        srcc={d: _correlation(main, d, srcc, draw) for d in DIMENSIONS},
        types=types,
        commonest=commonest,
        commonest_recall=types[commonest].true / total if types and commonest and total else None,
        spans={n: _spans(planted, n) for n in ("all", "timed")} if planted else None,
        rouge_l=_mean_interval(main, "rouge_l", draw),
        grade=_mean_interval(main, "grade", draw),
        shuffled={d: _shuffled(main, d, seed) for d in DIMENSIONS},
        silence={d: _plain_pcc(silent, d) for d in DIMENSIONS} if silent else None,
        silence_clips=len(silent),
    )


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
        "macro_recall": _mean([c.recall or 0.0 for c in occur]),
        "macro_precision": _mean([c.precision or 0.0 for c in occur]),
        "macro_f1": _mean([c.f1 or 0.0 for c in occur]),
        "micro_recall": both.recall,
        "micro_precision": both.precision,
        "micro_f1": both.f1,
    }


def tables(found: Results) -> list[Table]:
    """The tables to print: summary, scores with controls, fault types."""
    result = [_summary_table(found), _score_table(found)]
    if found.types:
        body = [
            (FAULT_TYPES[t].words, c.true, c.said, c.recall, c.precision, c.f1)
            for t, c in found.types.items()
        ]
        header = ("fault type", "clips with it", "clips said", "recall", "precision", "F1")
        result.append(Table("Fault types, by clip", header, tuple(body)))
    return result


def _summary_table(found: Results) -> Table:
    body: list[tuple[str, Any]] = [
        ("clips", found.clips),
        ("clips that could be read", found.heard),
        ("share parsed", found.parsed),
        ("mean PCC", found.mean_pcc),
        ("ROUGE-L of the words", found.rouge_l),
        ("grade (mean of all parts)", found.grade),
    ]
    if found.types:
        means = type_means(found.types)
        body += [(f"fault type {k.replace('_', ' ')}", v) for k, v in means.items()]
        name = FAULT_TYPES[found.commonest].words if found.commonest else "-"
        body.append((f'micro recall of always "{name}"', found.commonest_recall))
        body.append((f'macro recall of always "{name}"', _commonest_macro(found.types)))
    for name, span in (found.spans or {}).items():
        label = "all faults" if name == "all" else "faults with their own times"
        body += [(f"{label}: {k}", v) for k, v in span.items()]
    return Table("The critic against the truth", ("measure", "value"), tuple(body))


def _score_table(found: Results) -> Table:
    silence = found.silence or {}
    body = tuple(
        (d, found.pcc[d], found.srcc[d], found.shuffled[d], silence.get(d))
        for d in DIMENSIONS
        if found.pcc[d] or found.shuffled[d] is not None
    )
    header = ("dimension", "PCC", "SRCC", "PCC, answers shuffled", "PCC, hearing silence")
    notes = [f"95 % intervals: percentile bootstrap over talkers. {_SHUFFLES} shuffles."]
    if found.silence_clips:
        notes.append(
            f'Silence: {found.silence_clips} clips; "-" means that every silence got the same '
            "score, as it should."
        )
    return Table("Scores", header, body, tuple(notes))


def _pairs(rows: Sequence[Row], d: str) -> list[tuple[float, float, str]]:
    """(said, true, speaker) of the clips that have both."""
    found = [(r[f"said/{d}"], r[f"true/{d}"], r["speaker"]) for r in rows]
    return [p for p in found if p[0] is not None and p[1] is not None]


def _correlation(
    rows: Sequence[Row], d: str, measure: Any, draw: Mapping[str, int]
) -> Interval | None:
    pairs = _pairs(rows, d)
    try:
        return bootstrap_ci(
            [(s, t) for s, t, _ in pairs],
            [speaker for _, _, speaker in pairs],
            statistic=lambda x: float(measure(x[:, 0], x[:, 1])),
            resamples=draw["resamples"],
            seed=draw["seed"],
        )
    except MetricError:
        return None


def _plain_pcc(rows: Sequence[Row], d: str) -> float | None:
    pairs = _pairs(rows, d)
    try:
        return pcc([s for s, _, _ in pairs], [t for _, t, _ in pairs])
    except MetricError:
        return None


def _shuffled(rows: Sequence[Row], d: str, seed: int) -> float | None:
    pairs = _pairs(rows, d)
    rng = np.random.default_rng(seed)
    said, true = [s for s, _, _ in pairs], [t for _, t, _ in pairs]
    try:
        return _mean([pcc(rng.permutation(said), true) for _ in range(_SHUFFLES)])
    except MetricError:
        return None


def _mean_interval(rows: Sequence[Row], column: str, draw: Mapping[str, int]) -> Interval | None:
    kept = [r for r in rows if r.get(column) is not None]
    if not kept:
        return None
    return bootstrap_ci(
        [r[column] for r in kept],
        [r["speaker"] for r in kept],
        resamples=draw["resamples"],
        seed=draw["seed"],
    )


def _spans(rows: Sequence[Row], name: str) -> Span:
    total = Counts()
    for r in rows:
        errors = tuple(float(e) for e in r[f"{name}/onset_errors_s"].split())
        total += Counts(r[f"{name}/hits"], r[f"{name}/said"], r[f"{name}/true"], errors)
    ious = [r[f"{name}/iou"] for r in rows if r[f"{name}/iou"] is not None]
    return {
        "spans true": total.true,
        "spans said": total.said,
        "precision at IoU 0.5": total.precision,
        "recall at IoU 0.5": total.recall,
        "F1 at IoU 0.5": total.f1,
        "mean IoU": _mean(ious),
        "median onset error of hits, s": (
            float(np.median(total.onset_errors_s)) if total.onset_errors_s else None
        ),
    }


def _commonest_macro(types: Mapping[str, TypeCounts]) -> float | None:
    """Recall of always answering one type: 1 on it, 0 on the others, averaged over types."""
    occur = sum(c.true > 0 for c in types.values())
    return 1.0 / occur if occur else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
