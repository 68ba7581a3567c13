"""Folders of AVSEC scenes as stock for online mixing, of any size, on bounded memory.

    ROOT/train/scenes/S00001_{target,interferer}_mono.wav, _silent.mp4   training mixes these anew
    ROOT/dev/scenes/...                                                  these validate, as mixed

Each scene is made once into CACHE/train/scenes/S00001.npz: the mouth crops, the target and what
was recorded around him. The file is not compressed, so its arrays are mapped into memory in place:
a batch reads only the spans that it shows, nothing is held between batches, and what the machine
has to spare caches the rest. Eleven thousand scenes of 6 s take about 20 GB of disk.

A train scene is a `Face`, whose company (its interferers) the mixer may keep or change for that
of another scene. The mixtures of the folder are not used: they would be the same every time.
"""

from __future__ import annotations

import math
import os
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from hearken import media
from hearken.data import scenes
from hearken.data.fixed import FixedScene, middle
from hearken.data.stock import CropMouths, Face, Pcm, Stock, pcm
from hearken.errors import HearkenError, ManifestError
from hearken.nouns import SAMPLES_PER_FRAME, Scene
from hearken.run.track import track

__all__ = ["Kept", "Lazy", "build"]

_MIN_FOUND = 0.5  # of the frames; a scene with fewer is heard and not seen
_MAX_LEFT_OUT = 0.1  # of the scenes; beyond it the folder is broken, not a file
_CACHED_CROP = 96

Item = TypeVar("Item", covariant=True)


@dataclass(frozen=True)
class Kept:
    """A scene in the cache.

    Attributes:
        path: the .npz.
        name: "scenes/S00001", one of its kind on its side.
        group: the talker, as far as the json tells.
        company: "noise", "speech", "mixed" or "unknown": what else sounds; "" for nothing.
    """

    path: Path
    name: str
    group: str
    company: str

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Crops [V, 96, 96], found [V], target [T], company [T] or [0]; mapped, not read.

        Raises:
            ManifestError: the file is damaged.
        """
        try:
            return _mapped(self.path)
        except (OSError, ValueError, KeyError, struct.error, zipfile.BadZipFile) as error:
            raise ManifestError(
                f"{self.path}: not a whole file ({error}): delete it, and it is made anew"
            ) from error

    def face(self) -> Face:
        """The talker, with what sounds around him."""
        kept = self.arrays()
        company = kept["company"] if len(kept["company"]) else None
        voices = (kept["target"],)
        return Face(
            self.name,
            self.group,
            voices,
            kept["crops"],
            kept["found"],
            company,
            self.company != "noise",
        )

    def voice(self) -> Pcm:
        """The target [T]."""
        return self.arrays()["target"]

    def sound(self) -> Pcm:
        """The interferers [T]."""
        return self.arrays()["company"]


@dataclass(frozen=True)
class Lazy(Sequence[Item]):
    """Items that are opened when they are asked for, and let go."""

    kept: tuple[Kept, ...]
    open: Callable[[Kept], Item] = field(repr=False)

    def __len__(self) -> int:
        return len(self.kept)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Lazy[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | Lazy[Item]:
        if isinstance(index, slice):
            return Lazy(self.kept[index], self.open)
        return self.open(self.kept[index])


def build(
    root: Path,
    cache: Path,
    crop: CropMouths,
    *,
    count: int,
    limit: int = 0,
    workers: int = 0,
) -> tuple[Stock, list[FixedScene]]:
    """Train scenes to mix anew, and dev scenes as they are.

    Several processes of one run may call it at once with one cache: each begins elsewhere.

    Args:
        root: folder with train/ and dev/, in any layout that `scenes.read` knows.
        cache: folder for what is made once; CACHE/train and CACHE/dev.
        crop: 96x96 mouth crops of a video, and where a face was found. With several workers it
            must be picklable.
        count: dev scenes of each kind: without and with other talkers.
        limit: use at most so many scenes of each side; 0 for all.
        workers: processes that make the cache; 0 or 1 for this one.

    Raises:
        ManifestError: a side is missing, has no target or no face, or over a tenth of its scenes
            cannot be used.
    """
    make = partial(_kept, cache=cache, crop=crop, workers=workers)
    seen, heard = _split(make(root / "train", _scenes(root / "train", limit)))
    noise, speech = (
        tuple(k for k in (*seen, *heard) if k.company == kind) for kind in ("noise", "speech")
    )
    train = Stock(
        faces=Lazy(seen, Kept.face),
        voices=Lazy((*seen, *heard), Kept.voice),
        commands=Lazy(speech, Kept.sound),
        noises=Lazy(noise, Kept.sound),
        rooms=(),
    )
    if not seen:
        raise ManifestError(f"{root}: not one train scene shows a face: are the _silent.mp4 there?")
    return train, _held_out(make, root / "dev", count, limit)


def _scenes(side: Path, limit: int) -> list[Scene]:
    """The scenes of one side that have a target."""
    if not side.is_dir():
        raise ManifestError(f"{side}: no such folder; want ROOT/train/scenes and ROOT/dev/scenes")
    found = [s for s in scenes.read(side) if s.reference is not None]
    if not found:
        raise ManifestError(f"{side}: no scene has a target; training needs clean speech")
    return found[: limit or None]


def _kept(
    side: Path, wanted: Sequence[Scene], *, cache: Path, crop: CropMouths, workers: int
) -> list[Kept]:
    """Make what is missing; all that can be used, in the order of `wanted`."""
    names = [_name(side, s) for s in wanted]
    places = [cache / side.name / f"{name}.npz" for name in names]
    for folder in {p.parent for p in places}:
        folder.mkdir(parents=True, exist_ok=True)
    todo = [(s, p) for s, p in zip(wanted, places, strict=True) if not p.exists()]
    rank, world = (int(os.environ.get(k, d)) for k, d in (("RANK", "0"), ("WORLD_SIZE", "1")))
    at = len(todo) * rank // world
    made = _made(partial(_make, crop=crop), todo[at:] + todo[:at], workers)
    failed = [x for x in track(made, total=len(todo), label=f"{side.name} crops") if x]
    if failed:
        why = f"{side}: {len(failed)} of {len(wanted)} scenes cannot be used, first {failed[0]}"
        if len(failed) > _MAX_LEFT_OUT * len(wanted):
            raise ManifestError(f"{why}; `hearken data check` tells of all")
        print(f"hearken: {why}", file=sys.stderr)
    kept = []
    for scene, name, place in zip(wanted, names, places, strict=True):
        if place.exists():
            about = scenes.note(scene)
            kind = about.kind if scene.interferer_audio is not None else ""
            kept.append(Kept(place, name, about.talker, kind))
    return kept


def _name(side: Path, scene: Scene) -> str:
    """As "scenes/S00001"; several folders of one side may each have an S00001."""
    folder = os.path.relpath(Path(scene.mix).parent, side.absolute())
    return Path(folder, scene.scene).as_posix()


def _made(
    make: Callable[[tuple[Scene, Path]], str], todo: list[tuple[Scene, Path]], workers: int
) -> Iterator[str]:
    if workers <= 1 or len(todo) < 2:
        yield from map(make, todo)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # spawn: a fork of a process that holds torch threads can hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        try:
            yield from pool.map(make, todo, chunksize=2)
        except BrokenProcessPool as error:
            raise ManifestError("a worker died (no memory?): use fewer workers") from error


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)


def _make(job: tuple[Scene, Path], *, crop: CropMouths) -> str:
    """Write the .npz of one scene; "", or why there is none."""
    scene, path = job
    if path.exists():  # another process of this run was here
        return ""
    try:
        assert scene.reference is not None
        target = media.load_audio(scene.reference)
        company = np.zeros(0, np.float32)
        if scene.interferer_audio is not None:
            company = media.load_audio(scene.interferer_audio, allow_silent=True)
        crops, found = np.zeros((0, _CACHED_CROP, _CACHED_CROP), np.uint8), np.zeros(0, bool)
        if scene.video is not None:
            crops, found = crop(Path(scene.video))
    except (HearkenError, OSError) as error:
        return f"{scene.scene}: {error}"
    with media.atomic(path) as part:
        np.savez(part, crops=crops, found=found, target=pcm(target), company=pcm(company))
    return ""


def _split(kept: Sequence[Kept]) -> tuple[tuple[Kept, ...], tuple[Kept, ...]]:
    """Those with a face, those without."""
    seen: list[Kept] = []
    heard: list[Kept] = []
    for one in kept:
        arrays = one.arrays()
        shown = arrays["found"].mean() > _MIN_FOUND if len(arrays["found"]) else False
        (seen if shown and len(arrays["target"]) >= SAMPLES_PER_FRAME else heard).append(one)
    return tuple(seen), tuple(heard)


def _held_out(
    make: Callable[[Path, Sequence[Scene]], list[Kept]], side: Path, count: int, limit: int
) -> list[FixedScene]:
    """`count` scenes of each kind, spread over the folder, each with its own mixture.

    Their sets are called noise/unseen and talker/unseen; in the latter someone else speaks too,
    or it is not said who does.
    """
    kinds: dict[str, list[Scene]] = {"noise/unseen": [], "talker/unseen": []}
    for scene in _scenes(side, limit):
        only_noise = scenes.note(scene).kind == "noise"
        kinds["noise/unseen" if only_noise else "talker/unseen"].append(scene)
    chosen = {
        _name(side, s): (kind, s)
        for kind, some in kinds.items()
        for s in some[:: max(1, len(some) // max(count, 1))][:count]
    }
    kept, _ = _split(make(side, [s for _, s in chosen.values()]))
    if not kept:
        raise ManifestError(f"{side}: not one of {len(chosen)} dev scenes shows a face")
    result = []
    for i, mine in enumerate(kept):
        kind, scene = chosen[mine.name]
        others = [*kept[i + 1 :], *kept[:i]]
        other = next((k for k in others if k.group != mine.group), (others or [mine])[0])
        sound = scenes.load_scene(scene)
        assert sound.reference is not None
        right, wrong = (middle(k.arrays()["crops"]) for k in (mine, other))
        result.append(FixedScene(kind, sound.mix, sound.reference, right, wrong))
    return result


def _mapped(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an uncompressed .npz, mapped where they lie in the file.

    A zip member begins with a header of 30 bytes, whose last two fields are the lengths of the
    name and of the extra field that follow; then comes the .npy, with its own header.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(path) as listing, path.open("rb") as file:
        whole = np.memmap(file, np.uint8, "r")
        for member in listing.infolist():
            file.seek(member.header_offset)
            name, extra = struct.unpack("<26xHH", file.read(30))
            file.seek(name + extra, os.SEEK_CUR)
            np.lib.format.read_magic(file)
            shape, _, kind = np.lib.format.read_array_header_1_0(file)
            at = file.tell()
            size = kind.itemsize * math.prod(shape)
            array = whole[at : at + size].view(kind).reshape(shape)
            arrays[member.filename.removesuffix(".npy")] = array
    return arrays
