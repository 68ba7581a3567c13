"""A few plots as SVG text, drawn by hand: no library, no script, no font to load.

Each function gives one whole `<svg>` that can be a file of its own or a part of a page. Every
word that is not ours is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from hearken.nouns import Fault

__all__ = [
    "SAID",
    "TRUE",
    "curves",
    "intervals",
    "reliability",
    "scatter",
    "shares",
    "timeline",
    "trace",
]

SAID, TRUE = "#0a6e68", "#b04a1e"
_INK, _SOFT, _LINE = "#1d1d20", "#5d5b66", "#e2dfd8"
_COLOURS = (SAID, TRUE, "#6b3fa0", "#1c5fb0")
_POINTS_MAX = 2000

Range = tuple[float, float]


@dataclass
class _Frame:
    """A rectangle with two linear axes; marks are added in data units."""

    x: Range
    y: Range
    width: int = 300
    height: int = 250
    left: int = 46
    top: int = 30
    right: int = 14
    bottom: int = 40
    marks: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Data to pixels."""
        wide, high = self.width - self.left - self.right, self.height - self.top - self.bottom
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.left + wide * across, self.top + high * (1 - up)

    def line(self, a: Range, b: Range, colour: str = _LINE, dashed: bool = False) -> None:
        (x1, y1), (x2, y2) = self.at(*a), self.at(*b)
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self.marks.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}"{dash}/>'
        )

    def dot(self, x: float, y: float, colour: str, radius: float, opacity: float = 1.0) -> None:
        px, py = self.at(x, y)
        self.marks.append(
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{radius:.1f}" fill="{colour}" '
            f'fill-opacity="{opacity:g}"/>'
        )

    def text(self, px: float, py: float, words: str, *, anchor: str = "middle",
             colour: str = _SOFT, more: str = "") -> None:  # fmt: skip
        """Words at a pixel."""
        self.marks.append(
            f'<text x="{px:.1f}" y="{py:.1f}" text-anchor="{anchor}" fill="{colour}"{more}>'
            f"{escape(words)}</text>"
        )

    def axes(self, xs: Sequence[float], ys: Sequence[float], x_name: str, y_name: str) -> None:
        """Grid lines with their numbers, and the names of both axes."""
        for x in xs:
            self.line((x, self.y[0]), (x, self.y[1]))
            self.text(self.at(x, 0)[0], self.height - self.bottom + 15, f"{x:g}")
        for y in ys:
            self.line((self.x[0], y), (self.x[1], y))
            self.text(self.left - 6, self.at(0, y)[1] + 4, f"{y:g}", anchor="end")
        middle = (self.left + self.width - self.right) / 2
        self.text(middle, self.height - self.bottom + 32, x_name)
        half = (self.top + self.height - self.bottom) / 2
        turn = f' transform="rotate(-90 12 {half:.1f})"'
        self.text(12, half, y_name, more=turn)

    def svg(self, title: str, name: str = "") -> str:
        """All of it, under its title; `name` tells what is seen where there is no title."""
        if title:
            self.text(self.left, 18, title, anchor="start", colour=_INK, more=' font-weight="600"')
        label = escape(title or name)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" aria-label="{label}" '
            'font-family="system-ui, sans-serif" font-size="11">'
            f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(self.marks)}</svg>'
        )


_UNIT = (0.0, 0.25, 0.5, 0.75, 1.0)


def scatter(pairs: Sequence[Range], title: str) -> str:
    """(true, said) of many clips, said on the scale 1-5; at most 2000 are drawn.

    Truth on the same scale gets the diagonal; on another (0-100) it gets its own range.
    """
    low, high = min((t for t, _ in pairs), default=1.0), max((t for t, _ in pairs), default=5.0)
    same = low >= 1 and high <= 5
    across = (1.0, 5.0) if same else (low, max(high, low + 1))
    frame = _Frame(across, (1.0, 5.0))
    ticks = [across[0] + k * (across[1] - across[0]) / 4 for k in range(5)]
    frame.axes(ticks, (1, 2, 3, 4, 5), "truth", "critic")
    if same:
        frame.line((1, 1), (5, 5), _SOFT, dashed=True)
    step = -(-len(pairs) // _POINTS_MAX) or 1
    for true, said in pairs[::step]:
        frame.dot(true, said, SAID, 2.2, 0.35)
    return frame.svg(title)


def intervals(
    rows: Sequence[tuple[str, float, float, float]],
    title: str,
    *,
    goal: float,
    x_name: str,
    span: Range = (0.0, 1.0),
) -> str:
    """(name, value, low, high), one a line, against a goal; `span` is what must be seen."""
    count = max(1, len(rows))
    ticks = _ticks(*span)
    frame = _Frame(
        (ticks[0], ticks[-1]), (0.0, float(count)), width=330, height=74 + 24 * count, left=110
    )
    frame.axes(ticks, (), x_name, "")
    frame.line((goal, 0), (goal, count), TRUE, dashed=True)
    for i, (name, value, low, high) in enumerate(rows):
        y = count - i - 0.5
        frame.line((low, y), (high, y), SAID)
        frame.dot(value, y, SAID, 4)
        frame.text(frame.left - 8, frame.at(ticks[0], y)[1] + 4, name, anchor="end", colour=_INK)
    return frame.svg(title)


def reliability(bins: Mapping[str, Sequence[tuple[float, float, int]]], title: str) -> str:
    """Series of (confidence, precision, count); the area of a dot is its share of the count."""
    frame = _Frame((0.0, 1.0), (0.0, 1.0), width=330, height=330, bottom=76)
    frame.axes(_UNIT, _UNIT, "stated confidence", "share that is true")
    frame.line((0, 0), (1, 1), _SOFT, dashed=True)
    for k, (colour, (name, series)) in enumerate(zip(_COLOURS, bins.items(), strict=False)):
        total = sum(count for _, _, count in series) or 1
        for (x1, y1, _), (x2, y2, _) in pairwise(series):
            frame.line((x1, y1), (x2, y2), colour)
        for x, y, count in series:
            frame.dot(x, y, colour, max(2.0, 16 * (count / total) ** 0.5), 0.7)
        _legend(frame, colour, name, k)
    return frame.svg(title)


def curves(series: Mapping[str, Sequence[Range]], title: str, x_name: str, y_name: str) -> str:
    """Lines through (x, y), each 0-1."""
    frame = _Frame((0.0, 1.0), (0.0, 1.0), width=330, height=330, bottom=76)
    frame.axes(_UNIT, _UNIT, x_name, y_name)
    for k, (colour, (name, points)) in enumerate(zip(_COLOURS, series.items(), strict=False)):
        places = [frame.at(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        frame.marks.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        )
        _legend(frame, colour, name, k)
    return frame.svg(title)


def _legend(frame: _Frame, colour: str, name: str, row: int) -> None:
    y = frame.height - frame.bottom + 52 + 16 * row
    frame.marks.append(
        f'<rect x="{frame.left}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
    )
    frame.text(frame.left + 15, y, name, anchor="start", colour=_INK)


def timeline(
    said: Sequence[Fault], true: Sequence[Fault], seconds: float, names: Mapping[str, str]
) -> str:
    """One clip: a lane for each fault type, the true spans above, the said ones below.

    Args:
        said: the critic's faults; a paler bar is a less sure one.
        true: the planted ones.
        seconds: length of the clip.
        names: fault type -> words.
    """
    kinds = list(dict.fromkeys(f.type for f in (*true, *said)))
    high = 34 * max(1, len(kinds))
    top = 6 if kinds else 26
    frame = _Frame((0.0, seconds), (0.0, 1.0), 640, high + top + 40, left=130, top=top)
    step = max(1, round(seconds / 10))
    frame.axes(range(0, int(seconds) + 1, step), (), "seconds", "")
    for row, kind in enumerate(kinds):
        y = frame.top + 34 * row
        frame.text(frame.left - 8, y + 20, names[kind], anchor="end", colour=_INK)
        for faults, colour, shift in ((true, TRUE, 4), (said, SAID, 18)):
            for f in (f for f in faults if f.type == kind):
                frame.marks.append(_bar(frame, f, y + shift, colour))
    title = "no fault is true and none was said" if not kinds else ""
    return frame.svg(title, "faults in time")


def _bar(frame: _Frame, fault: Fault, y: float, colour: str) -> str:
    start = frame.at(max(0.0, fault.start_s), 0)[0]
    end = frame.at(min(fault.end_s, frame.x[1]), 0)[0]
    sure = 1.0 if fault.confidence is None else 0.25 + 0.75 * fault.confidence
    about = f"{fault.start_s:.1f}-{fault.end_s:.1f} s, severity {fault.severity} {fault.detail}"
    return (
        f'<rect x="{start:.1f}" y="{y:.1f}" width="{max(2.0, end - start):.1f}" height="11" '
        f'rx="2" fill="{colour}" fill-opacity="{sure:.2f}"><title>{escape(about)}</title></rect>'
    )


def trace(
    points: Sequence[Range],
    name: str,
    *,
    smooth: Sequence[Range] = (),
    band: Sequence[tuple[float, float, float]] = (),
    zero: bool = True,
    headed: bool = False,
) -> str:
    """One number over the steps of a run.

    Args:
        points: (step, value), in order, at least one; drawn pale where there is a smooth line.
        name: what it is, for those who do not see it.
        smooth: (step, running mean).
        band: (step, low, high) of an interval around the points.
        zero: whether 0 is always in sight.
        headed: whether the name stands above.
    """
    values = [v for _, v in points] + [v for _, *ends in band for v in ends] + [0.0] * zero
    ys = _ticks(min(values), max(values))
    across = (points[0][0], max(points[-1][0], points[0][0] + 1))
    xs = [x for x in _ticks(*across) if across[0] <= x <= across[1] and x == int(x)]
    head = 22 * headed
    frame = _Frame(across, (ys[0], ys[-1]), 280, 150 + head, left=44, top=8 + head, bottom=22)
    frame.axes(xs, ys, "", "")
    if ys[0] < 0 < ys[-1]:
        frame.line((across[0], 0), (across[1], 0), _SOFT, dashed=True)
    if band:
        edge = [(x, low) for x, low, _ in band] + [(x, high) for x, _, high in reversed(band)]
        frame.marks.append(f'<polygon points="{_path(frame, edge)}" fill="{SAID}" opacity=".14"/>')
    raw = 'stroke-width="1" opacity=".35"' if smooth else 'stroke-width="2"'
    for line, look in ((_thinned(points), raw), (_thinned(smooth), 'stroke-width="2"')):
        frame.marks.append(
            f'<polyline points="{_path(frame, line)}" fill="none" stroke="{SAID}" {look} '
            'stroke-linejoin="round" stroke-linecap="round"/>'
        )
    for x, y in points if len(points) <= 20 else ():
        frame.dot(x, y, SAID, 3)
    return frame.svg(name if headed else "", name)


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers from at or below `low` to at or above `high`.

    >>> _ticks(-0.3, 1.1)
    [-0.5, 0.0, 0.5, 1.0, 1.5]
    """
    if high - low <= 1e-9 * max(1.0, abs(low)):
        high = low + 1
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _path(frame: _Frame, points: Sequence[Range]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in (frame.at(*p) for p in points))


def _thinned(points: Sequence[Range], most: int = 600) -> Sequence[Range]:
    """At most about `most` points: of each stretch its lowest and its highest, in order."""
    if len(points) <= most:
        return points
    size = -(-2 * len(points) // most)
    kept: list[Range] = []
    for i in range(0, len(points), size):
        cut = points[i : i + size]
        kept += sorted({min(cut, key=lambda p: p[1]), max(cut, key=lambda p: p[1])})
    return kept


def shares(parts: Mapping[str, float], unit: str) -> str:
    """One bar of parts, each with its value and its share of the whole."""
    total = sum(parts.values()) or 1.0
    width, at = 1100.0, 0.0
    frame = _Frame((0.0, 1.0), (0.0, 1.0), int(width), 66)
    names = " ".join(f"{n} {v / total:.0%}" for n, v in parts.items())
    for k, (name, value) in enumerate(parts.items()):
        wide, colour = width * value / total, (*_COLOURS, _SOFT)[k % 5]
        frame.marks.append(
            f'<rect x="{at:.1f}" y="0" width="{max(0.0, wide - 2):.1f}" height="30" rx="4" '
            f'fill="{colour}"><title>{escape(name)}</title></rect>'
        )
        if wide > 44:
            bold = ' font-weight="600" font-size="13"'
            frame.text(at + wide / 2, 20, f"{value / total:.0%}", colour="#fff", more=bold)
        at += wide
        key = 230 * k
        frame.marks.append(f'<rect x="{key}" y="45" width="12" height="12" fill="{colour}"/>')
        words = f"{name}: {value:.2g} {unit}, {value / total:.0%}"
        frame.text(key + 18, 56, words, anchor="start", colour=_INK, more=' font-size="13"')
    return frame.svg("", names)
