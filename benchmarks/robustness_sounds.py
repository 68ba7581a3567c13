"""The sounds of the robustness benchmark: held-out clips, spoken pairs, ladders, odd inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hearken.data import manifest
from hearken.data.codecs import OPUS_FRAME, opus_with_losses, round_trip
from hearken.data.faults import plant
from hearken.data.planted import active, active_rms, working_gain
from hearken.data.ramps import RAMPS
from hearken.data.recipe import Material, draw
from hearken.errors import InputError, UsageError
from hearken.nouns import SAMPLE_RATE, Audio

SECONDS = (2.0, 3.0)
SEVERITIES = (1.0, 2.0, 3.0, 4.0, 5.0)
RATES = {"opus": (24, 16, 12, 9, 6), "amr": (12.2, 10.2, 7.95, 5.9, 4.75)}


@dataclass(frozen=True, eq=False)
class Sounds:
    """Recordings of the validation split: clean clips, and the same with 0-3 faults."""

    material: Material
    clean: tuple[Audio, ...]
    degraded: tuple[Audio, ...]

    @classmethod
    def draw(cls, data: Path, count: int, seed: int) -> Sounds:
        """`count` clips of each kind; their talkers are drawn as in `hearken data faults`."""
        material = Material.of(manifest.split(manifest.read(data)).strangers)
        rng = np.random.default_rng([seed, 1])
        clean: list[Audio] = []
        degraded: list[Audio] = []
        while len(clean) < count or len(degraded) < count:
            try:
                planted = draw(material, rng, SECONDS).planted
            except InputError:
                continue
            if not {"tempo", "pause_s"} & set(planted.physics):
                clean.append(planted.reference)  # else the reference is stretched too
            if planted.faults:
                degraded.append(planted.audio)
        return cls(material, tuple(clean[:count]), tuple(degraded[:count]))

    def source(self, kind: str, rng: np.random.Generator) -> dict[str, Audio]:
        """The recordings that planting a fault of this type takes, as arguments of `plant`."""
        m = self.material
        found: dict[str, Audio] = {}
        if kind in ("background_noise", "musical_noise"):
            found["noise"] = _sound([e for es in m.backgrounds.values() for e in es], rng)
        if kind == "noise_event" and m.events:
            found["noise"] = _sound([e for es in m.events.values() for e in es], rng)
        if kind == "competing_talker":
            found["voice"] = self.clean[int(rng.integers(len(self.clean)))]
        if kind == "reverberation" and m.rooms:
            found["rir"] = _sound(m.rooms, rng)
        return found


def _sound(entries: Sequence[manifest.Entry], rng: np.random.Generator) -> Audio:
    from hearken.media import load_audio

    while True:
        x = load_audio(entries[int(rng.integers(len(entries)))].path)
        heard = np.flatnonzero(np.abs(x) > 1e-4)
        if len(heard):
            return x[heard[0] : heard[-1] + 1]


def say_pair(instruction: str, neutral: str, voice: str) -> tuple[Audio, Audio]:
    """Both sentences at one level and length: the neutral one is said faster or slower.

    Raises:
        UsageError: their lengths differ by more than 5 % at every rate.
    """
    from hearken.app.puppet._voice import speak

    first = speak(instruction, voice=voice).samples
    second = speak(neutral, voice=voice).samples
    rate = round(165 * len(second) / len(first))  # 165 words a minute is what was asked just now
    tries = [speak(neutral, voice=voice, words_per_minute=rate + r).samples for r in (-12, 0, 12)]
    second = min((second, *tries), key=lambda x: abs(len(x) - len(first)))
    if abs(len(second) / len(first) - 1) > 0.05:
        raise UsageError(f"{neutral!r} cannot be said as long as {instruction!r}")
    longest = max(len(first), len(second))
    a, b = (np.pad(x / active_rms(x), (0, longest - len(x))) for x in (first, second))
    return a.astype(np.float32), b.astype(np.float32)


def with_voice(clip: Audio, voice: Audio, place: str) -> Audio:
    """The voice (active level 1) after the clip at its level, or 6 dB softer under it."""
    level = active_rms(clip)
    if place == "after":
        gap = np.zeros(SAMPLE_RATE // 5, np.float32)
        mix = np.concatenate([clip, gap, level * voice])
    else:
        n = max(len(clip), len(voice))
        mix = np.pad(clip, (0, n - len(clip))) + 0.5 * level * np.pad(voice, (0, n - len(voice)))
    return np.asarray(mix / max(1.0, float(np.abs(mix).max()) / 0.99), np.float32)


def noise_ladder(sounds: Sounds, clip: Audio, rng: np.random.Generator) -> list[Audio]:
    """One noise, in one place, ever louder."""
    return planted_ladder(sounds, clip, "background_noise", rng)


def loss_ladder(sounds: Sounds, clip: Audio, rng: np.random.Generator) -> list[Audio]:
    """Ever more packets lost: each rung loses those of the one before and more, in bursts."""
    packets = len(clip) // OPUS_FRAME
    order = loss_order(active(clip)[: packets * OPUS_FRAME : OPUS_FRAME], rng)
    gain = working_gain(clip)
    rungs = []
    for severity in SEVERITIES:
        lost = np.zeros(packets, bool)
        lost[order[: max(1, round(RAMPS["lost_ratio"].at(severity) * packets))]] = True
        coded = opus_with_losses(clip * gain, lost)
        if coded is None:
            raise UsageError("no libopus in this PyAV: packet loss cannot be measured")
        rungs.append(coded[0] / gain)
    return rungs


def loss_order(speech: NDArray[np.bool_], rng: np.random.Generator) -> list[int]:
    """All packets that hold speech, in the order in which they are lost: runs of 1-4."""
    free = set(np.flatnonzero(speech).tolist())
    order: list[int] = []
    while free:
        k = sorted(free)[int(rng.integers(len(free)))]
        for j in range(k, k + int(rng.integers(1, 5))):
            if j in free:
                free.remove(j)
                order.append(j)
    return order


def rate_ladder(sounds: Sounds, clip: Audio, rng: np.random.Generator) -> list[Audio]:
    """One codec at ever lower bit rates."""
    codec = sorted(RATES)[int(rng.integers(len(RATES)))]
    gain = working_gain(clip)
    return [round_trip(clip * gain, codec, kbps) / gain for kbps in RATES[codec]]


def planted_ladder(sounds: Sounds, clip: Audio, kind: str, rng: np.random.Generator) -> list[Audio]:
    """One fault at severities 1-5, every other chance the same."""
    sources = sounds.source(kind, rng)
    seed = int(rng.integers(2**63))
    return [plant(clip, kind, s, np.random.default_rng(seed), **sources).audio for s in SEVERITIES]


Ladder = Callable[[Sounds, Audio, np.random.Generator], list[Audio]]
NESTED: dict[str, tuple[str, Ladder]] = {
    "noise level": ("noise", noise_ladder),
    "packet loss": ("continuity", loss_ladder),
    "bit rate": ("distortion", rate_ladder),
}
"""Ladder with a bar -> the dimension it should lower first, and what makes it."""


def odd_sounds(speech: Audio, rng: np.random.Generator) -> dict[str, Audio]:
    """What nobody should ask a speech critic about, and what somebody will."""
    t = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    roots = np.repeat([262.0, 349.0, 392.0, 330.0], SAMPLE_RATE)[: len(t)]  # a second each
    beat = np.exp(-2.0 * (t % 0.5))
    chords = sum(np.sin(2 * np.pi * roots * ratio * t) for ratio in (1.0, 1.26, 1.5, 2.0))
    sounds = {
        "silence": np.zeros(len(t)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * t),
        "music": 0.12 * beat * chords,
        "white_noise": 0.1 * rng.standard_normal(len(t)),
        "short": speech[np.argmax(np.abs(speech)) :][: SAMPLE_RATE // 5],
    }
    return {name: np.asarray(x, np.float32) for name, x in sounds.items()}
