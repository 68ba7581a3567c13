"""Fine-tune the enhancer on the critic's words: PPO around the mask, one clip at a time.

    G masks ~ Normal(mask, sigma) of one clip -> G sounds -> the critic's words -> ratings
    R = rating - rating of the frozen base    A = R whitened in the group
    L = clipped surrogate(A) + kl_weight KL(policy || base) - anchor_weight SI-SNR (other clips)

Reward variants and controls are in `hearken.feedback.reward`, the arithmetic in `hearken.rl`,
every logged number in docs/reward.md.

Left out of the textbook: no value function (the group's mean is the baseline), no entropy bonus
(sigma is fixed), no discounting (an episode is one action). The ratio is per bin. Batches and
noise follow from (seed, step, process), so the sampler has no state beyond the step.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hearken.enhancer.model import Enhancer
from hearken.enhancer.net import MaskNet
from hearken.enhancer.policy import GaussianMaskPolicy
from hearken.errors import CheckpointError, UsageError
from hearken.feedback.guard import Judge
from hearken.feedback.reward import REWARDS, Rewards, Variant
from hearken.loops.enhancer_finetune_judge import Tools, evaluate, heard, worth
from hearken.loops.enhancer_finetune_scenes import Batch, Excerpts, collate
from hearken.loops.enhancer_pretrain import si_snr_db
from hearken.loops.processes import Processes
from hearken.nouns import SAMPLE_RATE
from hearken.rl import clipped_surrogate, gaussian_kl, whiten_frames, whiten_groups
from hearken.run import checkpoint, device
from hearken.run import config as configs
from hearken.run.track import Run, track

__all__ = ["Config", "Tools", "main"]


@dataclass(frozen=True)
class Config:
    """Settings of `enhancer-finetune`."""

    out: Path = Path("")
    """Run folder; enhancer/ in it holds the weights."""
    data: Path = Path("")
    """Training scenes, AVSEC layout."""
    valid: Path = Path("")
    """Held-out scenes, AVSEC layout; empty for no held-out evaluation."""
    cache: Path = Path("")
    """Folder for mouth crops, made once; default OUT/cache."""
    weights: Path | None = None
    """Enhancer to start from, and the frozen base; default: the one shipped."""
    critic: str = ""
    """Folder or hub name of the critic; default: the one shipped."""
    judge_url: str = ""
    """Address of a critic elsewhere, http://host:port/v1; --critic is then its name there."""
    rater: str = ""
    """Folder or hub name of the rater of words; default: the one shipped."""
    reward: Variant = "words"
    """What the policy is rewarded for; see docs/reward.md."""
    steps: int = 400
    """Rollout steps."""
    seed: int = 0
    """Of clips and noise."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or auto."""
    resume: bool = False
    """Continue the run in OUT."""
    save_every: int = 50
    """Steps between checkpoints."""
    threads: int = 0
    """CPU threads of torch; 0 leaves them alone."""
    clips: int = 2
    """Clips a step and process (P)."""
    rollouts: int = 4
    """Sampled masks of each clip (G)."""
    sigma: float = 0.05
    """Spread of the sampled gains."""
    epochs: int = 2
    """Updates on the same rollouts."""
    clip_eps: float = 0.1
    """Half width of the ratio's trust interval."""
    min_std: float = 1e-3
    """Least spread of rewards in a group that counts as a difference."""
    kl_weight: float = 1e-4
    """Of the KL to the frozen base, a mean over bins."""
    anchor: int = 4
    """Clips of the supervised minibatch; 0 for none."""
    anchor_weight: float = 1.0
    """Of minus SI-SNR, in tens of dB."""
    policy_weight: float = 1.0
    """Of the clipped surrogate."""
    lr: float = 1e-4
    """Of Adam, constant."""
    max_norm: float = 1.0
    """Gradients are scaled down to this norm."""
    seconds: float = 3.0
    """Length of a clip."""
    lips: bool = True
    """Look at the talker."""
    max_failed_frac: float = 0.25
    """The run stops if the critic fails on a larger share of its latest clips."""
    patience: int = 64
    """Clips that this share is taken over."""
    valid_every: int = 100
    """Steps between held-out evaluations."""
    valid_count: int = 40
    """Held-out clips, one from each scene."""

    @classmethod
    def smoke(cls, **changes: object) -> Config:
        """Two short steps, to see that it runs."""
        small: dict[str, object] = {
            "steps": 2, "rollouts": 2, "epochs": 1, "anchor": 2, "seconds": 1.0,
            "save_every": 1, "valid_every": 2, "valid_count": 2,
        }  # fmt: skip
        return configs.smoke_of(cls, small, changes)


@dataclass
class State:
    """What a step changes."""

    net: MaskNet
    optimizer: torch.optim.Optimizer
    judge: Judge
    step: int = 0
    skipped: int = 0

    def save(self, path: Path) -> None:
        """To one file, with the global random state."""
        checkpoint.save(
            path,
            {
                "net": self.net.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "judge": self.judge.state(),
                "step": self.step,
                "skipped": self.skipped,
                "rng": checkpoint.rng_state(),
            },
        )

    def restore(self, path: Path) -> None:
        """From what `save` wrote."""
        saved = checkpoint.load(path)
        try:
            self.net.load_state_dict(saved["net"])
            self.optimizer.load_state_dict(saved["optimizer"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path}: does not fit these weights: {error}") from error
        self.judge.restore(saved["judge"])
        self.step, self.skipped = int(saved["step"]), int(saved["skipped"])
        checkpoint.set_rng_state(saved["rng"])


@dataclass(frozen=True)
class Rollouts:
    """P x G sampled masks, and what they were worth."""

    actions_PGKF: Tensor
    old_log_prob_PGKF: Tensor
    ref_mean_PKF: Tensor
    rewards: Rewards
    advantages_PGF: Tensor


def main(config: Config, tools: Tools | None = None) -> dict[str, float]:
    """Run the loop. Returns the last held-out evaluation, and the first as "start/...".

    Args:
        config: the settings.
        tools: judges to use instead of those that the config names.

    Raises:
        JudgeError: the critic failed too often.
        CheckpointError: the folder holds a run and `resume` is False.
    """
    configs.needs(config, "out", "data")
    _refuse_bad(config)
    device.set_threads(config.threads)
    device.seed_all(config.seed)
    where = device.pick(config.device)
    team = Processes.join(cpu=where.type == "cpu")
    base = Enhancer.from_pretrained(config.weights, device=where).net.requires_grad_(False)
    net = _trainable(copy.deepcopy(base))
    tools = tools or Tools.load(config.critic, config.rater, config.device, config.judge_url)
    judge = Judge(tools.listen, max_failed_frac=config.max_failed_frac, patience=config.patience)
    state = State(net, torch.optim.Adam(net.parameters(), lr=config.lr), judge)
    with Run.open(config.out, config, resume=config.resume, main=team.rank == 0) as run:
        if config.resume and run.checkpoint.exists():
            state.restore(run.checkpoint)
        run.rewind(state.step)
        return _loop(config, run, state, base, tools, team)


def _loop(
    config: Config, run: Run, state: State, base: MaskNet, tools: Tools, team: Processes
) -> dict[str, float]:
    where = next(base.parameters()).device
    cache = config.cache if config.cache != Path("") else config.out / "cache"
    train = Excerpts(config.data, cache, seconds=config.seconds, lips=config.lips)
    valid = None
    if config.valid != Path(""):
        valid = Excerpts(config.valid, cache, seconds=config.seconds, lips=config.lips,
                         limit=config.valid_count)  # fmt: skip

    def held_out() -> dict[str, float]:
        if valid is None:
            return {}
        numbers = evaluate(state.net, base, valid, state.judge, tools, team)
        run.log(state.step, numbers)
        return numbers

    start: dict[str, float] = {}
    steps = range(state.step, config.steps)
    for step in track(steps, total=config.steps, start=state.step, label="enhancer-finetune",
                      quiet=team.rank > 0):  # fmt: skip
        if step % config.valid_every == 0:
            numbers = held_out()
            start = start or {k.replace("valid/", "start/"): v for k, v in numbers.items()}
        began = time.monotonic()
        rng = np.random.default_rng([config.seed, step, team.rank])
        clips = collate([train[i] for i in _draw(config, len(train), step, team)], where)
        anchor = [train[int(i)] for i in rng.integers(len(train), size=config.anchor)]
        done = train_step(config, state, base, tools, team, clips,
                          collate(anchor, where) if anchor else None, rng)  # fmt: skip
        run.log(step, {**done, "time/step_s": time.monotonic() - began})
        state.step = step + 1
        stop = team.total(float(run.stopping))[0] > 0  # agreed, so that nobody waits for the gone
        if team.rank == 0 and (stop or state.step % config.save_every == 0):
            state.save(run.checkpoint)
        if stop:
            return start
    numbers = held_out()
    if team.rank == 0:
        state.save(run.checkpoint)
        Enhancer(copy.deepcopy(state.net)).save(config.out / "enhancer")
    return {**start, **numbers}


def train_step(
    config: Config,
    state: State,
    base: MaskNet,
    tools: Tools,
    team: Processes,
    clips: Batch,
    anchor: Batch | None,
    rng: np.random.Generator,
) -> dict[str, object]:
    """Sample, judge, and update `config.epochs` times; returns what to log."""
    log: dict[str, object] = {}
    rollouts = None
    if config.reward != "none":
        rollouts = _roll_out(config, state, base, tools, team, clips, rng, log)
    for _ in range(config.epochs):
        loss = torch.zeros((), device=clips.mix_BT.device)
        if rollouts is not None:
            loss = loss + _policy_loss(config, state.net, clips, rollouts, log)
        if anchor is not None:
            ratio_db = si_snr_db(
                state.net(anchor.mix_BT, anchor.crops_BV, anchor.seen_BV), anchor.reference_BT
            ).mean()
            log["anchor/si_snr_db"] = ratio_db.item()
            loss = loss - config.anchor_weight * ratio_db / 10
        _update(config, state, team, loss, log)
    log["update/skipped"] = state.skipped
    return log


def _roll_out(
    config: Config,
    state: State,
    base: MaskNet,
    tools: Tools,
    team: Processes,
    clips: Batch,
    rng: np.random.Generator,
    log: dict[str, object],
) -> Rollouts:
    """Sample G masks of each clip, make sound of them, have it judged."""
    where = clips.mix_BT.device
    noise = torch.Generator(where).manual_seed(int(rng.integers(2**62)))
    with torch.no_grad():
        spec_PKF = state.net.spectrum(clips.mix_BT)
        mean_PKF = state.net.mask(spec_PKF, clips.crops_BV, clips.seen_BV)
        ref_PKF = base.mask(spec_PKF, clips.crops_BV, clips.seen_BV)
        actions_PGKF = GaussianMaskPolicy.sample(mean_PKF, config.sigma, config.rollouts, noise)
        old_PGKF = GaussianMaskPolicy.log_prob(actions_PGKF, mean_PKF[:, None], config.sigma)
        sounds_PG = [
            heard(base.synthesise(a, s.expand_as(a), clips.mix_BT.shape[1]), e.length)
            for a, s, e in zip(actions_PGKF, spec_PKF[:, None], clips.excerpts, strict=True)
        ]
        # One clip at a time: then what the base gets does not depend on its neighbours.
        alone = [collate([e], where) for e in clips.excerpts]
        base_P = [heard(base(b.mix_BT, b.crops_BV, b.seen_BV), b.excerpts[0].length)[0]
                  for b in alone]  # fmt: skip
    frames, hop = spec_PKF.shape[2], base.config.hop
    judged = worth(config.reward, state.judge, tools, sounds_PG, base_P, frames, hop / SAMPLE_RATE)
    log |= judged.log
    failed, asked = team.total(judged.failed, judged.asked)
    log["critic/failed_frac"] = state.judge.enforce(failed, asked)
    advantages_PGF = _advantages(config, judged.rewards, clips, frames, hop, log)
    return Rollouts(actions_PGKF, old_PGKF, ref_PKF, judged.rewards, advantages_PGF)


def _advantages(
    config: Config, rewards: Rewards, clips: Batch, frames: int, hop: int, log: dict[str, object]
) -> Tensor:
    """Whitened in the group, [P, G, F]; 0 beyond the end of a clip shorter than the others."""
    where = clips.mix_BT.device
    valid_PG = torch.from_numpy(rewards.valid_PG).to(where)
    if rewards.frames_PGF is not None:
        rewards_PGF = torch.from_numpy(rewards.frames_PGF).float().to(where)
        white = whiten_frames(rewards_PGF, valid_PG, min_std=config.min_std)
        advantages_PGF = white.advantages
    else:
        rewards_PG = torch.from_numpy(rewards.total_PG).float().to(where)
        white = whiten_groups(rewards_PG, valid_PG, min_std=config.min_std)
        advantages_PGF = white.advantages[..., None].expand(-1, -1, frames)
    log["reward/flat_groups"], log["reward/short_groups"] = white.flat_groups, white.short_groups
    ends_P = torch.tensor([e.length for e in clips.excerpts], device=where)
    there_PF = torch.arange(frames, device=where) * hop <= ends_P[:, None]
    return advantages_PGF * there_PF[:, None]


def _policy_loss(
    config: Config, net: MaskNet, clips: Batch, rollouts: Rollouts, log: dict[str, object]
) -> Tensor:
    """The clipped surrogate and the KL to the base, weighted."""
    mean_PKF = net.mask(net.spectrum(clips.mix_BT), clips.crops_BV, clips.seen_BV)
    log_prob_PGKF = GaussianMaskPolicy.log_prob(
        rollouts.actions_PGKF, mean_PKF[:, None], config.sigma
    )
    valid_PG = torch.from_numpy(rollouts.rewards.valid_PG).to(mean_PKF.device)
    surrogate = clipped_surrogate(
        log_prob_PGKF, rollouts.old_log_prob_PGKF, rollouts.advantages_PGF, valid_PG,
        eps=config.clip_eps,
    )  # fmt: skip
    kl = gaussian_kl(mean_PKF, rollouts.ref_mean_PKF, config.sigma).mean()
    log |= {
        "policy/loss": surrogate.loss.item(),
        "policy/clip_fraction": surrogate.clip_fraction,
        "policy/ratio_mean": surrogate.ratio_mean,
        "policy/ratio_max": surrogate.ratio_max,
        "policy/kl": kl.item(),
    }
    return config.policy_weight * surrogate.loss + config.kl_weight * kl


def _update(
    config: Config, state: State, team: Processes, loss: Tensor, log: dict[str, object]
) -> None:
    """One step of Adam on gradients averaged over processes; none if they are not finite."""
    state.optimizer.zero_grad()
    if loss.requires_grad:
        loss.backward()
    team.average_gradients(state.net)
    norm = nn.utils.clip_grad_norm_(state.net.parameters(), config.max_norm)
    log["update/grad_norm"] = norm.item()
    if not bool(norm.isfinite()):
        state.skipped += 1
        return
    state.optimizer.step()


def _draw(config: Config, count: int, step: int, team: Processes) -> list[int]:
    """This process's clips of a step: each excerpt once before any comes again."""
    first = (step * team.count + team.rank) * config.clips
    places = range(first, first + config.clips)
    orders = {e: np.random.default_rng([config.seed, e]).permutation(count)
              for e in {p // count for p in places}}  # fmt: skip
    return [int(orders[p // count][p % count]) for p in places]


def _trainable(net: MaskNet) -> MaskNet:
    """Dropout and norms in eval(): the policy that is updated is the one that acted."""
    net.eval().requires_grad_(True)
    for part in net.modules():
        if isinstance(part, nn.RNNBase) and part.dropout == 0:
            part.train()  # the same numbers; cuDNN has no backward for an RNN in eval mode
    return net


def _refuse_bad(config: Config) -> None:
    if config.reward not in REWARDS:
        raise UsageError(f"--reward {config.reward}: is none of {', '.join(REWARDS)}")
    if config.reward == "none" and config.anchor == 0:
        raise UsageError("--reward none with --anchor 0 trains nothing")
    if config.reward != "none" and config.rollouts < 2:
        raise UsageError("--rollouts: a group needs at least two")
    if config.reward == "shuffled" and config.clips < 2:
        raise UsageError("--reward shuffled needs at least two clips a step: --clips 2")
