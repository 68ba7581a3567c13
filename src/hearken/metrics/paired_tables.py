"""Tables of systems that were each trained with several seeds, and heard on the same scenes.

A row is one of `hearken.metrics.systems` with a `seed` beside its system. Seeds are averaged
scene by scene, so that a scene counts once; then the tables of `Comparison` apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hearken.errors import MetricError
from hearken.metrics.paired import Difference, difference, holm
from hearken.metrics.systems import Comparison, clusters
from hearken.metrics.systems_tables import UNPROCESSED, by_group, judge
from hearken.metrics.tabulate import Cell, Table

__all__ = ["WORSE", "Compared", "Seeded", "tables", "with_worse"]

WORSE = "worse"
_DECIMALS = 3

Row = Mapping[str, Any]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Compared:
    """One column of a pair of systems: how they differ, and p corrected for its family."""

    ours: str
    base: str
    difference: Difference
    p_holm: float


@dataclass(frozen=True)
class Seeded:
    """Rows of systems and seeds, and how to draw from them.

    Attributes:
        rows: see the module.
        columns: the metric columns.
        resamples: draws of each interval.
        permutations: sign flips of each test.
        seed: of both.
    """

    rows: Sequence[Row]
    columns: Sequence[str]
    resamples: int = 1000
    permutations: int = 9999
    seed: int = 0

    def seeds(self, system: str) -> list[str]:
        """Names of a system's seeds, in order of their first row."""
        return list(dict.fromkeys(r["seed"] for r in self.rows if r["system"] == system))

    def averaged(self) -> Comparison:
        """A row for each system and scene: the mean over the seeds that have a value."""
        members: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            members.setdefault((row["system"], row["scene"]), []).append(row)
        rows = [
            {**some[0], **{c: _mean(r.get(c) for r in some) for c in (*self.columns, "seconds")}}
            for some in members.values()
        ]
        return Comparison(rows, self.columns, self.resamples, self.seed)

    def spread(self, system: str, column: str) -> float | None:
        """Standard deviation (n - 1) over a system's seeds of their means; None for one seed."""
        here = [r for r in self.rows if r["system"] == system]
        means = [_mean(r[column] for r in here if r["seed"] == s) for s in self.seeds(system)]
        known = [m for m in means if m is not None]
        return float(np.std(known, ddof=1)) if len(known) > 1 else None

    def difference(self, column: str, ours: str, base: str) -> Difference | None:
        """Ours less base, over the seeds that both have; None where nothing can be compared.

        A base that was not trained (its one seed is "") stands beside each seed of ours.
        """
        mine, theirs = self.seeds(ours), self.seeds(base)
        shared = [s for s in mine if s in theirs]
        alone = theirs == [""]
        held = [r for r in self.rows if r["system"] in (ours, base)]
        scenes = {r["scene"]: r for r in held}
        value = {(r["system"], r["seed"], r["scene"]): r[column] for r in held}

        def grid(system: str, seeds: Sequence[str]) -> list[list[float]]:
            cells = [[value.get((system, s, scene)) for s in seeds] for scene in scenes]
            return [[np.nan if v is None else float(v) for v in row] for row in cells]

        try:
            return difference(
                grid(ours, mine if alone else shared),
                grid(base, theirs if alone else shared),
                clusters(list(scenes.values())),
                resamples=self.resamples,
                permutations=self.permutations,
                seed=self.seed,
            )
        except MetricError:
            return None

    def family(self, column: str, pairs: Sequence[Pair]) -> list[Compared]:
        """The pairs that can be compared; Holm's correction is over all of them."""
        found = [(o, b, self.difference(column, o, b)) for o, b in pairs]
        known = [(o, b, d) for o, b, d in found if d is not None]
        corrected = holm([d.p for _, _, d in known])
        return [Compared(*one, p) for one, p in zip(known, corrected, strict=True)]


def with_worse(rows: Sequence[Row], columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows with `worse`: 1 where the scene is below the unprocessed one, else 0.

    By SI-SDR, or else the first column (`systems_tables.judge`); None where unknown.
    """
    by = judge(columns)
    before = {r["scene"]: r[by] for r in rows if r["system"] == UNPROCESSED}
    result = []
    for row in rows:
        value, plain = row[by], before.get(row["scene"])
        known = value is not None and plain is not None and row["system"] != UNPROCESSED
        result.append({**row, WORSE: float(value < plain) if known else None})
    return result


def tables(
    compared: Seeded, pairs: Sequence[Pair], base: str, notes: Sequence[str] = ()
) -> list[Table]:
    """Means, spread of seeds, paired differences of each column, and gains by group.

    Args:
        compared: the rows.
        pairs: (ours, base) of the paired differences.
        base: system over which the gains by group are taken.
        notes: go under the first table.
    """
    averaged = compared.averaged()
    result = [_means(compared, averaged, notes), _spreads(compared, averaged)]
    result += [_differences(compared, column, pairs) for column in compared.columns]
    if averaged.groups():
        result += [replace(t, decimals=_DECIMALS) for t in by_group(averaged, base)]
    return [t for t in result if t.rows]


def _means(compared: Seeded, averaged: Comparison, notes: Sequence[str]) -> Table:
    columns = compared.columns
    body: list[tuple[Cell, ...]] = []
    for system, means in averaged.means().items():
        cells = [means.get(c) for c in columns]
        counts = (len(compared.seeds(system)), averaged.count(system))
        body.append((system, *counts, *cells, averaged.seconds(system)))
    first = (
        "Means over scenes of the mean over seeds; 95 % intervals: percentile bootstrap over "
        f"{len(set(clusters(averaged.rows)))} clusters (target talkers; clips of a talker where "
        "talkers are few). They hold for these seeds.",
        f"{WORSE}: share of scenes below unprocessed ({judge(columns)}); lower is better.",
    )
    header = ("system", "seeds", "scenes", *columns, "s a scene")
    return Table("All scenes", header, tuple(body), (*first, *notes), _DECIMALS)


def _spreads(compared: Seeded, averaged: Comparison) -> Table:
    counts = {system: len(compared.seeds(system)) for system in averaged.systems}
    body = [
        (system, count, *[compared.spread(system, c) for c in compared.columns])
        for system, count in counts.items()
        if count > 1
    ]
    note = "Standard deviation (n - 1) over seeds of the mean over scenes."
    header = ("system", "seeds", *compared.columns)
    return Table("Spread between seeds", header, tuple(body), (note,), _DECIMALS)


def _differences(compared: Seeded, column: str, pairs: Sequence[Pair]) -> Table:
    body: list[tuple[Cell, ...]] = []
    for one in compared.family(column, pairs):
        d = one.difference
        name = f"{one.ours} - {one.base}"
        body.append((name, d.mean, d.seed_std, d.seeds, d.mean.count, d.p, one.p_holm))
    notes = (
        "p: paired sign flips over scenes, two-sided; Holm's correction over this table. Scenes of "
        "one talker count as independent in p, not in the interval. Neither knows that other seeds "
        "differ: set the difference against the spread between seeds.",
    )
    header = ("pair", "difference", "std of seeds", "seeds", "scenes", "p", "p (Holm)")
    return Table(f"Paired differences in {column}", header, tuple(body), notes, _DECIMALS)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
