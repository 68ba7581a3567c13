"""The critic's small written grammar: `render` says a description, `parse` reads it back.

    noise: 2
    distortion: 4
    speed: 3
    continuity: 5
    naturalness: 3
    listening effort: 2
    overall: 2
    faults: background noise 0.0-5.0 s, severity 4, rain | dropout 1.2-1.5 s, severity 3
    words: A steady rain covers the voice.

Seven score lines in the order of `DIMENSIONS`, one digit 1-5 each; one line of faults, or
`faults: none`; one line of free words. `parse(render(d)) == quantise(d)` for every
description: the grammar says digits, and times to 0.1 s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from hearken.errors import GrammarError
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Description, Fault, Score

__all__ = ["LABELS", "digit", "parse", "parse_scores", "quantise", "render"]

LABELS = {name: name.replace("_", " ") for name in DIMENSIONS}
"""Dimension -> the label of its line."""

_TYPE_OF = {kind.words: name for name, kind in FAULT_TYPES.items()}
_ORDER = {name: i for i, name in enumerate(FAULT_TYPES)}
_FAULT = re.compile(
    r"(?P<words>" + "|".join(re.escape(w) for w in sorted(_TYPE_OF, key=len, reverse=True)) + r")"
    r" (?P<start>[0-9]{1,6}\.[0-9])-(?P<end>[0-9]{1,6}\.[0-9]) s"
    r", severity (?P<severity>[1-5])(?:, (?P<detail>[^|,\n]*[^|,\s]))?",
)
_LINES = len(DIMENSIONS) + 2


def digit(value: float) -> int:
    """The digit 1-5 nearest to a score; halves go up.

    >>> digit(2.5), digit(0.2), digit(4.49)
    (3, 1, 4)
    """
    return min(5, max(1, math.floor(value + 0.5)))


def quantise(description: Description) -> Description:
    """The description as far as the grammar can say it: digits, tenths of a second, one line."""
    faults = sorted((_quantise_fault(f) for f in description.faults), key=_by_onset)
    return Description(
        scores={d: Score.point(digit(description.scores[d].value)) for d in DIMENSIONS},
        faults=tuple(faults),
        words=_one_line(description.words),
    )


def render(description: Description) -> str:
    """The description in words, nine lines, no newline at the end."""
    said = quantise(description)
    lines = [f"{LABELS[d]}: {int(said.scores[d].value)}" for d in DIMENSIONS]
    faults = " | ".join(_render_fault(f) for f in said.faults) or "none"
    return "\n".join([*lines, f"faults: {faults}", f"words: {said.words}"])


def parse(text: str) -> Description:
    """Reads what `render` writes, and nothing else. Faults come back in order of onset.

    Raises:
        GrammarError: naming the first line that breaks the grammar.
    """
    lines = text.split("\n")
    scores = parse_scores(text)
    number = len(DIMENSIONS) + 1
    faults = _parse_faults(_field(lines, number, "faults", text), text, number)
    words = _field(lines, number + 1, "words", text)
    if words != _one_line(words):
        raise _wrong("words with blanks at the ends or in a row", text, number + 1)
    if len(lines) > _LINES:
        raise _wrong(f"{len(lines) - _LINES} lines after the words", text, _LINES + 1)
    return Description(scores=scores, faults=faults, words=words)


def parse_scores(text: str) -> dict[str, Score]:
    """The seven score lines alone; whatever follows them is not looked at.

    Raises:
        GrammarError: naming the first line that breaks the grammar.
    """
    lines = text.split("\n")
    scores = {}
    for number, name in enumerate(DIMENSIONS, start=1):
        value = _field(lines, number, LABELS[name], text)
        if value not in ("1", "2", "3", "4", "5"):
            raise _wrong(
                f"{LABELS[name]!r} must be one digit 1-5, not {value[:20]!r}", text, number
            )
        scores[name] = Score.point(int(value))
    return scores


def _field(lines: Sequence[str], number: int, label: str, text: str) -> str:
    """The value of line `number`, which must begin with `label: `."""
    if number > len(lines):
        raise _wrong(f"the text ends before '{label}:'", text, number)
    line = lines[number - 1]
    if not line.startswith(f"{label}: "):
        raise _wrong(f"expected '{label}: ', found {line[:30]!r}", text, number)
    return line[len(label) + 2 :]


def _parse_faults(value: str, text: str, number: int) -> tuple[Fault, ...]:
    if value == "none":
        return ()
    return tuple(sorted((_parse_fault(v, text, number) for v in value.split(" | ")), key=_by_onset))


def _parse_fault(value: str, text: str, number: int) -> Fault:
    found = _FAULT.fullmatch(value)
    if found is None:
        raise _wrong(f"not a fault: {value[:60]!r}", text, number)
    start_s, end_s = float(found["start"]), float(found["end"])
    if start_s >= end_s:
        raise _wrong(f"a fault that ends at {end_s} s, before its start {start_s} s", text, number)
    detail = found["detail"] or ""
    if detail != _detail(detail):
        raise _wrong(f"a detail with blanks at the ends or in a row: {detail!r}", text, number)
    return Fault(_TYPE_OF[found["words"]], start_s, end_s, int(found["severity"]), detail)


def _render_fault(fault: Fault) -> str:
    said = f"{FAULT_TYPES[fault.type].words} {fault.start_s:.1f}-{fault.end_s:.1f} s"
    detail = f", {fault.detail}" if fault.detail else ""
    return f"{said}, severity {fault.severity}{detail}"


def _quantise_fault(fault: Fault) -> Fault:
    start = max(0, math.floor(fault.start_s * 10 + 0.5))
    end = max(start + 1, math.floor(fault.end_s * 10 + 0.5))
    return replace(
        fault,
        start_s=start / 10,
        end_s=end / 10,
        severity=digit(fault.severity),
        detail=_detail(fault.detail),
        confidence=None,
    )


def _by_onset(fault: Fault) -> tuple[float, float, int, int, str]:
    return (fault.start_s, fault.end_s, _ORDER[fault.type], fault.severity, fault.detail)


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _detail(words: str) -> str:
    return _one_line(words.replace("|", " ").replace(",", " "))


def _wrong(message: str, text: str, line: int) -> GrammarError:
    return GrammarError(message, text=text, line=line)
