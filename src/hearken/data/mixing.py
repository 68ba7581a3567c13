"""How two sounds become one: levels, loops, rooms, colour, and voices that are shifted.

Everything is numpy on [T] float32 at 16 kHz and keeps the length and the alignment of its
input, so that a clean reference treated alike stays sample-exact. Chance comes from the
generator that is passed in: the same seed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hearken.errors import UsageError
from hearken.nouns import SAMPLE_RATE, Audio

__all__ = [
    "babble",
    "formant_shift",
    "loop_to",
    "mix_at_snr",
    "random_eq",
    "reverberate",
    "rms",
    "time_stretch",
]

_SILENCE_RMS = 1e-6
_WSOLA_FRAME = 1024  # 64 ms: two periods of the lowest voice
_WSOLA_SEARCH = 192  # +-12 ms: one period of a 84 Hz voice, a third of a video frame
_EQ_KNOTS_HZ = (0.0, 150.0, 400.0, 900.0, 1800.0, 3200.0, 5000.0, 8000.0)
_EARLY_S = 0.05  # reflections that help the ear (the usual C50 border)


def rms(x: Audio) -> float:
    """Root mean square of [T]; 0.0 for an empty one.

    >>> rms(np.array([3.0, -3.0], np.float32))
    3.0
    """
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if len(x) else 0.0


def mix_at_snr(target: Audio, interferer: Audio, snr_db: float) -> tuple[Audio, Audio]:
    """Add an interferer so that target power over its power is `snr_db`.

    The target keeps its level. A silent target or interferer leaves the level as it is.

    Args:
        target: [T].
        interferer: [T], the same length.
        snr_db: 10 log10(P_target / P_interferer), over the whole clip.

    Returns:
        The mixture [T] and the scaled interferer [T]; mixture = target + scaled.
    """
    if target.shape != interferer.shape:
        raise UsageError(f"lengths differ: target {len(target)}, interferer {len(interferer)}")
    level, other = rms(target), rms(interferer)
    if level < _SILENCE_RMS or other < _SILENCE_RMS:
        scaled = interferer.astype(np.float32)
    else:
        scaled = (interferer * (level / other * 10.0 ** (-snr_db / 20.0))).astype(np.float32)
    return (target + scaled).astype(np.float32), scaled


def loop_to(x: Audio, n: int, rng: np.random.Generator) -> Audio:
    """Cut a random piece of `n` samples, or repeat a shorter sound from a random phase.

    The seam of a repeat is cross-faded over 10 ms, so that it makes no click.
    """
    if len(x) == 0:
        raise UsageError("cannot loop an empty sound")
    if len(x) >= n:
        start = int(rng.integers(0, len(x) - n + 1))
        return x[start : start + n].astype(np.float32)
    fade = min(SAMPLE_RATE // 100, len(x) // 4)
    ring = x[: len(x) - fade].astype(np.float32)
    if fade:
        ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
        ring[:fade] = ring[:fade] * ramp + x[len(x) - fade :] * (1.0 - ramp)
    start = int(rng.integers(0, len(ring)))
    return np.resize(np.roll(ring, -start), n)


def babble(voices: Sequence[Audio], rng: np.random.Generator, samples: int | None = None) -> Audio:
    """Many talkers at once: each levelled, turned to a random phase, and summed.

    Args:
        voices: some [T_i]; silent ones are dropped.
        rng: draws the phases.
        samples: length of the result; the longest voice by default.

    Returns:
        [samples], at the mean level of one voice.
    """
    n = max(len(v) for v in voices) if samples is None else samples
    total: NDArray[np.float32] = np.zeros(n, np.float32)
    kept = [v for v in voices if rms(v) > _SILENCE_RMS]
    for voice in kept:
        total += loop_to(voice / rms(voice), n, rng)
    level = float(np.mean([rms(v) for v in kept])) if kept else 0.0
    return total * np.float32(level / max(len(kept), 1) ** 0.5)


def reverberate(x: Audio, rir: Audio, *, early: bool = False) -> Audio:
    """Put a sound into a room without delaying it.

    The impulse response is cut at its direct path (largest peak, less 1 ms) and scaled so
    that the direct path has gain 1: the result is time-aligned with `x` and has its length.

    Args:
        x: [T].
        rir: [R] room impulse response at 16 kHz.
        early: keep only the first 50 ms: the part of a room that a listener hears as the
            voice itself, the usual reference for de-reverberation.
    """
    from scipy.signal import fftconvolve

    peak = int(np.argmax(np.abs(rir)))
    if not len(rir) or abs(float(rir[peak])) < _SILENCE_RMS:
        raise UsageError("the room impulse response is silent")
    lead = min(peak, SAMPLE_RATE // 1000)
    kernel = rir[peak - lead :] / rir[peak]
    if early:
        kernel = kernel[: lead + int(_EARLY_S * SAMPLE_RATE)]
    heard: Audio = fftconvolve(x, kernel)[lead : lead + len(x)].astype(np.float32)
    return heard


def random_eq(x: Audio, rng: np.random.Generator, depth_db: float = 8.0) -> Audio:
    """Colour a sound with a smooth random gain, up to +-`depth_db` at eight knots; RMS kept.

    Zero phase, so nothing moves in time. It stands for microphones and distances, and hides
    which recording a voice comes from.
    """
    n = len(x) + SAMPLE_RATE // 50  # room for the filter's own ringing, instead of wrapping
    n = -(-n // 512) * 512
    frequency = np.fft.rfftfreq(n, 1.0 / SAMPLE_RATE)
    gain_db = np.interp(frequency, _EQ_KNOTS_HZ, rng.uniform(-depth_db, depth_db, 8))
    y: Audio = np.fft.irfft(np.fft.rfft(x, n) * 10.0 ** (gain_db / 20.0), n)[: len(x)].astype(
        np.float32
    )
    level = rms(y)
    return y * np.float32(rms(x) / level if level > _SILENCE_RMS else 1.0)


def formant_shift(x: Audio, factor: float) -> Audio:
    """Another voice of the same words: pitch and formants times `factor`, timing kept.

    Resampled (which moves pitch, formants and duration alike), then stretched back to the
    old duration. Events stay within about 12 ms of their old place: under a third of a
    video frame, so lips that belong to `x` belong to the result.
    """
    import soxr

    if not 0.4 <= factor <= 2.5:
        raise UsageError(f"formant factor {factor} is outside 0.4-2.5")
    squeezed = soxr.resample(x.astype(np.float32), SAMPLE_RATE * factor, SAMPLE_RATE)
    return time_stretch(squeezed.astype(np.float32), len(x))


def time_stretch(x: Audio, n: int) -> Audio:
    """Change duration to exactly `n` samples at the same pitch (WSOLA, Verhelst 1993).

    Each output frame is the piece of input, near where it should be, that best continues
    the piece before it (largest normalised correlation within +-12 ms).
    """
    if len(x) == 0 or n <= 0:
        raise UsageError(f"cannot stretch {len(x)} samples to {n}")
    half = _WSOLA_FRAME // 2
    window = np.hanning(_WSOLA_FRAME + 1)[:-1].astype(np.float32)
    pad = half + _WSOLA_SEARCH
    source = np.pad(x.astype(np.float32), (pad, pad + _WSOLA_FRAME + _WSOLA_SEARCH))
    frames = n // half + 2
    output = np.zeros(frames * half + _WSOLA_FRAME, np.float32)
    rate = len(x) / n
    at = pad - half
    output[:_WSOLA_FRAME] = source[at : at + _WSOLA_FRAME] * window
    for i in range(1, frames):
        ideal = min(round((i - 1) * half * rate) + pad + round(half * (rate - 1)), len(x) + pad)
        at = _best_start(source, at + half, max(ideal, _WSOLA_SEARCH))
        output[i * half : i * half + _WSOLA_FRAME] += source[at : at + _WSOLA_FRAME] * window
    return output[half : half + n]


def _best_start(source: Audio, follow: int, ideal: int) -> int:
    """The start within +-search of `ideal` whose frame looks most like the one at `follow`."""
    low = ideal - _WSOLA_SEARCH
    wanted = source[follow : follow + _WSOLA_FRAME]
    region = source[low : low + 2 * _WSOLA_SEARCH + _WSOLA_FRAME]
    if len(wanted) < _WSOLA_FRAME or len(region) < 2 * _WSOLA_SEARCH + _WSOLA_FRAME:
        return min(ideal, len(source) - _WSOLA_FRAME)
    score = np.correlate(region, wanted, "valid")
    power = np.concatenate([[0.0], np.cumsum(np.square(region, dtype=np.float64))])
    energy = power[_WSOLA_FRAME:] - power[:-_WSOLA_FRAME]
    return low + int(np.argmax(score / np.sqrt(energy + 1e-9)))
