"""What lips can tell about a voice: 24 log-mel bands at 25 fps, in units of 10 dB.

The mask network sees a video only as this small picture of the sound (a bottleneck). That is
what lets talkers without any video train it: a true envelope, made as poor as a lip-reader's,
stands in for lips that were never filmed.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from hearken.nouns import SAMPLE_RATE, SAMPLES_PER_FRAME, Audio

__all__ = ["BANDS", "Envelope", "envelope", "imagine", "spread"]

Envelope = NDArray[np.float32]  # [V, BANDS]

BANDS = 24
_WINDOW = 1024  # 64 ms around the middle of a 40 ms video frame
_ACTIVE_DB = 25.0  # frames within this of the loudest one count as speech
_FLOOR, _CEILING = -3.0, 1.5  # tens of dB from the speech mean of a band


def envelope(clean: Audio, frames: int) -> Envelope:
    """Log-mel of a clean voice at the frame clock, each band relative to its own speech mean.

    Gain and a fixed equaliser cancel out. Silence is at the floor, -3 (30 dB down).

    Args:
        clean: [T].
        frames: V, video frames wanted; the sound is zero-padded or cut to match.

    Returns:
        [V, 24], tens of dB, in [-3, 1.5].
    """
    side = (_WINDOW - SAMPLES_PER_FRAME) // 2
    padded = np.zeros(frames * SAMPLES_PER_FRAME + 2 * side, np.float32)
    n = min(len(clean), frames * SAMPLES_PER_FRAME + side)
    padded[side : side + n] = clean[:n]
    at = np.arange(frames)[:, None] * SAMPLES_PER_FRAME + np.arange(_WINDOW)
    power = np.abs(np.fft.rfft(padded[at] * np.hanning(_WINDOW).astype(np.float32))) ** 2
    bands_db = 10 * np.log10(power @ _mel() + 1e-9)
    loud_db = 10 * np.log10(power.sum(axis=1) + 1e-9)
    active = loud_db > loud_db.max(initial=-90.0) - _ACTIVE_DB
    centre = bands_db[active].mean(axis=0) if active.any() else bands_db.max(initial=0.0)
    drawn: Envelope = np.clip((bands_db - centre) / 10, _FLOOR, _CEILING).astype(np.float32)
    return drawn


def imagine(true: Envelope, rng: np.random.Generator) -> Envelope:
    """The envelope as a lip-reader of random skill would have guessed it.

    Each cosine component c of the band axis is replaced by what a least-squares estimator of
    correlation rho gives: rho^2 c + rho sqrt(1 - rho^2) sd(c) noise. Loudness (component 0)
    reads well from lips, the shape of the spectrum poorly, and its detail hardly at all.
    """
    if not len(true):
        return true
    basis = _cosines()
    parts = true @ basis
    mean, spread = parts.mean(axis=0), parts.std(axis=0)
    skill = rng.uniform(0.6, 1.0)
    rho = skill * np.exp(-np.arange(BANDS) / 10 ** rng.uniform(0.0, 1.5)) ** 0.5
    noise = rng.standard_normal((len(true) + 4, BANDS))
    noise = (noise[:-4] + 2 * noise[1:-3] + 3 * noise[2:-2] + 2 * noise[3:-1] + noise[4:]) / 19**0.5
    guess = mean + rho**2 * (parts - mean) + rho * np.sqrt(1 - rho**2) * spread * noise
    told: Envelope = np.clip(guess @ basis.T, _FLOOR, _CEILING).astype(np.float32)
    return told


def spread(places: int) -> NDArray[np.float32]:
    """Weights [24, places] that draw the bands over equal steps of frequency up to 8 kHz.

    Linear between the middles of two bands on the mel scale, held beyond the first and last.
    """
    hz = (np.arange(places) + 0.5) * SAMPLE_RATE / 2 / places
    middles = np.linspace(_to_mel(80.0), _to_mel(7600.0), BANDS + 2)[1:-1]
    mel = 2595 * np.log10(1 + hz / 700)
    return np.stack([np.interp(mel, middles, row) for row in np.eye(BANDS)]).astype(np.float32)


@functools.cache
def _mel() -> NDArray[np.float64]:
    """Triangular filters [513, 24] from 80 to 7600 Hz, mel = 2595 log10(1 + f / 700)."""
    edges = np.linspace(_to_mel(80.0), _to_mel(7600.0), BANDS + 2)
    hz = 700 * (10 ** (edges / 2595) - 1)
    f = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)[:, None]
    rise = (f - hz[:-2]) / (hz[1:-1] - hz[:-2])
    fall = (hz[2:] - f) / (hz[2:] - hz[1:-1])
    weights: NDArray[np.float64] = np.maximum(0.0, np.minimum(rise, fall))
    return weights


def _to_mel(hz: float) -> float:
    return float(2595 * np.log10(1 + hz / 700))


@functools.cache
def _cosines() -> NDArray[np.float64]:
    """The orthonormal DCT-II matrix [24, 24]; column j is component j."""
    i, j = np.mgrid[0:BANDS, 0:BANDS]
    basis: NDArray[np.float64] = np.cos(np.pi * (i + 0.5) * j / BANDS) * np.sqrt(2 / BANDS)
    basis[:, 0] /= np.sqrt(2)
    return basis
