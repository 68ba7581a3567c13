"""On and off over time: a chain of two states for each kind of event, all kinds at once.

A path through the states scores what its frames and its edges say; being off costs and earns
nothing. So the path that is never on has score 0, and every other is a likelihood ratio against
it (a linear-chain conditional random field: Lafferty et al. 2001). Scores are log odds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

__all__ = ["NEVER", "Chain", "best_path", "edges", "log_partition", "marginals", "path_score"]

NEVER = -60.0
"""Log odds of what cannot be; finite, so that gradients are."""


class Chain(NamedTuple):
    """Scores of frames and edges, each [B, K, T].

    Attributes:
        inside: for each frame that is on.
        opening: for each first frame of a span.
        closing: for each last frame of a span.
    """

    inside: Tensor
    opening: Tensor
    closing: Tensor


def edges(on: Tensor) -> tuple[Tensor, Tensor]:
    """First and last frames of the spans of `on` [..., T], of the same shape and type."""
    padded = F.pad(on, (1, 1))
    here, before, after = padded[..., 1:-1], padded[..., :-2], padded[..., 2:]
    return here * (1 - before), here * (1 - after)


def path_score(chain: Chain, on: Tensor) -> Tensor:
    """[B, K] score of the path that is on where `on` [B, K, T] is 1."""
    first, last = edges(on)
    return (chain.inside * on + chain.opening * first + chain.closing * last).sum(-1)


def log_partition(chain: Chain) -> Tensor:
    """[B, K] log of the sum over all paths of exp(score), the path that is never on included.

    The transitions are multiplied in pairs, pairs of pairs, and so on: log T rounds.
    """
    leave = F.pad(chain.closing[..., :-1], (1, 0))
    enter = chain.opening + chain.inside
    step = torch.stack([torch.zeros_like(enter), enter, leave, chain.inside], dim=-1)
    start = torch.zeros_like(step)
    start[..., 0, 2:] = NEVER  # nothing is on before the first frame
    step = step + start
    nothing = step.new_tensor([0.0, NEVER, NEVER, 0.0])
    while step.shape[-2] > 1:
        if step.shape[-2] % 2:
            step = torch.cat([step, nothing.expand(*step.shape[:-2], 1, 4)], dim=-2)
        step = _product(step[..., 0::2, :], step[..., 1::2, :])
    never_on, still_on = step[..., 0, 0], step[..., 0, 1]
    return torch.logaddexp(never_on, still_on + chain.closing[..., -1])


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Of 2 x 2 matrices [..., 4] in the log domain: rows are from off and on, columns to."""
    a00, a01, a10, a11 = a.unbind(-1)
    b00, b01, b10, b11 = b.unbind(-1)
    return torch.stack(
        [
            torch.logaddexp(a00 + b00, a01 + b10),
            torch.logaddexp(a00 + b01, a01 + b11),
            torch.logaddexp(a10 + b00, a11 + b10),
            torch.logaddexp(a10 + b01, a11 + b11),
        ],
        dim=-1,
    )


def marginals(chain: Chain) -> Tensor:
    """[B, K, T] probability that a frame is on: the derivative of `log_partition`."""
    with torch.inference_mode(False), torch.enable_grad():
        inside = chain.inside.detach().clone().requires_grad_()
        others = (part.detach().clone() for part in (chain.opening, chain.closing))
        total = log_partition(Chain(inside, *others)).sum()
        (found,) = torch.autograd.grad(total, inside)
    return found


def best_path(chain: Chain) -> NDArray[np.bool_]:
    """[B, K, T] where the path of the highest score is on (Viterbi)."""
    inside, opening, closing = (part.detach().cpu().numpy() for part in chain)
    frames = inside.shape[-1]
    off, on = np.zeros(inside.shape[:-1]), np.full(inside.shape[:-1], NEVER)
    left = np.zeros(inside.shape, bool)  # off here, and on just before
    entered = np.zeros(inside.shape, bool)  # on here, and off just before
    for t in range(frames):
        leaving = on + closing[..., t - 1] if t else on
        entering = off + opening[..., t]
        left[..., t], entered[..., t] = leaving > off, entering > on
        off, on = np.maximum(off, leaving), np.maximum(on, entering) + inside[..., t]
    path = np.zeros(inside.shape, bool)
    state = on + closing[..., -1] > off
    for t in range(frames - 1, -1, -1):
        path[..., t] = state
        state = np.where(state, ~entered[..., t], left[..., t])
    return path
