# ruff: noqa: F722  (jaxtyping shapes are strings, not annotations)
"""The clipped surrogate of PPO, taken bin by bin, and the KL of two Gaussians.

The action is a whole mask: K x F numbers drawn independently. The textbook ratio of joint
densities is the product of K x F bin ratios: after one small step it is far outside
[1 - eps, 1 + eps], so every sample is clipped and learning stops. Here each bin has its own
ratio, its own clip, and the terms are averaged.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Surrogate", "clipped_surrogate", "gaussian_kl"]


class Surrogate(NamedTuple):
    """The loss to minimise, and what happened to the ratios.

    Attributes:
        loss: scalar, minus the mean clipped objective; carries the gradient.
        clip_fraction: share of bins whose ratio left [1 - eps, 1 + eps].
        ratio_mean: mean ratio; 1 at the first inner epoch.
        ratio_max: largest distance |ratio - 1|.
    """

    loss: Tensor
    clip_fraction: float
    ratio_mean: float
    ratio_max: float


def clipped_surrogate(
    log_prob_PGKF: Float[Tensor, "P G K F"],
    old_log_prob_PGKF: Float[Tensor, "P G K F"],
    advantages: Float[Tensor, "P G"] | Float[Tensor, "P G F"],
    valid_PG: Bool[Tensor, "P G"],
    *,
    eps: float = 0.1,
) -> Surrogate:
    """PPO's clipped objective (Schulman et al. 2017, eq. 7) with one ratio per bin.

        r = exp(log_prob - old_log_prob)
        L = - mean over valid rollouts of mean over bins of min(r A, clip(r, 1-eps, 1+eps) A)

    Args:
        log_prob_PGKF: of the sampled actions under the policy now; carries the gradient.
        old_log_prob_PGKF: of the same actions when they were sampled.
        advantages: [P, G], one for each rollout, or [P, G, F], one for each frame of it.
        valid_PG: rollouts that count. With none valid the loss is 0, with a zero gradient.
        eps: half width of the trust interval.
    """
    # Selected, not multiplied by 0: a masked rollout may hold NaN, and 0 * NaN is NaN. N = valid.
    advantages_N = advantages[valid_PG]
    advantages_N = advantages_N[:, None] if advantages.ndim == 3 else advantages_N[:, None, None]
    ratio_NKF = (log_prob_PGKF[valid_PG] - old_log_prob_PGKF[valid_PG].detach()).exp()
    clipped_NKF = ratio_NKF.clamp(1 - eps, 1 + eps)
    gain_NKF = torch.minimum(ratio_NKF * advantages_N, clipped_NKF * advantages_N)
    count = max(len(gain_NKF), 1)
    loss = -gain_NKF.mean(dim=(1, 2)).sum() / count
    if len(gain_NKF) == 0:
        return Surrogate(loss, 0.0, 1.0, 0.0)
    ratio_NKF = ratio_NKF.detach()
    away_NKF = (ratio_NKF - 1).abs()
    return Surrogate(
        loss,
        clip_fraction=float((away_NKF > eps).float().mean()),
        ratio_mean=float(ratio_NKF.mean()),
        ratio_max=float(away_NKF.max()),
    )


def gaussian_kl(
    mean: Float[Tensor, "*shape"],
    ref_mean: Float[Tensor, "*shape"],
    sigma: float | Float[Tensor, "*#shape"],
    ref_sigma: float | Float[Tensor, "*#shape"] | None = None,
) -> Float[Tensor, "*shape"]:
    """KL(N(mean, sigma^2) || N(ref_mean, ref_sigma^2)) in closed form, per element, in nats.

        log(s0 / s1) + (s1^2 + (m1 - m0)^2) / (2 s0^2) - 1/2

    With equal sigma (`ref_sigma` None) this is (m1 - m0)^2 / (2 sigma^2).

    >>> gaussian_kl(torch.tensor([1.5]), torch.tensor([0.5]), 0.5)
    tensor([2.])
    """
    squared = (mean - ref_mean).square()
    if ref_sigma is None:
        return squared / (2 * torch.as_tensor(sigma) ** 2)
    s1, s0 = torch.as_tensor(sigma), torch.as_tensor(ref_sigma)
    return torch.log(s0 / s1) + (s1.square() + squared) / (2 * s0.square()) - 0.5
