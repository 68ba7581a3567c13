from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hearken.enhancer import Enhancer, EnhancerConfig, MaskNet
from hearken.enhancer import model as model_module
from hearken.errors import CheckpointError, UsageError


@pytest.fixture
def enhancer() -> Enhancer:
    torch.manual_seed(0)
    return Enhancer(MaskNet(EnhancerConfig(channels=(4, 4, 4, 4), hidden=12, lip_width=16)))


def _crops(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, 88, 88)).astype(np.uint8)


def _passing(enhancer: Enhancer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the network let everything through."""
    monkeypatch.setattr(
        enhancer.net, "mask", lambda spec, crops=None, found=None: torch.ones(spec.shape)
    )


@pytest.mark.parametrize("samples", [0, 1, 100, 639, 640, 16_001])
def test_output_is_as_long_as_the_input(enhancer: Enhancer, samples: int) -> None:
    x = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    for crops in (None, _crops(10)):
        y = enhancer.enhance(x, crops)
        assert y.shape == x.shape
        assert y.dtype == np.float32
        assert np.isfinite(y).all()


def test_silence_stays_silent(enhancer: Enhancer) -> None:
    assert not enhancer.enhance(np.zeros(8_000, np.float32)).any()


def test_long_sound_is_joined_without_a_seam(
    enhancer: Enhancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _passing(enhancer, monkeypatch)
    x = np.random.default_rng(0).normal(0, 0.1, 16_000 * 40 + 77).astype(np.float32)
    np.testing.assert_allclose(enhancer.enhance(x), x, atol=1e-5)


def test_long_sound_goes_through_in_pieces_of_bounded_length(
    enhancer: Enhancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = []
    forward = enhancer.net.forward

    def spy(mix: torch.Tensor, *rest: torch.Tensor | None) -> torch.Tensor:
        longest.append(mix.shape[1])
        return forward(mix, *rest)

    monkeypatch.setattr(enhancer.net, "forward", spy)
    enhancer.enhance(np.zeros(16_000 * 60, np.float32) + 0.01)
    assert max(longest) <= 16_000 * 16
    assert len(longest) > 3


@pytest.mark.parametrize("total", [401, 500, 549, 551, 1_000, 15_000])
def test_chunks_cover_and_overlap(total: int) -> None:
    spans = list(model_module._chunks(total))
    assert spans[0][0] == 0
    assert spans[-1][1] == total
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end - start == 50
    assert max(b - a for a, b in spans) <= 350


def test_crops_follow_the_sound_through_the_pieces(enhancer: Enhancer) -> None:
    """A face late in a long clip changes the sound there and nowhere before."""
    x = np.random.default_rng(0).normal(0, 0.1, 16_000 * 30).astype(np.float32)
    crops = _crops(750)
    found = np.zeros(750, bool)
    without = enhancer.enhance(x, crops, found)
    np.testing.assert_array_equal(without, enhancer.enhance(x))
    found[700:] = True
    late = enhancer.enhance(x, crops, found)
    assert np.abs(late - without)[16_000 * 28 :].max() > 1e-6
    np.testing.assert_array_equal(late[: 16_000 * 19], without[: 16_000 * 19])


def test_video_shorter_than_sound_is_unseen_from_there(enhancer: Enhancer) -> None:
    x = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    crops = _crops(20)
    full = np.concatenate([crops, np.zeros((30, 88, 88), np.uint8)])
    found = np.arange(50) < 20
    np.testing.assert_array_equal(enhancer.enhance(x, crops), enhancer.enhance(x, full, found))


def test_bad_shapes_are_refused(enhancer: Enhancer) -> None:
    x = np.zeros(1_000, np.float32)
    with pytest.raises(UsageError, match="mono"):
        enhancer.enhance(np.zeros((2, 10), np.float32))
    with pytest.raises(UsageError, match="NaN"):
        enhancer.enhance(np.full(10, np.nan, np.float32))
    with pytest.raises(UsageError, match="88"):
        enhancer.enhance(x, np.zeros((2, 40, 40), np.uint8))
    with pytest.raises(UsageError, match="found"):
        enhancer.enhance(x, _crops(2), np.ones(3, bool))


@pytest.mark.parametrize("half", [False, True])
def test_saved_weights_come_back(enhancer: Enhancer, tmp_path: Path, half: bool) -> None:
    enhancer.save(tmp_path / "w", half=half)
    back = Enhancer.from_pretrained(tmp_path / "w")
    assert back.config == enhancer.config
    assert len(back.revision) == 12
    x = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    np.testing.assert_allclose(
        back.enhance(x, _crops(25)), enhancer.enhance(x, _crops(25)), atol=1e-3 if half else 1e-6
    )
    assert sorted(p.name for p in (tmp_path / "w").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_bad_folders_are_told(enhancer: Enhancer, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="config"):
        Enhancer.from_pretrained(tmp_path / "nowhere")
    enhancer.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden": 13}))
    with pytest.raises(CheckpointError):
        Enhancer.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "colour": "red"}))
    with pytest.raises(CheckpointError):
        Enhancer.from_pretrained(tmp_path)
