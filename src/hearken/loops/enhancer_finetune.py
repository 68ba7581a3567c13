"""Fine-tune the enhancer on the critic's words: PPO around the mask, one clip at a time.

    G masks ~ Normal(mask, sigma) of one clip -> G sounds -> the critic's words -> ratings
    R = rating - rating of the frozen base    A = R whitened in the group
    L = clipped surrogate(A) + kl_weight KL(policy || base) - anchor_weight SI-SNR (other clips)

Reward variants and controls are in `hearken.feedback.reward`, the arithmetic in `hearken.rl`, a
step in `hearken.loops.enhancer_finetune_step`, every logged number in docs/reward.md. At each
held-out evaluation progress.html is written anew, and the weights are kept in enhancer/; a run
whose sound gets worse by the ear of a blind metric, or goes too far from the base, stops and
leaves the weights of the last evaluation that was good.

Left out of the textbook: no value function (the group's mean is the baseline), no entropy bonus
(sigma is fixed), no discounting (an episode is one action). The ratio is per cell. Batches and
noise follow from (seed, step, process), so the sampler has no state beyond the step.
"""

from __future__ import annotations

import copy
import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from hearken.enhancer.model import Enhancer
from hearken.enhancer.net import MaskNet
from hearken.errors import CheckpointError, UsageError
from hearken.feedback.guard import Judge
from hearken.loops.enhancer_finetune_heldout import HeldOut
from hearken.loops.enhancer_finetune_judge import Panel, Tools
from hearken.loops.enhancer_finetune_scenes import Excerpts, collate
from hearken.loops.enhancer_finetune_step import Learner, Recipe
from hearken.loops.processes import Processes
from hearken.metrics import finetune_page
from hearken.run import checkpoint, device
from hearken.run import config as configs
from hearken.run.track import Run, track

__all__ = ["Config", "Tools", "main"]


@dataclass(frozen=True)
class Config(Recipe):
    """Settings of `enhancer-finetune`; those of a step are `Recipe`'s."""

    out: Path = Path("")
    """Run folder; enhancer/ in it holds the weights."""
    data: Path = Path("")
    """Training scenes, AVSEC layout."""
    valid: Path = Path("")
    """Held-out scenes, AVSEC layout; empty for no held-out evaluation."""
    cache: Path = Path("")
    """Folder for mouth crops and answers on the base, made once; default OUT/cache."""
    weights: Path | None = None
    """Enhancer to start from, and the frozen base; default: the one shipped."""
    critic: str = ""
    """Folder or hub name of the critic; default: the one shipped."""
    judge_url: str = ""
    """Address of a critic elsewhere, http://host:port/v1; --critic is then its name there."""
    rater: str = ""
    """Folder or hub name of the rater of words; default: the one shipped."""
    learns: Literal["all", "decoder", "biases"] = "all"
    """Which weights may change: all; those of the listener behind its waist (5 %); or its biases
    and norms (0.3 %; Ben Zaken et al. 2022), which OUT/enhancer-changes then holds alone."""
    steps: int = 100
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
    clips: int = 8
    """Clips a step and process (P)."""
    anchor: int = 4
    """Clips of the supervised minibatch; 0 for none."""
    lr: float = 1e-5
    """Of Adam, constant."""
    seconds: float = 2.0
    """Length of a clip."""
    lips: bool = True
    """Look at the talker."""
    max_failed_frac: float = 0.25
    """The run stops if the critic fails on a larger share of its latest clips."""
    patience: int = 64
    """Clips that this share is taken over."""
    max_kl: float = 0.0
    """The run stops where the KL to the base, nats a cell, is above this; 0 for no limit."""
    max_drop: float = 0.1
    """The run stops where held-out DistillMOS is below the base's by this, surely; 0 for never."""
    valid_every: int = 50
    """Steps between held-out evaluations."""
    valid_count: int = 40
    """Held-out clips, one from each scene."""
    examples: int = 3
    """Of these in full in progress.html."""

    @classmethod
    def smoke(cls, **changes: object) -> Config:
        """Two short steps, to see that it runs."""
        small: dict[str, object] = {
            "steps": 2, "clips": 2, "rollouts": 2, "epochs": 1, "anchor": 2, "seconds": 1.0,
            "save_every": 1, "valid_every": 2, "valid_count": 2, "examples": 1,
        }  # fmt: skip
        return configs.smoke_of(cls, small, changes)


@dataclass
class State:
    """What a step changes."""

    learner: Learner
    step: int = 0

    def save(self, path: Path) -> None:
        """To one file, with the global random state."""
        learner = self.learner
        checkpoint.save(
            path,
            {
                "net": learner.net.state_dict(),
                "optimizer": learner.optimizer.state_dict(),
                "judge": learner.panel.judge.state(),
                "step": self.step,
                "skipped": learner.skipped,
                "rng": checkpoint.rng_state(),
            },
        )

    def restore(self, path: Path) -> None:
        """From what `save` wrote."""
        saved = checkpoint.load(path)
        learner = self.learner
        try:
            learner.net.load_state_dict(saved["net"])
            learner.optimizer.load_state_dict(saved["optimizer"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path}: does not fit these weights: {error}") from error
        learner.panel.judge.restore(saved["judge"])
        self.step, learner.skipped = int(saved["step"]), int(saved["skipped"])
        checkpoint.set_rng_state(saved["rng"])


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
    start = Enhancer.from_pretrained(config.weights, device=where)
    base = start.net.requires_grad_(False)
    net = _trainable(copy.deepcopy(base), config.learns)
    tools = tools or Tools.load(
        config.critic,
        config.rater,
        config.device,
        config.judge_url,
        gradient=config.reward == "gradient",
    )
    judge = Judge(
        tools.listen,
        max_failed_frac=config.max_failed_frac,
        patience=config.patience,
        answers=_answers(config, tools.critic),
    )
    panel = Panel(config.reward, judge, tools, config.pieces_s)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=config.lr)
    state = State(Learner(config, net, base, optimizer, panel, team))
    with Run.open(config.out, config, resume=config.resume, main=team.rank == 0) as run:
        if config.resume and run.checkpoint.exists():
            state.restore(run.checkpoint)
        run.rewind(state.step)
        try:
            return _Loop(config, run, state, tools, team, start).run()
        finally:
            panel.close()


class _Loop:
    """Steps and held-out evaluations until the end, or until a guard calls."""

    def __init__(
        self, config: Config, run: Run, state: State, tools: Tools, team: Processes, base: Enhancer
    ) -> None:
        self.config, self.log, self.state, self.team = config, run, state, team
        self.base = base
        cache = _cache(config)
        seconds, lips = config.seconds, config.lips
        self.train = Excerpts(config.data, cache, seconds=seconds, lips=lips)
        self.held_out: HeldOut | None = None
        if config.valid != Path(""):
            valid = Excerpts(
                config.valid, cache, seconds=seconds, lips=lips, limit=config.valid_count
            )
            learner = state.learner
            self.held_out = HeldOut(learner.base, valid, learner.panel.judge, tools, team)

    def run(self) -> dict[str, float]:
        """The loop."""
        config, state = self.config, self.state
        start: dict[str, float] = {}
        steps = range(state.step, config.steps)
        for step in track(steps, total=config.steps, start=state.step, label="enhancer-finetune",
                          quiet=self.team.rank > 0):  # fmt: skip
            if step % config.valid_every == 0:
                numbers = self._evaluate()
                start = start or {k.replace("valid/", "start/"): v for k, v in numbers.items()}
                if self._stopped(_worse(numbers, config)):
                    return {**start, **numbers}
            row = self._step(step)
            state.step = step + 1
            # Agreed, so that nobody waits for those that are gone.
            stop = self.team.total(float(self.log.stopping))[0] > 0
            if self.team.rank == 0 and (stop or state.step % config.save_every == 0):
                state.save(self.log.checkpoint)
            if stop or self._stopped(_too_far(row, config)):
                return start
        numbers = self._evaluate()
        if self.team.rank == 0:
            state.save(self.log.checkpoint)
            print(_shares(self.log.history()), file=sys.stderr)
        self._stopped(_worse(numbers, config))
        return {**start, **numbers}

    def _step(self, step: int) -> dict[str, object]:
        config, team = self.config, self.team
        began = time.monotonic()
        where = next(self.state.learner.base.parameters()).device
        rng = np.random.default_rng([config.seed, step, team.rank])
        clips = [self.train[i] for i in _draw(config, len(self.train), step, team)]
        anchor = [self.train[int(i)] for i in rng.integers(len(self.train), size=config.anchor)]
        row = self.state.learner.step(
            collate(clips, where), collate(anchor, where) if anchor else None, rng
        )
        row["time/step_s"] = time.monotonic() - began
        self.log.log(step, row)
        return row

    def _evaluate(self) -> dict[str, float]:
        """The held-out numbers; keeps the weights where they are good."""
        numbers: dict[str, float] = {}
        net = self.state.learner.net
        if self.held_out is not None:
            numbers = self.held_out.evaluate(net)
            self.log.log(self.state.step, numbers)
        if self.team.rank == 0:
            if not _worse(numbers, self.config):
                good = Enhancer(copy.deepcopy(net))
                good.save(self.config.out / "enhancer")
                if self.config.learns == "biases":
                    good.save_changes(self.config.out / "enhancer-changes", self.base)
            examples = self.held_out.examples(self.config.examples) if self.held_out else []
            facts = {"reward": self.config.reward, "of": f"{self.config.steps} steps"}
            finetune_page.write(self.config.out, self.log.history(), examples, facts=facts)
        return numbers

    def _stopped(self, reason: str) -> bool:
        if reason and self.team.rank == 0:
            self.log.log(self.state.step, {"guard/stopped": reason})
            print(f"enhancer-finetune stopped at step {self.state.step}: {reason}", file=sys.stderr)
        return bool(reason)


def _shares(history: Sequence[Mapping[str, object]]) -> str:
    """Where the time went, in one line."""
    rows = [row for row in history if isinstance(row.get("time/step_s"), float)]
    total = sum(float(str(row["time/step_s"])) for row in rows)
    if not total:
        return "no step was taken"
    parts = [
        f"{name} {sum(float(str(row.get(f'time/{name}_s', 0))) for row in rows) / total:.0%}"
        for name in ("enhance", "update", "wait", "listen")
    ]
    return (
        f"{60 * len(rows) / total:.1f} steps a minute; of a step: {', '.join(parts)} (listening "
        "runs beside the rest; wait is what is left of it)"
    )


def _worse(numbers: dict[str, float], config: Config) -> str:
    """Why the held-out numbers forbid to go on; "" where they do not."""
    high = numbers.get("valid/distillmos_high", 0.0)
    if config.max_drop and high < -config.max_drop:
        return f"held-out DistillMOS is {-high:.2f} or more below the base's (--max-drop)"
    return ""


def _too_far(row: dict[str, object], config: Config) -> str:
    kl = row.get("policy/kl")
    if config.max_kl and isinstance(kl, float) and not kl <= config.max_kl:
        return f"KL to the base is {kl:.3g} nats a bin (--max-kl {config.max_kl:g})"
    return ""


def _cache(config: Config) -> Path:
    return config.cache if config.cache != Path("") else config.out / "cache"


def _answers(config: Config, critic: str) -> Path | None:
    """Where this critic's answers are kept."""
    name = hashlib.sha256(critic.encode()).hexdigest()[:16]
    return _cache(config) / "answers" / name if critic else None


def _draw(config: Config, count: int, step: int, team: Processes) -> list[int]:
    """This process's clips of a step: each excerpt once before any comes again."""
    first = (step * team.count + team.rank) * config.clips
    places = range(first, first + config.clips)
    orders = {e: np.random.default_rng([config.seed, e]).permutation(count)
              for e in {p // count for p in places}}  # fmt: skip
    return [int(orders[p // count][p % count]) for p in places]


def _trainable(net: MaskNet, learns: str) -> MaskNet:
    """Dropout and norms in eval(): the policy that is updated is the one that acted."""
    net.eval().requires_grad_(learns == "all")
    listen = net.listen
    if learns == "decoder":
        for behind in (listen.up, listen.skip, listen.norm_up, listen.leave):
            behind.requires_grad_(True)
    elif learns == "biases":
        for p in listen.parameters():
            p.requires_grad_(p.ndim == 1)
    for part in net.modules():
        if isinstance(part, nn.RNNBase) and part.dropout == 0:
            part.train()  # the same numbers; cuDNN has no backward for an RNN in eval mode
    return net


def _refuse_bad(config: Config) -> None:
    config.refuse_bad()
    if config.reward == "none" and config.anchor == 0:
        raise UsageError("--reward none with --anchor 0 trains nothing")
    if config.reward == "gradient" and config.judge_url:
        raise UsageError(
            "--reward gradient needs the critic in this process: leave out --judge-url"
        )
    if config.reward == "shuffled" and config.clips < 2:
        raise UsageError("--reward shuffled needs at least two clips a step: --clips 2")
