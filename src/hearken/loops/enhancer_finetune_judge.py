"""How fine-tuning judges sounds: rewards of rollouts, and the held-out evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hearken.enhancer.net import MaskNet
from hearken.errors import MetricError
from hearken.feedback.guard import Judge, Listen
from hearken.feedback.rating import Rater
from hearken.feedback.remote import RemoteCritic
from hearken.feedback.reward import (
    Rate,
    Rewards,
    Variant,
    fault_rewards,
    measured,
    rate_scores,
    rate_words,
    relative,
    shuffled,
)
from hearken.loops.enhancer_finetune_scenes import Excerpts, collate
from hearken.loops.processes import Processes
from hearken.metrics.agreement import bootstrap_ci
from hearken.metrics.intrusive import estoi, si_sdr_db
from hearken.nouns import Audio, Description

__all__ = ["Judged", "Tools", "evaluate", "heard", "worth"]


@dataclass(frozen=True)
class Tools:
    """What judges the sound: the critic, the rater of its words, and DNSMOS OVRL."""

    listen: Listen
    rate: Rate
    dnsmos: Callable[[Audio], float]

    @classmethod
    def load(cls, critic: str, rater: str, device: str, judge_url: str = "") -> Tools:
        """A critic and a rater by folder or hub name; "" for those that are shipped.

        With `judge_url` the critic is the one behind that address, and `critic` its name there.
        """
        return cls(_listener(critic, device, judge_url), Rater.from_pretrained(rater or None),
                   _dnsmos_ovrl)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """Rewards, how many answers were asked of the judge and failed, and what to log."""

    rewards: Rewards
    asked: int
    failed: int
    log: Mapping[str, object]


def worth(
    variant: Variant,
    judge: Judge,
    tools: Tools,
    sounds_PG: Sequence[Sequence[Audio | None]],
    base_P: Sequence[Audio | None],
    frames: int,
    frame_s: float,
) -> Judged:
    """The rewards of P x G sounds relative to the base's P sounds.

    Args:
        variant: any reward but "none".
        judge: hears the sounds.
        tools: the rater and DNSMOS.
        sounds_PG: what the rollouts sound like; None where not finite.
        base_P: what the frozen base makes of the same clips.
        frames: STFT frames F of a clip.
        frame_s: the STFT step.
    """
    clips, group = len(sounds_PG), len(sounds_PG[0])
    flat = [sound for row in sounds_PG for sound in row]
    asked = sum(sound is not None for sound in [*flat, *base_P])
    if variant == "dnsmos":
        ratings, base_ratings = measured(flat, tools.dnsmos), measured(base_P, tools.dnsmos)
        failed = asked - int(np.isfinite(ratings).sum() + np.isfinite(base_ratings).sum())
        rewards = relative(ratings.reshape(clips, group), base_ratings)
        return Judged(rewards, asked, failed, _summary(rewards))
    told = judge.hear(flat)
    base_told = [None if sound is None else judge.hear_once(sound) for sound in base_P]
    failed = asked - sum(said is not None for said in [*told, *base_told])
    if variant == "faults":
        said_PG = [told[p * group : (p + 1) * group] for p in range(clips)]
        rewards = fault_rewards(said_PG, base_told, frames, frame_s)
    elif variant == "scores":
        rewards = relative(rate_scores(told).reshape(clips, group), rate_scores(base_told))
    else:
        ratings = rate_words(told, tools.rate).reshape(clips, group)
        rewards = relative(ratings, rate_words(base_told, tools.rate))
        rewards = shuffled(rewards) if variant == "shuffled" else rewards
    log = {**_summary(rewards), **_quoted(told, base_told), **_retries(tools.listen)}
    return Judged(rewards, asked, failed, log)


def heard(sounds_GT: Tensor, length: int) -> list[Audio | None]:
    """Sounds for the judge, cut to the clip's own length; None where not finite."""
    arrays = sounds_GT[:, :length].detach().cpu().numpy()
    return [x if np.isfinite(x).all() else None for x in arrays]


def evaluate(
    net: MaskNet, base: MaskNet, valid: Excerpts, judge: Judge, tools: Tools, team: Processes
) -> dict[str, float]:
    """The deterministic enhancer (its mean mask) against the base on held-out clips.

    One window of each scene. For words, scores, SI-SDR and ESTOI: the mean difference to the
    base with a 95 % bootstrap interval over clips. Clips on which the judge or a metric
    failed leave the mean of that number alone, and are counted.
    """
    rows: list[dict[str, float]] = []
    for index in range(team.rank, len(valid), team.count):
        excerpt = valid[index]
        batch = collate([excerpt], next(base.parameters()).device)
        with torch.no_grad():
            ours, theirs = (
                heard(n(batch.mix_BT, batch.crops_BV, batch.seen_BV), excerpt.length)[0]
                for n in (net, base)
            )
        rows.append(_compare(ours, theirs, excerpt.reference[: excerpt.length], judge, tools))
    rows = team.gather(rows)
    numbers = {"valid/clips": float(len(rows))}
    for name in ("words", "scores", "si_sdr_db", "estoi"):
        found = [row[name] for row in rows if np.isfinite(row[name])]
        numbers[f"valid/{name}_failed"] = float(len(rows) - len(found))
        if found:
            mean = bootstrap_ci(found)
            numbers[f"valid/{name}"] = mean.value
            numbers |= {f"valid/{name}_low": mean.low, f"valid/{name}_high": mean.high}
    return numbers


def _compare(
    ours: Audio | None, theirs: Audio | None, reference: Audio, judge: Judge, tools: Tools
) -> dict[str, float]:
    """One clip's gains over the base; NaN where one cannot be had."""
    nan = float("nan")
    row = dict.fromkeys(("words", "scores", "si_sdr_db", "estoi"), nan)
    if ours is None or theirs is None:
        return row
    said = [judge.hear([ours])[0], judge.hear_once(theirs)]
    words, scores = rate_words(said, tools.rate), rate_scores(said)
    row |= {"words": float(words[0] - words[1]), "scores": float(scores[0] - scores[1])}
    for name, metric in (("si_sdr_db", si_sdr_db), ("estoi", estoi)):
        try:
            row[name] = metric(reference, ours) - metric(reference, theirs)
        except MetricError:  # silence, or a clip too short: counted by the caller
            continue
    return row


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


def _listener(critic: str, device: str, judge_url: str) -> Listen:
    if judge_url:
        from hearken.critic.grammar import parse
        from hearken.critic.prompt import prompt

        return RemoteCritic.connect(judge_url, parse, prompt=prompt("describe"), model=critic)
    from hearken.critic.model import Critic

    return Critic.from_pretrained(critic or None, device=device).listen


def _retries(listen: Listen) -> dict[str, object]:
    return {"critic/retried": listen.retried} if isinstance(listen, RemoteCritic) else {}


def _dnsmos_ovrl(sound: Audio) -> float:
    from hearken.metrics.blind import dnsmos

    return dnsmos(sound)["ovrl"]
