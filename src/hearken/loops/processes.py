"""Several processes that train one model: who am I, and sums over all of us.

One process needs nothing. Under `accelerate launch` the same calls reach the others; gradients
are averaged by hand, as one vector, so a network that is called by parts (STFT, mask, sound)
needs no wrapper.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hearken.errors import require

__all__ = ["Processes"]


@dataclass(frozen=True)
class Processes:
    """This process among `count`; `rank` 0 is the one that writes files."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls, *, cpu: bool) -> Processes:
        """Meet the others that `accelerate launch` started; alone where there are none."""
        if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
            return cls()
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise require("accelerate", "train") from error
        state = PartialState(cpu=cpu)
        return cls(state.process_index, state.num_processes)

    def wait(self) -> None:
        """Until all of us are here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()

    def total(self, *values: float) -> list[float]:
        """Each number summed over all processes."""
        if self.count == 1:
            return list(values)
        from accelerate.utils import reduce

        summed = reduce(torch.tensor(values, dtype=torch.float64), reduction="sum")
        return [float(x) for x in summed]

    def gather(self, rows: Sequence[Any]) -> list[Any]:
        """The rows of all processes, in order of rank."""
        if self.count == 1:
            return list(rows)
        from accelerate.utils import gather_object

        return list(gather_object(list(rows)))

    def average_gradients(self, net: nn.Module) -> None:
        """Replace each gradient by its mean over all processes."""
        if self.count == 1:
            return
        from accelerate.utils import reduce

        owners = [p for p in net.parameters() if p.requires_grad]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in owners]
        joined: Tensor = reduce(torch.cat([g.flatten() for g in parts]), reduction="mean")
        for p, g in zip(owners, joined.split([p.numel() for p in owners]), strict=True):
            p.grad = g.view_as(p).clone()
