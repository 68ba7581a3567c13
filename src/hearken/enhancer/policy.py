"""The mask as a policy: a Gaussian around the predicted gains, one number for each cell of bins.

    c ~ Normal(0, sigma) for each cell,   a = mask + c   on all bins of the cell
    log p(a) = -z^2 / 2 - log(sigma sqrt(2 pi)),   z = mean over the cell of (a - mask) / sigma

A cell of one bin and one frame is the paper's policy (Chen et al. 2026). Larger ones explore what a
listener can hear: noise that is independent in each bin changes no word. Actions stay unclipped,
also outside [0, mask_max]: the density is then exact and the ratio of two policies is unbiased.
`MaskNet.synthesise` cuts gains to be legal when sound is made of them, so the cut is part of the
environment and not of the policy. Log-probabilities are per cell; a joint one over all of them
would leave the trust region within one step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as tf

from hearken.errors import UsageError

__all__ = ["GaussianMaskPolicy"]


@dataclass(frozen=True)
class GaussianMaskPolicy:
    """Gaussian exploration around a mask.

    Shapes: P clips, G rollouts, K bins, F frames; L and M are their cells, ceil(K / cell_bins) and
    ceil(F / cell_frames).

    Attributes:
        sigma: standard deviation in units of gain (the paper: 0.05).
        cell_bins, cell_frames: size of a cell; those at the end may be smaller.
        antithetic: every second sample has the offsets of the one before it with the other sign.
            What hurts whichever way it goes then cancels in the gradient.

    Raises:
        UsageError: sigma is not above 0, or a cell is empty.
    """

    sigma: float
    cell_bins: int = 1
    cell_frames: int = 1
    antithetic: bool = False

    def __post_init__(self) -> None:
        if not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise UsageError(f"sigma is {self.sigma}; it must be above 0")
        if self.cell_bins < 1 or self.cell_frames < 1:
            raise UsageError(
                f"a cell of {self.cell_bins} x {self.cell_frames} holds nothing; 1 x 1 is least"
            )

    def sample(
        self, mean_PKF: Tensor, rollouts: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw G masks a clip, without gradient.

        Args:
            mean_PKF: predicted gains [P, K, F].
            rollouts: G.
            generator: source of chance, on the device of the mask; None for torch's own.

        Returns:
            [P, G, K, F], unclipped.
        """
        clips, bins, frames = mean_PKF.shape
        cells = (-(-bins // self.cell_bins), -(-frames // self.cell_frames))
        drawn = -(-rollouts // 2) if self.antithetic else rollouts
        noise = torch.randn(
            (clips, drawn, *cells),
            generator=generator,
            device=mean_PKF.device,
            dtype=mean_PKF.dtype,
        )
        if self.antithetic:
            noise = torch.stack([noise, -noise], 2).flatten(1, 2)[:, :rollouts]
        over = noise.repeat_interleave(self.cell_bins, 2).repeat_interleave(self.cell_frames, 3)
        return mean_PKF.detach()[:, None] + self.sigma * over[:, :, :bins, :frames]

    def log_prob(self, actions: Tensor, mean: Tensor) -> Tensor:
        """Log-density of `actions` [..., K, F] around `mean` for each cell: [..., L, M]."""
        z = self.pooled(actions - mean) / self.sigma
        return -0.5 * z.square() - math.log(self.sigma * math.sqrt(2 * math.pi))

    def pooled(self, x: Tensor) -> Tensor:
        """Means over cells: [..., K, F] -> [..., L, M]."""
        if self.cell_bins == self.cell_frames == 1:
            return x
        flat = x.reshape(-1, 1, *x.shape[-2:])
        mean = tf.avg_pool2d(flat, (self.cell_bins, self.cell_frames), ceil_mode=True)
        return mean.view(*x.shape[:-2], *mean.shape[-2:])
