"""What a critic hears of a corpus, kept on disk: a run that is taken up again starts at once.

One safetensors file for each stretch of clips, named by the clips (path, size, time of change) and
by the critic's ears, so that what has changed is heard anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import soundfile
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from hearken.critic.lesson import Lessons
from hearken.critic.model import LEVEL
from hearken.critic.waveform import CHANNELS

__all__ = ["STRETCH", "heard"]

STRETCH = 512
"""Clips in one file."""
_BATCH = 32


def heard(lessons: Lessons, paths: Sequence[Path], cache: Path) -> Iterator[dict[str, Tensor]]:
    """For each `STRETCH` of clips what `Lessons.hear` gives, from `cache` where it is there.

    Args:
        lessons: whose critic hears.
        paths: the clips, no longer than its window.
        cache: folder of the files; made if missing. A file that cannot be read is made again.
    """
    cache.mkdir(parents=True, exist_ok=True)
    ears = f"{lessons.critic.processor.feature_extractor.to_json_string()} {CHANNELS} {LEVEL}"
    for first in range(0, len(paths), STRETCH):
        chosen = paths[first : first + STRETCH]
        file = cache / f"{_name(ears, chosen)}.safetensors"
        try:
            yield load_file(file)
        except (OSError, SafetensorError):
            found = _hear(lessons, chosen)
            part = file.with_suffix(f".{os.getpid()}.part")
            save_file(found, part)
            os.replace(part, file)
            yield found


def _hear(lessons: Lessons, paths: Sequence[Path]) -> dict[str, Tensor]:
    parts = [
        lessons.hear([soundfile.read(p, dtype="float32")[0] for p in paths[i : i + _BATCH]])
        for i in range(0, len(paths), _BATCH)
    ]
    longest = max(p["question"].shape[1] for p in parts)
    for p in parts:
        more = longest - p["question"].shape[1]
        p["question"] = F.pad(p["question"], (more, 0), value=Lessons.NO_TOKEN)
    return {name: torch.cat([p[name] for p in parts]).contiguous() for name in parts[0]}


def _name(ears: str, paths: Sequence[Path]) -> str:
    facts = [f"{p} {s.st_size} {s.st_mtime_ns}" for p in paths for s in [p.stat()]]
    return hashlib.sha256("\n".join([ears, *facts]).encode()).hexdigest()[:16]
