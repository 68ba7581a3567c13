"""Plant faults in clean speech, with the whole truth about them.

    planted = plant(clean, "dropout", 3.0, np.random.default_rng(0))
    planted.faults      (Fault("dropout", 1.21, 1.48, 3, ""),)
    planted.reference   the clean speech on the same time axis

`plant` makes one fault; `plant_many` makes several in the order in which they would happen:
the talker (speed, pause), the room, what else sounds, the microphone, the machine that
repairs, the line. Everything random comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hearken.data.faults_channel import band_limiting, clipping, codec, reverberation
from hearken.data.faults_noise import background_noise, competing_talker, hum, noise_event
from hearken.data.faults_spectrum import musical_noise, over_suppression, robotic
from hearken.data.faults_time import (
    clicks,
    dropout,
    gain_jump,
    packet_loss,
    speed_change,
    unnatural_pause,
)
from hearken.data.planted import Planted, Planter, Sources, active
from hearken.errors import InputError, UsageError
from hearken.nouns import FAULT_TYPES, SAMPLE_RATE, Audio

__all__ = ["MIN_SECONDS", "PLANTERS", "Planted", "Sources", "plant", "plant_many"]

MIN_SECONDS = 0.5
"""The shortest clip that takes a fault: shorter ones have no room for an onset and an end."""

PEAK = 0.99
"""Clips are turned down, reference and all, so that no sample is beyond this."""

PLANTERS: Mapping[str, Planter] = {
    "speed_change": speed_change,
    "unnatural_pause": unnatural_pause,
    "reverberation": reverberation,
    "background_noise": background_noise,
    "competing_talker": competing_talker,
    "noise_event": noise_event,
    "hum": hum,
    "clipping": clipping,
    "gain_jump": gain_jump,
    "musical_noise": musical_noise,
    "over_suppression": over_suppression,
    "robotic": robotic,
    "band_limiting": band_limiting,
    "codec": codec,
    "packet_loss": packet_loss,
    "dropout": dropout,
    "clicks": clicks,
}
"""Fault type -> what plants it, in the physical order that `plant_many` keeps."""


def plant(
    clean: Audio,
    type: str,
    severity: float,
    rng: np.random.Generator,
    *,
    noise: Audio | None = None,
    noise_name: str = "",
    voice: Audio | None = None,
    rir: Audio | None = None,
) -> Planted:
    """One fault in clean speech.

    Args:
        clean: [T] clean speech, 16 kHz.
        type: a key of `FAULT_TYPES`.
        severity: 1 (barely audible) to 5 (ruinous), continuous.
        rng: the only source of chance.
        noise: [N] recording for background_noise, noise_event, musical_noise; made up if None.
        noise_name: its class words, "dog bark"; becomes the fault's detail.
        voice: [N] the other talker; competing_talker needs one.
        rir: [R] room impulse response for reverberation; made up if None.

    Raises:
        UsageError: an unknown type, a severity outside 1-5, no second voice.
        InputError: a clip that is too short, silent or not finite.
    """
    sources = Sources(noise, noise_name, noise, noise_name, voice, rir)
    return plant_many(clean, (type,), (severity,), rng, sources)


def plant_many(
    clean: Audio,
    types: Sequence[str],
    severities: Sequence[float],
    rng: np.random.Generator,
    sources: Sources,
) -> Planted:
    """Several faults in one clip, each type at most once; arguments as for `plant`.

    An empty `types` gives the clean clip itself. The order of `types` does not matter: the
    physical order is kept, and the times of all faults are on the final time axis.
    """
    _check(clean, types, severities)
    asked = dict(zip(types, severities, strict=True))
    clean = np.ascontiguousarray(clean, np.float32)
    clip = Planted(clean, (), clean, {})
    for kind, planter in PLANTERS.items():
        if kind in asked:
            clip = planter(clip, asked[kind], rng, sources)
    return _whole_again(_within(clip))


def _check(clean: Audio, types: Sequence[str], severities: Sequence[float]) -> None:
    if clean.ndim != 1 or len(clean) < MIN_SECONDS * SAMPLE_RATE:
        raise InputError(f"shape {clean.shape}: planting needs [T], {MIN_SECONDS} s or more")
    if not np.isfinite(clean).all():
        raise InputError("the clip has samples that are not finite; decode it again")
    active(clean)
    unknown = [t for t in types if t not in FAULT_TYPES]
    if unknown or len(set(types)) != len(types):
        raise UsageError(f"types {list(types)}: each once, out of {', '.join(FAULT_TYPES)}")
    if any(not 1.0 <= s <= 5.0 for s in severities):
        raise UsageError(f"severities {list(severities)}: each between 1 and 5")


def _within(clip: Planted) -> Planted:
    """Turned down, together with its reference, where it would not fit into [-1, 1]."""
    peak = max(float(np.abs(clip.audio).max()), float(np.abs(clip.reference).max()))
    if peak <= PEAK:
        return clip
    scale = np.float32(PEAK / peak)
    quieter = replace(clip, reference=clip.reference * scale)
    return quieter.having(clip.audio * scale)


def _whole_again(clip: Planted) -> Planted:
    """Faults of the whole clip cover it to its last sample, whatever moved after them."""
    faults = tuple(
        f if FAULT_TYPES[f.type].localised else replace(f, start_s=0.0, end_s=clip.seconds)
        for f in clip.faults
    )
    return replace(clip, faults=faults)
