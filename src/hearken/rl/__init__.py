"""Policy-gradient arithmetic on tensors. Knows neither audio nor words."""

from __future__ import annotations

from hearken.rl.advantage import Whitened, whiten_frames, whiten_groups
from hearken.rl.loss import Surrogate, clipped_surrogate, gaussian_kl

__all__ = [
    "Surrogate",
    "Whitened",
    "clipped_surrogate",
    "gaussian_kl",
    "whiten_frames",
    "whiten_groups",
]
