"""When: a small network that places the faults that have a time of their own.

A language model names faults well and writes times badly: digits to a tenth of a second, and no
sense of a hole of 60 ms. So what is wrong is the words' to say, and when is this network's, as
grounding heads draw the mask of an object that a language model has named (Lai et al. 2024,
LISA, arXiv 2308.00692). Dilated convolutions over the critic's own sound features score each
frame and each edge; a chain of two states for each type of fault finds the likeliest spans.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from hearken.critic.chain import (
    NEVER,
    Chain,
    best_path,
    log_partition,
    marginals,
    path_score,
)
from hearken.errors import CheckpointError
from hearken.media import atomic
from hearken.nouns import FAULT_TYPES, Description

__all__ = ["LOCATOR_FILE", "NAMED", "PLACED", "Located", "Locator", "place"]

LOCATOR_FILE = "locator.safetensors"
"""Beside a critic's weights."""

PLACED = tuple(name for name, kind in FAULT_TYPES.items() if kind.localised)
"""The types that have a time of their own, in the order of the network's channels."""

NAMED = 4.0
"""Log odds that a fault's name in the words adds to its spans, chosen on 700 validation clips
(`benchmarks/locator_prior.py`): F1 .755 at 0, .772 at 3 and 4, .729 at 5."""

_KERNEL = 5


@dataclass(frozen=True)
class Located:
    """A span of one type of fault.

    Attributes:
        start_s, end_s: seconds from the start of the clip.
        probability: mean over its frames of the probability that they are faulty.
    """

    start_s: float
    end_s: float
    probability: float


class Locator(nn.Module):
    """Sound features to the scores of a chain.

    Args:
        channels: of the features.
        hop_s: seconds between their frames.
        width: of the hidden layers.
        dilations: of the convolutions, one residual block each.
    """

    def __init__(
        self,
        channels: int,
        hop_s: float,
        width: int = 96,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 1),
    ) -> None:
        super().__init__()
        self.settings = {
            "channels": channels,
            "hop_s": hop_s,
            "width": width,
            "dilations": list(dilations),
        }
        self.hop_s = hop_s
        self.first = nn.Conv1d(channels, width, _KERNEL, padding=_KERNEL // 2)
        self.blocks = nn.ModuleList(_Block(width, d) for d in dilations)
        self.last = nn.Conv1d(width, 3 * len(PLACED), 1)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():  # spans are rare, and their ends rarer
            for part, odds in zip(self.last.bias.chunk(3), (-1.0, -4.0, -1.0), strict=True):
                part.fill_(odds)

    def forward(self, features: Tensor, hops: Tensor) -> Chain:
        """Scores of the six types in `PLACED`, each [B, 6, T].

        Args:
            features: [B, C, T].
            hops: [B] frames that hold sound; later ones can not be faulty.
        """
        hidden = self.first(features)
        for block in self.blocks:
            hidden = block(hidden)
        scores = self.last(hidden).float().unflatten(1, (3, len(PLACED)))
        beyond = torch.arange(features.shape[-1], device=hops.device) >= hops[:, None]
        inside, opening, closing = scores.unbind(1)
        silent = beyond[:, None]
        return Chain(inside.masked_fill(silent, NEVER), opening.masked_fill(silent, NEVER), closing)

    def loss(self, chain: Chain, truths: Sequence[Description]) -> Tensor:
        """Mean over clips and types of -log p(the true spans)."""
        on = self._targets(truths, chain.inside.shape[-1]).to(chain.inside.device)
        return (log_partition(chain) - path_score(chain, on)).mean()

    def find(
        self, features: Tensor, hops: Tensor, *, prior: float = 0.0
    ) -> list[dict[str, tuple[Located, ...]]]:
        """For each clip the likeliest spans of each type that has any, in order of time.

        Args:
            features: [B, C, T].
            hops: [B] frames that hold sound.
            prior: log odds that something else adds to each span, such as its having been named.
        """
        with torch.inference_mode():
            chain = self(features, hops)
            chain = chain._replace(opening=chain.opening + prior)
        paths, likely = best_path(chain), marginals(chain).numpy(force=True)
        return [
            {
                name: found
                for k, name in enumerate(PLACED)
                if (found := self._spans(path[k], probability[k]))
            }
            for path, probability in zip(paths, likely, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Writes `LOCATOR_FILE` into a critic's folder, in bfloat16."""
        weights = {k: v.to(torch.bfloat16).contiguous() for k, v in self.state_dict().items()}
        with atomic(folder / LOCATOR_FILE) as part:
            save_file(weights, part, metadata={"settings": json.dumps(self.settings)})

    @classmethod
    def load(cls, folder: Path) -> Locator | None:
        """The locator of a critic's folder, float32, in eval mode; None where it has none.

        Raises:
            CheckpointError: the file is not a locator's.
        """
        path = folder / LOCATOR_FILE
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                settings: dict[str, Any] = json.loads((file.metadata() or {})["settings"])
                weights = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118
            locator = cls(**settings)
            locator.load_state_dict(weights)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path}: not a locator: {error}") from error
        return locator.eval()

    def _spans(self, path: Any, probability: Any) -> tuple[Located, ...]:
        change = np.flatnonzero(np.diff(path.astype(np.int8), prepend=0, append=0))
        return tuple(
            Located(float(a) * self.hop_s, float(b) * self.hop_s, float(probability[a:b].mean()))
            for a, b in change.reshape(-1, 2)
        )

    def _targets(self, truths: Sequence[Description], frames: int) -> Tensor:
        """[B, 6, T] 1 where a fault is: from the frame nearest its start to that of its end."""
        on = torch.zeros(len(truths), len(PLACED), frames)
        for row, truth in enumerate(truths):
            for fault in truth.faults:
                if fault.type in PLACED:
                    first = min(frames - 1, round(fault.start_s / self.hop_s))
                    end = max(first + 1, round(fault.end_s / self.hop_s))
                    on[row, PLACED.index(fault.type), first:end] = 1.0
        return on


class _Block(nn.Module):
    """Residual: normalise, look around, mix."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.around = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        mixed: Tensor = hidden + self.mix(F.gelu(self.around(self.norm(hidden))))
        return mixed


def place(said: Description, found: Mapping[str, Sequence[Located]]) -> Description:
    """What was said, with the times that were found.

    A named fault with a time of its own stands at each span that was found of its type, with
    severity and detail of the nearest one that was named; its confidence is the mean of that of
    the name and of the span. Where no span was found it is left out. Other faults stay as they
    are, and so do the words.
    """
    placed = [f for f in said.faults if f.type not in PLACED]
    for name in PLACED:
        named = [f for f in said.faults if f.type == name]
        for span in found.get(name, ()) if named else ():
            middle_s = (span.start_s + span.end_s) / 2
            nearest = min(named, key=lambda f: abs((f.start_s + f.end_s) / 2 - middle_s))
            believed = span.probability
            if nearest.confidence is not None:
                believed = (nearest.confidence + span.probability) / 2
            placed.append(
                replace(nearest, start_s=span.start_s, end_s=span.end_s, confidence=believed)
            )
    order = list(FAULT_TYPES)
    placed.sort(key=lambda f: (f.start_s, f.end_s, order.index(f.type)))
    return replace(said, faults=tuple(placed))
