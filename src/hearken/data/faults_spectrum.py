"""Faults that a machine makes while it repairs or coins speech: masks and phases gone wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hearken.data.faults_noise import at_snr, coloured
from hearken.data.mixing import loop_to
from hearken.data.planted import Planted, Sources, active, active_rms, whole
from hearken.data.ramps import RAMPS
from hearken.nouns import Audio

__all__ = ["active_frames", "istft", "musical_noise", "over_suppression", "robotic", "stft"]

_WINDOW = 512
_HOP = 128

Spectrum = NDArray[np.complex128]  # [F, K]


def musical_noise(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """Noise added at `musical_snr_db` and taken out again by power spectral subtraction.

    The subtraction has no smoothing and a low floor, so that lone peaks of the noise survive
    as short tones (Berouti, Schwartz and Makhoul 1979, eq. 2 with a small beta).
    `residual_snr_db` is the level of the noise that came through, the mask being linear.
    """
    n = len(clip.audio)
    snr_db = RAMPS["musical_snr_db"].at(severity)
    raw = coloured(n, float(rng.uniform(-0.7, 0.2)), rng)
    if sources.noise is not None and rng.random() < 0.5:
        raw = loop_to(sources.noise, n, rng)
    noise = at_snr(clip.reference, raw, snr_db)
    speech_kf, noise_kf = stft(clip.audio), stft(noise)
    floor_k = np.mean(np.abs(noise_kf) ** 2, axis=0)
    power = np.abs(speech_kf + noise_kf) ** 2
    alpha, beta = float(rng.uniform(1.0, 2.2)), 0.002
    gain = np.sqrt(np.maximum(1.0 - alpha * floor_k / (power + 1e-12), beta))
    heard = istft((speech_kf + noise_kf) * gain, n)
    residue = istft(noise_kf * gain, n)
    power_left = float(np.mean(np.square(residue, dtype=np.float64)))
    residual = 20 * np.log10(active_rms(clip.reference) / np.sqrt(power_left + 1e-20))
    fault = whole(clip, "musical_noise", severity)
    return clip.having(heard, fault, musical_snr_db=snr_db, residual_snr_db=float(residual))


def over_suppression(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """A mask that is too hard: `suppressed_share` of the speech's bins fall below -10 dB.

    Each bin is judged relative to its band's own level, as an enhancer does that holds soft
    speech for noise; the gain moves slowly in time, so words lose their ends and colour.
    """
    share = RAMPS["suppressed_share"].at(severity)
    spectrum = stft(clip.audio)
    power = np.abs(spectrum) ** 2
    smooth = np.empty_like(power)
    keep = float(rng.uniform(0.3, 0.7))
    state = power[0]
    for frame, now in enumerate(power):
        state = keep * state + (1 - keep) * now
        smooth[frame] = state
    level_db = 10 * np.log10(smooth + 1e-12)
    band_db = 10 * np.log10(np.mean(smooth, axis=0) + 1e-12)
    tilt = float(rng.uniform(0.3, 0.9))  # 1: each band by itself; 0: one threshold for all
    level_db -= tilt * band_db + (1 - tilt) * np.max(band_db)
    speech = active_frames(clip.reference, len(power))
    edge_db = float(np.quantile(level_db[speech], share))
    slope = 2.0
    depth_db = float(rng.uniform(25, 45))
    open_share = 1.0 / (1.0 + np.exp(-(level_db - edge_db) / slope))
    gain = 10 ** (-depth_db * (1 - open_share) / 20)
    heard = istft(spectrum * gain, len(clip.audio))
    heard = heard * np.float32(min(4.0, active_rms(clip.audio) / active_rms(heard)))
    fault = whole(clip, "over_suppression", severity)
    return clip.having(heard, fault, suppressed_share=share)


def robotic(clip: Planted, severity: float, rng: np.random.Generator, sources: Sources) -> Planted:
    """Phase lost: `robot_share` of the sound is resynthesised with every phase set to zero.

    Frames with zero phase repeat the spectrum's envelope at the frame rate: a flat, buzzing
    pitch (Zoelzer, DAFX, 2nd ed., 7.4.5, "robotisation").
    """
    share = RAMPS["robot_share"].at(severity)
    hop = int(rng.choice([96, 128, 160]))  # 167, 125 or 100 Hz
    n = len(clip.audio)
    flat = istft(np.abs(stft(clip.audio, hop=hop)).astype(complex), n, hop=hop)
    flat = np.roll(flat, _WINDOW // 2)  # zero phase peaks at the frame's first sample
    flat[: _WINDOW // 2] = 0.0
    flat = flat * np.float32(active_rms(clip.audio) / active_rms(flat))
    heard = np.sqrt(1 - share) * clip.audio + np.sqrt(share) * flat
    heard = heard * np.float32(active_rms(clip.audio) / active_rms(heard))
    return clip.having(heard, whole(clip, "robotic", severity), robot_share=share)


def stft(x: Audio, *, hop: int = _HOP) -> Spectrum:
    """[T] -> [F, K] complex, Hann windows of 512, the first centred on sample 0."""
    padded = np.pad(np.asarray(x, np.float64), (_WINDOW, _WINDOW + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::hop]
    return np.fft.rfft(frames * np.hanning(_WINDOW + 1)[:-1], axis=1)


def istft(spectrum: Spectrum, length: int, *, hop: int = _HOP) -> Audio:
    """Weighted overlap-add, inverse of `stft`: [F, K] -> [length]."""
    window = np.hanning(_WINDOW + 1)[:-1]
    frames = np.fft.irfft(spectrum, _WINDOW, axis=1) * window
    total = np.zeros((len(frames) - 1) * hop + _WINDOW)
    weight = np.zeros_like(total)
    for k, frame in enumerate(frames):
        total[k * hop : k * hop + _WINDOW] += frame
        weight[k * hop : k * hop + _WINDOW] += window**2
    out = total / np.maximum(weight, 1e-3)
    return out[_WINDOW : _WINDOW + length].astype(np.float32)


def active_frames(x: Audio, frames: int) -> NDArray[np.bool_]:
    """[F] which of the `frames` of `stft` have active speech at their centre."""
    centres = np.arange(frames) * _HOP + _WINDOW // 2 - _WINDOW
    busy = active(x)
    inside = (centres >= 0) & (centres < len(x))
    flags = np.zeros(frames, bool)
    flags[inside] = busy[centres[inside]]
    return flags
