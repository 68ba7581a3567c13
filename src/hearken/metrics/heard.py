"""What the answers to many clips amount to: correlations, fault types, times, words, controls.

Works on plain rows, one a clip, as the critic's evaluation logs them:

    clip, speaker, control ("" or "silence"), heard, parsed, rouge_l, grade
    true/<dimension>, said/<dimension>      numbers or None
    lo/<dimension>, hi/<dimension>          the 90 % interval of what was said, or None
    true/types, said/types                  fault types, separated by spaces
    true/faults, said/faults                as `faults_text` writes them
    true/words, said/words                  text or None
    {all,timed}/{hits,said,true,iou,onset_errors_s}
    group, against/<tool>                   what to rank within; what another tool gives the clip

Rules. Correlations take the clips whose answer parsed and whose truth is known. Fault types are
counted once a clip; an answer that did not parse said nothing. Recall of a type that never
occurs is not defined and stays out of the macro average; precision of a type that was never said
is 0 where it occurs. Span counts add over clips (see `spans`); mean IoU is over the clips with
a span in answer or truth. Intervals draw whole talkers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearken.errors import MetricError
from hearken.metrics.agreement import Interval, pcc, srcc, try_ci
from hearken.metrics.calibration import Claims, Coverage, coverage
from hearken.metrics.heard_faults import (
    TypeCounts,
    claims,
    commonest_macro,
    macro_f1,
    mean,
    span_totals,
    timed_f1,
    type_counts,
    type_means,
    type_spans,
)
from hearken.metrics.tabulate import plain
from hearken.metrics.text import Variety, variety
from hearken.metrics.tools import Tool, tools
from hearken.nouns import DIMENSIONS

__all__ = ["SHUFFLES", "Results", "results"]

SHUFFLES = 20

Row = Mapping[str, Any]
Span = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """All numbers of one evaluation; None where the truth does not hold what they need.

    Attributes:
        clips, heard, parsed: how many, how many could be read, share of answers that parse.
        pcc, srcc, coverage: by dimension.
        mean_pcc, macro_f1, timed_f1, mean_iou: with intervals; the last two of faults with
            times of their own.
        types, type_spans: by fault type; spans only of types with times of their own.
        claims: "types" and "timed" faults by their confidence.
        words: variety of the critic's "said" words and of the "true" ones.
        tools: the critic's overall score, and other tools, on the clips that all of them rate.
    """

    clips: int
    heard: int
    parsed: float
    pcc: Mapping[str, Interval | None]
    srcc: Mapping[str, Interval | None]
    mean_pcc: Interval | None
    coverage: Mapping[str, Coverage | None]
    types: Mapping[str, TypeCounts] | None
    macro_f1: Interval | None
    type_spans: Mapping[str, Span] | None
    commonest: str | None
    commonest_recall: float | None
    spans: Mapping[str, Span] | None
    timed_f1: Interval | None
    mean_iou: Interval | None
    claims: Mapping[str, Claims] | None
    rouge_l: Interval | None
    words: Mapping[str, Variety]
    grade: Interval | None
    shuffled: Mapping[str, float | None]
    silence: Mapping[str, float | None] | None
    silence_clips: int
    tools: Mapping[str, Tool]

    def summary(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "clips": self.clips,
            "heard": self.heard,
            "parsed": self.parsed,
            "pcc": {d: plain(i) for d, i in self.pcc.items()},
            "srcc": {d: plain(i) for d, i in self.srcc.items()},
            "mean_pcc": self.mean_pcc.value if self.mean_pcc else None,
            "coverage": {
                d: {**plain(c.share), "width": c.width} if c else None
                for d, c in self.coverage.items()
            },
            "types": self._types(),
            "spans": dict(self.spans) if self.spans else None,
            "intervals": {
                name: plain(getattr(self, name))
                for name in ("mean_pcc", "macro_f1", "timed_f1", "mean_iou")
            },
            "confidence": {
                name: {
                    "claims": len(c.made),
                    "wanted": c.wanted,
                    "average_precision": c.average_precision,
                    "calibration_error": c.calibration_error,
                }
                for name, c in self.claims.items()
            }
            if self.claims
            else None,
            "rouge_l": plain(self.rouge_l),
            "words": {name: asdict(v) for name, v in self.words.items()},
            "grade": plain(self.grade),
            "controls": {"shuffled": dict(self.shuffled), "silence": self.silence},
            "tools": {
                name: {k: plain(getattr(t, k)) for k in ("pcc", "srcc", "within")}
                for name, t in self.tools.items()
            },
        }

    def _types(self) -> dict[str, Any] | None:
        if self.types is None:
            return None
        return {
            **type_means(self.types),
            "commonest": self.commonest,
            "commonest_micro_recall": self.commonest_recall,
            "commonest_macro_recall": commonest_macro(self.types),
            "each": {
                t: {
                    **{"recall": c.recall, "precision": c.precision, "f1": c.f1, **asdict(c)},
                    "spans": (self.type_spans or {}).get(t),
                }
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
        parsed=mean([float(r["parsed"]) for r in main if r["heard"]]) or 0.0,
        pcc={d: _correlation(main, d, pcc, draw) for d in DIMENSIONS},
        srcc={d: _correlation(main, d, srcc, draw) for d in DIMENSIONS},
        mean_pcc=_mean_pcc(main, draw),
        coverage={d: _coverage(main, d, draw) for d in DIMENSIONS},
        types=types,
        macro_f1=macro_f1(planted, **draw) if planted else None,
        type_spans=type_spans(planted) if planted else None,
        commonest=commonest,
        commonest_recall=types[commonest].true / total if types and commonest and total else None,
        spans={n: span_totals(planted, n) for n in ("all", "timed")} if planted else None,
        timed_f1=timed_f1(planted, **draw) if planted else None,
        mean_iou=_mean_interval(planted, "timed/iou", draw),
        claims=claims(planted),
        rouge_l=_mean_interval(main, "rouge_l", draw),
        words=_words(main),
        grade=_mean_interval(main, "grade", draw),
        shuffled={d: _shuffled(main, d, seed) for d in DIMENSIONS},
        silence={d: _plain_pcc(silent, d) for d in DIMENSIONS} if silent else None,
        silence_clips=len(silent),
        tools=tools(main, resamples=resamples, seed=seed),
    )


def _pairs(rows: Sequence[Row], d: str) -> list[tuple[float, float, str]]:
    """(said, true, speaker) of the clips that have both."""
    found = [(r[f"said/{d}"], r[f"true/{d}"], r["speaker"]) for r in rows]
    return [p for p in found if p[0] is not None and p[1] is not None]


def _correlation(
    rows: Sequence[Row], d: str, measure: Any, draw: Mapping[str, int]
) -> Interval | None:
    pairs = _pairs(rows, d)
    return try_ci(
        [(s, t) for s, t, _ in pairs],
        [speaker for _, _, speaker in pairs],
        statistic=lambda x: float(measure(x[:, 0], x[:, 1])),
        **draw,
    )


def _mean_pcc(rows: Sequence[Row], draw: Mapping[str, int]) -> Interval | None:
    """Mean PCC over the dimensions that have one, in all rows and in every draw of them."""
    known = [d for d in DIMENSIONS if _plain_pcc(rows, d) is not None]
    values = [[r[f"{side}/{d}"] for d in known for side in ("said", "true")] for r in rows]

    def average(x: NDArray[Any]) -> float:
        found = []
        for i in range(len(known)):
            pair = x[:, 2 * i : 2 * i + 2]
            pair = pair[np.isfinite(pair).all(axis=1)]
            found.append(pcc(pair[:, 0], pair[:, 1]))
        if not found:
            raise MetricError("no dimension has a correlation")
        return float(np.mean(found))

    table = np.array(values, dtype=float)
    return try_ci(table, [r["speaker"] for r in rows], statistic=average, **draw)


def _coverage(rows: Sequence[Row], d: str, draw: Mapping[str, int]) -> Coverage | None:
    kept = [r for r in rows if r.get(f"lo/{d}") is not None and r[f"true/{d}"] is not None]
    if not kept or not all(1 <= r[f"true/{d}"] <= 5 for r in kept):  # rated on another scale
        return None
    return coverage(
        [(r[f"lo/{d}"], r[f"hi/{d}"]) for r in kept],
        [r[f"true/{d}"] for r in kept],
        [r["speaker"] for r in kept],
        **draw,
    )


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
        return mean([pcc(rng.permutation(said), true) for _ in range(SHUFFLES)])
    except MetricError:
        return None


def _words(rows: Sequence[Row]) -> dict[str, Variety]:
    """Of the answers that parsed, and of the true words of the same clips."""
    parsed = [r for r in rows if r["parsed"]]
    found = {"said": variety([r["said/words"] for r in parsed])}
    true = [r["true/words"] for r in parsed if r["true/words"] is not None]
    return {**found, "true": variety(true)} if true else found


def _mean_interval(rows: Sequence[Row], column: str, draw: Mapping[str, int]) -> Interval | None:
    kept = [r for r in rows if r.get(column) is not None]
    return try_ci([r[column] for r in kept], [r["speaker"] for r in kept], **draw)
