"""Calibration of the critic: supervised learning of scores, faults and words (stage 1 of loop 1).

Kostenok et al. 2026 (arXiv 2603.10175): cross-entropy on the scores, the audio encoder unfrozen.
What differs here: the target of a score is the truth's distribution over the five digits, not
one digit; a model that starts from nothing also learns the rest of the answer (`score_only`
gives the paper's pure stage); and a probe on the encoder's frames, dropped at the end, teaches
it to hear. Left out of the textbook: trainer classes, and a data loader. The batch of step n
is a function of the seed and n, so that resume equals an uninterrupted run to the bit.

    hearken train critic-calibrate --data CORPUS/train --valid CORPUS/valid --out RUN --steps 5000

OUT/critic is the best critic so far, ready for `Critic.from_pretrained`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hearken.critic import render
from hearken.critic.answer import read
from hearken.critic.card import card, flags
from hearken.critic.exam import agreement
from hearken.critic.lesson import Lessons, Pupil
from hearken.critic.loader import load_critic
from hearken.critic.model import Critic
from hearken.critic.prompt import SIDE_FILE
from hearken.critic.temperature import fit, keep
from hearken.critic.tiny import TinyConfig, new_tiny
from hearken.data.corpus import Planting, read_corpus
from hearken.errors import GrammarError
from hearken.loops.hearing import lessons_of
from hearken.loops.processes import Processes
from hearken.nouns import Description
from hearken.run import checkpoint
from hearken.run.config import needs, smoke_of
from hearken.run.device import hardware, pick, seed_all, set_threads
from hearken.run.optimizer import Optimizer, trapezoid
from hearken.run.track import Run, provenance

__all__ = ["Config", "main"]


@dataclass(frozen=True)
class Config:
    """What a calibration run is made of."""

    out: Path = Path("")
    """Folder of the run."""
    data: tuple[Path, ...] = ()
    """Corpora to learn from (see `hearken data faults`)."""
    valid: Path = Path("")
    """Corpus to measure on: other talkers, other noises."""
    init: Path | None = None
    """Critic folder to start from; none makes a new tiny one."""
    steps: int = 3600
    """Updates of the weights."""
    batch: int = 16
    """Clips in an update, over all processes."""
    muon: bool = True
    """Muon on hidden matrices; else AdamW on everything."""
    lr: float = 8e-4
    """Learning rate: rises over `warmup` steps, stays, falls over the last `cooldown` steps."""
    warmup: int = 150
    """Steps until the learning rate is at its highest."""
    cooldown: int = 800
    """Steps of a linear fall to a hundredth. A run resumed with more `steps` falls later."""
    weight_decay: float = 0.05
    """Of AdamW, on matrices."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    score_weight: float = 2.0
    """Weight of the loss on the seven scores (`loss/score`)."""
    text_weight: float = 1.0
    """Weight of the loss on the rest of the answer (`loss/text`)."""
    words_weight: float = 0.3
    """Weight of a token of the free words; of those of faults and labels 1."""
    probe_weight: float = 1.0
    """Weight of the loss of the probe (`loss/probe`); 0 for no probe."""
    hear_first: int = 0
    """Steps at the start that teach the encoder alone, through the probe, for half the work."""
    score_only: bool = False
    """The paper's pure stage: no loss but that on the scores."""
    freeze_encoder: bool = False
    """Leave the audio encoder as it is."""
    digit_noise: float = 0.8
    """Share of score digits replaced in the input, so that scores follow from the sound."""
    gain_db: tuple[float, float] = (-20.0, 6.0)
    """Range of the random gain."""
    tilt_db: float = 2.0
    """Size of the random colouring of the spectrum."""
    bf16: bool = False
    """Compute in bfloat16 where that is safe; weights stay float32."""
    eval_every: int = 500
    """Steps between measurements on `valid`."""
    eval_clips: int = 192
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
    data_note: str = ""
    """For the model card: where the data came from, and its licences."""

    @classmethod
    def smoke(cls, **changes: object) -> Config:
        """A run of seconds that shows that everything works."""
        tiny = {
            "steps": 6,
            "batch": 4,
            "warmup": 2,
            "cooldown": 2,
            "eval_every": 3,
            "eval_clips": 4,
        }
        return smoke_of(cls, {**tiny, "save_every": 3}, changes)


@dataclass
class State:
    """What a step reads and changes."""

    pupil: Pupil
    optimizer: Optimizer
    step: int = 0
    best: float = -1.0


def main(config: Config) -> dict[str, float | None]:
    """Trains, and returns the numbers of the best critic on `valid`.

    Raises:
        UsageError: a path is missing.
        CheckpointError: `out` holds a run already, or `init` is not a critic.
        ManifestError: a corpus that cannot be read.
    """
    needs(config, "out", "data", "valid")
    set_threads(config.threads)
    seed_all(config.seed)
    team = Processes.join(cpu=config.device == "cpu")
    plantings = [p for folder in config.data for p in read_corpus(folder)]
    with Run.open(config.out, config, resume=config.resume, main=team.rank == 0) as run:
        critic = _start(config, plantings, run, team)
        cache = config.cache or config.out / "heard"
        lessons = lessons_of(critic, plantings, cache, "hearing the corpus")
        held_out = read_corpus(config.valid)[: config.eval_clips]
        trial = lessons_of(critic, held_out, cache, "hearing valid")
        state = _state(config, critic)
        if config.resume and run.checkpoint.exists():
            _restore(state, run)
        _learn(config, run, state, critic, lessons, trial, team)
        done = state.step >= config.steps
    rows = [r for r in run.history() if "valid/all" in r] if team.rank == 0 else []
    best = max(rows, key=lambda r: r["valid/all"] or -1.0, default={})
    if team.rank == 0 and done:
        print(f"best critic, step {best.get('step')}: {run.folder / 'critic'}")
    return {k: v for k, v in best.items() if k.startswith("valid/")}


def _learn(
    config: Config,
    run: Run,
    state: State,
    critic: Critic,
    lessons: Lessons,
    trial: Lessons,
    team: Processes,
) -> None:
    """Steps until the end or a Ctrl-C; always leaves a checkpoint."""
    lengths = lessons.lengths
    for step in run.progress(config.steps, start=state.step, label="calibrating"):
        began = time.monotonic()
        rows = _rows(lengths, config.batch, config.seed, step)[team.rank :: team.count]
        rng = np.random.default_rng([config.seed, 1, step, team.rank])
        batch = lessons.batch(
            rows,
            rng,
            gain_db=config.gain_db,
            tilt_db=config.tilt_db,
            digit_noise=config.digit_noise,
            words_weight=config.words_weight,
        )
        losses, norm = _step(config, state, batch, team)
        state.step = step + 1
        values = {f"loss/{k}": v for k, v in losses.items()} | {
            "optimizer/lr": trapezoid(config, step),
            "optimizer/grad_norm": norm,
            "time/step_s": time.monotonic() - began,
        }
        if state.step % config.eval_every == 0 or state.step == config.steps:
            values |= _measure(config, state, critic, trial, run, team)
        run.log(step, values)
        if state.step % config.save_every == 0 or state.step == config.steps:
            _save(state, run)
    _save(state, run)


def _step(
    config: Config, state: State, batch: Mapping[str, Tensor], team: Processes
) -> tuple[dict[str, float], float]:
    """One update; a step whose gradient is not finite is left out."""
    device = next(state.pupil.parameters()).device
    state.optimizer.rate(trapezoid(config, state.step))
    with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
        losses = state.pupil(
            {k: v.to(device) for k, v in batch.items()}, hear_only=state.step < config.hear_first
        )
    weights = {
        "score": config.score_weight,
        "text": 0.0 if config.score_only else config.text_weight,
        "probe": 0.0 if config.score_only else config.probe_weight,
    }
    total = sum(weights[k] * v for k, v in losses.items())
    assert isinstance(total, Tensor)
    total.backward()
    team.average_gradients(state.pupil)
    norm = nn.utils.clip_grad_norm_(state.pupil.parameters(), config.clip_norm)
    if torch.isfinite(norm):
        state.optimizer.step()
    state.optimizer.zero_grad()
    return {k: float(v.detach()) for k, v in losses.items()}, float(norm)


def _measure(
    config: Config, state: State, critic: Critic, trial: Lessons, run: Run, team: Processes
) -> dict[str, float]:
    """Greedy answers on the validation clips; keeps the critic if it is the best so far."""
    if team.rank != 0:
        return {}
    critic.model.eval()
    said = list(_answers(critic, trial, config.batch))
    critic.model.train()
    numbers = agreement(said, trial.truths)
    if numbers["valid/all"] > state.best:
        state.best = numbers["valid/all"]
        _export(config, critic, run, numbers, state.step, fit(said, trial.truths))
    with (run.folder / "samples.txt").open("a", encoding="utf-8") as file:
        for answer, truth in list(zip(said, trial.truths, strict=True))[:4]:
            raw = answer.text if isinstance(answer, GrammarError) else answer.raw
            file.write(f"== step {state.step}\n{raw}\n-- truth\n{render(truth)}\n\n")
    return numbers


def _answers(critic: Critic, trial: Lessons, batch: int) -> Iterator[Description | GrammarError]:
    for first in range(0, len(trial), batch):
        rows = range(first, min(first + batch, len(trial)))
        given = {k: v.to(critic.model.device) for k, v in trial.inputs(rows).items()}
        for written in critic.write(given):
            try:
                yield read(critic.tokenizer, written)
            except GrammarError as error:
                yield error


def _start(config: Config, plantings: Sequence[Planting], run: Run, team: Processes) -> Critic:
    """The critic to train: `init`, or a new tiny one that the run folder keeps."""
    folder = config.init
    if folder is None:
        folder = run.folder / "init"
        if run.main and not (folder / SIDE_FILE).exists():
            texts = [render(p.description) for p in plantings]
            new_tiny(folder, texts, config=TinyConfig(), seed=config.seed)
        team.wait()
    critic = Critic(load_critic(folder, device=str(pick(config.device))))
    critic.model.float().train()
    return critic


def _rows(lengths: np.ndarray[Any, Any], batch: int, seed: int, step: int) -> list[int]:
    """The clips of one step: each epoch a new order, clips of like length together.

    >>> sorted(_rows(np.arange(4), 2, 0, 0) + _rows(np.arange(4), 2, 0, 1))
    [0, 1, 2, 3]
    """
    per_epoch = max(1, len(lengths) // batch)
    epoch, place = divmod(step, per_epoch)
    rng = np.random.default_rng([seed, 0, epoch])
    order = rng.permutation(len(lengths))
    pool = 8 * batch  # narrower pools save padding, but make batches of one kind of clip
    pools = [order[i : i + pool] for i in range(0, per_epoch * batch, pool)]
    ordered = np.concatenate([p[np.argsort(lengths[p], kind="stable")] for p in pools])
    chosen = rng.permutation(per_epoch)[place]
    return [int(i) for i in ordered[chosen * batch : (chosen + 1) * batch]]


def _state(config: Config, critic: Critic) -> State:
    pupil = Pupil(critic.model, probe=config.probe_weight > 0 and not config.score_only)
    pupil.to(critic.model.device)
    if config.freeze_encoder:
        pupil.tower.requires_grad_(False)
    optimizer = Optimizer(pupil, lr=config.lr, weight_decay=config.weight_decay, muon=config.muon)
    return State(pupil, optimizer)


def _save(state: State, run: Run) -> None:
    if run.main:
        checkpoint.save(
            run.checkpoint,
            {
                "step": state.step,
                "best": state.best,
                "pupil": state.pupil.state_dict(),
                "optimizer": state.optimizer.state_dict(),
                "rng": checkpoint.rng_state(),
            },
        )


def _restore(state: State, run: Run) -> None:
    saved = checkpoint.load(run.checkpoint)
    state.pupil.load_state_dict(saved["pupil"])
    state.optimizer.load_state_dict(saved["optimizer"])
    checkpoint.set_rng_state(saved["rng"])
    state.step, state.best = saved["step"], saved["best"]
    run.rewind(state.step)


def _export(
    config: Config,
    critic: Critic,
    run: Run,
    numbers: Mapping[str, float],
    step: int,
    heat: Mapping[str, float],
) -> None:
    """The critic as a folder that loads anywhere: bfloat16 weights, tokenizer, card."""
    out, part = run.folder / "critic", run.folder / ".critic.part"
    shutil.rmtree(part, ignore_errors=True)
    weights = {
        k: v.to(torch.bfloat16) if v.is_floating_point() else v
        for k, v in critic.model.state_dict().items()
    }
    critic.model.save_pretrained(part, state_dict=weights)
    critic.processor.save_pretrained(part)
    source = config.init or run.folder / "init"
    if (source / SIDE_FILE).exists():
        shutil.copy(source / SIDE_FILE, part / SIDE_FILE)
    keep(part, heat)
    if critic.locator is not None:
        critic.locator.save(part)
    facts, _ = provenance(config.seed)
    told = {
        "parameters": sum(p.numel() for p in critic.model.parameters()),
        "trained with": f"`hearken train critic-calibrate {flags(config)}`, step {step}",
        "commit": facts["commit"],
        "hardware": hardware(),
        "hours": f"{sum(r.get('time/step_s') or 0.0 for r in run.history()) / 3600:.2f}",
        "data": config.data_note or "a corpus of planted faults (`hearken data faults`)",
    }
    (part / "README.md").write_text(card(told, numbers), "utf-8")
    for path in part.iterdir():
        path.chmod(0o644)  # some writers leave files that only their owner can read
    shutil.rmtree(out, ignore_errors=True)
    os.replace(part, out)


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
