"""Clips of different lengths as one rectangular batch, and crops of one length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hearken.errors import UsageError
from hearken.nouns import Audio, Crops

__all__ = ["crop", "pad", "pad_crops"]


def pad(
    clips: Sequence[Audio], *, length: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """[T_b] each -> [B, T] with zeros at the end, and the lengths [B].

    Args:
        clips: at least one.
        length: T; the longest clip by default. Longer clips are cut to it.

    >>> batch, lengths = pad([np.ones(2, np.float32), np.ones(3, np.float32)])
    >>> batch.tolist(), lengths.tolist()
    ([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], [2, 3])
    """
    _some(clips)
    wrong = [c.shape for c in clips if c.ndim != 1]
    if wrong:
        raise UsageError(f"a clip has shape {wrong[0]}; want [T]")
    longest = max(len(c) for c in clips) if length is None else length
    batch_bt = np.zeros((len(clips), longest), np.float32)
    for row, clip in zip(batch_bt, clips, strict=True):
        row[: min(len(clip), longest)] = clip[:longest]
    return batch_bt, np.array([min(len(c), longest) for c in clips], np.int64)


def pad_crops(
    videos: Sequence[Crops], *, frames: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """[V_b, H, W] each -> [B, V, H, W] with black frames at the end, and the lengths [B]."""
    _some(videos)
    size = videos[0].shape[1:]
    wrong = [v.shape for v in videos if v.ndim != 3 or v.shape[1:] != size]
    if wrong:
        raise UsageError(f"mouth crops of shape {wrong[0]} beside [V, {size}]")
    longest = max(len(v) for v in videos) if frames is None else frames
    batch_bvhw = np.zeros((len(videos), longest, *size), np.uint8)
    for row, video in zip(batch_bvhw, videos, strict=True):
        row[: min(len(video), longest)] = video[:longest]
    return batch_bvhw, np.array([min(len(v), longest) for v in videos], np.int64)


def crop(clip: Audio, length: int, rng: np.random.Generator) -> Audio:
    """A random stretch of `length` samples; a shorter clip is filled up with zeros."""
    if len(clip) <= length:
        return pad([clip], length=length)[0][0]
    start = int(rng.integers(0, len(clip) - length + 1))
    return np.asarray(clip[start : start + length], np.float32)


def _some(items: Sequence[object]) -> None:
    if not items:
        raise UsageError("an empty batch: give at least one clip")
