"""report.html: one page that holds all it shows, and asks the network for nothing.

The page is drawn here, in plain HTML, and can be read without scripts; `report.js` adds the
playhead and the switch between before and after. Every word that comes from a file or a model
is escaped, and the page's own policy forbids any other source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from hearken.app.exports import label, plain

if TYPE_CHECKING:
    from hearken.app.record import FaultRecord, Record
    from hearken.nouns import Audio, Clip

__all__ = ["Page", "Side", "build", "listen_page"]

METRIC_NAMES = {
    "si_sdr_db": ("SI-SDR", "dB", "how much of the signal is the clean speech"),
    "pesq_wb": ("PESQ", "1-4.6", "perceptual quality, wide band"),
    "estoi": ("ESTOI", "0-1", "intelligibility"),
}


@dataclass(frozen=True, eq=False)
class Side:
    """One hearing of the clip: its name on the page, samples [T] and record."""

    name: str
    samples: Audio
    record: Record


@dataclass(frozen=True, eq=False)
class Page:
    """All that a report shows.

    Attributes:
        title: usually the file's name.
        sides: one (listen), or before and after.
        metrics: name -> one value for each side; None where it could not be computed.
        video: whose picture is shown beside the players.
        notes: sentences to warn with.
        provenance: label -> value, e.g. hashes of the models.
    """

    title: str
    sides: Sequence[Side]
    metrics: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    video: Path | None = None
    notes: Sequence[str] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)


def listen_page(record: Record, clip: Clip | None) -> str:
    """The report of one clip that was only listened to."""
    sides = [] if clip is None else [Side("Heard", clip.samples, record)]
    title = Path(record.path).name if record.path != "-" else "standard input"
    notes = list(record.warnings)
    if record.error is not None:
        notes.append(record.error)
    elif clip is None:
        notes.append("heard in an earlier call: the sound is not in this page")
    metrics = {name: [value] for name, value in (record.metrics or {}).items()}
    return build(Page(title, sides, metrics, notes=notes, provenance=provenance(record)))


def provenance(record: Record) -> dict[str, str]:
    """Where a record's numbers come from, to print under them."""
    out = {"input SHA-256": record.sha256 or "", "schema": record.schema_version}
    if record.model is not None:
        out |= {
            "critic": record.model.id,
            "critic revision": record.model.revision,
            "critic SHA-256": record.model.sha256 or "",
        }
    if record.decode:
        out["decoding"] = ", ".join(f"{k} {v}" for k, v in record.decode.items())
    return {k: v for k, v in out.items() if v}


def build(page: Page) -> str:
    """The whole page as text."""
    from hearken import __version__

    parts = {
        "title": escape(plain(page.title)),
        "css": _asset("report.css"),
        "js": _asset("report.js"),
        "subtitle": _subtitle(page),
        "verdict": _verdict(page),
        "video": _video(page.video),
        "notes": "".join(f'<p class="note">{escape(plain(n))}</p>' for n in page.notes),
        "player": _player(page.sides),
        "sides": _sides(page.sides),
        "scores": _scores(page.sides),
        "metrics": _metrics(page),
        "provenance": _provenance(page.provenance),
        "version": escape(__version__),
    }
    # One pass over the template: text that was put in is never looked at again.
    first, *rest = _asset("report.html").split("{{")
    return first + "".join(parts[n] + tail for n, tail in (r.split("}}", 1) for r in rest))


def _asset(name: str) -> str:
    return (files("hearken.app") / name).read_text(encoding="utf-8")


def _subtitle(page: Page) -> str:
    if not page.sides:
        return ""
    r = page.sides[0].record
    bits = [f"{r.duration or 0:.1f} s"]
    if r.sr_in:
        bits.append(f"{r.sr_in / 1000:g} kHz source")
    if r.effective_bandwidth_hz:
        bits.append(f"sound up to {r.effective_bandwidth_hz / 1000:.1f} kHz")
    return " · ".join(bits)


def _verdict(page: Page) -> str:
    values = [s.record.scores["overall"].value for s in page.sides if "overall" in s.record.scores]
    if not values:
        return ""
    spoken = " to ".join(f"{v:.1f}" for v in values)
    shown = f'<span class="was">{values[0]:.1f}</span>' if len(values) > 1 else ""
    arrow = '<span class="arrow" aria-hidden="true">→</span>' if len(values) > 1 else ""
    return (
        f'<p class="verdict" aria-label="overall quality {spoken} of 5"><span class="big">'
        f'{shown}{arrow}<span class="now">{values[-1]:.1f}</span></span>'
        '<span class="of">overall quality, of 5</span></p>'
    )


def _video(path: Path | None) -> str:
    from hearken.metrics.pictures import video_uri

    uri = video_uri(path) if path is not None else None
    if uri is None:
        return ""
    return (
        f'<video id="face" src="{uri}" muted playsinline preload="auto" '
        'aria-label="the talker; its sound is that of the player"></video>'
    )


def _player(sides: Sequence[Side]) -> str:
    from hearken.metrics.pictures import sound_uri

    sounds = [(i, s, sound_uri(s.samples)) for i, s in enumerate(sides)]
    if not any(uri for _, _, uri in sounds):
        return "<p class='note'>The clip is too long to be carried in this page.</p>" * bool(sides)
    audios = "".join(
        f'<div class="plain"><span>{escape(s.name)}</span><audio id="sound{i}" controls '
        f'preload="auto" src="{uri}"></audio></div>'
        for i, s, uri in sounds
        if uri
    )
    choice = "".join(
        f'<button type="button" class="side side{i}" data-side="{i}" '
        f'aria-pressed="{"true" if i == 0 else "false"}">{escape(s.name)}</button>'
        for i, s, _ in sounds
    )
    switch = (
        f'<div class="switch" role="group" aria-label="which sound">{choice}</div>'
        if len(sides) > 1
        else ""
    )
    return (
        f'<section class="player" aria-label="player">{audios}'
        '<div class="controls" hidden><button type="button" id="play" aria-label="play">'
        '<svg viewBox="0 0 24 24" aria-hidden="true"><path id="icon" d="M7 4l13 8-13 8z"/></svg>'
        f"</button>{switch}"
        '<input id="seek" type="range" min="0" max="1000" value="0" aria-label="position">'
        '<output id="clock">0.0 s</output>'
        '<span class="keys"><kbd>space</kbd> play'
        + (" <kbd>b</kbd> switch" if len(sides) > 1 else "")
        + "</span></div></section>"
    )


def _sides(sides: Sequence[Side]) -> str:
    from hearken.metrics.pictures import level_db, spectrogram_db, spectrogram_uri

    if not sides:
        return ""
    drawn = [spectrogram_db(s.samples) for s in sides]
    top = level_db(*drawn)
    return "".join(
        _side(i, s, spectrogram_uri(d, top))
        for i, (s, d) in enumerate(zip(sides, drawn, strict=True))
    )


def _side(index: int, side: Side, picture: str) -> str:
    record = side.record
    seconds = max(len(side.samples) / 16_000, 1e-3)
    marked = "; ".join(f"{f.start:.1f}-{f.end:.1f} s {label(f)}" for f in record.faults)
    alt = f"Spectrogram, {side.name}: {seconds:.1f} s, 0 to 8 kHz. Marked: {marked or 'nothing'}."
    words = f"<blockquote>{escape(plain(record.text))}</blockquote>" if record.text else ""
    if record.error is not None:
        words = f'<p class="note">{escape(plain(record.error))}</p>'
    count = len(record.faults)
    faults = f"{count} fault{'s' * (count != 1)} marked" if record.scores else ""
    return (
        f'<section class="hearing hearing{index}" aria-label="{escape(side.name)}">'
        f"<header><h2>{escape(side.name)}</h2><span>{faults}</span></header>{words}"
        '<div class="plot"><ol class="khz" aria-hidden="true"><li>8 kHz<li>6<li>4<li>2<li>0</ol>'
        f'<div class="spec" data-side="{index}" data-seconds="{seconds:.4f}">'
        f'<img src="{picture}" alt="{escape(alt)}">{_bands(record.faults, seconds)}'
        '<i class="head"></i></div>'
        f'<div class="time" aria-hidden="true">{_ticks(seconds)}</div></div>'
        f"{_lanes(record.faults, seconds)}</section>"
    )


def _ticks(seconds: float) -> str:
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
    step = next((s for s in steps if seconds / s <= 8), 3600 * 2)
    ticks = [i * step for i in range(int(seconds / step + 1e-9) + 1)]
    return "".join(
        f'<span style="left:{100 * t / seconds:.3f}%">{t:g}{" s" if t == 0 else ""}</span>'
        for t in ticks
        if t <= seconds * 0.97
    )


def _place(fault: FaultRecord, seconds: float) -> str:
    left = 100 * min(fault.start, seconds) / seconds
    width = 100 * min(fault.end, seconds) / seconds - left
    return f"left:{left:.3f}%;width:{max(width, 0.3):.3f}%"


def _bands(faults: Sequence[FaultRecord], seconds: float) -> str:
    """Frames on the spectrogram, for faults with a time of their own."""
    timed = [f for f in faults if f.end - f.start < 0.8 * seconds]
    return "".join(
        f'<i class="band d-{escape(f.dimension)}" style="{_place(f, seconds)}"></i>' for f in timed
    )


def _lanes(faults: Sequence[FaultRecord], seconds: float) -> str:
    """One lane for each fault type, with a bar for each fault: a list, to a screen reader."""
    if not faults:
        return '<p class="none">The critic marks no fault.</p>'
    out = []
    for kind in dict.fromkeys(f.type for f in faults):
        bars = "".join(_bar(f, seconds) for f in faults if f.type == kind)
        name = escape(kind.replace("_", " "))
        out.append(f'<li><span class="kind">{name}</span><span class="lane">{bars}</span></li>')
    return f'<ul class="lanes" aria-label="marked faults">{"".join(out)}</ul>'


def _bar(f: FaultRecord, seconds: float) -> str:
    sure = "" if f.confidence is None else f", confidence {f.confidence:.2f}"
    tip = f"{label(f)}, {f.start:.1f}-{f.end:.1f} s, lowers {f.dimension.replace('_', ' ')}{sure}"
    text = plain(f.detail) or f"severity {f.severity}"
    late = " late" if f.start > seconds * 0.6 else ""
    late += " thin" if f.end - f.start < seconds * 0.15 else ""
    return (
        f'<span class="bar d-{escape(f.dimension)} s{f.severity}{late}" tabindex="0" '
        f'style="{_place(f, seconds)}" data-start="{f.start:.3f}" aria-label="{escape(tip)}" '
        f'data-tip="{escape(tip)}"><b aria-hidden="true">{escape(text)}</b></span>'
    )


def _scores(sides: Sequence[Side]) -> str:
    names = list(dict.fromkeys(n for s in sides for n in s.record.scores))
    if not names:
        return ""
    legend = "".join(
        f'<span class="key key{i}">{escape(s.name)}</span>' for i, s in enumerate(sides)
    )
    rows = "".join(_score_row(n, sides) for n in names)
    return (
        f'<section class="scores"><header><h2>Scores</h2><span>{legend}</span></header>'
        f'<div class="axis" aria-hidden="true"><span></span><span class="track">'
        "<b>1</b><b>2</b><b>3</b><b>4</b><b>5</b></span><span></span></div>"
        f'<dl>{rows}</dl><p class="small">1 is bad, 5 is excellent; for speed 3 is normal, 1 slow '
        "and 5 fast. The thin lines are 90 % intervals of the critic's own distribution.</p>"
        "</section>"
    )


def _score_row(name: str, sides: Sequence[Side]) -> str:
    found = [(i, s.record.scores[name]) for i, s in enumerate(sides) if name in s.record.scores]
    marks = "".join(
        f'<i class="range range{i}" style="left:{_at(x.lo)};width:{25 * (x.hi - x.lo):.2f}%"></i>'
        f'<i class="dot dot{i}" style="left:{_at(x.value)}"></i>'
        for i, x in found
    )
    if len(found) > 1:
        low, high = sorted((found[0][1].value, found[-1][1].value))
        width = f"{25 * (high - low):.2f}%"
        marks = f'<i class="move" style="left:{_at(low)};width:{width}"></i>{marks}'
    if name == "speed":
        marks = f'<i class="normal" title="normal" style="left:{_at(3)}"></i>{marks}'
    said = ", ".join(f"{sides[i].name} {x.value:.1f}" for i, x in found)
    values = " → ".join(f"{x.value:.1f}" for _, x in found)
    title = escape(name.replace("_", " "))
    strong = ' class="overall"' if name == "overall" else ""
    return (
        f'<div{strong}><dt>{title}</dt><dd role="img" aria-label="{title}: {escape(said)}">'
        f'<span class="track">{marks}</span><span class="value">{values}</span></dd></div>'
    )


def _at(value: float) -> str:
    return f"{25 * (value - 1):.2f}%"


def _metrics(page: Page) -> str:
    if not page.metrics:
        return ""
    head = "".join(f'<th scope="col">{escape(s.name)}</th>' for s in page.sides)
    rows = []
    for name, values in page.metrics.items():
        title, unit, about = METRIC_NAMES.get(name, (name, "", ""))
        cells = "".join(f"<td>{'failed' if v is None else f'{v:.2f}'}</td>" for v in values)
        rows.append(
            f'<tr><th scope="row">{escape(title)} <small>{escape(unit)}</small>'
            f"<em>{escape(about)}</em></th>{cells}</tr>"
        )
    return (
        '<section class="metrics"><header><h2>Against the clean speech</h2></header><table>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></section>"
    )


def _provenance(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<div><dt>{escape(k)}</dt><dd>{escape(plain(v))}</dd></div>" for k, v in facts.items()
    )
    return f"<details><summary>Where these numbers come from</summary><dl>{rows}</dl></details>"
