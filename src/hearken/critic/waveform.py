"""What a log-mel spectrum cannot show: features of the waveform itself, frame by frame.

Flat tops are where clipping is, a level that leaps within 5 ms is where something was cut, and a
voice whose pitch is smeared or frozen is a machine's; 32 ms windows of magnitudes hide all three.
These low-level descriptors go to the audio encoder as channels above its mel bands. None
depends on the level of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["CHANNELS", "waveform_features"]

CHANNELS = (
    "flat_tops",
    "held_tops",
    "crest",
    "edge_up",
    "edge_down",
    "silence",
    "voicing",
    "pitch",
)
"""Order of the channels; see `waveform_features`."""

_FRAME = 512
_BLOCK = 80  # 5 ms
_LOWEST_HZ, _HIGHEST_HZ = 50.0, 400.0
_OCTAVE_COST = 0.03


def waveform_features(clips: Sequence[Audio], hop: int, frames: int) -> NDArray[np.float32]:
    """The channels of clips [T] that are no longer than `frames * hop` samples.

    Args:
        clips: 16 kHz.
        hop: samples between frames; frame f is centred at sample f * hop.
        frames: F; those beyond the end of a clip are 0.

    Returns:
        [B, 8, F], each about 0 to 1 in size: root of the share of samples within 2 % of the
        frame's peak; root of the share that also stay there (change below 0.5 % of the peak);
        log10 of peak over RMS; largest rise and fall of the 5 ms level within the hop, in units
        of 60 dB; share of samples more than 74 dB below the clip's peak; largest normalised
        autocorrelation between 50 and 400 Hz (Boersma 1993, eq. 9); and its lag, in units of
        two octaves around 133 Hz, weighted by it.
    """
    out = np.zeros((len(clips), len(CHANNELS), frames), np.float32)
    for row, x in enumerate(clips):
        used = min(frames, -(-len(x) // hop))
        if used and np.any(x):
            out[row, :, :used] = _features(np.asarray(x, np.float64), hop, used)
    return out


def _features(x: NDArray[np.float64], hop: int, frames: int) -> NDArray[np.float64]:
    peak = float(np.abs(x).max())
    windows = _windows(x, _FRAME, hop, frames)
    size = np.abs(windows)
    top = size.max(axis=1, keepdims=True) + 1e-4 * peak
    high = size >= 0.98 * top
    still = np.abs(np.diff(windows, axis=1, prepend=0.0)) < 0.005 * top
    rms = np.sqrt(np.mean(windows**2, axis=1)) + 1e-5 * peak
    rise, fall = _edges(x, peak, hop, frames)
    silent = (np.abs(_windows(x, hop, hop, frames)) < 2e-4 * peak).mean(axis=1)
    voicing, pitch = _voice(x, hop, frames)
    return np.stack(
        [
            np.sqrt(high.mean(axis=1)),
            np.sqrt((high & still).mean(axis=1)),
            np.clip(np.log10(top[:, 0] / rms), 0.0, 2.0),
            rise,
            fall,
            silent,
            voicing,
            pitch,
        ]
    )


def _windows(x: NDArray[np.float64], size: int, hop: int, frames: int) -> NDArray[np.float64]:
    """[frames, size], the first centred on sample 0."""
    end = (frames - 1) * hop + size
    padded = np.pad(x, (size // 2, max(0, end - size // 2 - len(x))))
    return sliding_window_view(padded, size)[::hop][:frames]


def _edges(
    x: NDArray[np.float64], peak: float, hop: int, frames: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest rise and fall of the level from one 5 ms block to the next, by hop."""
    per_hop = max(1, hop // _BLOCK)
    blocks = frames * per_hop + 1
    padded = np.zeros(blocks * _BLOCK)
    padded[: min(len(x), len(padded))] = x[: len(padded)]
    power = np.mean(padded.reshape(blocks, _BLOCK) ** 2, axis=1)
    steps = np.diff(10 * np.log10(power + 1e-7 * peak**2)) / 60
    steps[len(x) // _BLOCK - 1 :] = 0.0  # the end of the clip is no edge
    by_hop = steps.reshape(frames, per_hop)
    return np.clip(by_hop.max(axis=1), 0, None), np.clip(-by_hop.min(axis=1), 0, None)


def _voice(
    x: NDArray[np.float64], hop: int, frames: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Strength and lag of the periodicity, at half the sample rate."""
    half = 0.5 * (x[: len(x) // 2 * 2 : 2] + x[1 : len(x) // 2 * 2 : 2])
    window = np.hanning(_FRAME + 1)[:-1]
    framed = _windows(half, _FRAME, hop // 2, frames) * window
    spectrum = np.abs(np.fft.rfft(framed, 2 * _FRAME, axis=1)) ** 2
    low, high = (round(SAMPLE_RATE / 2 / hz) for hz in (_HIGHEST_HZ, _LOWEST_HZ))
    found = np.fft.irfft(spectrum, axis=1)[:, : high + 1]
    own = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * _FRAME)) ** 2)[: high + 1]
    energy = found[:, :1] + 1e-7 * _FRAME * float(np.max(half**2, initial=1e-12))
    normal = found / energy / (own / own[0])
    cost = _OCTAVE_COST * np.log2(np.arange(low, high + 1) / low)  # twice the lag fits as well
    best = low + (normal[:, low:] - cost).argmax(axis=1)
    strength = np.clip(normal[np.arange(frames), best], 0.0, 1.0)
    return strength, strength * np.log2(best / 60.0) / 2
