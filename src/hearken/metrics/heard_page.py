"""report.html of the critic's evaluation: its plots, a few clips in full, its tables.

The page holds all that it shows; its own policy forbids any other source. The plots are also
files, plots/<name>.svg.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from hearken import media
from hearken.metrics import charts
from hearken.metrics import page as html
from hearken.metrics.agreement import Interval
from hearken.metrics.calibration import Claims
from hearken.metrics.heard import Results
from hearken.metrics.heard_faults import faults_of
from hearken.metrics.tabulate import Table, cell
from hearken.nouns import DIMENSIONS, FAULT_TYPES

__all__ = ["page", "plots", "write"]

EXAMPLES = 6
"""Clips that are shown in full."""

_GOAL = 0.9  # what the intervals of the scores claim to hold
_NAMES = {t: about.words for t, about in FAULT_TYPES.items()}
_CLAIMED = {"types": "fault types, by clip", "timed": "timed faults, IoU 0.5"}
_LEGEND = (
    '<p class="true">Above in each lane, and first: the truth.</p>'
    '<p class="said">Below, and second: the critic; paler where it is less sure.</p>'
)

Row = Mapping[str, Any]


def write(folder: Path, found: Results, tables: Sequence[Table], rows: Sequence[Row]) -> None:
    """Write plots/*.svg and report.html into a run folder, each whole or not at all."""
    drawn = plots(found, rows)
    (folder / "plots").mkdir(exist_ok=True)
    texts = {f"plots/{name}.svg": svg for name, svg in drawn.items()}
    texts["report.html"] = page(found, tables, drawn, rows)
    for name, text in texts.items():
        with media.atomic(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


def plots(found: Results, rows: Sequence[Row]) -> dict[str, str]:
    """Name -> SVG, of all that the truth allows."""
    main = [r for r in rows if not r["control"]]
    drawn = {}
    for d in DIMENSIONS:
        pairs = [(r[f"true/{d}"], r[f"said/{d}"]) for r in main]
        pairs = [p for p in pairs if None not in p]
        if pairs:
            drawn[f"scatter_{d}"] = charts.scatter(pairs, f"{_plain(d)}: PCC {cell(found.pcc[d])}")
    covered = [(_plain(d), *_ends(c.share)) for d, c in found.coverage.items() if c]
    if covered:
        title = "True scores inside their 90 % interval"
        drawn["coverage"] = charts.intervals(covered, title, goal=_GOAL, x_name="share of clips")
    if found.claims:
        drawn |= _of_claims(found.claims)
    for k, row in enumerate(_examples(main), start=1):
        said, true = faults_of(row, "said"), faults_of(row, "true")
        drawn[f"timeline_{k}"] = charts.timeline(said, true, row["seconds"], _NAMES)
    return drawn


def _ends(share: Interval) -> tuple[float, float, float]:
    """Value, low, high; a share without an interval is its own."""
    if math.isnan(share.low):
        return share.value, share.value, share.value
    return share.value, share.low, share.high


def _of_claims(claims: Mapping[str, Claims]) -> dict[str, str]:
    bins = {
        _CLAIMED[name]: [(b.confidence, b.precision, b.count) for b in c.bins()]
        for name, c in claims.items()
    }
    lines = {
        f"{_CLAIMED[name]}: AP {cell(c.average_precision)}": [
            (p.recall, p.precision) for p in c.curve()
        ]
        for name, c in claims.items()
    }
    return {
        "confidence": charts.reliability(bins, "Confidence of faults"),
        "precision_recall": charts.curves(lines, "Faults said", "recall", "precision"),
    }


def _examples(main: Sequence[Row]) -> list[Row]:
    """A few clips with known faults, from the worst answer to the best, evenly by grade."""
    known = [r for r in main if r.get("true/faults") is not None and r["parsed"]]
    known = [r for r in known if faults_of(r, "true") or faults_of(r, "said")]
    order = sorted(known, key=lambda r: (r["grade"], r["clip"]))
    if len(order) <= EXAMPLES:
        return order
    return [order[round(k * (len(order) - 1) / (EXAMPLES - 1))] for k in range(EXAMPLES)]


def page(
    found: Results, tables: Sequence[Table], drawn: Mapping[str, str], rows: Sequence[Row]
) -> str:
    """The whole page as text."""
    main = [r for r in rows if not r["control"]]
    scatters = [svg for name, svg in drawn.items() if name.startswith("scatter")]
    others = [drawn[n] for n in ("coverage", "confidence", "precision_recall") if n in drawn]
    examples = [
        _example(row, drawn[f"timeline_{k}"]) for k, row in enumerate(_examples(main), start=1)
    ]
    body = [
        html.section("Scores, truth against critic", _plots(scatters)),
        html.section("How sure, and how often right", _plots(others)),
        html.section(
            "Clips, from the worst answer to the best", _LEGEND * bool(examples), *examples
        ),
        *(html.section(t.title, html.table(t)) for t in tables),
    ]
    return html.whole(
        "The critic against the truth",
        f"<h1>The critic against the truth</h1><p>{found.clips} clips, of which {found.heard} "
        f"could be read and {found.parsed:.1%} of the answers parse.</p>{''.join(body)}",
    )


def _plots(svgs: Sequence[str]) -> str:
    return f'<div class="plots">{"".join(svgs)}</div>' if svgs else ""


def _example(row: Row, svg: str) -> str:
    scores = ", ".join(
        f"{_plain(d)} {row[f'said/{d}']:.1f} (true {row[f'true/{d}']:.1f})" for d in DIMENSIONS
    )
    return (
        f"<h3>{escape(str(row['clip']))}: grade {cell(row['grade'])}</h3>{svg}"
        f'<p class="true">{escape(row["true/words"] or "")}</p>'
        f'<p class="said">{escape(row["said/words"])}</p><p class="small">{escape(scores)}</p>'
    )


def _plain(dimension: str) -> str:
    return dimension.replace("_", " ")
