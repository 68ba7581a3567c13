"""A few plain sentences about one clip, in many forms, all of them true.

Every fact (a verdict, a fault, a pace) has several phrases; sentence order, openings and
time words vary with the generator. The vocabulary is small on purpose: a model of a few
million parameters must be able to write it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hearken.data.phrases import CLEAN, EFFORT, FAULTS, HOW, PACE, VERDICTS, WHEN
from hearken.nouns import Fault

__all__ = ["band", "describe", "when"]


def describe(
    scores: Mapping[str, float],
    faults: Sequence[Fault],
    rng: np.random.Generator,
    *,
    seconds: float = 0.0,
) -> str:
    """Two to five sentences: an overall verdict, each fault with its time, now and then more.

    Args:
        scores: the seven dimensions, 1-5; "overall" chooses the verdict.
        faults: what is wrong.
        rng: chooses the words.
        seconds: length of the clip, for the time words; the last fault's end if 0.
    """
    seconds = seconds or max((f.end_s for f in faults), default=1.0)
    overall = int(np.floor(scores["overall"] + 0.5))
    verdict = _one(VERDICTS[min(5, max(1, overall))], rng)
    order = rng.permutation(len(faults)) if rng.random() < 0.5 else np.arange(len(faults))
    said: list[str] = []
    seen: set[tuple[str, str]] = set()
    for k in order:
        fault = faults[int(k)]
        if (fault.type, fault.detail) not in seen:
            seen.add((fault.type, fault.detail))
            same = [f for f in faults if (f.type, f.detail) == (fault.type, fault.detail)]
            said.append(_fault(same, seconds, rng))
    if not faults:
        said.append(_one(CLEAN, rng))
    elif len(faults) < 3 and rng.random() < 0.35:
        said.append(_extra(scores, rng))
    said.insert(0 if rng.random() < 0.45 else len(said), verdict)
    return " ".join(f"{s[0].upper()}{s[1:]}." for s in said)


def band(severity: int) -> int:
    """0 mild (1-2), 1 marked (3), 2 severe (4-5)."""
    return 0 if severity <= 2 else 1 if severity == 3 else 2


def when(start_s: float, end_s: float, seconds: float) -> str:
    """Which part of the clip: a key of `WHEN`.

    >>> when(0.0, 5.0, 5.0), when(0.2, 0.6, 5.0), when(4.4, 4.9, 5.0)
    ('throughout', 'start', 'end')
    """
    if end_s - start_s > 0.8 * seconds:
        return "throughout"
    middle = 0.5 * (start_s + end_s) / max(seconds, 1e-9)
    if end_s - start_s > 0.45 * seconds:
        return "first half" if middle < 0.42 else "second half" if middle > 0.58 else "most"
    return "start" if middle < 0.28 else "end" if middle > 0.72 else "middle"


def _fault(same: Sequence[Fault], seconds: float, rng: np.random.Generator) -> str:
    """One sentence for one fault, or for several of one kind."""
    fault = same[0]
    level = band(max(f.severity for f in same))
    forms = FAULTS[fault.type]
    if isinstance(forms, Mapping):  # the detail decides what can be said
        forms = forms[fault.detail] if fault.detail in forms else forms[""]
    places = list(dict.fromkeys(when(f.start_s, f.end_s, seconds) for f in same))
    time = " and ".join(_one(WHEN[p], rng) for p in places)
    sentence = _one(forms, rng).format(how=_one(HOW[level], rng), what=fault.detail, when=time)
    return _article(" ".join(sentence.split()))


def _extra(scores: Mapping[str, float], rng: np.random.Generator) -> str:
    """A sentence on effort or pace, as the scores say."""
    if rng.random() < 0.3 and abs(scores["speed"] - 3.0) < 0.25:
        return _one(PACE, rng)
    effort = int(np.floor(scores["listening_effort"] + 0.5))
    return _one(EFFORT[min(5, max(1, effort))], rng)


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _article(sentence: str) -> str:
    """Turn "a obvious" into "an obvious"."""
    words = sentence.split(" ")
    for k, word in enumerate(words[:-1]):
        if word.lower() == "a" and words[k + 1][0].lower() in "aeiou":
            words[k] = word + "n"
    return " ".join(words)
