"""The mask as a policy: a Gaussian around each predicted gain.

    a ~ Normal(mask, sigma),   log p(a) = -(a - mask)^2 / (2 sigma^2) - log(sigma sqrt(2 pi))

Actions stay unclipped, also outside [0, mask_max]: the density is then exact and the ratio of
two policies is unbiased. `MaskNet.synthesise` cuts gains to be legal when sound is made of them,
so the cut is part of the environment and not of the policy. Log-probabilities are per bin; a
joint one over F x K bins would leave the trust region within one step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hearken.errors import UsageError

__all__ = ["GaussianMaskPolicy"]


class GaussianMaskPolicy:
    """Gaussian exploration around a mask; `sigma` in units of gain (the paper: 0.05)."""

    @staticmethod
    def sample(
        mean_PKF: Tensor, sigma: float, rollouts: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw G masks a clip, without gradient.

        Args:
            mean_PKF: predicted gains [P, K, F].
            sigma: standard deviation, in gain.
            rollouts: G.
            generator: source of chance, on the device of the mask; None for torch's own.

        Returns:
            [P, G, K, F], unclipped.

        Raises:
            UsageError: sigma is not above 0.
        """
        _check(sigma)
        mean = mean_PKF.detach()[:, None].expand(-1, rollouts, -1, -1)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        return mean + sigma * noise

    @staticmethod
    def log_prob(actions: Tensor, mean: Tensor, sigma: float) -> Tensor:
        """Per-bin log-density of `actions` [..., K, F] around `mean` (shapes broadcast)."""
        _check(sigma)
        z = (actions - mean) / sigma
        return -0.5 * z.square() - math.log(sigma * math.sqrt(2 * math.pi))


def _check(sigma: float) -> None:
    if not (sigma > 0 and math.isfinite(sigma)):
        raise UsageError(f"sigma is {sigma}; it must be above 0")
