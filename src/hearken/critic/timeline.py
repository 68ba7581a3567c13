"""Clips longer than the critic's window: overlapping windows, and one timeline out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hearken.errors import GrammarError, HearkenError
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Description, Fault, Score

__all__ = ["Heard", "merge", "windows"]

TOUCH_S = 0.2
"""Faults of one type this close together are one: twice the grammar's resolution."""

MAX_MALFORMED = 0.25
"""Above this share of unreadable windows the whole clip is an error."""

_SENTENCES = 3


@dataclass(frozen=True)
class Heard:
    """One window: where it lies, seconds, and what was said of it."""

    start_s: float
    end_s: float
    said: Description | HearkenError


def windows(length: int, window: int, hop: int) -> list[tuple[int, int]]:
    """Start and end samples of overlapping windows that cover `length` samples.

    The last one is moved back so that it is full: a scrap of half a second is hard to judge.

    >>> windows(100, 60, 30)
    [(0, 60), (30, 90), (40, 100)]
    >>> windows(50, 60, 30)
    [(0, 50)]
    """
    if length <= window:
        return [(0, length)]
    starts = [*range(0, length - window, hop), length - window]
    return [(s, s + window) for s in starts]


def merge(heard: Sequence[Heard]) -> Description | HearkenError:
    """One description of the whole clip.

    Scores: mean of the distributions, weighted by the time that a window adds. Faults: those of
    one type that touch or overlap become one, with the highest severity and confidence. Words:
    those of the worst windows, in order of time. Windows that cannot be read are left out, and
    stay visible in `raw`; above `MAX_MALFORMED` of them the first error is returned.
    """
    if len(heard) == 1:
        return _placed(heard[0])
    good = [(h, said) for h in heard if isinstance(said := _placed(h), Description)]
    bad = [h.said for h in heard if not isinstance(h.said, Description)]
    if bad and len(bad) > MAX_MALFORMED * len(heard):
        return bad[0]
    first = good[0][1]
    return Description(
        scores=_mean_scores(good),
        faults=_join([f for _, said in good for f in said.faults]),
        words=_worst_words(good),
        raw="\n\n".join(_raw(h) for h in heard),
        model=first.model,
        revision=first.revision,
    )


def _placed(heard: Heard) -> Description | HearkenError:
    """The window's description on the clip's clock; faults end with the window."""
    if not isinstance(heard.said, Description):
        return heard.said
    length_s = heard.end_s - heard.start_s
    faults = [
        replace(f, start_s=f.start_s + heard.start_s, end_s=min(f.end_s, length_s) + heard.start_s)
        for f in heard.said.faults
        if f.start_s < length_s
    ]
    return replace(heard.said, faults=tuple(faults))


def _mean_scores(good: Sequence[tuple[Heard, Description]]) -> dict[str, Score]:
    weights, covered = [], 0.0
    for h, _ in good:
        weights.append(h.end_s - max(h.start_s, covered))
        covered = h.end_s
    scores = {}
    for name in DIMENSIONS:
        rows = [said.scores[name].probs for _, said in good]
        mixed = [sum(w * r[i] for w, r in zip(weights, rows, strict=True)) for i in range(5)]
        scores[name] = Score.of(mixed)
    return scores


def _join(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    joined: list[Fault] = []
    for fault in sorted(faults, key=lambda f: (f.type, f.start_s)):
        last = joined[-1] if joined else None
        if last and last.type == fault.type and fault.start_s <= last.end_s + TOUCH_S:
            joined[-1] = _union(last, fault)
        else:
            joined.append(fault)
    order = list(FAULT_TYPES)
    return tuple(sorted(joined, key=lambda f: (f.start_s, f.end_s, order.index(f.type))))


def _union(a: Fault, b: Fault) -> Fault:
    longer = a if a.end_s - a.start_s >= b.end_s - b.start_s else b
    known = [f.confidence for f in (a, b) if f.confidence is not None]
    return replace(
        longer,
        start_s=min(a.start_s, b.start_s),
        end_s=max(a.end_s, b.end_s),
        severity=max(a.severity, b.severity),
        detail=longer.detail or a.detail or b.detail,
        confidence=max(known, default=None),
    )


def _worst_words(good: Sequence[tuple[Heard, Description]]) -> str:
    worst = sorted(good, key=lambda pair: pair[1].scores["overall"].value)
    chosen: list[tuple[float, str]] = []
    for h, said in worst:
        if said.words and said.words not in [w for _, w in chosen]:
            chosen.append((h.start_s, said.words))
        if len(chosen) == _SENTENCES:
            break
    return " ".join(words for _, words in sorted(chosen))


def _raw(heard: Heard) -> str:
    said = heard.said
    if isinstance(said, Description):
        text = said.raw
    else:
        text = said.text if isinstance(said, GrammarError) else str(said)
    return f"[{heard.start_s:.1f}-{heard.end_s:.1f} s]\n{text}"
