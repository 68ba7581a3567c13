"""One clip of a fine-tuning on its page: four sounds to see and to hear, the words about them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from html import escape

import numpy as np

from hearken.metrics.pictures import level_db, sound_uri, spectrogram_db, spectrogram_uri
from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["SIDES", "Example", "marked", "section"]

SIDES = {"noisy": "Noisy", "base": "Base", "now": "Now", "clean": "Clean"}
"""What may be heard of a clip -> its name on the page."""

_MEANT = {"noisy": "", "base": "before", "now": "after", "clean": ""}
_WORDS_MAX = 2000  # characters; a comparison costs the square of them
_SHARED_MIN = 3  # words
_PLAY = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5l11 7-11 7z"/></svg>'


@dataclass(frozen=True, eq=False)
class Example:
    """A clip to see and to hear. Any side may be missing from any mapping.

    Attributes:
        name: of the clip.
        sounds: side (see `SIDES`) -> samples [T].
        words: side -> what the critic says.
        ratings: side -> its rating, 1-5.
        notes: further facts, e.g. "SI-SDR +0.4 dB".
    """

    name: str
    sounds: Mapping[str, Audio]
    words: Mapping[str, str] = field(default_factory=dict)
    ratings: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()


def section(example: Example) -> str:
    """The clip's section of the page."""
    heard = {s: x for s, x in example.sounds.items() if len(x) and bool(np.isfinite(x).all())}
    seen = {side: spectrogram_db(samples) for side, samples in heard.items()}
    top_db = level_db(*seen.values()) if seen else 0.0
    words = {side: escape(text[:_WORDS_MAX]) for side, text in example.words.items()}
    if "base" in words and "now" in words:
        words["base"], words["now"] = marked(example.words["base"], example.words["now"])
    figures = []
    for side in SIDES:
        if not (side in example.sounds or side in words):
            continue
        picture = '<p class="silent small">no sound to play</p>'
        if side in heard:
            picture = _player(side, heard[side], spectrogram_uri(seen[side], top_db), example.name)
        rating = example.ratings.get(side, float("nan"))
        figures.append(_figure(side, picture, words.get(side, ""), rating))
    seconds = max((len(x) / SAMPLE_RATE for x in heard.values()), default=0.0)
    notes = "".join(f"<li>{escape(note)}</li>" for note in example.notes)
    return (
        f'<section><h2>{escape(example.name)}<span class="small">{seconds:.1f} s, 0 to 8 kHz, one '
        f'scale of colours</span></h2><div class="sides">{"".join(figures)}</div>'
        + (f'<ul class="notes">{notes}</ul>' if notes else "")
        + "</section>"
    )


def _figure(side: str, picture: str, words: str, rating: float) -> str:
    number = f'<span class="rating">{rating:.2f}</span>' if np.isfinite(rating) else ""
    return (
        f'<figure class="side {side}"><figcaption><b>{SIDES[side]}</b>'
        f'<span class="small">{_MEANT[side]}</span>{number}</figcaption>{picture}'
        + (f'<p class="words">{words}</p>' if words else "")
        + "</figure>"
    )


def _player(side: str, samples: Audio, picture: str, name: str) -> str:
    label = escape(f"{SIDES[side].lower()}, {name}")
    sound = sound_uri(samples) or ""
    return (
        f'<div class="spec"><img src="{picture}" alt="Spectrogram: {label}"><i></i>'
        f'<button type="button" class="play" aria-label="play {label}" hidden>{_PLAY}</button>'
        f'</div><audio controls preload="metadata" src="{sound}"></audio>'
    )


def marked(before: str, after: str) -> tuple[str, str]:
    """Both texts as HTML; words that only one of them has there are marked.

    One or two shared words between two changes count as changed: so a new phrase stays whole.

    >>> marked("a loud hum.", "a soft hum.")
    ('a <mark class="gone">loud</mark> hum.', 'a <mark class="new">soft</mark> hum.')
    """
    old, new = (re.findall(r"\n|\S+", text[:_WORDS_MAX]) for text in (before, after))
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    kept = [
        b for b in blocks
        if b.size >= _SHARED_MIN
        or b.a == b.b == 0
        or (b.a + b.size, b.b + b.size) == (len(old), len(new))
    ]  # fmt: skip
    return (
        _runs(old, [(b.a, b.a + b.size) for b in kept], "gone"),
        _runs(new, [(b.b, b.b + b.size) for b in kept], "new"),
    )


def _runs(words: Sequence[str], shared: Sequence[tuple[int, int]], look: str) -> str:
    """The words as HTML; those outside the shared ranges are marked."""
    parts, at = [], 0
    for start, end in shared:
        if start > at:
            parts.append(f'<mark class="{look}">{escape(" ".join(words[at:start]))}</mark>')
        parts.append(escape(" ".join(words[start:end])))
        at = end
    return " ".join(part for part in parts if part)
