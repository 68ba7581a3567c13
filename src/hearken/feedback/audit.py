"""A closed vocabulary that any rater must put in order, and paraphrases to learn from.

The audit says four things of a recording (noise, continuity, coloration, overall), each at five
levels: 625 texts. Making one of the four worse, and leaving the others, must not raise the
rating. The share of pairs where it does is the rater's audit. No audited sentence is among the
paraphrases that the shipped rater learns from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

__all__ = ["VOCABULARY", "AuditResult", "audit", "paraphrase", "sentence"]

VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "noise": ("Extremely noisy.", "Very noisy.", "Fairly noisy.", "Slightly noisy.", "Not noisy."),
    "continuity": (
        "Constantly broken.",
        "Often broken.",
        "Sometimes broken.",
        "Rarely broken.",
        "Never broken.",
    ),
    "coloration": (
        "Severely coloured.",
        "Strongly coloured.",
        "Moderately coloured.",
        "Faintly coloured.",
        "Not coloured.",
    ),
    "overall": (
        "Overall bad.",
        "Overall poor.",
        "Overall fair.",
        "Overall good.",
        "Overall excellent.",
    ),
}
"""Each aspect at five levels, worst first."""


@dataclass(frozen=True)
class AuditResult:
    """How often a rater prefers the worse of two texts.

    Attributes:
        violations: for each aspect, the share of the pairs one level apart in which the worse
            word has the higher rating.
        total: the same over all aspects.
        worst, best: ratings of the all-worst and the all-best text.
        examples: up to five violations as (better text, worse text, rise of the rating).
    """

    violations: Mapping[str, float]
    total: float
    worst: float
    best: float
    examples: tuple[tuple[str, str, float], ...]


def sentence(levels: Sequence[int]) -> str:
    """The audited text at `levels` (0 worst to 4 best), in the order of `VOCABULARY`.

    >>> sentence((1, 1, 1, 1))
    'Very noisy. Often broken. Strongly coloured. Overall poor.'
    """
    return " ".join(words[n] for words, n in zip(VOCABULARY.values(), levels, strict=True))


def audit(rater: Callable[[Sequence[str]], list[float]], *, tolerance: float = 1e-4) -> AuditResult:
    """Rate all 625 texts and compare each with its neighbours one level worse.

    Args:
        rater: texts -> ratings.
        tolerance: rises up to this are rounding, not preference.
    """
    levels = list(product(range(5), repeat=4))
    ratings = np.array(rater([sentence(n) for n in levels])).reshape(5, 5, 5, 5)
    shares, examples = {}, []
    for axis, name in enumerate(VOCABULARY):
        # rise[...]: rating of the worse text minus rating of the better one.
        rise = -np.diff(ratings, axis=axis)
        wrong = np.argwhere(rise > tolerance)
        shares[name] = len(wrong) / rise.size
        for place in wrong:
            worse = [int(n) for n in place]
            better = [n + (i == axis) for i, n in enumerate(worse)]
            examples.append((sentence(better), sentence(worse), float(rise[tuple(worse)])))
    examples.sort(key=lambda row: -row[2])
    return AuditResult(
        violations=shares,
        total=float(np.mean(list(shares.values()))),
        worst=float(ratings[0, 0, 0, 0]),
        best=float(ratings[4, 4, 4, 4]),
        examples=tuple(examples[:5]),
    )


_FREQUENCY = ("constantly", "often", "sometimes", "rarely", "never")
_PHRASES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "noise": (
        ("the background is extremely noisy", "noise drowns the voice", "an extremely noisy take"),
        ("there is heavy noise", "it is very noisy", "very noisy sound", "a very noisy street"),
        ("a fairly noisy background", "it is fairly noisy", "fairly noisy sound", "clear noise"),
        ("a slightly noisy room", "it is slightly noisy", "slightly noisy sound", "faint hiss"),
        ("there is no noise", "it is not noisy", "not a noisy take", "free of noise", "silent"),
    ),
    "continuity": tuple(
        (f"the voice is {often} broken", f"{often} interrupted", f"the flow is {often} cut", extra)
        for often, extra in zip(
            _FREQUENCY,
            ("hardly a word is whole", "many gaps", "some gaps", "few gaps", "without gaps"),
            strict=True,
        )
    ),
    "coloration": tuple(
        (f"the tone is {how} coloured", f"{how} coloured sound", f"{how} distorted timbre")
        for how in ("severely", "strongly", "moderately", "faintly", "not")
    ),
    "overall": tuple(
        (f"overall it is {w}", f"the quality is {w}", f"overall quality {w}", f"{w} in all")
        for w in ("bad", "poor", "fair", "good", "excellent")
    ),
}
_WEIGHTS = {"noise": 0.15, "continuity": 0.15, "coloration": 0.15, "overall": 0.55}


def paraphrase(rng: np.random.Generator) -> tuple[str, float]:
    """A free text on the audit's subjects and its rating, to learn from.

    Aspects are dropped and reordered at random. The rating is the mean level of the aspects
    that are named, "overall" weighing .55 and each other .15.
    """
    names = [name for name in _PHRASES if rng.random() < 0.8] or ["overall"]
    levels = {name: int(rng.integers(5)) for name in names}
    parts = [str(rng.choice(_PHRASES[name][levels[name]])) for name in names]
    order = rng.permutation(len(parts)) if rng.random() < 0.5 else np.arange(len(parts))
    parts = [parts[i] for i in order]
    if rng.random() < 0.5:
        text = " ".join(part[0].upper() + part[1:] + "." for part in parts)
    else:
        text = str(rng.choice([", ", "; ", " and "])).join(parts) + "."
        text = text[0].upper() + text[1:]
    weight = sum(_WEIGHTS[name] for name in names)
    return text, 1 + sum(_WEIGHTS[name] * levels[name] for name in names) / weight
