"""Pretrain the enhancer: supervised, on scenes that are mixed as they are needed.

    loss = - SI-SNR / 10  +  5 compressed-magnitude error  +  3 envelope error of the lips alone
           +  level error

The level error is (<estimate, clean> / <clean, clean> - 1)^2: what is kept of the talker keeps his
loudness. SI-SNR does not care, and without it the output was 5 dB too quiet.

Read `hearken.data.online` for what the scenes hold and why. Every `valid_every` steps the
network hears fixed held-out scenes with the right video, someone else's, and none; the weights
with the best mean gain for the right video (an audio-only twin: for none) over known and unseen
faces are kept in best/.

Left out of the textbook: no discriminator, no perceptual loss, no weight average. A batch
follows from (seed, step), so the sampler has no state beyond the step.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hearken.data import manifest
from hearken.data.fixed import FixedScene
from hearken.data.online import Batch, Mixer
from hearken.data.stock import Stock
from hearken.enhancer.envelope import envelope, imagine
from hearken.enhancer.model import Enhancer
from hearken.enhancer.net import EnhancerConfig, MaskNet, Sight
from hearken.errors import UsageError
from hearken.loops.enhancer_pretrain_data import Sides, challenge, recordings, stream
from hearken.nouns import Audio
from hearken.run import checkpoint, device
from hearken.run import config as configs
from hearken.run.optimizer import Optimizer, trapezoid
from hearken.run.track import Run

__all__ = ["Config", "Objective", "errors", "main", "si_snr_db"]

_CHOSEN_BY = ("noise/known", "noise/unseen", "talker/known", "talker/unseen")


@dataclass(frozen=True)
class Config:
    """Settings of `enhancer-pretrain`."""

    out: Path = Path("")
    """Run folder; best/ in it holds the weights."""
    data: Path = Path("")
    """Folder of recordings with manifest.csv."""
    scenes: Path = Path("")
    """Folder with train/ and dev/ in AVSEC layout, in place of data."""
    films: Path = Path("")
    """Folder of more videos of one clean talker each, for training only; optional."""
    films_repeat: int = 3
    """How often each of these counts among the filmed clips."""
    rooms: int = 0
    """Simulated rooms beside the recorded ones; they need the extra hearken[rooms]."""
    cache: Path = Path("")
    """Folder for mouth crops and shifted voices, made once; default OUT/cache."""
    steps: int = 9500
    """Optimizer steps."""
    seed: int = 0
    """Of weights and scenes."""
    device: str = "cpu"
    """cpu, cuda, cuda:N or auto."""
    resume: bool = False
    """Continue the run in OUT."""
    save_every: int = 200
    """Steps between checkpoints."""
    threads: int = 0
    """CPU threads of torch; 0 leaves them alone."""
    workers: int = 0
    """Processes that mix scenes ahead; 0 mixes in the training process."""
    batch: int = 10
    """Scenes a step."""
    frames: int = 60
    """Video frames (40 ms) a scene."""
    filmed: float = 0.5
    """Share of scenes whose target was filmed."""
    blank: float = 0.35
    """Share of scenes without a look at the target; 1 for an audio-only twin."""
    noisy: float = 0.45
    """Share of scenes with noise and no other talker."""
    lr: float = 2e-3
    """Learning rate between warm-up and cool-down."""
    warmup: int = 100
    """Steps of warm-up."""
    cooldown: int = 6300
    """Last steps, over which the rate falls to a hundredth."""
    bf16: bool = False
    """Convolutions and matrices in bfloat16: half the time on processors that have it."""
    clip: float = 5.0
    """Largest norm of the gradient."""
    magnitude_weight: float = 5.0
    """Of the error of |S|^0.3."""
    lips_weight: float = 3.0
    """Of the error of the envelope that the lips alone tell."""
    level_weight: float = 1.0
    """Of the error of the talker's loudness."""
    channels: tuple[int, ...] = (32, 48, 64, 96)
    """Of the listener's levels, the finest first."""
    blocks: int = 1
    """Residual blocks on each side of its waist."""
    hidden: int = 208
    """LSTM units in each direction."""
    causal: bool = False
    """Train the network without look-ahead."""
    valid_every: int = 300
    """Steps between validations."""
    valid_count: int = 15
    """Held-out scenes of each kind."""
    clips: int = 0
    """Recordings of each kind and talker to use at most; 0 for all."""

    @classmethod
    def smoke(cls, **changes: object) -> Config:
        """Seconds, to see that it runs."""
        small: dict[str, object] = {
            "steps": 4, "batch": 4, "frames": 20, "hidden": 16, "channels": (4, 4, 4, 4),
            "warmup": 1, "cooldown": 2, "save_every": 2, "valid_every": 4, "valid_count": 2,
            "clips": 3,
        }  # fmt: skip
        return configs.smoke_of(cls, small, changes)


class Objective(nn.Module):
    """The network and what is asked of it; forward gives the loss and its parts."""

    def __init__(
        self,
        net: MaskNet,
        magnitude_weight: float = 5.0,
        lips_weight: float = 3.0,
        level_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.net = net
        self.level_weight = level_weight
        self.magnitude_weight = magnitude_weight
        self.lips_weight = lips_weight

    def forward(
        self, mix: Tensor, clean: Tensor, crops: Tensor, drawn: Tensor, told: Tensor, seen: Tensor
    ) -> dict[str, Tensor]:
        """Fields of a `Batch` -> {"total", "si_snr_db", "magnitude", "lips", "level"}."""
        net, lips = self.net, mix.new_zeros(())
        if len(crops):
            read = net.look(crops).envelope
            lips = (read - drawn).square().mean()
            told = torch.cat([read, told[len(crops) :]])
        spec = net.spectrum(mix)
        gains = net.listen_with(spec, Sight(_wobbled(told) if self.training else told, seen))
        parts = {**errors(net, spec, gains, clean), "lips": lips}
        loss = -parts["si_snr_db"] / 10 + self.magnitude_weight * parts["magnitude"]
        loss = loss + self.level_weight * parts["level"] + self.lips_weight * lips
        return {"total": loss, **parts}


def errors(
    net: MaskNet, spec_BKF: Tensor, gains_BKF: Tensor, clean_BT: Tensor
) -> dict[str, Tensor]:
    """What is wrong with masked mixtures, means over [B]: "si_snr_db", "magnitude", "level".

    The magnitude error is of |S|^0.3, with the mixture's RMS as the unit.
    """
    estimate = net.synthesise(gains_BKF, spec_BKF, clean_BT.shape[1])
    ratio_db = si_snr_db(estimate, clean_BT).mean()
    kept = ((estimate * clean_BT).sum(1) + 1e-6) / (clean_BT.square().sum(1) + 1e-6)
    level = spec_BKF.abs().square().mean((1, 2), keepdim=True).sqrt() + 1e-5
    wanted = (net.spectrum(clean_BT).abs() / level + 1e-6).pow(0.3)
    got = (gains_BKF * spec_BKF.abs() / level + 1e-6).pow(0.3)
    return {
        "si_snr_db": ratio_db,
        "magnitude": (got - wanted).square().mean(),
        "level": (kept - 1).square().mean(),
    }


def _wobbled(told_BVD: Tensor) -> Tensor:
    """Envelopes with a random level and depth: on a new face, a lip-reader is off by some dB."""
    level = 0.4 * torch.randn(len(told_BVD), 1, 1, device=told_BVD.device)
    depth = 0.7 + 0.5 * torch.rand(len(told_BVD), 1, 1, device=told_BVD.device)
    return (told_BVD + 1.0) * depth - 1.0 + level


def si_snr_db(estimate: Tensor, clean: Tensor, ceiling_db: float = 30.0) -> Tensor:
    """Scale-invariant SNR of [B, T] in dB, saturating at `ceiling_db` so no scene dominates."""
    estimate = estimate - estimate.mean(-1, keepdim=True)
    clean = clean - clean.mean(-1, keepdim=True)
    energy = clean.square().sum(-1, keepdim=True) + 1e-8
    target = (estimate * clean).sum(-1, keepdim=True) / energy * clean
    signal = target.square().sum(-1) + 1e-8
    error = (estimate - target).square().sum(-1)
    return 10 * torch.log10(signal / (error + 10 ** (-ceiling_db / 10) * signal))


def main(config: Config) -> dict[str, float]:
    """Train, validate, keep the best.

    Returns:
        The last validation and {"best", "step", "skipped"}.

    Raises:
        UsageError: a flag is missing or wrong.
        CheckpointError: OUT holds a run and `resume` is off, or nothing to resume.
        ManifestError: the data folder is not laid out as it should be.
    """
    configs.needs(config, "out", "data" if config.scenes == Path("") else "scenes")
    device.set_threads(config.threads)
    accelerator, rank, world = _processes(config)
    where = accelerator.device if accelerator else device.pick(config.device)
    device.seed_all(config.seed)
    net = MaskNet(_shape(config)).to(where)
    task: nn.Module = Objective(
        net, config.magnitude_weight, config.lips_weight, config.level_weight
    )
    optimizer = Optimizer(net, lr=config.lr, weight_decay=1e-2, kernels=True)
    with Run.open(config.out, config, resume=config.resume, main=rank == 0) as run:
        state = _restored(run, config, net, optimizer)
        train, scenes = _data(config)
        mixer = _mixer(config, train)
        if accelerator:
            task = accelerator.prepare(task)
        start = int(state["step"])
        batches = stream(
            mixer, (s * world + rank for s in range(start, config.steps)), config.workers
        )
        last: dict[str, float] = {}
        for step in run.progress(config.steps, start, "enhancer-pretrain"):
            begun = time.monotonic()
            rate = trapezoid(config, step)
            optimizer.rate(rate)
            row = _step(task.train(), next(batches), where, optimizer, config)
            state["skipped"] += row.pop("skipped")
            state["step"] = step + 1
            row |= {"optimizer/lr": rate, "time/step_s": time.monotonic() - begun}
            run.log(step, row)
            done = step + 1 == config.steps
            if rank == 0 and ((step + 1) % config.valid_every == 0 or done):
                last = _validated(net, scenes)
                run.log(step, {f"valid/{k}": v for k, v in last.items()})
                _keep(run, net, state, last, "right" if config.blank < 1 else "blank")
            if rank == 0 and ((step + 1) % config.save_every == 0 or done or run.stopping):
                _saved(run, net, optimizer, state)
    return {**last, **{k: float(state[k]) for k in ("best", "step", "skipped")}}


def _step(
    task: nn.Module, batch: Batch, where: torch.device, optimizer: Optimizer, config: Config
) -> dict[str, float]:
    """One update; a step whose gradient is not finite leaves no trace and is counted."""
    fields = (batch.mix, batch.clean, batch.crops, batch.drawn, batch.told, batch.seen)
    running = [b.clone() for b in task.buffers()]  # means and variances of the norms
    with torch.autocast(where.type, torch.bfloat16, enabled=config.bf16):
        parts = task(*(torch.from_numpy(x).to(where) for x in fields))
    optimizer.zero_grad()
    parts["total"].backward()
    norm = float(torch.nn.utils.clip_grad_norm_(task.parameters(), config.clip))
    if math.isfinite(norm):
        optimizer.step()
    else:
        for buffer, kept in zip(task.buffers(), running, strict=True):
            buffer.copy_(kept)
    row = {f"loss/{k}": float(v.detach()) for k, v in parts.items()}
    return {**row, "optimizer/grad_norm": norm, "skipped": 0 if math.isfinite(norm) else 1}


def _validated(net: MaskNet, scenes: Iterable[FixedScene]) -> dict[str, float]:
    """Mean SI-SDR gain over unprocessed, dB, by set and by the video that was shown."""
    enhancer = Enhancer(net)
    gains: dict[str, list[float]] = defaultdict(list)
    for scene in scenes:
        before = _si_sdr_db(scene.mix, scene.clean)
        shown = {"right": scene.crops, "wrong": scene.wrong, "blank": None}
        for who, crops in shown.items():
            if who == "blank" or crops is not None:
                after = _si_sdr_db(enhancer.enhance(scene.mix, crops), scene.clean)
                gains[f"{scene.kind}/{who}"].append(after - before)
    return {k: float(np.mean(v)) for k, v in gains.items()}


def _si_sdr_db(estimate: Audio, clean: Audio) -> float:
    one, two = (torch.from_numpy(np.asarray(x, np.float32))[None] for x in (estimate, clean))
    return float(si_snr_db(one, two, ceiling_db=60.0))


def _keep(
    run: Run, net: MaskNet, state: dict[str, Any], gains: dict[str, float], shown: str
) -> None:
    """Write best/ when the chosen sets improved, with the video that is `shown`."""
    chosen = [gains[f"{k}/{shown}"] for k in _CHOSEN_BY if f"{k}/{shown}" in gains]
    score = float(np.mean(chosen)) if chosen else -math.inf
    if score > state["best"]:
        state["best"] = score
        Enhancer(net).save(run.folder / "best")
    Enhancer(net).save(run.folder / "last")


def _saved(run: Run, net: MaskNet, optimizer: Optimizer, state: dict[str, Any]) -> None:
    whole = {"net": net.state_dict(), "optimizer": optimizer.state_dict()}
    checkpoint.save(run.checkpoint, {**state, **whole, "rng": checkpoint.rng_state()})


def _restored(run: Run, config: Config, net: MaskNet, optimizer: Optimizer) -> dict[str, Any]:
    """Where to start: zero, or what the checkpoint says."""
    if not (config.resume and run.checkpoint.exists()):
        return {"step": 0, "best": -math.inf, "skipped": 0}
    kept = checkpoint.load(run.checkpoint)
    net.load_state_dict(kept["net"])
    optimizer.load_state_dict(kept["optimizer"])
    checkpoint.set_rng_state(kept["rng"])
    run.rewind(kept["step"])
    return {k: kept[k] for k in ("step", "best", "skipped")}


def _shape(config: Config) -> EnhancerConfig:
    return EnhancerConfig(
        channels=config.channels,
        blocks=config.blocks,
        hidden=config.hidden,
        causal=config.causal,
    )


def _processes(config: Config) -> tuple[Any, int, int]:
    """The accelerator, rank and number of processes; (None, 0, 1) for a plain run."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None, 0, 1
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=config.device == "cpu")
    return accelerator, accelerator.process_index, accelerator.num_processes


def _data(config: Config) -> Sides:
    cache = config.cache if config.cache != Path("") else config.out / "cache"
    count, limit = config.valid_count, config.clips
    if config.scenes == Path(""):
        films = manifest.films(config.films) if config.films != Path("") else ()
        return recordings(
            config.data,
            cache,
            films=films * config.films_repeat,
            made_rooms=config.rooms,
            count=count,
            limit=limit,
            seed=config.seed,
        )
    if config.data != Path(""):
        raise UsageError("--data and --scenes exclude each other: name one of them")
    return challenge(config.scenes, cache, count=count, limit=limit, workers=config.workers)


def _mixer(config: Config, train: Stock) -> Mixer:
    return Mixer(
        train,
        envelope,
        imagine,
        batch=config.batch,
        frames=config.frames,
        filmed=config.filmed,
        blank=config.blank,
        noisy=config.noisy,
        seed=config.seed,
    )
