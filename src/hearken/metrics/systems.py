"""Compare systems over the same scenes: means, paired gains, share made worse.

A row is a mapping with `system`, `scene`, `talker`, `target` and a number (or None, where the
metric failed) in each column. Intervals resample whole talkers; with fewer than five of them,
whole target clips, because an interval over two or three talkers means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hearken.metrics.agreement import Interval, bootstrap_ci

__all__ = ["FEW_TALKERS", "Comparison"]

FEW_TALKERS = 5

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Rows of many systems, and how to draw intervals from them.

    Attributes:
        rows: see the module.
        columns: the metric columns.
        resamples, seed: of the bootstrap.
    """

    rows: Sequence[Row]
    columns: Sequence[str]
    resamples: int = 1000
    seed: int = 0

    @property
    def systems(self) -> list[str]:
        """Names of the systems in order of their first row."""
        return list(dict.fromkeys(r["system"] for r in self.rows))

    def where(self, **wanted: object) -> Comparison:
        """The rows whose fields have these values."""
        rows = [r for r in self.rows if all(r[k] == v for k, v in wanted.items())]
        return Comparison(rows, self.columns, self.resamples, self.seed)

    def count(self, system: str) -> int:
        """Rows of a system, failed ones too."""
        return sum(r["system"] == system for r in self.rows)

    def means(self) -> dict[str, dict[str, Interval]]:
        """{system: {column: mean}} over the scenes where the metric could be computed."""
        result: dict[str, dict[str, Interval]] = {}
        for system in self.systems:
            here = [r for r in self.rows if r["system"] == system]
            values = {c: [(r[c], r) for r in here if r[c] is not None] for c in self.columns}
            result[system] = {c: self._interval(v) for c, v in values.items() if v}
        return result

    def gains(self, base: str) -> dict[str, dict[str, Interval]]:
        """{system: {column: mean of value - value of `base`}}, scene by scene."""
        result: dict[str, dict[str, Interval]] = {}
        for system in self.systems:
            pairs = {c: self._paired(c, system, base) for c in self.columns if system != base}
            kept = {c: self._interval(p) for c, p in pairs.items() if p}
            if kept:
                result[system] = kept
        return result

    def worse(self, column: str, system: str, base: str = "unprocessed") -> float | None:
        """Share of scenes, 0-1, on which a system is below `base`; None where none compare."""
        gains = [gain for gain, _ in self._paired(column, system, base)]
        return float(np.mean([g < 0 for g in gains])) if gains else None

    def _paired(self, column: str, system: str, base: str) -> list[tuple[float, Row]]:
        before = {r["scene"]: r[column] for r in self.rows if r["system"] == base}
        return [
            (r[column] - before[r["scene"]], r)
            for r in self.rows
            if r["system"] == system
            and r[column] is not None
            and before.get(r["scene"]) is not None
        ]

    def _interval(self, values: Sequence[tuple[float, Row]]) -> Interval:
        talkers = {r["talker"] for _, r in values}
        unit = "talker" if len(talkers) >= FEW_TALKERS else "target"
        return bootstrap_ci(
            [v for v, _ in values],
            [r[unit] for _, r in values],
            resamples=self.resamples,
            seed=self.seed,
        )
