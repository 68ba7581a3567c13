"""Faults that add sound: background noise, a timed event, a second talker, mains hum.

The level is always relative to the active speech of the clean reference, so the signal to
noise ratio that is asked for is the one that can be measured back.
"""

from __future__ import annotations

import numpy as np

from hearken.data.mixing import loop_to
from hearken.data.planted import Planted, Sources, active_rms, digit, fade, whole
from hearken.data.ramps import RAMPS
from hearken.errors import UsageError
from hearken.nouns import SAMPLE_RATE, Audio, Fault

__all__ = [
    "COLOURS",
    "at_snr",
    "background_noise",
    "coloured",
    "competing_talker",
    "hum",
    "noise_event",
]

COLOURS = {"hiss": 0.5, "white noise": 0.0, "pink noise": -0.5, "rumble": -1.2}
"""Made-up noises: name -> slope of the magnitude spectrum, as a power of frequency."""


def background_noise(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """Steady noise through the whole clip at `background_snr_db` below the active speech."""
    n = len(clip.audio)
    if sources.noise is None:
        name = str(rng.choice(sorted(COLOURS)))
        noise = coloured(n, COLOURS[name], rng)
    else:
        name, noise = sources.noise_name or "noise", loop_to(sources.noise, n, rng)
    snr_db = RAMPS["background_snr_db"].at(severity)
    added = at_snr(clip.reference, noise, snr_db)
    fault = whole(clip, "background_noise", severity, name)
    return clip.having(clip.audio + added, fault, background_snr_db=snr_db)


def competing_talker(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """A second voice through the whole clip at `talker_snr_db` below the first."""
    if sources.voice is None:
        raise UsageError("a competing talker needs a second voice: pass voice=samples")
    snr_db = RAMPS["talker_snr_db"].at(severity)
    voice = loop_to(sources.voice, len(clip.audio), rng)
    if not voice.any():
        raise UsageError("the second voice is silent: pass another one")
    level = active_rms(clip.reference) / active_rms(voice) * 10 ** (-snr_db / 20)
    fault = whole(clip, "competing_talker", severity)
    return clip.having(clip.audio + voice * np.float32(level), fault, talker_snr_db=snr_db)


def noise_event(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """One short named sound; onset and end are those of the samples that were added."""
    seconds = min(float(rng.uniform(0.25, 1.6)), 0.6 * clip.seconds)
    if sources.event is None:
        name, sound = "beep", _beep(round(seconds * SAMPLE_RATE), rng)
    else:
        name, sound = sources.event_name or "noise", loudest(sources.event, seconds)
    sound = fade(sound, 80)
    start = int(rng.integers(0, len(clip.audio) - len(sound) + 1))
    snr_db = RAMPS["event_snr_db"].at(severity)
    added = np.zeros_like(clip.audio)
    added[start : start + len(sound)] = at_snr(clip.reference, sound, snr_db)
    end = start + len(sound)
    fault = Fault("noise_event", start / SAMPLE_RATE, end / SAMPLE_RATE, digit(severity), name)
    share = len(sound) / len(clip.audio)
    return clip.having(clip.audio + added, fault, event_snr_db=snr_db, event_share=share)


def hum(clip: Planted, severity: float, rng: np.random.Generator, sources: Sources) -> Planted:
    """Mains hum: 50 or 60 Hz and its harmonics, at `hum_snr_db` below the active speech."""
    mains_hz = float(rng.choice([50.0, 60.0])) * float(rng.uniform(0.998, 1.002))
    t = np.arange(len(clip.audio)) / SAMPLE_RATE
    tone = np.zeros(len(t))
    slope = float(rng.uniform(0.4, 1.0))
    for k in range(1, 16):
        level = k**-slope * (1.0 if k % 2 == 0 or k == 1 else 0.6)
        tone += level * np.sin(2 * np.pi * k * mains_hz * t + rng.uniform(0, 2 * np.pi))
    snr_db = RAMPS["hum_snr_db"].at(severity)
    added = at_snr(clip.reference, tone.astype(np.float32), snr_db)
    fault = whole(clip, "hum", severity, f"{round(mains_hz)} Hz")
    return clip.having(clip.audio + added, fault, hum_snr_db=snr_db)


def at_snr(speech: Audio, noise: Audio, snr_db: float) -> Audio:
    """`noise` scaled so that active speech power over mean noise power is `snr_db`."""
    power = float(np.mean(np.square(noise, dtype=np.float64)))
    if power == 0.0:
        raise UsageError("the noise is silent: pass another recording")
    return noise * np.float32(active_rms(speech) * 10 ** (-snr_db / 20) / np.sqrt(power))


def coloured(length: int, slope: float, rng: np.random.Generator) -> Audio:
    """Gaussian noise [length] whose magnitude spectrum goes as frequency ** slope."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    hz = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 40.0)
    noise = np.fft.irfft(spectrum * (hz / 1_000.0) ** slope, length)
    return np.asarray(0.1 * noise / noise.std(), np.float32)


def loudest(sound: Audio, seconds: float) -> Audio:
    """The sounding part of a recording, at most `seconds` long, from its loudest onset on.

    The onset is the first 10 ms block within 25 dB of the loudest block before it falls
    silent; the end is the last such block inside the allowed length.
    """
    block = SAMPLE_RATE // 100
    blocks = max(1, len(sound) // block)
    trimmed = sound[: blocks * block] if len(sound) >= block else np.resize(sound, block)
    power = np.mean(np.square(trimmed.reshape(blocks, block), dtype=np.float64), axis=1)
    loud = power > power.max() * 10**-2.5
    peak = int(np.argmax(power))
    start = peak
    while start > 0 and loud[max(0, start - 5) : start].any() and peak - start < 30:
        start -= 1
    while start < peak and not loud[start]:
        start += 1
    stop = min(blocks, start + max(10, round(seconds * 100)))
    while stop > start + 10 and not loud[stop - 1]:
        stop -= 1
    return trimmed[start * block : stop * block].astype(np.float32)


def _beep(length: int, rng: np.random.Generator) -> Audio:
    t = np.arange(length) / SAMPLE_RATE
    hz = float(rng.uniform(600, 2_000))
    return (np.sin(2 * np.pi * hz * t) + 0.3 * np.sin(4 * np.pi * hz * t)).astype(np.float32)
