"""The tables of an enhancer's evaluation, out of a `Comparison`.

All scenes with every measure; gains over each base, scene by scene; then one table a measure
with the groups of scenes side by side. `BLIND_WARNING` stands above them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hearken.metrics.systems import FEW_TALKERS, Comparison
from hearken.metrics.tabulate import Cell, Table

__all__ = ["BLIND_WARNING", "UNPROCESSED", "by_group", "judge", "shown", "tables"]

UNPROCESSED = "unprocessed"
BLIND_WARNING = (
    "**Do not judge by DNSMOS or DistillMOS alone.** They hear no reference: an enhancer that "
    "keeps the wrong talker, cleanly, raises DNSMOS by about 0.2 while intelligibility falls. "
    "Read them beside SI-SDR, PESQ and ESTOI, beside the row `unprocessed`, and beside the share "
    "of scenes made worse."
)
_LEFT_OUT = {"dnsmos_ovrl": ("dnsmos_sig", "dnsmos_bak")}
_NOT_GROUPED = {"estoi": ("stoi",)}


def tables(
    compared: Comparison, bases: Sequence[str] = (UNPROCESSED,), notes: Sequence[str] = ()
) -> list[Table]:
    """All tables; `notes` go under the first.

    Args:
        compared: the rows.
        bases: systems over which gains are taken; those that are not there are left out.
        notes: more to say.
    """
    result = [_overall(compared, notes)]
    result += [_gains(compared, base) for base in bases]
    parts = compared.groups()
    if parts:
        result += by_group(compared)
        result.append(_worse_by_group(compared, parts))
    return [t for t in result if t.rows]


def judge(columns: Sequence[str]) -> str:
    """The measure that says whether a scene was made worse: SI-SDR, or else the first."""
    return "si_sdr_db" if "si_sdr_db" in columns else columns[0]


def shown(columns: Sequence[str]) -> list[str]:
    """The columns that tables show: not the parts of DNSMOS beside its whole."""
    return _without(columns, _LEFT_OUT)


def _grouped(columns: Sequence[str]) -> list[str]:
    return _without(shown(columns), _NOT_GROUPED)


def _without(columns: Sequence[str], parts: Mapping[str, tuple[str, ...]]) -> list[str]:
    out = {p for whole, some in parts.items() if whole in columns for p in some}
    return [c for c in columns if c not in out]


def _overall(compared: Comparison, notes: Sequence[str]) -> Table:
    columns, by = shown(compared.columns), judge(compared.columns)
    body: list[tuple[Cell, ...]] = []
    for system, means in compared.means().items():
        worse = compared.worse(by, system) if system != UNPROCESSED else None
        cells = [means.get(c) for c in columns]
        body.append((system, compared.count(system), *cells, worse, compared.seconds(system)))
    header = ("system", "scenes", *columns, f"share worse ({by})", "s a scene")
    first = (
        "95 % intervals: percentile bootstrap over target talkers; over clips of a talker where "
        f"there are fewer than {FEW_TALKERS} talkers.",
        f"Share worse: of scenes on which {by} is below that of the same scene unprocessed.",
    )
    hidden = [c for c in compared.columns if c not in columns]
    more = (f"In rows.csv only: {', '.join(hidden)}.",) if hidden else ()
    return Table("All scenes", header, tuple(body), (*first, *more, *notes))


def _gains(compared: Comparison, base: str) -> Table:
    columns = shown(compared.columns)
    body = [
        (system, *[gain.get(c) for c in columns])
        for system, gain in compared.gains(base).items()
        if base == UNPROCESSED or system.startswith(("video", "enhanced"))
    ]
    return Table(f"Gain over {base}, scene by scene", ("system", *columns), tuple(body))


def by_group(compared: Comparison, base: str = UNPROCESSED) -> list[Table]:
    """A table a measure: systems down, groups across, gains over the row `base`."""
    parts = compared.groups()
    held = [compared, *parts.values()]
    found = []
    for part in held:
        itself = part.means().get(base, {})
        found.append({f"{base} (itself)": itself, **part.gains(base)})
    result = []
    for column in _grouped(compared.columns):
        body = [
            (system, *[values.get(system, {}).get(column) for values in found])
            for system in found[0]
            if column in found[0][system]
        ]
        title = f"Gain in {column} over {base}, by group"
        result.append(Table(title, _header(held, parts), tuple(body)))
    return result


def _worse_by_group(compared: Comparison, parts: dict[str, Comparison]) -> Table:
    by = judge(compared.columns)
    held = [compared, *parts.values()]
    body = [
        (system, *[part.worse(by, system) for part in held])
        for system in compared.systems
        if system != UNPROCESSED
    ]
    note = "In brackets, a group's scenes. Same voice: the target's own; speech holds the others."
    title = f"Share of scenes made worse ({by}), by group"
    return Table(title, _header(held, parts), tuple(body), (note,))


def _header(held: Sequence[Comparison], parts: dict[str, Comparison]) -> tuple[str, ...]:
    names = ("all", *parts)
    return ("system", *(f"{n} ({p.scenes()})" for n, p in zip(names, held, strict=True)))
