"""Recordings held in memory for online mixing, and the cache of what is slow to make.

Mouth crops and shifted voices of the filmed talkers are made once and kept in a folder, one
.npz for each clip; the rest is read anew (seconds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hearken.data import mixing
from hearken.data.manifest import Entry
from hearken.errors import ManifestError
from hearken.nouns import SAMPLES_PER_FRAME, Crops
from hearken.run.track import track

__all__ = ["FACTORS", "Face", "Stock", "build", "pcm"]

FACTORS = (1.0, 0.86, 1.17, 1.35, 1.55)
"""Pitch and formants of a filmed voice, times these; 1.0 first."""

Pcm = NDArray[np.int16]
CropMouths = Callable[[Path], tuple[Crops, NDArray[np.bool_]]]
LoadSound = Callable[[Path], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Face:
    """A filmed clip: voices [len(FACTORS)] of [T] int16, crops [V, 96, 96], found [V].

    `company` [T'] is what else sounded in the same room, where it was recorded apart, and
    `company_talks` whether someone may speak in it.
    """

    name: str
    group: str
    voices: tuple[Pcm, ...]
    crops: Crops
    found: NDArray[np.bool_]
    company: Pcm | None = None
    company_talks: bool = False

    @property
    def frames(self) -> int:
        """Video frames that have both picture and sound."""
        return min(len(self.crops), len(self.voices[0]) // SAMPLES_PER_FRAME)

    def voice(self, which: int) -> Pcm:
        """The voice shifted by FACTORS[which], or the nearest one that was made."""
        return self.voices[which % len(self.voices)]


@dataclass(frozen=True, eq=False)
class Stock:
    """One side of a split. All sounds are int16 at 16 kHz.

    `commands` are voices that only ever interfere. The sequences of `build` are in memory, those
    of `scene_stock` on disk.
    """

    faces: Sequence[Face]
    voices: Sequence[Pcm]
    commands: Sequence[Pcm]
    noises: Sequence[Pcm]
    rooms: Sequence[Pcm]


def build(
    entries: Iterable[Entry],
    cache: Path,
    *,
    load: LoadSound,
    crop: CropMouths,
    shifted: bool,
    label: str = "",
) -> Stock:
    """Read one side of a split.

    Args:
        entries: of the manifest.
        cache: folder for crops and shifted voices; filled where they are missing.
        load: sound of a file, [T] float32 at 16 kHz.
        crop: 96x96 mouth crops of a video, and where a face was found.
        shifted: also make the shifted voices of filmed talkers (training).
        label: shown beside the progress bar.

    Raises:
        ManifestError: no voices or no faces at all.
    """
    kept: dict[str, list[Pcm]] = {"voices": [], "commands": [], "noise": [], "rir": []}
    faces: list[Face] = []
    for entry in track(list(entries), label=label or "reading"):
        if entry.kind == "av":
            face = _face(entry, cache, load, crop, shifted)
            if face.frames and face.found.mean() > 0.5:
                faces.append(face)
            continue
        kind = entry.kind
        if kind == "speech":
            kind = "commands" if entry.seconds < 3.0 else "voices"
        sound = load(entry.path)
        gain = 0.9 / max(float(np.abs(sound).max(initial=0.0)), 1e-4) if kind == "rir" else 1.0
        kept[kind].append(pcm(sound * gain))
    if not faces or not kept["voices"]:
        raise ManifestError(
            f"{label or 'this side of the split'}: {len(faces)} videos and {len(kept['voices'])} "
            "voices of 3 s or more; at least one of each is needed"
        )
    return Stock(
        tuple(faces),
        tuple(kept["voices"]),
        tuple(kept["commands"]),
        tuple(kept["noise"]),
        tuple(kept["rir"]),
    )


def _face(entry: Entry, cache: Path, load: LoadSound, crop: CropMouths, shifted: bool) -> Face:
    """One filmed clip, through the cache."""
    from hearken.media import atomic

    cache.mkdir(parents=True, exist_ok=True)
    seen, heard = cache / f"{entry.path.stem}.npz", cache / f"{entry.path.stem}.voices.npz"
    if not seen.exists():
        crops, found = crop(entry.path)
        with atomic(seen) as part:
            np.savez(part, crops=crops, found=found, samples=pcm(load(entry.path)))
    with np.load(seen) as kept:
        crops, found, samples = kept["crops"], kept["found"], kept["samples"]
    voices = [samples]
    if shifted:
        if not heard.exists():
            x = samples.astype(np.float32) / 32768
            made = [pcm(mixing.formant_shift(x, f)) for f in FACTORS[1:]]
            with atomic(heard) as part:
                np.savez(part, voices=np.stack(made))
        with np.load(heard) as kept:
            voices += list(kept["voices"])
    return Face(entry.path.stem, entry.group, tuple(voices), crops, found)


def pcm(x: NDArray[np.float32]) -> Pcm:
    """Sound in [-1, 1] as 16-bit integers, rounded and clipped."""
    return np.clip(np.round(x * 32768), -32768, 32767).astype(np.int16)
