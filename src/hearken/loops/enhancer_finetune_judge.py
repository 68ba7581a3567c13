"""How fine-tuning judges sounds: what is said of them, and what that is worth."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hearken.feedback.guard import Judge, Listen
from hearken.feedback.rating import Rater
from hearken.feedback.remote import RemoteCritic
from hearken.feedback.reward import (
    Piece,
    Rate,
    Rewards,
    Variant,
    both,
    fault_load,
    fault_rewards,
    heard_load,
    measured,
    pieces_of,
    rate_scores,
    rate_words,
    relative,
    shuffled,
)
from hearken.nouns import SAMPLE_RATE, Audio, Description

__all__ = [
    "Expect",
    "Heard",
    "Opinion",
    "Panel",
    "Tools",
    "heard",
    "loads",
    "worth",
    "worth_of_means",
]


@dataclass(frozen=True)
class Heard:
    """What is said of a sound as a whole (None: not asked for), and of its pieces."""

    whole: Description | None
    pieces: tuple[Piece, ...]


Opinion = Description | Heard | float | None
"""What is said of a sound: words, words on its pieces, a number, or nothing (a judge that failed,
or no sound)."""


Expect = Callable[[Sequence[Tensor]], Tensor]
"""Sounds -> [P, 7] scores with a gradient; NaN where the critic failed."""


@dataclass(frozen=True)
class Tools:
    """What judges the sound: the critic, the rater of its words, and blind metrics.

    DNSMOS OVRL can be the reward; DistillMOS never is, so that it can tell whether the reward is
    being talked up. `critic` names whose answers these are, where they may be kept; else "".
    `expect` is the critic to be differentiated (`hearken.critic.gradient.ScoreGradient`).
    """

    listen: Listen
    rate: Rate
    dnsmos: Callable[[Audio], float]
    distillmos: Callable[[Audio], float]
    critic: str = ""
    expect: Expect | None = None

    @classmethod
    def load(
        cls, critic: str, rater: str, device: str, judge_url: str = "", gradient: bool = False
    ) -> Tools:
        """A critic and a rater by folder or hub name; "" for those that are shipped.

        With `judge_url` the critic is the one behind that address, and `critic` its name there.

        Raises:
            CheckpointError: with `gradient`: this critic cannot be differentiated.
        """
        from hearken.metrics import blind

        listen, name, expect = _listener(critic, device, judge_url, gradient)
        return cls(
            listen,
            Rater.from_pretrained(rater or None),
            lambda sound: blind.dnsmos(sound, windows=1)["ovrl"],
            blind.distillmos,
            name,
            expect,
        )


class Panel:
    """Has sounds judged in the background, in the order in which they came.

    Attributes:
        judge: counts what fails.
        rate: words to 1-5.
        expect: the critic as a function to differentiate.
        seconds: that judging has taken so far.
    """

    def __init__(self, variant: Variant, judge: Judge, tools: Tools, pieces_s: float = 0.0) -> None:
        """As the attributes; `pieces_s` is the length of pieces that faults are heard in."""
        self.judge = judge
        self.rate = tools.rate
        self.expect = tools.expect
        self.seconds = 0.0
        self._listen = tools.listen
        self._measure = tools.dnsmos if variant == "dnsmos" else None
        in_time = variant in ("faults", "words+faults")
        self._piece = round(pieces_s * SAMPLE_RATE) if in_time else 0
        self._whole = variant != "faults"
        self._thread = ThreadPoolExecutor(1, "judge")

    def ask(self, sounds: Sequence[Audio | None]) -> Future[list[Opinion]]:
        """What is said of each sound; None stays None."""
        return self._thread.submit(self._said, list(sounds), False)

    def ask_once(self, sound: Audio | None) -> Future[list[Opinion]]:
        """What is said of one sound alone, from memory where it was heard before."""
        return self._thread.submit(self._said, [sound], True)

    def troubles(self) -> dict[str, object]:
        """What to log of a critic elsewhere: requests that had to be sent again, so far."""
        if isinstance(self._listen, RemoteCritic):
            return {"critic/retried": self._listen.retried}
        return {}

    def close(self) -> None:
        """Wait for what was asked, and end the thread."""
        self._thread.shutdown()

    def _said(self, sounds: list[Audio | None], once: bool) -> list[Opinion]:
        began = time.monotonic()
        said: list[Opinion]
        if self._measure is not None:
            values = measured(sounds, self._measure)
            said = [float(value) if np.isfinite(value) else None for value in values]
        elif self._piece:
            said = self._in_pieces(sounds, once)
        else:
            said = list(self._hear(sounds, once))
        self.seconds += time.monotonic() - began
        return said

    def _hear(self, sounds: Sequence[Audio | None], once: bool) -> list[Description | None]:
        if once:
            return [None if sound is None else self.judge.hear_once(sound) for sound in sounds]
        return self.judge.hear(sounds)

    def _in_pieces(self, sounds: Sequence[Audio | None], once: bool) -> list[Opinion]:
        """Where one piece fails, nothing is known of the sound."""
        cuts = [[] if x is None else pieces_of(len(x), self._piece) for x in sounds]
        flat = [x[a:b] for x, cut in zip(sounds, cuts, strict=True) if x is not None
                for a, b in cut]  # fmt: skip
        told = iter(self._hear(flat, once))
        whole = self._hear(sounds, once) if self._whole else [None] * len(sounds)
        out: list[Opinion] = []
        for cut, of_all in zip(cuts, whole, strict=True):
            some = [(a / SAMPLE_RATE, b / SAMPLE_RATE, next(told)) for a, b in cut]
            pieces = tuple(Piece(a, b, said) for a, b, said in some if said is not None)
            lost = not cut or len(pieces) < len(cut) or (self._whole and of_all is None)
            out.append(None if lost else Heard(of_all, pieces))
        return out


def worth(
    variant: Variant,
    rate: Rate,
    told: Sequence[Opinion],
    base: Sequence[Opinion],
    frames: int,
    frame_s: float,
) -> tuple[Rewards, dict[str, object]]:
    """The rewards of P x G sounds relative to the base's P sounds, and what to log of them.

    Args:
        variant: any reward but "none".
        rate: words to 1-5.
        told: what is said of the rollouts, those of a clip together.
        base: what is said of the frozen base's sounds.
        frames: STFT frames F of a clip.
        frame_s: the STFT step.
    """
    clips, group = len(base), len(told) // len(base)
    if variant == "dnsmos":
        rewards = relative(_numbers(told).reshape(clips, group), _numbers(base))
        return rewards, _summary(rewards)
    said, of_base = _descriptions(told), _descriptions(base)
    log = _quoted(said, of_base)
    if variant in ("faults", "words+faults"):
        load_PGF = loads(told, frames, frame_s).reshape(clips, group, frames)
        in_time = fault_rewards(load_PGF, loads(base, frames, frame_s))
        if variant == "faults":
            return in_time, _summary(in_time) | log
    if variant == "scores":
        ratings, base_ratings = rate_scores(said), rate_scores(of_base)
    else:
        ratings, base_ratings = rate_words(said, rate), rate_words(of_base, rate)
    rewards = relative(ratings.reshape(clips, group), base_ratings)
    if variant == "words+faults":
        rewards = both(rewards, in_time)
    elif variant == "shuffled":
        rewards = shuffled(rewards)
    return rewards, _summary(rewards) | log


def worth_of_means(values_P: Tensor, base_P: Tensor) -> dict[str, object]:
    """What to log of P sounds by their mean mask, 1-5, relative to the base's."""
    now_P, then_P = (x.detach().cpu().double().numpy() for x in (values_P, base_P))
    return _summary(relative(now_P[:, None], then_P))


def loads(opinions: Sequence[Opinion], frames: int, frame_s: float) -> NDArray[np.float64]:
    """[N, F] how bad each frame is; NaN where the judge failed."""
    out = np.full((len(opinions), frames), np.nan)
    for row, told in zip(out, opinions, strict=True):
        if isinstance(told, Heard):
            row[:] = heard_load(told.pieces, frames, frame_s)
        elif isinstance(told, Description):
            row[:] = fault_load(told, frames, frame_s)
    return out


def _numbers(opinions: Sequence[Opinion]) -> NDArray[np.float64]:
    return np.array([o if isinstance(o, float) else np.nan for o in opinions])


def _descriptions(opinions: Sequence[Opinion]) -> list[Description | None]:
    """Of the whole; of the first piece where the whole was not asked for."""
    return [_description(o) for o in opinions]


def _description(told: Opinion) -> Description | None:
    if isinstance(told, Heard):
        return told.whole or told.pieces[0].said
    return told if isinstance(told, Description) else None


def heard(sounds_GT: Tensor, length: int) -> list[Audio | None]:
    """Sounds for the judge, cut to the clip's own length; None where not finite."""
    arrays = sounds_GT[:, :length].detach().cpu().numpy()
    return [x if np.isfinite(x).all() else None for x in arrays]


def _summary(rewards: Rewards) -> dict[str, object]:
    ok = rewards.valid_PG
    if not ok.any():
        return {"reward/mean": None, "reward/valid_frac": 0.0}
    groups = [row[mask] for row, mask in zip(rewards.total_PG, ok, strict=True)]
    spread = [float(g.std(ddof=1)) for g in groups if len(g) > 1]
    return {
        "reward/mean": float(rewards.total_PG[ok].mean()),
        "reward/group_std": float(np.mean(spread)) if spread else None,
        "reward/valid_frac": float(ok.mean()),
        **{f"reward/{name}": float(part[ok].mean()) for name, part in rewards.parts_PG.items()},
    }


def _quoted(
    told: Sequence[Description | None], base: Sequence[Description | None]
) -> dict[str, object]:
    """The raw answers on the first clip's first rollout and on its base."""
    quotes: dict[str, object] = {}
    for name, said in (("critic/raw", told[0]), ("critic/raw_base", base[0])):
        quotes[name] = None if said is None else said.raw or said.words
    return quotes


def _listener(
    critic: str, device: str, judge_url: str, gradient: bool
) -> tuple[Listen, str, Expect | None]:
    """The critic, what names it and its weights, and how it is differentiated."""
    if judge_url:
        from hearken.critic.grammar import parse
        from hearken.critic.prompt import prompt

        there = RemoteCritic.connect(judge_url, parse, prompt=prompt("describe"), model=critic)
        return there, "", None
    from hearken.critic.gradient import ScoreGradient
    from hearken.critic.model import Critic

    here = Critic.from_pretrained(critic or None, device=device)
    return here.listen, f"{here.id}@{here.revision}", ScoreGradient(here) if gradient else None
