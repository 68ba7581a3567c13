"""A record in the formats that editors and spreadsheets read. Pure functions: record -> text.

Names, words and details are data that came with a file: each format escapes them by its own
rules, so that no cell is a formula, no label breaks a line and no caption holds a tag.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearken.app.failure import Failure
    from hearken.app.record import FaultRecord, Record

__all__ = ["CSV_COLUMNS", "audacity", "csv_header", "csv_row", "plain", "text", "textgrid", "vtt"]

_DIMENSIONS = (
    "noise",
    "distortion",
    "speed",
    "continuity",
    "naturalness",
    "listening_effort",
    "overall",
)  # as hearken.nouns.DIMENSIONS, which would import numpy here; a test holds them equal
CSV_COLUMNS = (
    "key",
    "path",
    "error",
    "duration",
    "sr_in",
    "effective_bandwidth_hz",
    *(column for d in _DIMENSIONS for column in (d, f"{d}_lo", f"{d}_hi")),
    "faults",
    "text",
    "warnings",
    "model_id",
    "model_revision",
    "schema_version",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def plain(value: str) -> str:
    r"""One line with no control characters: safe on a terminal and in a label.

    >>> plain("a\x1b[31m\tb\n")
    'a [31m b'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())


def label(fault: FaultRecord) -> str:
    """A fault in a few words: "dropout (severity 3)", "noise event: dog bark (severity 4)"."""
    name = fault.type.replace("_", " ")
    detail = f": {plain(fault.detail)}" if fault.detail else ""
    return f"{name}{detail} (severity {fault.severity})"


# --- csv -----------------------------------------------------------------------------------


def csv_header() -> str:
    """The header line of the CSV export."""
    return _csv_line(CSV_COLUMNS)


def csv_row(record: Record | Failure) -> str:
    """One CSV line; text cells that a spreadsheet would run as a formula get a leading quote."""
    cells: dict[str, object] = {
        "key": record.key,
        "path": record.path,
        "error": record.error,
        "duration": record.duration,
        "sr_in": record.sr_in,
        "effective_bandwidth_hz": record.effective_bandwidth_hz,
        "faults": "; ".join(f"{f.start:.2f}-{f.end:.2f} s {label(f)}" for f in record.faults),
        "text": record.text,
        "warnings": "; ".join(record.warnings),
        "model_id": record.model.id if record.model else None,
        "model_revision": record.model.revision if record.model else None,
        "schema_version": record.schema_version,
    }
    for name, score in record.scores.items():
        cells |= {name: score.value, f"{name}_lo": score.lo, f"{name}_hi": score.hi}
    return _csv_line([cells.get(column) for column in CSV_COLUMNS])


def _csv_line(cells: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([_inert(c) for c in cells])
    return out.getvalue()


def _inert(cell: object) -> object:
    if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA):
        return "'" + cell
    return "" if cell is None else cell


# --- for people ----------------------------------------------------------------------------


def text(record: Record | Failure) -> str:
    """A short block to read in a terminal, ending with an empty line."""
    lines = [plain(record.path)]
    if record.error is not None:
        return "\n".join([*lines, f"  error    {plain(record.error)}", "", ""])
    if record.duration is not None:
        lines[0] += f"   {record.duration:.1f} s, {record.sr_in} Hz"
    for name, s in record.scores.items():
        mark = "  (3 is normal)" if name == "speed" else ""
        bar = _bar(s.value)
        title = name.replace("_", " ")
        lines.append(f"  {title:<17}{s.value:4.1f}  {bar}  {s.lo:.1f}-{s.hi:.1f}{mark}")
    for f in record.faults:
        lines.append(f"  {f.start:6.1f}-{f.end:.1f} s  {label(f)}")
    for d in record.dropped or ():
        lines.append(f"  dropped  {d.start:.1f}-{d.end:.1f} s  {label(d)}: {d.reason}")
    if not record.faults and record.scores:
        lines.append("  no faults")
    if record.text:
        lines.append(f'  "{plain(record.text)}"')
    for name, value in (record.metrics or {}).items():
        lines.append(f"  {name:<17}{'failed' if value is None else f'{value:.2f}'}")
    lines += [f"  warning  {plain(w)}" for w in record.warnings]
    return "\n".join([*lines, "", ""])


def _bar(value: float, width: int = 12) -> str:
    full = round((value - 1) / 4 * width)
    return "█" * full + "░" * (width - full)


# --- for editors ---------------------------------------------------------------------------


def audacity(record: Record | Failure) -> str:
    """Audacity's label track: start, end, label, with tabs between."""
    rows = [f"{f.start:.6f}\t{f.end:.6f}\t{label(f)}" for f in record.faults]
    return "".join(row + "\n" for row in rows)


def vtt(record: Record | Failure) -> str:
    """WebVTT: one cue for each fault, the words as a note."""
    out = ["WEBVTT", ""]
    if record.text:
        out += [f"NOTE {plain(record.text).replace('-->', '->')}", ""]
    for number, f in enumerate(record.faults, 1):
        words = label(f).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        end = max(f.end, f.start + 0.001)
        out += [str(number), f"{_clock(f.start)} --> {_clock(end)}", words, ""]
    return "\n".join(out) + "\n"


def _clock(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def textgrid(record: Record | Failure) -> str:
    """Praat's TextGrid, long form: one interval tier for each fault type, and one for the words.

    Intervals of a tier must tile the whole clip: gaps are empty intervals, and faults of one
    type that overlap are cut where the next begins.
    """
    end = max([record.duration or 0.0, 0.001, *(f.end for f in record.faults)])
    tiers = [("words", [(0.0, end, record.text or "")])]
    for kind in dict.fromkeys(f.type for f in record.faults):
        spans = [(f.start, f.end, label(f)) for f in record.faults if f.type == kind]
        tiers.append((kind, _tiled(spans, end)))
    out = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end:.6f}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, spans) in enumerate(tiers, 1):
        out += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f"        name = {_quoted(name)}",
            "        xmin = 0",
            f"        xmax = {end:.6f}",
            f"        intervals: size = {len(spans)}",
        ]
        for i, (a, b, words) in enumerate(spans, 1):
            out += [
                f"        intervals [{i}]:",
                f"            xmin = {a:.6f}",
                f"            xmax = {b:.6f}",
                f"            text = {_quoted(words)}",
            ]
    return "\n".join(out) + "\n"


def _tiled(spans: list[tuple[float, float, str]], end: float) -> list[tuple[float, float, str]]:
    out: list[tuple[float, float, str]] = []
    spans = sorted(spans)
    at = 0.0
    for i, (a, b, words) in enumerate(spans):
        a = max(a, at)
        b = min(b, end, spans[i + 1][0] if i + 1 < len(spans) else end)
        if b <= a:
            continue
        if a > at:
            out.append((at, a, ""))
        out.append((a, b, words))
        at = b
    if at < end:
        out.append((at, end, ""))
    return out


def _quoted(words: str) -> str:
    return '"' + plain(words).replace('"', '""') + '"'
