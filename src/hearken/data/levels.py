"""How loud speech is while there is any: the level that scenes are mixed by."""

from __future__ import annotations

import numpy as np

from hearken.errors import ManifestError
from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["active_level_db", "snr_db"]


def active_level_db(x: Audio) -> float:
    """Mean power, in dB re full scale, of the 20 ms frames within 40 dB of the loudest.

    Raises:
        ManifestError: [T] is empty or silent: it has no level.

    >>> tone = np.sin(np.arange(3200, dtype=np.float32) * np.pi / 8)
    >>> half_silent = np.concatenate([tone, np.zeros(3200, np.float32)])
    >>> round(active_level_db(half_silent), 2)
    -3.01
    """
    frame = SAMPLE_RATE // 50
    padded = np.pad(np.asarray(x, np.float64), (0, -len(x) % frame))
    power = np.square(padded).reshape(-1, frame).mean(axis=1)
    loudest = float(power.max()) if len(power) else 0.0
    if loudest < 1e-12:
        raise ManifestError("a silent signal has no active level")
    return float(10.0 * np.log10(power[power > loudest * 1e-4].mean()))


def snr_db(target: Audio, interferer: Audio) -> float:
    """Active level of the target less that of the interferer, dB."""
    return active_level_db(target) - active_level_db(interferer)
