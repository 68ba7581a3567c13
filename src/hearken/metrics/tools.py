"""The critic's overall score beside other tools' scores of the same clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hearken.errors import MetricError
from hearken.metrics.agreement import Interval, pcc, srcc, try_ci, within_groups

__all__ = ["PREFIX", "Tool", "tools"]

PREFIX = "against/"
"""Columns of a row that hold another tool's score begin with this."""


@dataclass(frozen=True)
class Tool:
    """How well one tool follows the true overall score; None where it is not defined.

    Attributes:
        pcc, srcc: over all clips.
        within: mean SRCC within groups; None without groups.
    """

    pcc: Interval | None
    srcc: Interval | None
    within: Interval | None


def tools(
    rows: Sequence[Mapping[str, Any]], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Tool]:
    """The critic first, then each tool of the rows, all on the clips that every one rates.

    Rows are those of `hearken.metrics.heard`. Empty where there is neither a tool nor a group.
    """
    columns = {"critic": "said/overall"}
    for row in rows:
        columns |= {k.removeprefix(PREFIX): k for k in row if k.startswith(PREFIX)}
    needed = ("true/overall", *columns.values())
    kept = [r for r in rows if all(r.get(c) is not None for c in needed)]
    grouped = [r for r in kept if r.get("group")]
    if len(columns) == 1 and not grouped:
        return {}
    draw = {"resamples": resamples, "seed": seed}
    return {
        name: Tool(
            _whole(kept, column, pcc, draw),
            _whole(kept, column, srcc, draw),
            _within(grouped, column, draw),
        )
        for name, column in columns.items()
    }


def _whole(
    rows: Sequence[Mapping[str, Any]], column: str, measure: Any, draw: Mapping[str, int]
) -> Interval | None:
    return try_ci(
        [(r[column], r["true/overall"]) for r in rows],
        [r["speaker"] for r in rows],
        statistic=lambda x: float(measure(x[:, 0], x[:, 1])),
        **draw,
    )


def _within(
    rows: Sequence[Mapping[str, Any]], column: str, draw: Mapping[str, int]
) -> Interval | None:
    try:
        return within_groups(
            [r[column] for r in rows],
            [r["true/overall"] for r in rows],
            [r["group"] for r in rows],
            **draw,
        )
    except MetricError:
        return None
