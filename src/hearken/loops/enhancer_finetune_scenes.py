"""Excerpts of AVSEC scenes for fine-tuning: sound, reference and mouth crops of equal length.

A scene is cut into windows at fixed places, so that a window is the same clip each time it is
drawn, and what the critic said of the base's version of it stays true. Faces are searched once
and kept on disk by the video's content.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hearken import media
from hearken.data.scenes import load_scene, note, read
from hearken.enhancer.lips import crop_mouths
from hearken.errors import ManifestError
from hearken.nouns import CROP_SIZE, SAMPLE_RATE, SAMPLES_PER_FRAME, Audio, Crops, Scene

__all__ = ["Batch", "Excerpt", "Excerpts", "collate"]


@dataclass(frozen=True, eq=False)
class Excerpt:
    """One window of a scene.

    Attributes:
        name: scene and number of the window, "S00001/0".
        talker: of the target.
        mix, reference: [T], zero beyond `length`.
        crops: [V, 88, 88], V = ceil(T / 640); black where nobody is seen.
        seen: [V].
        length: samples of real sound, <= T.
    """

    name: str
    talker: str
    mix: Audio
    reference: Audio
    crops: Crops
    seen: NDArray[np.bool_]
    length: int


class Excerpts:
    """All windows of the scenes in a folder, loaded when they are asked for.

    Args:
        root: folder in AVSEC layout; scenes without a reference are passed over.
        cache: folder for mouth crops; made.
        seconds: length of a window.
        lips: False leaves the video out.
        limit: use at most so many scenes; 0 for all.

    Raises:
        ManifestError: not one scene with a reference.
    """

    def __init__(
        self, root: Path, cache: Path, *, seconds: float, lips: bool = True, limit: int = 0
    ) -> None:
        self.samples = round(seconds * SAMPLE_RATE)
        self.frames = -(-self.samples // SAMPLES_PER_FRAME)
        self._cache = cache
        self._lips = lips
        scenes = [s for s in read(root) if s.reference is not None]
        if not scenes:
            raise ManifestError(f"{root}: no scene has a reference; training needs clean speech")
        scenes = scenes[: limit or None]
        self._windows = [(s, k) for s in scenes for k in range(self._count(s))]
        self._near: OrderedDict[int, Excerpt] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Excerpt:
        """Window `index`, from memory where it was used lately."""
        if index not in self._near:
            self._near[index] = self._load(*self._windows[index])
            while len(self._near) > 256:
                self._near.popitem(last=False)
        self._near.move_to_end(index)
        return self._near[index]

    def _count(self, scene: Scene) -> int:
        duration = scene.duration or len(media.load_audio(scene.mix))
        return max(1, duration // self.samples)

    def _load(self, scene: Scene, number: int) -> Excerpt:
        sound = load_scene(scene)
        assert sound.reference is not None
        start = number * self.samples
        length = min(self.samples, len(sound.mix) - start)
        crops = np.zeros((self.frames, CROP_SIZE, CROP_SIZE), np.uint8)
        seen = np.zeros(self.frames, np.bool_)
        if self._lips and scene.video is not None:
            all_crops, all_seen = self._mouths(Path(scene.video))
            # A window may begin inside a video frame: the nearest frame is at most 20 ms off.
            first = round(start / SAMPLES_PER_FRAME)
            got = all_crops[first : first + self.frames]
            crops[: len(got)] = got
            seen[: len(got)] = all_seen[first : first + self.frames]
        return Excerpt(
            f"{scene.scene}/{number}",
            note(scene).talker,
            self._cut(sound.mix, start),
            self._cut(sound.reference, start),
            crops,
            seen,
            length,
        )

    def _cut(self, x: Audio, start: int) -> Audio:
        piece = x[start : start + self.samples]
        return np.pad(piece, (0, self.samples - len(piece))).astype(np.float32)

    def _mouths(self, video: Path) -> tuple[Crops, NDArray[np.bool_]]:
        name = hashlib.sha256(video.read_bytes()).hexdigest()[:32]
        kept = self._cache / f"{name}.npz"
        if not kept.exists():
            found = crop_mouths(video)
            kept.parent.mkdir(parents=True, exist_ok=True)
            with media.atomic(kept) as part:
                np.savez_compressed(part, crops=found.crops, found=found.found)
        with np.load(kept, allow_pickle=False) as stored:
            return stored["crops"], stored["found"]


@dataclass(frozen=True)
class Batch:
    """Excerpts as tensors: mix_BT, reference_BT, crops_BV, seen_BV, and the excerpts."""

    mix_BT: Tensor
    reference_BT: Tensor
    crops_BV: Tensor | None
    seen_BV: Tensor | None
    excerpts: tuple[Excerpt, ...]


def collate(excerpts: Sequence[Excerpt], device: torch.device) -> Batch:
    """Stack; the crops are None where no excerpt shows a face."""
    mix, reference = (
        torch.from_numpy(np.stack(x)).to(device)
        for x in ([e.mix for e in excerpts], [e.reference for e in excerpts])
    )
    if not any(e.seen.any() for e in excerpts):
        return Batch(mix, reference, None, None, tuple(excerpts))
    crops = torch.from_numpy(np.stack([e.crops for e in excerpts])).to(device)
    seen = torch.from_numpy(np.stack([e.seen for e in excerpts])).to(device)
    return Batch(mix, reference, crops, seen, tuple(excerpts))
