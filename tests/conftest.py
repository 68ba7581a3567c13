"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported: oversubscribed threads make small models 3-17x slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def data_dir() -> Path:
    """The folder of real recordings that HEARKEN_DATA names."""
    folder = os.environ.get("HEARKEN_DATA", "")
    if not folder or not (Path(folder) / "manifest.csv").exists():
        pytest.skip("HEARKEN_DATA names no folder of real recordings")
    return Path(folder)


@pytest.fixture
def rng() -> np.random.Generator:
    """A fresh generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture
def speechlike() -> NDArray[np.float32]:
    """Three seconds at 16 kHz that behave like speech: a gliding harmonic voice in syllables."""
    sr, seconds = 16_000, 3.0
    t = np.arange(int(sr * seconds)) / sr
    pitch_hz = 120 + 25 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sr
    formants = [(500, 120.0), (1500, 200.0), (2500, 300.0)]
    voice = np.zeros_like(t)
    for k in range(1, 40):
        gain = sum(np.exp(-(((k * 120 - f) / w) ** 2)) for f, w in formants) + 0.03
        voice += gain / k**0.3 * np.sin(k * phase)
    syllables = np.clip(np.sin(2 * np.pi * 2.0 * t), 0, None) ** 0.5
    breath = 1e-4 * np.random.default_rng(1).standard_normal(len(t))
    voice = 0.1 * voice * syllables / np.abs(voice).max() * 3 + breath
    return np.asarray(voice, dtype=np.float32)
