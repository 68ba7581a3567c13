"""The critic's sense of time: a locator is taught where planted faults begin and end.

Supervised: -log p(the true spans) under a chain of two states for each type of fault (see
`hearken.critic.locator`). It hears the critic's own sound features and nothing of its weights, so
it is trained once, before or after them, and goes with any critic of the same ears. Left out of
the textbook: early stopping (the falling learning rate does it), and a search for thresholds
(the likeliest path needs none). The batch of step n is a function of the seed and n.

    hearken train critic-locate --critic CRITIC --data CORPUS/train --valid CORPUS/valid --out RUN

RUN/critic is a copy of CRITIC with the locator in it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hearken.critic.lesson import Lessons
from hearken.critic.loader import load_critic, shipped
from hearken.critic.locator import PLACED, Locator
from hearken.critic.model import Critic
from hearken.data.corpus import read_corpus
from hearken.loops.hearing import lessons_of
from hearken.metrics.spans import Counts, match
from hearken.nouns import Fault
from hearken.run import checkpoint
from hearken.run.config import needs, smoke_of
from hearken.run.device import pick, seed_all, set_threads
from hearken.run.optimizer import trapezoid
from hearken.run.track import Run

__all__ = ["Config", "main"]


@dataclass(frozen=True)
class Config:
    """Teaches a locator to place faults in time."""

    out: Path = Path("")
    """Folder of the run."""
    data: tuple[Path, ...] = ()
    """Corpora to learn from (see `hearken data faults`)."""
    valid: Path = Path("")
    """Corpus to measure on: other talkers, other noises."""
    critic: Path | None = None
    """Critic folder that is given the locator; none is the shipped one."""
    steps: int = 6000
    """Updates of the weights."""
    batch: int = 32
    """Clips in an update."""
    width: int = 96
    """Channels of the hidden layers."""
    lr: float = 2e-3
    """Learning rate (AdamW): rises over `warmup` steps, falls over the last `cooldown` steps."""
    warmup: int = 100
    """Steps until the learning rate is at its highest."""
    cooldown: int = 3000
    """Steps of a linear fall to a hundredth."""
    weight_decay: float = 0.02
    """Of AdamW."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    gain_db: tuple[float, float] = (-20.0, 6.0)
    """Range of the random gain."""
    tilt_db: float = 2.0
    """Size of the random colouring of the spectrum."""
    bf16: bool = False
    """Compute the convolutions in bfloat16; weights stay float32."""
    eval_every: int = 1000
    """Steps between measurements on `valid`."""
    eval_clips: int = 400
    """Clips of `valid` that are measured."""
    cache: Path | None = None
    """Folder that keeps what was heard of the clips; `out`/heard by default."""
    save_every: int = 200
    """Steps between checkpoints."""
    seed: int = 0
    """Of weights, order and augmentation."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or auto."""
    threads: int = 0
    """Threads of torch; 0 leaves them alone."""
    resume: bool = False
    """Continue the run in `out`."""

    @classmethod
    def smoke(cls, **changes: object) -> Config:
        """A run of seconds that shows that everything works."""
        tiny = {"steps": 6, "batch": 4, "width": 8, "warmup": 2, "cooldown": 2}
        return smoke_of(cls, {**tiny, "eval_every": 3, "eval_clips": 4, "save_every": 3}, changes)


@dataclass
class State:
    """What a step reads and changes."""

    locator: Locator
    optimizer: torch.optim.Optimizer
    step: int = 0


def main(config: Config) -> dict[str, float]:
    """Trains, and returns the last numbers on `valid`.

    Raises:
        UsageError: a path is missing.
        CheckpointError: `out` holds a run already, or `critic` is not one.
        ManifestError: a corpus that cannot be read.
    """
    needs(config, "out", "data", "valid")
    set_threads(config.threads)
    seed_all(config.seed)
    source = config.critic or shipped()
    critic = Critic(load_critic(source))
    with Run.open(config.out, config, resume=config.resume) as run:
        cache = config.cache or config.out / "heard"
        plantings = [p for folder in config.data for p in read_corpus(folder)]
        lessons = lessons_of(critic, plantings, cache, "hearing the corpus")
        held_out = read_corpus(config.valid)[: config.eval_clips]
        trial = lessons_of(critic, held_out, cache, "hearing valid")
        state = _state(config, critic, lessons)
        if config.resume and run.checkpoint.exists():
            _restore(state, run)
        _learn(config, run, state, lessons, trial)
        if state.step >= config.steps:
            _export(state.locator, source, config.out / "critic")
            print(f"critic with its locator: {config.out / 'critic'}")
    rows = [r for r in run.history() if "valid/time_f1" in r]
    return {k: v for k, v in (rows[-1] if rows else {}).items() if k.startswith("valid/")}


def _learn(config: Config, run: Run, state: State, lessons: Lessons, trial: Lessons) -> None:
    """Steps until the end or a Ctrl-C; always leaves a checkpoint."""
    for step in run.progress(config.steps, start=state.step, label="locating"):
        began = time.monotonic()
        rng = np.random.default_rng([config.seed, step])
        rows = rng.choice(len(lessons), min(config.batch, len(lessons)), replace=False).tolist()
        sound = lessons.coloured(rows, rng, gain_db=config.gain_db, tilt_db=config.tilt_db)
        loss, norm = _step(config, state, lessons, rows, sound)
        state.step = step + 1
        values = {
            "loss/spans": loss,
            "optimizer/lr": trapezoid(config, step),
            "optimizer/grad_norm": norm,
            "time/step_s": time.monotonic() - began,
        }
        if state.step % config.eval_every == 0 or state.step == config.steps:
            values |= _measure(config, state.locator, trial)
        run.log(step, values)
        if state.step % config.save_every == 0 or state.step == config.steps:
            _save(state, run)
    _save(state, run)


def _step(
    config: Config, state: State, lessons: Lessons, rows: Sequence[int], sound: dict[str, Tensor]
) -> tuple[float, float]:
    """One update; a step whose gradient is not finite is left out."""
    locator = state.locator
    device = next(locator.parameters()).device
    for group in state.optimizer.param_groups:
        group["lr"] = trapezoid(config, state.step)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
        chain = locator(*(part.to(device) for part in _heard(sound)))
    loss = locator.loss(chain, [lessons.truths[r] for r in rows])
    loss.backward()
    norm = nn.utils.clip_grad_norm_(locator.parameters(), config.clip_norm)
    if torch.isfinite(norm):
        state.optimizer.step()
    state.optimizer.zero_grad()
    return float(loss.detach()), float(norm)


def _measure(config: Config, locator: Locator, trial: Lessons) -> dict[str, float]:
    """Loss, and F1 at IoU 0.5 of the spans, the locator alone naming them."""
    device = next(locator.parameters()).device
    locator.eval()
    total, losses = Counts(), []
    for first in range(0, len(trial), config.batch):
        rows = range(first, min(first + config.batch, len(trial)))
        truths = [trial.truths[r] for r in rows]
        sound = trial.coloured(rows, np.random.default_rng(0))
        features, hops = (part.to(device) for part in _heard(sound))
        with torch.inference_mode():
            losses.append(float(locator.loss(locator(features, hops), truths)))
        for found, truth in zip(locator.find(features, hops), truths, strict=True):
            said = [Fault(n, s.start_s, s.end_s, 3) for n, spans in found.items() for s in spans]
            total += match(said, [f for f in truth.faults if f.type in PLACED])
    locator.train()
    return {
        "valid/loss": float(np.mean(losses)),
        "valid/time_f1": total.f1,
        "valid/time_precision": total.precision,
        "valid/time_recall": total.recall,
        "valid/onset_error_s": float(np.median(total.onset_errors_s or (0.0,))),
    }


def _heard(sound: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Features [B, C, T], and the frames of each clip that hold sound [B]."""
    return sound["input_features"], sound["input_features_mask"].sum(-1)


def _state(config: Config, critic: Critic, lessons: Lessons) -> State:
    channels = int(lessons.coloured([0], np.random.default_rng(0))["input_features"].shape[1])
    locator = Locator(channels, critic.hop_s, config.width).to(pick(config.device))
    adam = torch.optim.AdamW(locator.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    return State(locator, adam)


def _save(state: State, run: Run) -> None:
    saved: dict[str, Any] = {
        "step": state.step,
        "locator": state.locator.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }
    checkpoint.save(run.checkpoint, saved)


def _restore(state: State, run: Run) -> None:
    saved = checkpoint.load(run.checkpoint)
    state.locator.load_state_dict(saved["locator"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.step = saved["step"]
    run.rewind(state.step)


def _export(locator: Locator, source: Path, out: Path) -> None:
    """A copy of the critic with the locator in it."""
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    locator.save(part)
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
