"""Compare systems over the same scenes: means, paired gains, share made worse.

A row is a mapping with `system`, `scene`, `talker`, `target` and a number (or None, where the
metric failed) in each column; to be grouped, also `kind`, `same_voice`, `snr_db` and `face`.
Intervals resample whole talkers; with fewer than five of them, whole clips of a talker, because
an interval over two or three talkers means nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from hearken.metrics.agreement import Interval, bootstrap_ci

__all__ = [
    "FEW_TALKERS",
    "SNR_EDGES_DB",
    "Comparison",
    "clusters",
    "face",
    "interferer",
    "snr_bucket",
]

FEW_TALKERS = 5
SNR_EDGES_DB = (-5.0, 0.0, 5.0)
"""Each edge belongs to the bucket below it."""

Row = Mapping[str, Any]


def interferer(row: Row) -> str:
    """What is to be removed: the row's kind, or "same voice" where it is the target's own."""
    return "same voice" if row.get("same_voice") else str(row.get("kind", "unknown"))


def snr_bucket(row: Row) -> str | None:
    """The bucket of the row's SNR; None where it is not known.

    >>> [snr_bucket({"snr_db": snr}) for snr in (-5, -4.9, 0, 7)]
    ['<= -5 dB', '-5 to 0 dB', '-5 to 0 dB', '> 5 dB']
    """
    snr_db = row.get("snr_db")
    if snr_db is None or not math.isfinite(snr_db):
        return None
    return _SNR_BUCKETS[bisect_left(SNR_EDGES_DB, snr_db)]


def face(row: Row) -> str | None:
    """Was the target's face in the training data: "face known", "face unseen"; else None."""
    return f"face {row['face']}" if row.get("face") in ("known", "unseen") else None


def clusters(rows: Sequence[Row]) -> list[Hashable]:
    """What a bootstrap draws whole: each row's talker; with few of them, its clip of a talker."""
    few = len({r["talker"] for r in rows}) < FEW_TALKERS
    return [(r["talker"], r["target"]) if few else r["talker"] for r in rows]


_SNR_BUCKETS: tuple[str, ...] = (
    f"<= {SNR_EDGES_DB[0]:g} dB",
    *(f"{low:g} to {high:g} dB" for low, high in pairwise(SNR_EDGES_DB)),
    f"> {SNR_EDGES_DB[-1]:g} dB",
)
_GROUPINGS: tuple[tuple[Callable[[Row], str | None], tuple[str, ...]], ...] = (
    (interferer, ("noise", "speech", "same voice", "mixed", "unknown")),
    (snr_bucket, _SNR_BUCKETS),
    (face, ("face known", "face unseen")),
)


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

    def groups(self) -> dict[str, Comparison]:
        """{name: the rows of the group}: by interferer, by SNR, by face.

        A grouping that would put all rows into one group is left out; a row of which it is not
        known is in none of its groups.
        """
        result: dict[str, Comparison] = {}
        for grouping, names in _GROUPINGS:
            members: dict[str | None, list[Row]] = {}
            for row in self.rows:
                members.setdefault(grouping(row), []).append(row)
            if len(members) > 1:
                found = {name: members[name] for name in names if name in members}
                result |= {name: replace(self, rows=rows) for name, rows in found.items()}
        return result

    def scenes(self) -> int:
        """How many scenes the rows are of."""
        return len({r["scene"] for r in self.rows})

    def count(self, system: str) -> int:
        """Rows of a system, failed ones too."""
        return sum(r["system"] == system for r in self.rows)

    def seconds(self, system: str) -> float | None:
        """Median seconds that a system took for a scene; None where no row says."""
        here = [r.get("seconds") for r in self.rows if r["system"] == system]
        taken = [s for s in here if s is not None]
        return float(np.median(taken)) if taken else None

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
        return bootstrap_ci(
            [v for v, _ in values],
            clusters([r for _, r in values]),
            resamples=self.resamples,
            seed=self.seed,
        )
