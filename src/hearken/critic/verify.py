"""The checked timeline: a fault that a critic names is kept only where the sound bears it out.

    checked = verify(critic, clips, said)        one `Checked` for each clip

Two questions are asked of each fault. *signal*: does a plain detector of that fault contradict
it (`hearken.critic.evidence`)? *repair*: with the span repaired (`hearken.critic.repair`), does the
critic's own score in the fault's dimension rise, and by more than when the same repair is made to
another span of the clip, of equal length, drawn at random? A question that cannot be asked is
left out; a fault of which neither can be asked is kept.

Left out: repairs of faults that have no time of their own, as they leave no other span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, Protocol

import numpy as np

from hearken.critic.evidence import evidence
from hearken.critic.repair import repair
from hearken.errors import HearkenError
from hearken.nouns import FAULT_TYPES, SAMPLE_RATE, Audio, Description, Fault, Score

__all__ = ["Checked", "Dropped", "Scorer", "Verdict", "relisten", "verify"]

Depth = Literal["signal", "full"]
Reason = Literal["signal", "repair"]


class Scorer(Protocol):
    """What re-listening needs of a critic; `hearken.critic.Critic` has it."""

    window_s: float

    def scores(
        self, clips: Sequence[Audio], *, batch_size: int = 16
    ) -> Sequence[dict[str, Score] | HearkenError]:
        """The scores, or the error in their place, of each clip [T]."""
        ...


@dataclass(frozen=True)
class Verdict:
    """What was found of one fault.

    Attributes:
        signal: True the detector agrees, False it contradicts, None it has no opinion.
        repair: True the score rises more than with the control, False it does not, None where
            that was not asked or could not be.
    """

    signal: bool | None = None
    repair: bool | None = None

    @property
    def against(self) -> Reason | None:
        """What speaks against the fault; None where nothing does."""
        return "signal" if self.signal is False else "repair" if self.repair is False else None

    @property
    def name(self) -> str:
        """What speaks for it: "signal", "repair", "signal+repair", or "abstained"."""
        found = [n for n, v in (("signal", self.signal), ("repair", self.repair)) if v]
        return "+".join(found) or "abstained"


@dataclass(frozen=True)
class Dropped:
    """A fault that was taken out, and by what."""

    fault: Fault
    reason: Reason


@dataclass(frozen=True)
class Checked:
    """A description whose faults were checked.

    Attributes:
        said: the description with the faults that are kept.
        verified: `Verdict.name` of each of them, in the same order.
        dropped: the others, in the order in which the critic named them.
    """

    said: Description
    verified: tuple[str, ...]
    dropped: tuple[Dropped, ...]


def verify(
    critic: Scorer,
    clips: Sequence[Audio],
    said: Sequence[Description],
    *,
    depth: Depth = "full",
    seed: int = 0,
    batch_size: int = 16,
) -> list[Checked]:
    """Check what was said of each clip.

    Args:
        critic: the one that is asked again; not needed for depth "signal".
        clips: P clips [T] at 16 kHz.
        said: what was said of each of them.
        depth: "signal": detectors alone; "full": re-listening too, about three times the sound
            of a window for each fault with a time of its own.
        seed: of the control spans; with the fault's own times it decides where they lie, so the
            other clips of a call change nothing.
        batch_size: windows heard together.
    """
    pairs = list(zip(clips, said, strict=True))
    verdicts = [[Verdict(evidence(clip, f)) for f in d.faults] for clip, d in pairs]
    if depth == "full":
        open_ = [
            (p, k)
            for p, row in enumerate(verdicts)
            for k, verdict in enumerate(row)
            if verdict.signal is not False
        ]
        claims = [(clips[p], said[p].faults[k]) for p, k in open_]
        found = relisten(critic, claims, seed=seed, batch_size=batch_size)
        for (p, k), helps in zip(open_, found, strict=True):
            verdicts[p][k] = replace(verdicts[p][k], repair=helps)
    return [_checked(d, row) for (_, d), row in zip(pairs, verdicts, strict=True)]


def relisten(
    critic: Scorer,
    claims: Sequence[tuple[Audio, Fault]],
    *,
    seed: int = 0,
    batch_size: int = 16,
) -> list[bool | None]:
    """Of each (clip [T], fault): does its repair raise the score, and by more than the control's?

    Returns:
        One answer for each claim; None where it cannot be asked (no repair for the type, nothing
        to repair, no room for a control span) or where the critic's answer cannot be read.
    """
    found: list[bool | None] = [None] * len(claims)
    trials = _trials(claims, critic.window_s, seed)
    while chunk := list(islice(trials, max(1, batch_size // 3))):
        for trial, helps in zip(chunk, _heard(critic, chunk, batch_size), strict=True):
            found[trial.claim] = helps
    return found


@dataclass(frozen=True, eq=False)
class _Trial:
    """One claim heard again: as it is, repaired, and with the control span repaired.

    `claim` is its place in the list; `control` is None where the repair changes nothing there,
    so that it is heard as it is.
    """

    claim: int
    dimension: str
    plain: Audio
    repaired: Audio
    control: Audio | None


def _trials(claims: Sequence[tuple[Audio, Fault]], window_s: float, seed: int) -> Iterator[_Trial]:
    """The claims that can be asked about, made one by one: sound is only held for a batch."""
    for k, (clip, fault) in enumerate(claims):
        plain, local = _around(clip, fault, window_s)
        other = _elsewhere(local, len(plain) / SAMPLE_RATE, seed)
        repaired = None if other is None else repair(plain, local)
        if other is not None and repaired is not None:
            dimension = FAULT_TYPES[fault.type].dimension
            yield _Trial(k, dimension, plain, repaired, repair(plain, other))


def _around(clip: Audio, fault: Fault, window_s: float) -> tuple[Audio, Fault]:
    """What is heard again: a window about the fault, wider if that leaves no room for a control."""
    length_s = max(window_s, 4 * (fault.end_s - fault.start_s))
    last_s = max(0.0, len(clip) / SAMPLE_RATE - length_s)
    first_s = min(last_s, max(0.0, (fault.start_s + fault.end_s - length_s) / 2))
    first = round(first_s * SAMPLE_RATE)
    local = replace(fault, start_s=fault.start_s - first_s, end_s=fault.end_s - first_s)
    return clip[first : first + round(length_s * SAMPLE_RATE)], local


def _elsewhere(fault: Fault, seconds: float, seed: int) -> Fault | None:
    """The same fault at a random place that does not touch it; None where there is no room."""
    length_s = fault.end_s - fault.start_s
    left_s, right_s = fault.start_s - length_s, seconds - length_s - fault.end_s
    room_s = max(0.0, left_s) + max(0.0, right_s)
    if room_s <= 0.0:
        return None
    times_ms = [max(0, round(1000 * t)) for t in (fault.start_s, fault.end_s)]
    at_s = float(np.random.default_rng([seed, *times_ms]).uniform(0.0, room_s))
    if at_s >= max(0.0, left_s):
        at_s += fault.end_s - max(0.0, left_s)
    return replace(fault, start_s=at_s, end_s=at_s + length_s)


def _heard(critic: Scorer, trials: Sequence[_Trial], batch_size: int) -> list[bool | None]:
    """Of each trial: does the repair help, and more than the control does? None: no answer."""
    sounds = [s for t in trials for s in (t.plain, t.repaired, t.control) if s is not None]
    try:
        answers = iter(critic.scores(sounds, batch_size=batch_size))
    except HearkenError:
        return [None] * len(trials)
    found: list[bool | None] = []
    for trial in trials:
        plain, repaired = next(answers), next(answers)
        control = plain if trial.control is None else next(answers)
        values = [
            None if isinstance(a, HearkenError) else a[trial.dimension].value
            for a in (plain, repaired, control)
        ]
        known = [v for v in values if v is not None]
        found.append(known[1] > max(known[0], known[2]) if len(known) == 3 else None)
    return found


def _checked(said: Description, verdicts: Sequence[Verdict]) -> Checked:
    both = list(zip(said.faults, verdicts, strict=True))
    kept = [(fault, verdict.name) for fault, verdict in both if verdict.against is None]
    return Checked(
        replace(said, faults=tuple(fault for fault, _ in kept)),
        tuple(name for _, name in kept),
        tuple(Dropped(fault, v.against) for fault, v in both if v.against is not None),
    )
