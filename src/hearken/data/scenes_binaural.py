"""Simulated binaural scenes: where a source is, as two ears on a hard sphere would hear it.

This is a simulation, for measuring what an enhancer does to spatial cues; no one's measured head.
Each ear's response to a plane wave from the angle t off that ear's axis is

    delay   -a/c cos t  for t < 90 degrees, else  a/c (t - pi/2)        (Woodworth 1938)
    shadow  (1 + j alpha w / 2 w0) / (1 + j w / 2 w0),  w0 = c/a        (Brown and Duda 1998)
            alpha = 1.05 + 0.95 cos(180 t / 150)

with a = 8.75 cm and c = 343 m/s: 656 us between the ears from the side, and up to 20 dB above
2 kHz. No pinna, no torso, no elevation. In a room the direct sound comes from the source; each
5 ms of the measured response after it comes from one of six directions at random, so the
reverberation is about as diffuse as it is in a room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hearken.errors import UsageError
from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["Placed", "arrange", "in_room", "place"]

_RADIUS_S = 0.0875 / 343.0  # a / c
_SHADOW_MIN, _SHADOW_DEG = 0.1, 150.0
_DIRECT_S = 0.0025
_SLICE_S = 0.005
_DIRECTIONS = 6
_TARGET_DEG, _OTHERS_DEG = 30.0, 90.0


@dataclass(frozen=True, eq=False)
class Placed:
    """A scene at two ears, left and right, all [2, T].

    `azimuths_deg` are those of the target and of each interferer, positive to the left.
    """

    target: Audio
    anechoic: Audio
    interferer: Audio
    azimuths_deg: tuple[float, ...]


def place(x: Audio, azimuth_deg: float) -> Audio:
    """A sound [T] from a direction in the horizontal plane, at both ears.

    Args:
        x: [T] at 16 kHz.
        azimuth_deg: 0 in front, 90 at the left ear, -90 at the right one.

    Returns:
        [2, T], left and right; time zero is that of the middle of the head.
    """
    n = len(x) + SAMPLE_RATE // 50
    n = -(-n // 512) * 512
    omega = np.asarray(2 * np.pi * np.fft.rfftfreq(n, 1.0 / SAMPLE_RATE), np.float64)
    response = np.stack([_ear(omega, azimuth_deg - at) for at in (90.0, -90.0)])
    ears = np.fft.irfft(np.fft.rfft(x, n) * response, n)
    return np.asarray(ears[:, : len(x)], np.float32)


def _ear(omega: NDArray[np.float64], off_axis_deg: float) -> NDArray[np.complex128]:
    """The response of one ear at angular frequencies."""
    t = abs((off_axis_deg + 180.0) % 360.0 - 180.0)
    angle = np.radians(t)
    delay_s = -_RADIUS_S * np.cos(angle) if t < 90 else _RADIUS_S * (angle - np.pi / 2)
    half = _SHADOW_MIN / 2
    alpha = 1 + half + (1 - half) * np.cos(np.pi * t / _SHADOW_DEG)
    w = 0.5j * omega * _RADIUS_S
    response: NDArray[np.complex128] = (1 + alpha * w) / (1 + w) * np.exp(-1j * omega * delay_s)
    return response


def in_room(x: Audio, rir: Audio, azimuth_deg: float, rng: np.random.Generator) -> Audio:
    """A sound [T] in a room with a measured response [R], at both ears [2, T].

    Raises:
        UsageError: the response is silent.
    """
    from scipy.signal import fftconvolve

    peak = int(np.argmax(np.abs(rir))) if len(rir) else 0
    if not len(rir) or abs(float(rir[peak])) < 1e-6:
        raise UsageError("the room impulse response is silent")
    lead = min(peak, SAMPLE_RATE // 1000)
    kernel = rir[peak - lead :] / rir[peak]
    slices = (np.arange(len(kernel)) - lead - _DIRECT_S * SAMPLE_RATE) // (_SLICE_S * SAMPLE_RATE)
    towards = rng.integers(0, _DIRECTIONS, int(max(slices.max(), 0)) + 1)
    from_deg = rng.uniform(-180.0, 180.0, _DIRECTIONS)
    which = np.where(slices < 0, -1, towards[np.maximum(slices, 0).astype(int)])
    heard: Audio = np.zeros((2, len(x)), np.float32)
    for way, where_deg in zip(range(-1, _DIRECTIONS), (azimuth_deg, *from_deg), strict=True):
        wet = fftconvolve(x, np.where(which == way, kernel, 0.0))[lead : lead + len(x)]
        heard += place(wet.astype(np.float32), float(where_deg))
    return heard


def arrange(
    target: Audio,
    others: Sequence[Audio],
    rooms: Sequence[Audio],
    rng: np.random.Generator,
) -> Placed:
    """Put a talker in front and the others around.

    Args:
        target: [T], dry.
        others: some [T], dry, at the levels that they have to each other.
        rooms: a response for the target and for each of the others, or none at all.
        rng: draws the directions: the target within 30 degrees of the front, the others within
            90.
    """
    spread = [_TARGET_DEG] + [_OTHERS_DEG] * len(others)
    azimuths = [round(float(rng.uniform(-s, s)), 1) for s in spread]
    sounds = [target, *others]
    if rooms:
        wet = [in_room(x, rir, a, rng) for x, rir, a in zip(sounds, rooms, azimuths, strict=True)]
    else:
        wet = [place(x, a) for x, a in zip(sounds, azimuths, strict=True)]
    rest: Audio = np.sum(wet[1:], axis=0, dtype=np.float32)
    return Placed(wet[0], place(target, azimuths[0]), rest, tuple(azimuths))
