"""One step of fine-tuning: sample masks, have them heard, update.

    enhance      masks of P clips, G samples of each, sound of them     the critic hears chunk after
    anchor       SI-SNR of other clips, forward and backward            chunk meanwhile, in a thread
    wait         for the last of its answers
    update       rewards -> advantages -> clipped surrogate and KL

For `gradient` nothing is sampled: each update climbs the critic's expected scores of what the mask
itself makes. What is computed does not depend on who is done first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hearken.enhancer.net import MaskNet
from hearken.enhancer.policy import GaussianMaskPolicy
from hearken.errors import UsageError
from hearken.feedback.reward import REWARDS, Rewards, Variant
from hearken.loops.enhancer_finetune_judge import (
    Opinion,
    Panel,
    heard,
    worth,
    worth_of_means,
)
from hearken.loops.enhancer_finetune_scenes import Batch, Excerpt, collate
from hearken.loops.enhancer_pretrain import errors
from hearken.loops.processes import Processes
from hearken.nouns import DIMENSIONS, SAMPLE_RATE, Audio
from hearken.rl import clipped_surrogate, gaussian_kl, whiten_frames, whiten_groups

__all__ = ["Learner", "Recipe"]

_CHUNK = 16  # sounds that the critic gets at once: its batch
_BASES = 512  # clips of which the base's mask is remembered, .2 MB for two seconds


@dataclass(frozen=True)
class Recipe:
    """What a step is made of."""

    reward: Variant = "words"
    """What the policy is rewarded for; see docs/reward.md."""
    rollouts: int = 4
    """Sampled masks of each clip (G)."""
    sigma: float = 0.1
    """Spread of the sampled gains."""
    cell_bins: int = 32
    """Neighbouring bins that share a sampled offset; 513 are all."""
    cell_frames: int = 16
    """Neighbouring STFT frames (20 ms) that share it."""
    antithetic: bool = True
    """Sample offsets in pairs of opposite sign."""
    epochs: int = 2
    """Updates on the same rollouts."""
    clip_eps: float = 0.1
    """Half width of the ratio's trust interval."""
    min_std: float = 1e-3
    """Least spread of rewards in a group that counts as a difference."""
    faults_weight: float = 1.0
    """Of the advantage in time against that of the whole clip, for words+faults."""
    pieces_s: float = 1.0
    """Faults are heard in pieces of this length, which overlap by half; 0: where the critic says
    they are in the whole clip."""
    kl_weight: float = 1e-4
    """Of the KL to the frozen base, a mean over cells."""
    anchor_weight: float = 1.0
    """Of the supervised loss: minus SI-SNR in tens of dB, and the next."""
    anchor_magnitude: float = 5.0
    """In it, of the error of |S|^0.3, as in pretraining; 0: the paper's, SI-SNR alone."""
    policy_weight: float = 1.0
    """Of the clipped surrogate; for `gradient`, of the critic's scores."""
    gradient_of: str = "all"
    """The scores whose mean `gradient` climbs, with commas between; "all" for the seven."""
    max_norm: float = 1.0
    """Gradients are scaled down to this norm."""

    def refuse_bad(self) -> None:
        """Settings that cannot work.

        Raises:
            UsageError: says which.
        """
        if self.reward not in REWARDS:
            raise UsageError(f"--reward {self.reward}: is none of {', '.join(REWARDS)}")
        if self.samples and self.rollouts < 2:
            raise UsageError("--rollouts: a group needs at least two")
        if self.epochs < 1:
            raise UsageError("--epochs: at least one update a step")
        _ = self.policy, self.climbed

    @property
    def samples(self) -> bool:
        """Whether masks are sampled, and their sounds judged."""
        return self.reward not in ("none", "gradient")

    @property
    def climbed(self) -> list[int]:
        """Places in `DIMENSIONS` of the scores that `gradient` climbs."""
        names = DIMENSIONS if self.gradient_of == "all" else self.gradient_of.split(",")
        for name in names:
            if name not in DIMENSIONS:
                raise UsageError(f"--gradient-of {name}: is none of {', '.join(DIMENSIONS)}")
        return [DIMENSIONS.index(name) for name in names]

    @property
    def policy(self) -> GaussianMaskPolicy:
        """The exploration around a mask."""
        return GaussianMaskPolicy(self.sigma, self.cell_bins, self.cell_frames, self.antithetic)


@dataclass
class _Base:
    """What the frozen base does with one clip, and, once asked for, what is thought of it."""

    mask_KF: Tensor
    sound: Audio | None
    told: Future[list[Opinion]] | None = None
    value: Tensor | None = None


@dataclass(frozen=True)
class _Sampled:
    """P x G sampled masks on their way to the judge; L x M cells."""

    actions_PGKF: Tensor
    old_log_prob_PGLM: Tensor
    ref_mean_PKF: Tensor
    told: list[Future[list[Opinion]]]
    base: list[Future[list[Opinion]]]
    asked: int


@dataclass(frozen=True)
class _Rollouts:
    """The same with what they were worth."""

    sampled: _Sampled
    rewards: Rewards
    advantages_PGM: Tensor


class Learner:
    """The network that learns, the frozen base, and one step of learning.

    Attributes:
        net: the policy's network, changed in place.
        base: where it started; frozen.
        optimizer: of the parameters of `net` that learn.
        skipped: updates that were left out because the gradient was not finite.
    """

    def __init__(
        self,
        recipe: Recipe,
        net: MaskNet,
        base: MaskNet,
        optimizer: torch.optim.Optimizer,
        panel: Panel,
        team: Processes,
    ) -> None:
        self.recipe = recipe
        self.net = net
        self.base = base
        self.optimizer = optimizer
        self.panel = panel
        self.team = team
        self.skipped = 0
        self._clock: dict[str, float] = {}
        self._bases: OrderedDict[str, _Base] = OrderedDict()

    def step(
        self, clips: Batch, anchor: Batch | None, rng: np.random.Generator
    ) -> dict[str, object]:
        """Sample, judge and update `epochs` times; returns what to log."""
        log: dict[str, object] = {}
        self._clock = {}
        listened = self.panel.seconds
        sampled, rollouts = None, None
        if self.recipe.samples:
            with self._timed("enhance"):
                sampled = self._sample(clips, rng)
        for epoch in range(self.recipe.epochs):
            with self._timed("update"):
                self.optimizer.zero_grad()
                self._pull_to_anchor(anchor, log)
            if sampled is not None and epoch == 0:
                rollouts = self._judged(sampled, clips, log)
            with self._timed("update"):
                if rollouts is not None:
                    self._push_by_advantage(clips, rollouts, log)
                elif self.recipe.reward == "gradient":
                    self._climb(clips, log)
                self._update(log)
        log["update/skipped"] = self.skipped
        self._clock["listen"] = self.panel.seconds - listened
        return log | {f"time/{name}_s": value for name, value in self._clock.items()}

    def _sample(self, clips: Batch, rng: np.random.Generator) -> _Sampled:
        """Sample G masks of each clip, make sound of them, hand it to the judge."""
        where, policy, group = clips.mix_BT.device, self.recipe.policy, self.recipe.rollouts
        noise = torch.Generator(where).manual_seed(int(rng.integers(2**62)))
        samples, few = clips.mix_BT.shape[1], max(1, _CHUNK // group)
        told, asked = [], 0
        with torch.no_grad():
            spec_PKF = self.net.spectrum(clips.mix_BT)
            mean_PKF = self.net.mask(spec_PKF, clips.crops_BV, clips.seen_BV)
            actions_PGKF = policy.sample(mean_PKF, group, noise)
            for first in range(0, len(actions_PGKF), few):
                sounds: list[Audio | None] = []
                for p in range(first, min(first + few, len(actions_PGKF))):
                    spec_GKF = spec_PKF[p].expand_as(actions_PGKF[p])
                    made_GT = self.net.synthesise(actions_PGKF[p], spec_GKF, samples)
                    sounds += heard(made_GT, clips.excerpts[p].length)
                asked += sum(sound is not None for sound in sounds)
                told.append(self.panel.ask(sounds))
            old_PGLM = policy.log_prob(actions_PGKF, mean_PKF[:, None])
            base = [self._of_base(excerpt, where) for excerpt in clips.excerpts]
        ref_PKF = torch.stack([b.mask_KF for b in base])
        asked += sum(b.sound is not None for b in base)
        return _Sampled(actions_PGKF, old_PGLM, ref_PKF, told, [*map(self._told, base)], asked)

    def _told(self, base: _Base) -> Future[list[Opinion]]:
        base.told = base.told or self.panel.ask_once(base.sound)
        return base.told

    def _of_base(self, excerpt: Excerpt, where: torch.device) -> _Base:
        """Of a clip alone, so that it does not depend on neighbours; from memory if used lately."""
        if excerpt.name not in self._bases:
            one = collate([excerpt], where)
            spec_PKF = self.base.spectrum(one.mix_BT)
            mask_PKF = self.base.mask(spec_PKF, one.crops_BV, one.seen_BV)
            made_PT = self.base.synthesise(mask_PKF, spec_PKF, one.mix_BT.shape[1])
            self._bases[excerpt.name] = _Base(mask_PKF[0], heard(made_PT, excerpt.length)[0])
            while len(self._bases) > _BASES:
                self._bases.popitem(last=False)
        self._bases.move_to_end(excerpt.name)
        return self._bases[excerpt.name]

    def _judged(self, sampled: _Sampled, clips: Batch, log: dict[str, object]) -> _Rollouts:
        with self._timed("wait"):
            told = [opinion for chunk in sampled.told for opinion in chunk.result()]
            base = [opinion for told_B in sampled.base for opinion in told_B.result()]
        frames, frame_s = sampled.ref_mean_PKF.shape[2], self.base.config.hop / SAMPLE_RATE
        rewards, judged = worth(self.recipe.reward, self.panel.rate, told, base, frames, frame_s)
        log |= judged | self.panel.troubles()
        answered = sum(opinion is not None for opinion in [*told, *base])
        self._count(sampled.asked - answered, sampled.asked, log)
        return _Rollouts(sampled, rewards, self._advantages(rewards, clips, frames, log))

    def _advantages(
        self, rewards: Rewards, clips: Batch, frames: int, log: dict[str, object]
    ) -> Tensor:
        """Whitened in the group, for each cell of frames, [P, G, M]; 0 beyond a clip's end."""
        where, recipe = clips.mix_BT.device, self.recipe
        valid_PG = torch.from_numpy(rewards.valid_PG).to(where)
        advantages_PGF = torch.zeros((*valid_PG.shape, frames), device=where)
        flat: list[int] = []
        if rewards.whole:
            total_PG = torch.from_numpy(rewards.total_PG).float().to(where)
            white = whiten_groups(total_PG, valid_PG, min_std=recipe.min_std)
            advantages_PGF = advantages_PGF + white.advantages[..., None]
            flat.append(white.flat_groups)
        if rewards.frames_PGF is not None:
            frames_PGF = torch.from_numpy(rewards.frames_PGF).float().to(where)
            white = whiten_frames(frames_PGF, valid_PG, min_std=recipe.min_std)
            weight = recipe.faults_weight if rewards.whole else 1.0
            advantages_PGF = advantages_PGF + weight * white.advantages
            flat.append(white.flat_groups)
        log["reward/flat_groups"], log["reward/short_groups"] = min(flat), white.short_groups
        log["reward/advantage_std"] = advantages_PGF.std().item()
        ends_P = torch.tensor([e.length for e in clips.excerpts], device=where)
        there_PF = torch.arange(frames, device=where) * self.base.config.hop <= ends_P[:, None]
        return recipe.policy.pooled((advantages_PGF * there_PF[:, None])[..., None, :])[..., 0, :]

    def _pull_to_anchor(self, anchor: Batch | None, log: dict[str, object]) -> None:
        """The gradient of what pretraining asked for, on clips with a reference."""
        if anchor is None:
            return
        net, recipe = self.net, self.recipe
        spec_BKF = net.spectrum(anchor.mix_BT)
        gains_BKF = net.mask(spec_BKF, anchor.crops_BV, anchor.seen_BV)
        parts = errors(net, spec_BKF, gains_BKF, anchor.reference_BT)
        log |= {f"anchor/{name}": part.item() for name, part in parts.items()}
        loss = -parts["si_snr_db"] / 10 + recipe.anchor_magnitude * parts["magnitude"]
        (recipe.anchor_weight * loss).backward()

    def _push_by_advantage(self, clips: Batch, rollouts: _Rollouts, log: dict[str, object]) -> None:
        """The gradient of the clipped surrogate and of the KL to the base, weighted."""
        recipe, sampled = self.recipe, rollouts.sampled
        mean_PKF = self.net.mask(self.net.spectrum(clips.mix_BT), clips.crops_BV, clips.seen_BV)
        log_prob_PGLM = recipe.policy.log_prob(sampled.actions_PGKF, mean_PKF[:, None])
        valid_PG = torch.from_numpy(rollouts.rewards.valid_PG).to(mean_PKF.device)
        surrogate = clipped_surrogate(
            log_prob_PGLM,
            sampled.old_log_prob_PGLM,
            rollouts.advantages_PGM,
            valid_PG,
            eps=recipe.clip_eps,
        )
        kl = gaussian_kl(mean_PKF, sampled.ref_mean_PKF, recipe.sigma).mean()
        log |= {
            "policy/loss": surrogate.loss.item(),
            "policy/clip_fraction": surrogate.clip_fraction,
            "policy/ratio_mean": surrogate.ratio_mean,
            "policy/ratio_max": surrogate.ratio_max,
            "policy/kl": kl.item(),
        }
        loss = recipe.policy_weight * surrogate.loss + recipe.kl_weight * kl
        loss.backward()

    def _climb(self, clips: Batch, log: dict[str, object]) -> None:
        """The gradient of what the critic thinks of the mask's sound, and of the KL to the base."""
        recipe, net = self.recipe, self.net
        spec_PKF = net.spectrum(clips.mix_BT)
        mean_PKF = net.mask(spec_PKF, clips.crops_BV, clips.seen_BV)
        made_PT = net.synthesise(mean_PKF, spec_PKF, clips.mix_BT.shape[1])
        value_P = self._value([x[: e.length] for x, e in zip(made_PT, clips.excerpts, strict=True)])
        with torch.no_grad():
            base = [self._of_base(excerpt, made_PT.device) for excerpt in clips.excerpts]
            base_P = torch.stack([self._value_of(b, made_PT.device) for b in base])
        known_P = value_P.isfinite()
        self._count(int((~known_P).sum()), len(known_P), log)
        kl = gaussian_kl(mean_PKF, torch.stack([b.mask_KF for b in base]), recipe.sigma).mean()
        log |= worth_of_means(value_P, base_P) | {"policy/kl": kl.item()}
        loss = recipe.kl_weight * kl
        if bool(known_P.any()):
            loss = loss - recipe.policy_weight * value_P[known_P].mean()
        loss.backward()

    def _value(self, sounds: Sequence[Tensor]) -> Tensor:
        """[P] what is climbed."""
        assert self.panel.expect is not None
        return self.panel.expect(sounds)[:, self.recipe.climbed].mean(1)

    def _value_of(self, base: _Base, where: torch.device) -> Tensor:
        if base.value is None:
            lost = torch.full((), torch.nan, device=where)
            sound = None if base.sound is None else torch.from_numpy(base.sound).to(where)
            base.value = lost if sound is None else self._value([sound])[0]
        return base.value

    def _count(self, failed: int, asked: int, log: dict[str, object]) -> None:
        """Stop, all processes together, where the critic fails too often."""
        log["critic/failed_frac"] = self.panel.judge.enforce(*self.team.total(failed, asked))

    def _update(self, log: dict[str, object]) -> None:
        """One step of the optimizer, or none where the gradient is not finite."""
        self.team.average_gradients(self.net)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.max_norm)
        log["update/grad_norm"] = norm.item()
        if bool(norm.isfinite()):
            self.optimizer.step()
        else:
            self.skipped += 1

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._clock[stage] = self._clock.get(stage, 0.0) + time.monotonic() - began
