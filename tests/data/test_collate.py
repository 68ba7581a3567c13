"""Batches of clips of different lengths."""

from __future__ import annotations

import numpy as np
import pytest

from hearken.data.collate import crop, pad, pad_crops
from hearken.errors import UsageError


def test_pad_keeps_samples_and_tells_lengths() -> None:
    clips = [np.arange(1, n + 1, dtype=np.float32) for n in (3, 1, 2)]
    batch_bt, lengths_b = pad(clips)
    assert batch_bt.dtype == np.float32
    assert lengths_b.dtype == np.int64
    assert batch_bt.tolist() == [[1, 2, 3], [1, 0, 0], [1, 2, 0]]
    assert lengths_b.tolist() == [3, 1, 2]


def test_pad_to_a_length_cuts_and_fills() -> None:
    batch_bt, lengths_b = pad([np.ones(5, np.float32), np.zeros(0, np.float32)], length=2)
    assert batch_bt.tolist() == [[1, 1], [0, 0]]
    assert lengths_b.tolist() == [2, 0]


def test_pad_crops_adds_black_frames() -> None:
    videos = [np.full((n, 88, 88), 7, np.uint8) for n in (2, 3)]
    batch_bvhw, lengths_b = pad_crops(videos)
    assert batch_bvhw.shape == (2, 3, 88, 88)
    assert batch_bvhw[0, 2].max() == 0
    assert batch_bvhw[1].min() == 7
    assert lengths_b.tolist() == [2, 3]


def test_crop_is_a_stretch_of_the_clip(rng: np.random.Generator) -> None:
    clip = np.arange(100, dtype=np.float32)
    starts = set()
    for _ in range(50):
        part = crop(clip, 10, rng)
        assert np.array_equal(part, part[0] + np.arange(10))
        starts.add(float(part[0]))
    assert len(starts) > 10
    assert crop(clip[:3], 5, rng).tolist() == [0, 1, 2, 0, 0]


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        pad([])
    with pytest.raises(UsageError, match="shape"):
        pad([np.ones((2, 3), np.float32)])
    with pytest.raises(UsageError, match="crops"):
        pad_crops([np.zeros((1, 8, 8), np.uint8), np.zeros((1, 9, 9), np.uint8)])
