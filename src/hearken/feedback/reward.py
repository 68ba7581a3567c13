"""The reward of the second loop, and its controls.

    R = rating(enhanced) - rating(base)         base = the frozen pretrained enhancer, same clip

| variant  | rating is                                                              | bounds  |
|----------|------------------------------------------------------------------------|---------|
| words    | the critic's free sentences, put on 1-5 by a text rater (the paper)     | [-4, 4] |
| scores   | the critic's own overall score, an expectation over digits              | [-4, 4] |
| faults   | minus the severity of the faults the critic names, frame by frame       | [-1, 1] |
| words+faults | words for the whole clip, and faults frame by frame                  | both    |
| dnsmos   | DNSMOS OVRL, handed in as a callable (the paper's baseline)             | [-4, 4] |
| shuffled | as words, but the words of another clip: a control for noise            | [-4, 4] |
| gradient | as scores, but the critic is differentiated and no mask is sampled       | [-4, 4] |
| none     | nothing: continued supervised training alone, a control                 | 0       |

Axes: P clips, G rollouts of a clip, F STFT frames. NaN marks a rollout without a reward, because
its judge failed; it is masked, never counted as 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hearken.errors import JudgeError, MetricError, UsageError
from hearken.nouns import Audio, Description, Judgement

__all__ = [
    "REWARDS",
    "Piece",
    "Rate",
    "Rewards",
    "Variant",
    "both",
    "fault_load",
    "fault_rewards",
    "heard_load",
    "measured",
    "pieces_of",
    "rate_scores",
    "rate_words",
    "relative",
    "shuffled",
]

Variant = Literal[
    "words", "scores", "faults", "words+faults", "dnsmos", "none", "shuffled", "gradient"
]
REWARDS: tuple[Variant, ...] = get_args(Variant)

Rate = Callable[[Sequence[str]], list[float]]
"""Texts -> ratings, each 1-5 (`hearken.feedback.rating.Rater`)."""

Floats = NDArray[np.float64]
_WORST_SEVERITY = 5.0


@dataclass(frozen=True)
class Rewards:
    """What P x G rollouts are worth.

    Attributes:
        total_PG: the reward of each rollout; NaN where its judge failed.
        parts_PG: what it was made of ("rating", "base", or "load", "base_load").
        frames_PGF: reward of each frame, for `faults` and `words+faults`; else None.
        whole: True where the total is paid to all of the clip; False for `faults`, whose total
            is the mean of its frames and has been paid there.
    """

    total_PG: Floats
    parts_PG: Mapping[str, Floats] = field(default_factory=dict)
    frames_PGF: Floats | None = None
    whole: bool = True

    @property
    def valid_PG(self) -> NDArray[np.bool_]:
        """Where there is a reward."""
        return np.isfinite(self.total_PG)

    def judgement(self, p: int, g: int) -> Judgement | None:
        """One rollout's reward and its parts; None where the judge failed."""
        if not self.valid_PG[p, g]:
            return None
        parts = {name: float(part[p, g]) for name, part in self.parts_PG.items()}
        return Judgement(float(self.total_PG[p, g]), parts)


def relative(rating_PG: Floats, base_P: Floats) -> Rewards:
    """R = rating - rating of the frozen base on the same clip.

    Args:
        rating_PG: 1-5, NaN where the judge failed.
        base_P: 1-5, NaN where the judge failed on the base: the whole clip has no reward.

    Raises:
        JudgeError: a rating outside 1-5. A reward without bounds will be talked up.

    >>> relative(np.array([[3.5, 2.0]]), np.array([3.0])).total_PG.tolist()
    [[0.5, -1.0]]
    """
    base_PG = np.broadcast_to(base_P[:, None], rating_PG.shape)
    for name, value in (("rating", rating_PG), ("base rating", base_P)):
        known = value[~np.isnan(value)]
        if known.size and not (known.min() >= 1 and known.max() <= 5):
            raise JudgeError(
                f"{name} {known.min():g} to {known.max():g} is outside 1-5; the rater is broken"
            )
    return Rewards(rating_PG - base_PG, {"rating": rating_PG, "base": base_PG.copy()})


def rate_words(said: Sequence[Description | None], rater: Rate) -> Floats:
    """The rating of each description's words, [N]; NaN where there is none."""
    there = [i for i, d in enumerate(said) if d is not None]
    out = np.full(len(said), np.nan)
    out[there] = rater([d.words for d in said if d is not None])
    return out


def rate_scores(said: Sequence[Description | None], dimension: str = "overall") -> Floats:
    """The critic's own score on one dimension, [N]; NaN where there is none."""
    return np.array([np.nan if d is None else d.scores[dimension].value for d in said])


def measured(sounds: Sequence[Audio | None], measure: Callable[[Audio], float]) -> Floats:
    """A metric on 1-5 as the rating, [N]; NaN where it fails. Values are cut to 1-5."""
    out = np.full(len(sounds), np.nan)
    for i, sound in enumerate(sounds):
        if sound is None:
            continue
        try:
            out[i] = np.clip(measure(sound), 1.0, 5.0)
        except MetricError:  # one clip that cannot be measured has no reward
            continue
    return out


@dataclass(frozen=True)
class Piece:
    """A stretch of a sound, in seconds, and what is said of it alone.

    Times of its faults count from its own start.
    """

    start_s: float
    end_s: float
    said: Description


def pieces_of(samples: int, length: int) -> list[tuple[int, int]]:
    """Where to cut a sound: stretches of `length` samples that overlap by half; the last may more.

    >>> pieces_of(10, 4)
    [(0, 4), (2, 6), (4, 8), (6, 10)]
    >>> pieces_of(9, 4)[-1], pieces_of(3, 4)
    ((5, 9), [(0, 3)])
    """
    last = max(0, samples - length)
    starts = [*range(0, last, max(1, length // 2)), last]
    return [(start, min(start + length, samples)) for start in starts]


def heard_load(pieces: Sequence[Piece], frames: int, frame_s: float) -> Floats:
    """`fault_load` of a sound that was heard in pieces: the mean over those that cover a frame.

    A fault that covers all of a clip has no time of its own; that it is in one piece and not in
    the next has. Frames behind the last piece are as its last.
    """
    time_F, load_F, count_F = np.arange(frames) * frame_s, np.zeros(frames), np.zeros(frames)
    for piece in pieces:
        end_s = math.inf if piece is pieces[-1] else piece.end_s
        covered_F = (time_F > piece.start_s - 1e-6) & (time_F < end_s)
        load_F[covered_F] += fault_load(piece.said, int(covered_F.sum()), frame_s)
        count_F += covered_F
    return load_F / np.maximum(count_F, 1)


def fault_load(said: Description, frames: int, frame_s: float) -> Floats:
    """How bad each STFT frame is by the faults that are named in it, [F] in [0, 1].

        load(f) = min(1, sum over faults that cover f of severity / 5 x confidence)

    Args:
        said: its faults carry severity 1-5 and, from a model, a confidence 0-1 (None is 1).
        frames: F; frame f is centred at f x frame_s seconds.
        frame_s: the STFT step.
    """
    time_F = np.arange(frames) * frame_s
    load_F = np.zeros(frames)
    for fault in said.faults:
        certain = 1.0 if fault.confidence is None else min(max(fault.confidence, 0.0), 1.0)
        # A microsecond of slack: 3 * 0.1 is above 0.3 in floating point.
        covered_F = (time_F > fault.start_s - 1e-6) & (time_F < fault.end_s + 1e-6)
        load_F += covered_F * (min(fault.severity, _WORST_SEVERITY) / _WORST_SEVERITY) * certain
    return np.minimum(load_F, 1.0)


def fault_rewards(load_PGF: Floats, base_PF: Floats) -> Rewards:
    """Reward with credit in time: a frame gains what its load falls below the base's.

    r(p, g, f) = load of the base at f - load of the rollout at f, in [-1, 1]; the total is the
    mean over frames.

    Args:
        load_PGF: of the rollouts; NaN where the judge failed.
        base_PF: of the frozen base.
    """
    base_P1F = base_PF[:, None]
    frames_PGF = base_P1F - load_PGF
    base_PG = np.broadcast_to(base_P1F.mean(-1), load_PGF.shape[:2]).copy()
    parts = {"load": load_PGF.mean(-1), "base_load": base_PG}
    return Rewards(frames_PGF.mean(-1), parts, frames_PGF, whole=False)


def both(whole: Rewards, in_time: Rewards) -> Rewards:
    """The reward of the whole clip and that of its frames, of the same answers."""
    parts = {**whole.parts_PG, **in_time.parts_PG}
    return Rewards(whole.total_PG, parts, in_time.frames_PGF)


def shuffled(rewards: Rewards) -> Rewards:
    """Each clip gets the rewards of the clip before it: same numbers, no meaning.

    Words, ratings and bounds are those of the real reward; only the link to what the policy
    did is cut. What still improves does so without the critic.

    Raises:
        UsageError: a single clip has no other clip to take words from.
    """
    if len(rewards.total_PG) < 2:
        raise UsageError("--reward shuffled needs at least two clips a step: --clips 2")
    parts = {name: np.roll(part, 1, axis=0) for name, part in rewards.parts_PG.items()}
    return Rewards(np.roll(rewards.total_PG, 1, axis=0), parts)
