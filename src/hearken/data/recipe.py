"""What goes into one clip of a corpus: whose voice, which faults, which recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hearken.data.faults import Planted, Sources, plant_many
from hearken.data.faults_noise import COLOURS, coloured
from hearken.data.manifest import Entry
from hearken.data.mixing import babble
from hearken.data.planted import active, active_rms
from hearken.data.repaired import CLASSIC, Machine, repaired
from hearken.errors import InputError, ManifestError
from hearken.nouns import FAULT_TYPES, SAMPLE_RATE, Audio

__all__ = ["Drawn", "Material", "draw"]

COUNTS = (0.15, 0.42, 0.29, 0.14)
"""Probability of 0, 1, 2, 3 faults in a clip."""

WEIGHTS = {
    "background_noise": 3.0,
    "noise_event": 1.8,
    "competing_talker": 1.8,
    "musical_noise": 1.5,
    "over_suppression": 1.5,
    "reverberation": 1.4,
}
"""How often a fault is asked for; 1 where not named. What an enhancer meets or makes leads."""

TOP_SEVERITY = {0: 5.0, 1: 5.0, 2: 4.6, 3: 4.0}
"""The worst severity with so many faults: beyond it one fault hides the others."""

VOICE_SHARES = {"LS-": 0.68, "LJ": 0.08, "VCTK-": 0.05, "GRID-": 0.12, "PV-": 0.07}
"""How often each kind of talker is asked for, where the split has it."""

EXCLUSIVE: tuple[frozenset[str], ...] = (
    frozenset({"musical_noise", "over_suppression", "robotic"}),
    frozenset({"background_noise", "musical_noise", "competing_talker"}),
    frozenset({"band_limiting", "codec"}),
    frozenset({"packet_loss", "dropout"}),
    frozenset({"clicks", "packet_loss"}),
    frozenset({"hum", "musical_noise"}),
    frozenset({"over_suppression", "background_noise"}),
    frozenset({"over_suppression", "dropout"}),
    frozenset({"gain_jump", "dropout"}),
    frozenset({"speed_change", "unnatural_pause"}),
)
"""At most one of each set in a clip: together they sound alike or hide one another."""

NOISE_WORDS = {
    "Baby cry": "baby cry",
    "Chainsaw": "chainsaw",
    "Clock tick": "clock tick",
    "Dog bark": "dog bark",
    "Fire crackling": "fire crackling",
    "Helicopter": "helicopter",
    "Person sneeze": "sneeze",
    "Rain": "rain",
    "Rooster": "rooster",
    "Sea waves": "sea waves",
    "berlin-street": "street noise",
    "kitchen": "kitchen noise",
    "running_tap": "running tap",
    "doing_the_dishes": "dishes",
}
"""Class of the manifest -> words; other classes are just "noise"."""

EVENTS = frozenset({"Baby cry", "Dog bark", "Person sneeze", "Rooster", "Clock tick"})
"""Classes that are short sounds; every other class is a background."""

MIN_RANGE_DB = 28.0
"""Speech whose 5th percentile block is less far below the 95th has noise of its own."""

_MADE_UP_NOISE = 0.15
_BABBLE = 0.12
_MADE_UP_ROOM = 0.5
_REPAIRED_TALKER = 0.25


@dataclass(frozen=True)
class Material:
    """The recordings of one split, by use."""

    voices: dict[str, tuple[Entry, ...]]
    backgrounds: dict[str, tuple[Entry, ...]]
    events: dict[str, tuple[Entry, ...]]
    rooms: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Material:
        """Sorted by use.

        Raises:
            ManifestError: no speech, or no background noise, in this split.
        """
        voices: dict[str, list[Entry]] = {}
        noises: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.kind in ("speech", "av"):
                known = [p for p in VOICE_SHARES if entry.group.startswith(p)]
                voices.setdefault(known[0] if known else "LS-", []).append(entry)
            elif entry.kind == "noise":
                noises.setdefault(entry.group, []).append(entry)
        back = {k: tuple(v) for k, v in noises.items() if k not in EVENTS}
        if not voices or not back:
            raise ManifestError("this split has no speech or no background noise: add recordings")
        return cls(
            voices={k: tuple(v) for k, v in voices.items()},
            backgrounds=back,
            events={k: tuple(v) for k, v in noises.items() if k in EVENTS},
            rooms=tuple(e for e in entries if e.kind == "rir"),
        )


@dataclass(frozen=True, eq=False)
class Drawn:
    """One planted clip and the names of what it is made of."""

    planted: Planted
    speaker: str
    noise: str


def draw(
    material: Material,
    rng: np.random.Generator,
    seconds: tuple[float, float],
    *,
    repairs: float = 0.0,
    machines: Sequence[Machine] = (),
) -> Drawn:
    """One clip of `seconds[0]` to `seconds[1]`, with zero to three faults.

    Args:
        material: the recordings.
        rng: of everything.
        seconds: shortest and longest clip.
        repairs: share of clips that a machine has worked on (see `hearken.data.repaired`).
        machines: beside the classic ones; each has as large a share as those together.

    Raises:
        InputError: the speech that was drawn is too noisy or too empty; draw again.
    """
    if repairs > 0 and rng.random() < repairs:
        return _repaired(material, rng, seconds, machines)
    types, severities = choose_faults(rng)
    entry, clean = _speech(material, rng, seconds)
    sources, noise = _sources(material, types, entry.group, rng)
    seed = int(rng.integers(2**63))
    longest = round(seconds[1] * SAMPLE_RATE)
    for _ in range(4):
        planted = plant_many(clean, types, severities, np.random.default_rng(seed), sources)
        if len(planted.audio) <= longest:
            return Drawn(planted, entry.group, noise)
        # slower speech and pauses lengthen a clip: start from less speech, same chances
        pause = round(planted.physics.get("pause_s", 0.0) * SAMPLE_RATE)
        keep = (longest - pause) / (len(planted.audio) - pause)
        clean = clean[: int(len(clean) * keep) - 1]
    raise InputError("the clip cannot be made short enough")


def _repaired(
    material: Material,
    rng: np.random.Generator,
    seconds: tuple[float, float],
    machines: Sequence[Machine],
) -> Drawn:
    """Noise or another voice, and a machine that was to take it away."""
    entry, clean = _speech(material, rng, seconds)
    kind = "competing_talker" if rng.random() < _REPAIRED_TALKER else "background_noise"
    sources, names = _sources(material, (kind,), entry.group, rng)
    noise, name = sources.noise, sources.noise_name or "noise"
    if kind == "competing_talker":
        noise, name = sources.voice, ""
    if noise is None:
        made = str(rng.choice(sorted(COLOURS)))
        noise, name = coloured(len(clean), COLOURS[made], rng), made
    which = int(rng.integers(len(machines) + 1))
    machine = machines[which - 1] if which else CLASSIC[int(rng.integers(len(CLASSIC)))]
    return Drawn(repaired(clean, noise, machine, rng, kind=kind, name=name), entry.group, names)


def choose_faults(rng: np.random.Generator) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Zero to three types that go together, and a severity for each."""
    wanted = int(rng.choice(len(COUNTS), p=COUNTS))
    types: list[str] = []
    kinds = list(FAULT_TYPES)
    share = np.array([WEIGHTS.get(kind, 1.0) for kind in kinds])
    while len(types) < wanted:
        kind = str(rng.choice(kinds, p=share / share.sum()))
        clash = any(kind in group and group & set(types) for group in EXCLUSIVE)
        if kind not in types and not clash:
            types.append(kind)
    top = TOP_SEVERITY[wanted]
    return tuple(types), tuple(float(s) for s in rng.uniform(1.0, top, size=len(types)))


def _speech(
    material: Material, rng: np.random.Generator, seconds: tuple[float, float]
) -> tuple[Entry, Audio]:
    """A crop of clean speech at a natural level."""
    kinds = [k for k in VOICE_SHARES if k in material.voices]
    share = np.array([VOICE_SHARES[k] for k in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=share / share.sum()))]
    entry = _pick(material.voices[kind], rng)
    x = _load(entry.path)
    length = round(float(rng.uniform(*seconds)) * SAMPLE_RATE)
    if len(x) > length:
        start = int(rng.integers(0, len(x) - length + 1))
        x = x[start : start + length]
    if len(x) < seconds[0] * SAMPLE_RATE:
        raise InputError(f"{entry.path}: shorter than {seconds[0]} s")
    if active(x).mean() < 0.4 or _range_db(x) < MIN_RANGE_DB:
        raise InputError(f"{entry.path}: too little speech or too much noise in this part")
    level_db = float(np.clip(rng.normal(-25.0, 3.5), -34.0, -18.0))
    return entry, x * np.float32(10 ** (level_db / 20) / active_rms(x))


def _sources(
    material: Material, types: Sequence[str], talker: str, rng: np.random.Generator
) -> tuple[Sources, str]:
    """Recordings for the faults in `types`, and their names."""
    noise = event = voice = rir = None
    noise_name = event_name = ""
    names: list[str] = []
    if {"background_noise", "musical_noise"} & set(types) and rng.random() >= _MADE_UP_NOISE:
        if rng.random() < _BABBLE:
            others = [_other_voice(material, talker, rng)[1] for _ in range(5)]
            noise, noise_name = babble(others, rng), "babble"
            names.append("babble")
        else:
            entry = _pick(material.backgrounds[_class(material.backgrounds, rng)], rng)
            noise, noise_name = _sounding(_load(entry.path)), NOISE_WORDS.get(entry.group, "noise")
            names.append(entry.path.stem)
    if "noise_event" in types and material.events:
        entry = _pick(material.events[_class(material.events, rng)], rng)
        event, event_name = _load(entry.path), NOISE_WORDS[entry.group]
        names.append(entry.path.stem)
    if "competing_talker" in types:
        entry, voice = _other_voice(material, talker, rng)
        names.append(entry.group)
    if "reverberation" in types and material.rooms and rng.random() >= _MADE_UP_ROOM:
        entry = _pick(material.rooms, rng)
        rir = _load(entry.path)
        names.append(entry.group)
    sounds = {"noise": noise, "event": event, "voice": voice, "rir": rir}
    silent = [k for k, x in sounds.items() if x is not None and not x.any()]
    if silent:
        raise InputError(f"the {silent[0]} that was drawn is silent")
    return Sources(noise, noise_name, event, event_name, voice, rir), " + ".join(names)


def _other_voice(material: Material, talker: str, rng: np.random.Generator) -> tuple[Entry, Audio]:
    """Another talker than `talker`, from the collection with most talkers."""
    pool = [e for e in material.voices.get("LS-", ()) if e.group != talker]
    if not pool:
        pool = [e for es in material.voices.values() for e in es if e.group != talker]
    if not pool:
        raise ManifestError("a competing talker needs a second talker in this split")
    entry = _pick(pool, rng)
    return entry, _load(entry.path)


def _class(groups: dict[str, tuple[Entry, ...]], rng: np.random.Generator) -> str:
    return str(rng.choice(sorted(groups)))


def _pick(entries: Sequence[Entry], rng: np.random.Generator) -> Entry:
    return entries[int(rng.integers(len(entries)))]


def _range_db(x: Audio) -> float:
    """Level of the 95th over that of the 5th percentile 20 ms block, dB."""
    blocks = len(x) // 320
    power = np.mean(np.square(x[: blocks * 320].reshape(blocks, 320), dtype=np.float64), axis=1)
    high, low = np.percentile(power, [95, 5])
    return float(10 * np.log10((high + 1e-12) / (low + 1e-12)))


def _sounding(x: Audio) -> Audio:
    """Without the digital silence at both ends that fills short recordings up."""
    heard = np.flatnonzero(np.abs(x) > 1e-4)
    return x[heard[0] : heard[-1] + 1] if len(heard) else x


def _load(path: Path) -> Audio:
    from hearken.media import load_audio

    return load_audio(path)
