# ruff: noqa: F722  (jaxtyping shapes are strings, not annotations)
"""From rewards to advantages: each rollout against the other rollouts of the same clip.

The group's own mean is the baseline, so no value function is trained. A rollout that has no
reward (its judge failed) is masked: it neither moves the mean nor receives an advantage.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Whitened", "whiten_frames", "whiten_groups"]


class Whitened(NamedTuple):
    """Advantages, and how many groups had nothing to learn from.

    Attributes:
        advantages: same shape as the rewards; 0 for masked rollouts and flat groups.
        flat_groups: groups of two or more valid rollouts whose rewards do not differ.
        short_groups: groups of fewer than two valid rollouts.
    """

    advantages: Tensor
    flat_groups: int
    short_groups: int


def whiten_groups(
    rewards_PG: Float[Tensor, "P G"],
    valid_PG: Bool[Tensor, "P G"],
    *,
    min_std: float = 1e-6,
) -> Whitened:
    """(r - mean of the group) / std of the group, over the valid rollouts of each clip.

    The std divides by n - 1. A group whose std is below `min_std` gives zeros: dividing by it
    would turn rounding noise into a full-size gradient.

    Args:
        rewards_PG: rewards; masked entries may hold anything, NaN included.
        valid_PG: True where the rollout has a reward.
        min_std: the least spread, in units of reward, that counts as a difference.

    >>> r, ok = torch.tensor([[1.0, 3.0, 99.0]]), torch.tensor([[True, True, False]])
    >>> whiten_groups(r, ok).advantages
    tensor([[-0.7071,  0.7071,  0.0000]])
    """
    advantages_PG1, flat, short = _whiten(rewards_PG[..., None], valid_PG, min_std)
    return Whitened(advantages_PG1[..., 0], flat, short)


def whiten_frames(
    rewards_PGF: Float[Tensor, "P G F"],
    valid_PG: Bool[Tensor, "P G"],
    *,
    min_std: float = 1e-6,
) -> Whitened:
    """Whitening with credit in time: centred frame by frame, scaled once for the clip.

    Each frame is compared with the same frame of the other rollouts. The scale is the root of
    the variance averaged over frames, one number for a group: a frame on which the rollouts
    agree gets a small advantage, not a magnified one.
    """
    return _whiten(rewards_PGF, valid_PG, min_std)


def _whiten(rewards_PGF: Tensor, valid_PG: Tensor, min_std: float) -> Whitened:
    valid_PG1 = valid_PG[..., None]
    rewards_PGF = torch.where(valid_PG1, rewards_PGF, torch.zeros_like(rewards_PGF))
    count_P = valid_PG.sum(dim=1)
    mean_P1F = rewards_PGF.sum(dim=1, keepdim=True) / count_P.clamp(min=1)[:, None, None]
    centred_PGF = torch.where(valid_PG1, rewards_PGF - mean_P1F, torch.zeros_like(rewards_PGF))
    variance_PF = centred_PGF.square().sum(dim=1) / (count_P - 1).clamp(min=1)[:, None]
    std_P = variance_PF.mean(dim=1).sqrt()
    short_P = count_P < 2
    flat_P = ~short_P & (std_P <= min_std)
    scale_P = torch.where(short_P | flat_P, torch.zeros_like(std_P), 1 / std_P.clamp(min=min_std))
    return Whitened(centred_PGF * scale_P[:, None, None], int(flat_P.sum()), int(short_P.sum()))
