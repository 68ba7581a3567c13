"""Pairs of sounds for `reward_resolution.py`: what the base makes of a window, and other versions.

Rollouts differ as little as fine-tuning's own; variations differ as much as real enhancers do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hearken.enhancer.net import MaskNet
from hearken.enhancer.policy import GaussianMaskPolicy
from hearken.loops.enhancer_finetune_judge import heard
from hearken.loops.enhancer_finetune_scenes import Batch, Excerpt, Excerpts, collate
from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["MIXED", "POWERS", "Group", "made", "per_window", "windows"]

POWERS = (0.5, 0.75, 1.5, 2.0)
"""The mask raised to these: from too little taken away to too much."""
MIXED = (0.25, 0.5, 0.75, 1.0)
"""Shares of the unprocessed sound in what is mixed of it and the enhanced one."""


@dataclass(frozen=True, eq=False)
class Group:
    """What was made of one window; a sound that is not finite is None.

    Attributes:
        name, talker: of the excerpt.
        reference: its clean speech.
        base: what the frozen enhancer makes of it.
        rollouts: G sampled masks.
        variations: other versions, by name.
        frames, frame_s: the STFT's.
    """

    name: str
    talker: str
    reference: Audio
    base: Audio
    rollouts: list[Audio | None]
    variations: dict[str, Audio | None]
    frames: int
    frame_s: float


def per_window(rollouts: int, others: int) -> int:
    """Pairs that a window with a face gives, with `others` more enhancers."""
    return rollouts + len(POWERS) + len(MIXED) + 2 + others


def windows(
    excerpts: Excerpts, count: int, rng: np.random.Generator
) -> Iterator[tuple[Excerpt, Excerpt | None]]:
    """So many windows in random order, each with one of another talker who is seen, or None."""
    order = [int(i) for i in rng.permutation(len(excerpts))]
    for at, index in enumerate(order[:count]):
        one = excerpts[index]
        later = (excerpts[i] for i in order[at + 1 :] + order[:at])
        yield one, next((e for e in later if e.talker != one.talker and e.seen.any()), None)


@torch.no_grad()
def made(
    net: MaskNet,
    one: Excerpt,
    stranger: Excerpt | None,
    others: Mapping[str, MaskNet],
    *,
    policy: GaussianMaskPolicy,
    rollouts: int,
    noise: torch.Generator,
) -> Group | None:
    """All versions of a window; None where the base's is not finite.

    Args:
        net: the base.
        one: the window.
        stranger: whose video is shown instead.
        others: more enhancers, by name.
        policy: what is sampled around the base's mask.
        rollouts: G.
        noise: their source of chance.
    """
    batch = collate([one], net.window.device)
    spec_PKF = net.spectrum(batch.mix_BT)
    mean_PKF = net.mask(spec_PKF, batch.crops_BV, batch.seen_BV)

    def sounds(mask_GKF: Tensor) -> list[Audio | None]:
        spec_GKF = spec_PKF.expand(len(mask_GKF), -1, -1)
        return heard(net.synthesise(mask_GKF, spec_GKF, batch.mix_BT.shape[1]), one.length)

    base = sounds(mean_PKF)[0]
    if base is None:
        return None
    masks = {f"mask^{p:g}": mean_PKF.pow(p) for p in POWERS}
    masks |= _by_video(net, batch, stranger, spec_PKF)
    for name, other in others.items():
        masks[name] = other.mask(spec_PKF, batch.crops_BV, batch.seen_BV)
    variations = {name: sounds(mask)[0] for name, mask in masks.items()}
    mix = one.mix[: one.length]
    variations |= {f"{a:g} unprocessed": (a * mix + (1 - a) * base).astype("f4") for a in MIXED}
    return Group(
        one.name,
        one.talker,
        one.reference[: one.length],
        base,
        sounds(policy.sample(mean_PKF, rollouts, noise)[0]),
        variations,
        spec_PKF.shape[2],
        net.config.hop / SAMPLE_RATE,
    )


def _by_video(
    net: MaskNet, batch: Batch, stranger: Excerpt | None, spec_PKF: Tensor
) -> dict[str, Tensor]:
    """Masks with no video and with another talker's; none where this one is not seen."""
    if batch.crops_BV is None:
        return {}
    found = {"no video": net.mask(spec_PKF)}
    if stranger is not None:
        shown = collate([stranger], net.window.device)
        found["other video"] = net.mask(spec_PKF, shown.crops_BV, shown.seen_BV)
    return found
