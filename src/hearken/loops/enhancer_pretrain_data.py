"""Where the scenes of `enhancer_pretrain` come from: recordings, or the challenge's own folder."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from hearken import media
from hearken.data import manifest, rooms, scene_stock, stock
from hearken.data.fixed import FixedScene, fixed_scenes
from hearken.data.online import Batch, Mixer
from hearken.enhancer.lips import crop_mouths
from hearken.nouns import Crops

__all__ = ["Sides", "challenge", "crop", "recordings", "stream"]

_CACHED_CROP = 96
_KNOWN = "GRID-s1"


Sides = tuple[stock.Stock, list[FixedScene]]
"""What to train on, and the held-out scenes."""


def challenge(root: Path, cache: Path, *, count: int, limit: int, workers: int) -> Sides:
    """Both sides of a folder in AVSEC layout; see `hearken.data.scene_stock`."""
    return scene_stock.build(root, cache, crop, count=count, limit=limit, workers=workers)


def recordings(
    root: Path,
    cache: Path,
    *,
    films: Sequence[manifest.Entry],
    made_rooms: int,
    count: int,
    limit: int,
    seed: int,
) -> Sides:
    """Both sides of a folder with a manifest.

    Args:
        root: the folder.
        cache: of crops and shifted voices.
        films: more videos, for training.
        made_rooms: simulated rooms, for training.
        count: held-out scenes a set.
        limit: recordings of each kind and talker at most; 0 for all.
        seed: of the simulated rooms.

    Raises:
        UsageError: rooms cannot be simulated here.
        ManifestError: the folder is not laid out as it should be.
    """
    parts = manifest.split(manifest.read(root))
    train, valid = (
        stock.build(
            _limited(side, limit),
            cache,
            load=lambda path: media.load_audio(path, allow_silent=True),
            crop=crop,
            shifted=shifted,
            label=label,
        )
        for side, shifted, label in (
            ((*parts.train, *films), True, "train"),
            (parts.valid, False, "valid"),
        )
    )
    more = tuple(stock.pcm(x) for x in rooms.simulated(made_rooms, seed))
    train = dataclasses.replace(train, rooms=(*train.rooms, *more))
    return train, fixed_scenes(valid, _KNOWN, count)


def crop(path: Path) -> tuple[Crops, Any]:
    """Mouth crops [V, 96, 96] of a video, wider than the network's, and where a face is."""
    lips = crop_mouths(path, size=_CACHED_CROP)
    return lips.crops, lips.found


def _limited(entries: Iterable[manifest.Entry], most: int) -> list[manifest.Entry]:
    """At most `most` entries of each kind (of video: of each talker); 0 for all."""
    counts: dict[str, int] = defaultdict(int)
    kept = []
    for entry in entries:
        key = f"{entry.kind}/{entry.group if entry.kind == 'av' else entry.source}"
        counts[key] += 1
        if not most or counts[key] <= most:
            kept.append(entry)
    return kept


class _Steps(torch.utils.data.Dataset[Batch]):
    """A mixer as torch's loader wants it."""

    def __init__(self, mixer: Mixer) -> None:
        self.mixer = mixer

    def __getitem__(self, step: int) -> Batch:
        return self.mixer(step)


def stream(mixer: Mixer, steps: Iterable[int], workers: int) -> Iterator[Batch]:
    """The batches of `steps`, mixed ahead by worker processes where there are any."""
    if workers == 0:
        return (mixer(step) for step in steps)
    loader = torch.utils.data.DataLoader(
        _Steps(mixer),
        batch_size=None,
        sampler=list(steps),
        num_workers=workers,
        collate_fn=_as_it_is,
    )
    return iter(loader)


def _as_it_is(batch: Any) -> Any:
    """A named function, so that workers can be started where processes are not forked."""
    return batch
