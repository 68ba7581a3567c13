"""The optimiser for networks that start from nothing: Muon on hidden matrices, AdamW on the rest.

Muon (Jordan et al. 2024, torch.optim.Muon) orthogonalises the momentum of each matrix; its steps
are scaled to the size of AdamW's (Liu et al. 2025, arXiv 2502.16982), so one learning rate does
for both. Embeddings, output layers, biases and gains are not hidden matrices; kernels of
convolutions are ([out, in x size]) where that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn

__all__ = ["Optimizer", "Schedule", "trapezoid"]

_EDGES = ("embed", "lm_head", "probe", "head")


class Optimizer:
    """Two optimisers that step as one.

    Args:
        module: its parameters that want a gradient are trained.
        lr: learning rate of both, until `rate` changes it.
        weight_decay: of matrices.
        muon: False for AdamW on everything.
        kernels: Muon on the kernels of convolutions too.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        lr: float,
        weight_decay: float = 0.0,
        muon: bool = True,
        kernels: bool = False,
    ) -> None:
        named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        hidden = [p for n, p in named if muon and p.ndim == 2 and not _edge(n)]
        deep = [p for n, p in named if muon and kernels and p.ndim > 2 and not _edge(n)]
        self._flat = [(p, nn.Parameter(p.detach().view(len(p), -1))) for p in deep]  # same memory
        held = {id(p) for p in (*hidden, *deep)}
        hidden += [flat for _, flat in self._flat]
        rest = [p for _, p in named if id(p) not in held]
        groups = [
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
        ]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=(0.9, 0.98))
        ]
        if hidden:
            self._parts.append(
                torch.optim.Muon(
                    hidden, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
                )
            )

    def rate(self, lr: float) -> None:
        """Sets the learning rate."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = lr

    def step(self) -> None:
        """One update by the gradients at hand."""
        for kernel, flat in self._flat:
            flat.grad = None if kernel.grad is None else kernel.grad.reshape(flat.shape)
        for part in self._parts:
            part.step()

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)
        for kernel, _ in self._flat:
            kernel.grad = None

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {str(k): part.state_dict() for k, part in enumerate(self._parts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Back from a checkpoint."""
        for k, part in enumerate(self._parts):
            part.load_state_dict(state[str(k)])


def _edge(name: str) -> bool:
    return any(word in name for word in _EDGES)


class Schedule(Protocol):
    """The fields of a loop's Config that `trapezoid` reads."""

    @property
    def lr(self) -> float:
        """Of the plateau."""
        ...

    @property
    def steps(self) -> int:
        """In all."""
        ...

    @property
    def warmup(self) -> int:
        """Steps of the rise."""
        ...

    @property
    def cooldown(self) -> int:
        """Steps of the fall, the last ones."""
        ...


def trapezoid(config: Schedule, step: int) -> float:
    """The learning rate of a step: a rise, a plateau, a linear fall to a hundredth.

    The end can be put off without having been foreseen: the rate before the fall knows nothing of
    `steps`.
    """
    rise = (step + 1) / max(1, config.warmup)
    fall = max(0.01, (config.steps - step) / max(1, config.cooldown))
    return config.lr * min(1.0, rise, fall)
