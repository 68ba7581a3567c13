"""The cache of what was heard: the same lessons, heard once, and anew where a clip changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hearken.critic import Critic, cache
from hearken.critic.grammar import render
from hearken.critic.lesson import Lessons
from hearken.critic.tiny import TinyConfig, new_tiny
from hearken.nouns import DIMENSIONS, Description, Score

SIZES = TinyConfig(
    window_s=2, mel_bins=16, audio_width=16, audio_layers=1, audio_ffn=16, text_width=16,
    text_layers=1, text_ffn=16, heads=2, vocab=420,
)  # fmt: skip
TRUTH = Description({d: Score.point(3) for d in DIMENSIONS}, (), "Nothing is wrong.")


@pytest.fixture
def critic(tmp_path: Path) -> Critic:
    return Critic.from_pretrained(new_tiny(tmp_path / "m", [render(TRUTH)] * 3, config=SIZES))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    found = [tmp_path / f"{k}.flac" for k in range(5)]
    for k, path in enumerate(found):
        soundfile.write(path, 0.1 * rng.standard_normal(6_000 * (k + 1)), 16_000)
    return found


def lessons_of(critic: Critic, paths: list[Path], folder: Path) -> Lessons:
    made, at = Lessons(critic), 0
    for found in cache.heard(made, paths, folder):
        count = len(found["question"])
        made.recall(found, [TRUTH] * count)
        at += count
    assert at == len(paths)
    return made


def test_recalled_lessons_are_the_heard_ones(
    critic: Critic, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "STRETCH", 3)
    monkeypatch.setattr(cache, "_BATCH", 2)
    first = lessons_of(critic, paths, tmp_path / "heard")
    assert len(list((tmp_path / "heard").iterdir())) == 2
    direct = Lessons(critic)
    direct.add([soundfile.read(p, dtype="float32")[0] for p in paths], [TRUTH] * 5)
    monkeypatch.setattr(Lessons, "hear", None)  # what is kept is not heard again
    again = lessons_of(critic, paths, tmp_path / "heard")
    for made in (first, again):
        a, b = (x.batch(range(5), np.random.default_rng(0)) for x in (made, direct))
        assert all(torch.equal(a[k], b[k]) for k in b)


def test_a_clip_that_changed_and_a_file_that_broke_are_heard_anew(
    critic: Critic, paths: list[Path], tmp_path: Path
) -> None:
    before = lessons_of(critic, paths, tmp_path / "heard").batch([1], np.random.default_rng(0))
    soundfile.write(paths[1], np.zeros(9_000), 16_000)
    after = lessons_of(critic, paths, tmp_path / "heard").batch([1], np.random.default_rng(0))
    assert not torch.equal(before["input_features"], after["input_features"])
    for file in (tmp_path / "heard").iterdir():
        file.write_bytes(b"cut off")
    again = lessons_of(critic, paths, tmp_path / "heard").batch([1], np.random.default_rng(0))
    assert torch.equal(again["input_features"], after["input_features"])
