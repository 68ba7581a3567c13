"""What a planter works on, and the few measurements that all planters share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hearken.errors import InputError
from hearken.nouns import SAMPLE_RATE, Audio, Fault

__all__ = [
    "Planted",
    "Planter",
    "Sources",
    "active",
    "active_rms",
    "busy_start",
    "digit",
    "fade",
    "whole",
    "working_gain",
]

BLOCK = 320
"""Samples of one 20 ms block, over which speech activity is judged."""

ACTIVE_BELOW_PEAK_DB = 35.0
"""A block is active speech when its level is within this of the 95th percentile block."""


@dataclass(frozen=True, eq=False)
class Planted:
    """A clip with faults in it, and the whole truth about them.

    Attributes:
        audio: [T] what is heard.
        faults: what was planted, in order of onset, times on the axis of `audio`.
        reference: [T] the clean speech on the same time axis: stretched or paused with it.
        physics: the quantities of `hearken.data.ramps.RAMPS` that were set or measured.
    """

    audio: Audio
    faults: tuple[Fault, ...]
    reference: Audio
    physics: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return len(self.audio) / SAMPLE_RATE

    def having(self, audio: Audio, *faults: Fault, **physics: float) -> Planted:
        """The same clip, now heard as `audio`, with more faults and more physics."""
        order = sorted((*self.faults, *faults), key=lambda f: (f.start_s, f.type, f.end_s))
        return replace(
            self,
            audio=np.asarray(audio, np.float32),
            faults=tuple(order),
            physics={**self.physics, **physics},
        )

    def moved(self, reference: Audio, when: Callable[[float], float]) -> Planted:
        """The same clip on another time axis: `when` maps old seconds to new ones."""
        faults = (replace(f, start_s=when(f.start_s), end_s=when(f.end_s)) for f in self.faults)
        return replace(self, reference=np.asarray(reference, np.float32), faults=tuple(faults))


@dataclass(frozen=True, eq=False)
class Sources:
    """Recordings that faults are made of; what is missing is synthesised where it can be.

    Attributes:
        noise: steady background [N], and `noise_name`, one or two class words ("rain").
        event: a short sound [N], and `event_name` ("dog bark").
        voice: another talker [N].
        rir: a room impulse response [R].
    """

    noise: Audio | None = None
    noise_name: str = ""
    event: Audio | None = None
    event_name: str = ""
    voice: Audio | None = None
    rir: Audio | None = None


Planter = Callable[[Planted, float, np.random.Generator, Sources], Planted]


def digit(severity: float) -> int:
    """A continuous severity as the whole number that a fault reports; halves go up."""
    return int(min(5, max(1, np.floor(severity + 0.5))))


def active(x: Audio) -> NDArray[np.bool_]:
    """Per sample [T]: is there speech here? Judged on 20 ms blocks.

    Raises:
        InputError: no sound at all in `x`.
    """
    blocks = -(-len(x) // BLOCK)
    padded = np.zeros(blocks * BLOCK)
    padded[: len(x)] = x
    power = np.mean(padded.reshape(blocks, BLOCK) ** 2, axis=1)
    if not power.any():
        raise InputError("no speech in the clip: every sample is zero; choose another one")
    loud = power > np.percentile(power[power > 0], 95) * 10 ** (-ACTIVE_BELOW_PEAK_DB / 10)
    return np.repeat(loud, BLOCK)[: len(x)]


def active_rms(x: Audio) -> float:
    """Root mean square of `x` over its active speech."""
    return float(np.sqrt(np.mean(np.square(x[active(x)], dtype=np.float64))))


def busy_start(x: Audio, length: int, rng: np.random.Generator, *, margin: int = 0) -> int:
    """A random sample at which a stretch of `length` samples holds much speech.

    Of eight random places the one with the most speech energy in it is taken, so that a
    fault does not hide in a pause.
    """
    last = max(margin, len(x) - length - margin)
    places = rng.integers(min(margin, last), last + 1, size=8)
    energy = [float(np.sum(np.square(x[p : p + length], dtype=np.float64))) for p in places]
    return int(places[int(np.argmax(energy))])


def working_gain(x: Audio) -> np.float32:
    """What to multiply `x` by so that a coder of 16-bit sound meets it at peak 0.5."""
    return np.float32(0.5 / max(float(np.abs(x).max()), 1e-9))


def fade(x: Audio, samples: int) -> Audio:
    """`x` with raised-cosine ends of `samples` each."""
    samples = min(samples, len(x) // 2)
    y = x.astype(np.float32).copy()
    if samples > 0:
        ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(samples) + 0.5) / samples)).astype(np.float32)
        y[:samples] *= ramp
        y[-samples:] *= ramp[::-1]
    return y


def whole(clip: Planted, kind: str, severity: float, detail: str = "") -> Fault:
    """A fault that covers the whole clip."""
    return Fault(kind, 0.0, clip.seconds, digit(severity), detail)
