"""The tables of the critic's evaluation, out of its `Results`."""

from __future__ import annotations

from typing import Any

from hearken.metrics.calibration import BINS
from hearken.metrics.heard import SHUFFLES, Results
from hearken.metrics.heard_faults import commonest_macro, type_means
from hearken.metrics.tabulate import Table
from hearken.nouns import DIMENSIONS, FAULT_TYPES

__all__ = ["tables"]

_F1, _ONSET = "F1 at IoU 0.5", "median onset error of hits, s"


def tables(found: Results) -> list[Table]:
    """What there is of: summary, scores with controls, intervals, faults, words, other tools."""
    result = [_summary(found), _scores(found), _coverage(found), _types(found)]
    result += [_confidence(found), _bins(found), _words(found), _tools(found)]
    return [t for t in result if t.rows]


def _summary(found: Results) -> Table:
    body: list[tuple[str, Any]] = [
        ("clips", found.clips),
        ("clips that could be read", found.heard),
        ("share parsed", found.parsed),
        ("mean PCC", found.mean_pcc),
        ("overall: PCC", found.pcc["overall"]),
        ("overall: SRCC", found.srcc["overall"]),
        ("ROUGE-L of the words", found.rouge_l),
        ("grade (mean of all parts)", found.grade),
    ]
    if found.types:
        means: dict[str, Any] = {**type_means(found.types), "macro_f1": found.macro_f1}
        body += [(f"fault type {k.replace('_', ' ')}", v) for k, v in means.items()]
        name = FAULT_TYPES[found.commonest].words if found.commonest else "-"
        body.append((f'micro recall of always "{name}"', found.commonest_recall))
        body.append((f'macro recall of always "{name}"', commonest_macro(found.types)))
    for name, span in (found.spans or {}).items():
        label = "all faults" if name == "all" else "faults with their own times"
        sure = {_F1: found.timed_f1, "mean IoU": found.mean_iou} if name == "timed" else {}
        body += [(f"{label}: {k}", sure.get(k) or v) for k, v in span.items()]
    return Table("The critic against the truth", ("measure", "value"), tuple(body))


def _scores(found: Results) -> Table:
    silence = found.silence or {}
    body = tuple(
        (d, found.pcc[d], found.srcc[d], found.shuffled[d], silence.get(d))
        for d in DIMENSIONS
        if found.pcc[d] or found.shuffled[d] is not None
    )
    header = ("dimension", "PCC", "SRCC", "PCC, answers shuffled", "PCC, hearing silence")
    notes = [f"95 % intervals: percentile bootstrap over talkers. {SHUFFLES} shuffles."]
    if found.silence_clips:
        notes.append(
            f'Silence: {found.silence_clips} clips; "-" means that every silence got the same '
            "score, as it should."
        )
    return Table("Scores", header, body, tuple(notes))


def _coverage(found: Results) -> Table:
    body = tuple((d, c.share, c.width, c.share.count) for d, c in found.coverage.items() if c)
    header = ("dimension", "share of clips inside", "mean width", "clips")
    notes = ("An honest interval holds the true value of 90 % of the clips.",)
    return Table("The 90 % intervals of the scores", header, body, notes)


def _types(found: Results) -> Table:
    body = []
    for t, c in (found.types or {}).items():
        span = (found.type_spans or {}).get(t, {})
        own = (c.true, c.said, c.recall, c.precision, c.f1)
        times = (span.get(_F1), span.get("mean IoU"), span.get(_ONSET))
        body.append((FAULT_TYPES[t].words, *own, *times))
    header = ("fault type", "clips with it", "clips said", "recall", "precision", "F1")
    return Table("Fault types, by clip", (*header, _F1, "mean IoU", "onset error, s"), tuple(body))


_CLAIMED = {"types": "types, by clip", "timed": "faults with their own times, IoU 0.5"}


def _confidence(found: Results) -> Table:
    body = []
    for name, claims in (found.claims or {}).items():
        hits = sum(c.true for c in claims.made)
        share = hits / len(claims.made) if claims.made else None
        sums = (claims.average_precision, claims.calibration_error)
        body.append((_CLAIMED[name], claims.wanted, len(claims.made), share, *sums))
    header = ("what was said", "true", "said", "precision", "average precision")
    return Table("Confidence of faults", (*header, "calibration error"), tuple(body))


def _bins(found: Results) -> Table:
    if not found.claims:
        return Table("", (), ())
    sides = [
        {min(BINS - 1, int(b.confidence * BINS)): b for b in claims.bins()}
        for claims in found.claims.values()
    ]
    body = []
    for k in sorted({k for side in sides for k in side}):
        cells: list[Any] = [f"{k / BINS:.1f}-{(k + 1) / BINS:.1f}"]
        for side in sides:
            cells += [side[k].count, side[k].precision] if k in side else [0, None]
        body.append(tuple(cells))
    names = [word for name in found.claims for word in (f"{name} said", f"{name}: precision")]
    return Table("Precision by confidence", ("confidence", *names), tuple(body))


def _words(found: Results) -> Table:
    said, true = found.words["said"], found.words.get("true")
    names = {
        "texts": "clips",
        "distinct": "share of distinct texts",
        "sentences": "distinct sentences",
        "type_token_ratio": "type-token ratio",
    }
    body = [(words, getattr(said, k), getattr(true, k, None)) for k, words in names.items()]
    return Table("Words", ("measure", "critic", "truth"), tuple(body) if said.texts else ())


def _tools(found: Results) -> Table:
    body = []
    for name, tool in found.tools.items():
        groups = tool.within.count if tool.within else None
        clips = tool.pcc.count if tool.pcc else None
        body.append((name, tool.pcc, tool.srcc, tool.within, groups, clips))
    header = ("tool", "PCC", "SRCC", "mean SRCC within groups", "groups", "clips")
    notes = ("Overall quality, on the clips that every tool rates.",)
    return Table("The critic beside other tools", header, tuple(body), notes)
