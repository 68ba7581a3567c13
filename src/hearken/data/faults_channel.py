"""Faults of the way from mouth to ear: room, clipping, narrow band, codecs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hearken.data.codecs import chain
from hearken.data.planted import Planted, Sources, active, active_rms, whole, working_gain
from hearken.data.ramps import RAMPS
from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["LADDER", "band_limiting", "clipping", "codec", "reverberation"]

_DIRECT_S = 0.0025  # the direct path ends 2.5 ms after its peak (Naylor & Gaubitch 2010)

LADDER: tuple[tuple[float, tuple[tuple[str, float], ...]], ...] = (
    (1.0, (("g722", 64),)),
    (1.0, (("opus", 24),)),
    (1.3, (("opus", 16),)),
    (1.4, (("mp3", 32),)),
    (1.7, (("opus", 12),)),
    (2.0, (("mp3", 24),)),
    (2.3, (("opus", 9),)),
    (2.5, (("amr", 12.2),)),
    (2.6, (("amr", 10.2),)),
    (2.7, (("opus", 8),)),
    (2.8, (("amr", 7.95),)),
    (2.9, (("mp3", 16),)),
    (3.0, (("gsm", 13),)),
    (3.1, (("amr", 6.7),)),
    (3.3, (("amr", 5.9),)),
    (3.4, (("opus", 6),)),
    (3.6, (("amr", 5.15),)),
    (3.7, (("amr", 4.75),)),
    (4.0, (("gsm", 13), ("opus", 6))),
    (4.0, (("gsm", 13), ("amr", 5.9))),
    (4.3, (("mp3", 8),)),
    (4.3, (("amr", 4.75), ("gsm", 13))),
    (4.5, (("opus", 6), ("amr", 4.75))),
    (4.6, (("amr", 4.75), ("amr", 4.75))),
    (4.8, (("mp3", 8), ("amr", 4.75))),
    (5.0, (("opus", 6), ("amr", 4.75), ("gsm", 13))),
    (5.0, (("mp3", 8), ("opus", 6), ("amr", 4.75))),
)
"""Codec level -> the chain of codecs (name, kbit/s) that has it, mildest first.

The order within one codec is its bit rate; between codecs it follows mean PESQ-WB over clean
LibriSpeech clips, so that one level sounds about equally bad in each codec.
"""

_CODEC_WORDS = {"amr": "amr-nb"}


def reverberation(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """The room's tail at `drr_db` below the direct sound; the direct sound stays in place."""
    if sources.rir is None:
        rt60_s = float(np.clip(RAMPS["rt60_s"].at(severity) * rng.uniform(0.85, 1.18), 0.15, 1.8))
        rir = room(rt60_s, rng)
    else:
        rir = sources.rir
        rt60_s = rt60(rir)
    drr_db = RAMPS["drr_db"].at(severity)
    direct, tail = split_rir(rir)
    power = float(np.sum(np.square(tail, dtype=np.float64)))
    if power > 0:
        tail = tail * np.float32(10 ** (-drr_db / 20) / np.sqrt(power))
    wet = np.convolve(clip.audio, direct) if len(direct) < 64 else _convolve(clip.audio, direct)
    heard = wet[: len(clip.audio)] + _convolve(clip.audio, tail)[: len(clip.audio)]
    level = active_rms(clip.audio) / active_rms(heard.astype(np.float32))
    fault = whole(clip, "reverberation", severity)
    return clip.having(heard * level, fault, drr_db=drr_db, rt60_s=rt60_s)


def clipping(clip: Planted, severity: float, rng: np.random.Generator, sources: Sources) -> Planted:
    """The top `clip_ratio` of the active samples cut off flat; active level kept."""
    ratio = RAMPS["clip_ratio"].at(severity)
    x = clip.audio
    ceiling = float(np.quantile(np.abs(x[active(x)]), 1.0 - ratio))
    heard = np.clip(x, -ceiling, ceiling) if ceiling > 0 else x
    heard = heard * np.float32(active_rms(x) / active_rms(heard))
    return clip.having(heard, whole(clip, "clipping", severity), clip_ratio=ratio)


def band_limiting(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """Nothing above `bandwidth_hz`; from severity 2.5 on half of the clips also lose the bass."""
    from scipy.signal import butter, sosfiltfilt

    cut_hz = RAMPS["bandwidth_hz"].at(severity)
    sos = butter(10, cut_hz, "lowpass", fs=SAMPLE_RATE, output="sos")
    heard = sosfiltfilt(sos, clip.audio)
    thin = bool(severity >= 2.5 and rng.random() < 0.5)
    if thin:
        sos = butter(4, 300.0, "highpass", fs=SAMPLE_RATE, output="sos")
        heard = sosfiltfilt(sos, heard)
    detail = "no bass" if thin else ""
    fault = whole(clip, "band_limiting", severity, detail)
    return clip.having(heard, fault, bandwidth_hz=cut_hz)


def codec(clip: Planted, severity: float, rng: np.random.Generator, sources: Sources) -> Planted:
    """Through one or more real codecs, chosen among those whose level is near `severity`."""
    near = [step for step in LADDER if abs(step[0] - severity) <= 0.35]
    if not near:
        near = [min(LADDER, key=lambda step: abs(step[0] - severity))]
    level, steps = near[int(rng.integers(len(near)))]
    gain = working_gain(clip.audio)
    heard = chain(clip.audio * gain, steps) / gain
    names = [_CODEC_WORDS.get(name, name) for name, _ in steps]
    detail = f"{names[0]} {steps[0][1]:g} kbit/s" if len(steps) == 1 else " then ".join(names)
    fault = whole(clip, "codec", level, detail)
    kbps = min(rate for _, rate in steps)
    return clip.having(heard, fault, codec_level=level, kbps=float(kbps))


def room(rt60_s: float, rng: np.random.Generator) -> Audio:
    """A made-up room: direct path, a few early echoes, and a diffuse tail that decays.

    The tail is Gaussian noise under an exponential envelope (Polack 1988), bright parts
    decaying up to twice as fast as the rest, as air and walls do.
    """
    n = round(SAMPLE_RATE * min(1.3 * rt60_s, 2.0))
    t = np.arange(n) / SAMPLE_RATE
    low, high = rng.standard_normal((2, n))
    low = np.convolve(low, np.hanning(9) / 4.5, mode="same")
    tail = low * 10 ** (-3 * t / rt60_s) + 0.5 * high * 10 ** (-3 * t / (0.5 * rt60_s))
    start = round(SAMPLE_RATE * float(rng.uniform(0.004, 0.012)))
    tail[:start] = 0.0
    tail /= np.sqrt(np.sum(tail**2)) + 1e-12
    for _ in range(6):
        at = int(rng.integers(start, start + round(0.03 * SAMPLE_RATE)))
        if at < n:
            tail[at] += float(rng.choice([-1, 1])) * float(rng.uniform(0.1, 0.4))
    tail[0] = 1.0
    return np.asarray(tail, np.float32)


def split_rir(rir: Audio) -> tuple[Audio, Audio]:
    """Direct path, starting at its peak with gain 1, and the tail on the same time axis."""
    peak = int(np.argmax(np.abs(rir)))
    aligned = rir[peak:].astype(np.float32) / np.float32(rir[peak])
    edge = round(_DIRECT_S * SAMPLE_RATE)
    tail = aligned.copy()
    tail[:edge] = 0.0
    direct: NDArray[np.float32] = aligned[:edge].copy()
    return direct / np.float32(np.sqrt(np.sum(np.square(direct)))), tail


def rt60(rir: Audio) -> float:
    """Reverberation time by Schroeder's backward integration, -5 to -25 dB, times three."""
    energy = np.cumsum(np.square(rir[::-1], dtype=np.float64))[::-1]
    decay_db = 10 * np.log10(energy / energy[0] + 1e-12)
    first, last = int(np.argmax(decay_db <= -5)), int(np.argmax(decay_db <= -25))
    return float(max(0.05, 3 * (last - first) / SAMPLE_RATE))


def _convolve(x: Audio, h: Audio) -> Audio:
    from scipy.signal import fftconvolve

    return np.asarray(fftconvolve(x, h), np.float32)
