"""Where the scenes of `enhancer_pretrain` come from: recordings, or the challenge's own folder."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hearken import media
from hearken.data import manifest, rooms, scene_stock, stock
from hearken.data.fixed import FixedScene, fixed_scenes
from hearken.data.online import Batch, Mixer
from hearken.enhancer.envelope import envelope, imagine
from hearken.enhancer.lips import crop_mouths
from hearken.errors import UsageError
from hearken.nouns import Crops

if TYPE_CHECKING:
    from hearken.loops.enhancer_pretrain import Config

__all__ = ["crop", "data", "stream"]

_CACHED_CROP = 96
_KNOWN = "GRID-s1"


def data(config: Config) -> tuple[Mixer, list[FixedScene]]:
    """Training scenes without end, and the held-out ones.

    Raises:
        UsageError: two sources are named, or simulated rooms cannot be made.
        ManifestError: a folder is not laid out as it should be.
    """
    cache = config.cache if config.cache != Path("") else config.out / "cache"
    if config.scenes != Path(""):
        if config.data != Path(""):
            raise UsageError("--data and --scenes exclude each other: name one of them")
        sizes = {"count": config.valid_count, "limit": config.clips, "workers": config.workers}
        train, held_out = scene_stock.build(config.scenes, cache, crop, **sizes)
    else:
        train, held_out = _recordings(config, cache)
    mixer = Mixer(
        train,
        envelope,
        imagine,
        batch=config.batch,
        frames=config.frames,
        filmed=config.filmed,
        blank=config.blank,
        noisy=config.noisy,
        seed=config.seed,
    )
    return mixer, held_out


def _recordings(config: Config, cache: Path) -> tuple[stock.Stock, list[FixedScene]]:
    """Both sides of a folder with a manifest."""
    parts = manifest.split(manifest.read(config.data))
    films = manifest.films(config.films) * config.films_repeat if config.films != Path("") else ()
    train, valid = (
        stock.build(
            _limited(side, config.clips),
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
    more = tuple(stock.pcm(x) for x in rooms.simulated(config.rooms, config.seed))
    train = dataclasses.replace(train, rooms=(*train.rooms, *more))
    return train, fixed_scenes(valid, _KNOWN, config.valid_count)


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


def stream(mixer: Mixer, steps: Iterable[int], config: Config) -> Iterator[Batch]:
    """The batches of `steps`, mixed ahead by worker processes where there are any."""
    if config.workers == 0:
        return (mixer(step) for step in steps)
    loader = torch.utils.data.DataLoader(
        _Steps(mixer),
        batch_size=None,
        sampler=list(steps),
        num_workers=config.workers,
        collate_fn=_as_it_is,
    )
    return iter(loader)


def _as_it_is(batch: Any) -> Any:
    """A named function, so that workers can be started where processes are not forked."""
    return batch
