from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

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
    monkeypatch.setattr(enhancer.net, "listen_with", lambda spec, sight: torch.ones(spec.shape))


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
    spectrum = enhancer.net.spectrum

    def spy(mix: torch.Tensor) -> torch.Tensor:
        longest.append(mix.shape[1])
        return spectrum(mix)

    monkeypatch.setattr(enhancer.net, "spectrum", spy)
    enhancer.enhance(np.zeros(16_000 * 60, np.float32) + 0.01)
    assert max(longest) <= 16_000 * 16
    assert len(longest) > 3


@pytest.mark.parametrize("total", [1, 400, 401, 500, 549, 551, 1_000, 15_000])
def test_pieces_cover_and_overlap(total: int) -> None:
    sound = np.arange(640 * total - 5, dtype=np.float32)
    pieces = list(model_module._pieces(iter(np.array_split(sound, 7))))
    spans = [(start, start + model_module._frames(piece)) for start, piece, _ in pieces]
    assert spans[0][0] == 0
    assert spans[-1][1] == total
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end - start == 50
    assert max(b - a for a, b in spans) <= (350 if len(spans) > 1 else 400)
    assert [last for _, _, last in pieces] == [False] * (len(spans) - 1) + [True]
    for start, piece, _ in pieces:
        np.testing.assert_array_equal(piece, sound[640 * start :][: len(piece)])


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
    short, unseen = enhancer.enhance(x, crops), enhancer.enhance(x, full, found)
    # not to the bit: the lip-reader meets the end of the clip in the one, black in the other
    np.testing.assert_allclose(short, unseen, atol=1e-3)
    assert np.abs(short - enhancer.enhance(x)).max() > 1e-3


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("frames", [0, 7, 200, 239, 240, 241, 280, 281, 700])
def test_lips_read_in_pieces_are_lips_read_at_once(causal: bool, frames: int) -> None:
    torch.manual_seed(0)
    enhancer = Enhancer(MaskNet(EnhancerConfig(hidden=4, lip_width=16, causal=causal)))
    crops = _crops(frames)
    found = np.random.default_rng(1).random(frames) < 0.9
    sight = enhancer.look(zip(crops, found, strict=True))
    assert sight.envelope.shape == (1, frames, 24)
    np.testing.assert_array_equal(sight.seen[0].numpy(), found)
    if frames:
        whole = enhancer.net.look(torch.from_numpy(crops)[None]).envelope.detach()
        torch.testing.assert_close(sight.envelope, whole, atol=1e-5, rtol=1e-5)


def test_blocks_join_to_the_whole(enhancer: Enhancer) -> None:
    x = np.random.default_rng(0).normal(0, 0.1, 16_000 * 30 + 5).astype(np.float32)
    blocks = list(enhancer.stream(x))
    assert len(blocks) == 3
    assert max(map(len, blocks)) <= 16_000 * 14
    np.testing.assert_array_equal(np.concatenate(blocks), enhancer.enhance(x))
    with pytest.raises(UsageError, match="NaN"):  # at once, not when the first block is asked for
        enhancer.stream(np.full(10, np.nan, np.float32))


@pytest.mark.parametrize("size", [1_777, 640 * 50, 16_000 * 25])
def test_blocks_in_are_the_whole_in(enhancer: Enhancer, size: int) -> None:
    x = np.random.default_rng(0).normal(0, 0.1, (2, 16_000 * 30 + 5)).astype(np.float32)
    sight = enhancer.look((crop, True) for crop in _crops(600))
    for sound in (x[0], x, x[0, :1_000], x[0, :0]):
        blocks = (sound[..., at : at + size] for at in range(0, sound.shape[-1], size))
        made = np.concatenate(list(enhancer.stream(blocks, sight)), axis=-1)
        np.testing.assert_array_equal(made, enhancer.enhance(sound, sight=sight))


def test_blocks_are_taken_no_further_ahead_than_needed(
    enhancer: Enhancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _passing(enhancer, monkeypatch)
    taken = given = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal taken
        for _ in range(60):
            taken += 16_000
            yield np.full(16_000, 0.1, np.float32)

    for block in enhancer.stream(blocks()):
        assert taken - given <= 16_000 * 17  # the first piece waits for 16 s and one block
        given += len(block)
    assert given == taken == 16_000 * 60


def test_a_block_that_cannot_be(enhancer: Enhancer) -> None:
    for bad in (np.full(10, np.nan, np.float32), np.zeros((3, 10), np.float32)):
        with pytest.raises(UsageError):
            list(enhancer.stream(iter([np.zeros(10, np.float32), bad])))


def test_lips_out_of_sight_cost_nothing(enhancer: Enhancer) -> None:
    black = np.zeros((88, 88), np.uint8)
    enhancer.net.lips = None  # type: ignore[assignment]
    sight = enhancer.look((black, False) for _ in range(1_000))
    assert not sight.seen.any()


def test_crops_or_what_was_read_of_them(enhancer: Enhancer) -> None:
    x = np.random.default_rng(0).normal(0, 0.1, 16_000 * 20).astype(np.float32)
    crops = _crops(480)  # the picture ends before the sound
    sight = enhancer.look((crop, True) for crop in crops)
    np.testing.assert_array_equal(enhancer.enhance(x, sight=sight), enhancer.enhance(x, crops))
    with pytest.raises(UsageError, match="both"):
        enhancer.enhance(x, crops, sight=sight)
    with pytest.raises(UsageError, match="88"):
        enhancer.look([(np.zeros((96, 96), np.uint8), True)])


def _talk(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(3)
    t = np.arange(round(16_000 * seconds)) / 16_000
    voice = sum(np.sin(2 * np.pi * 140 * k * t + k) / k for k in range(1, 20))
    loud = 0.05 * (1 + np.sin(2 * np.pi * 3 * t))
    return (loud * voice + rng.normal(0, 0.02, len(t))).astype(np.float32)


@pytest.mark.parametrize("seconds", [2.0, 20.0])
def test_a_panned_voice_stays_where_it_is(enhancer: Enhancer, seconds: float) -> None:
    x = _talk(seconds)
    ears = np.stack([x, 0.5 * x])
    out = enhancer.enhance(ears, _crops(40))
    assert out.shape == ears.shape
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[1], 0.5 * out[0], atol=1e-6)  # 6.02 dB apart, as they were
    assert not np.allclose(out, ears, atol=1e-3)


def test_level_and_time_between_the_ears_are_kept(enhancer: Enhancer) -> None:
    x = _talk(3.0)
    ears = np.stack([x[8:], 0.7 * x[:-8]])  # the right ear hears it half a millisecond later
    before, after = (
        enhancer.net.spectrum(torch.from_numpy(s)) for s in (ears, enhancer.enhance(ears))
    )
    loud = before.abs().amin(0) > 0.1 * before.abs().amin(0).max()
    ratio = (after[1] / after[0])[loud] / (before[1] / before[0])[loud]
    assert 20 * ratio.abs().log10().abs().median() < 0.2  # dB
    assert ratio.angle().abs().median() < 0.05  # rad; 8 samples at 140 Hz are 0.44
    lags = range(-20, 21)
    out = enhancer.enhance(ears)
    match = [np.dot(out[0, 50:-50], np.roll(out[1], -lag)[50:-50]) for lag in lags]
    assert lags[int(np.argmax(match))] == 8


def test_the_mask_is_that_of_the_better_ear(
    enhancer: Enhancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_of_the_left(spec: torch.Tensor, sight: object) -> torch.Tensor:
        gains = torch.tensor([0.5, 0.9] if len(spec) == 2 else [0.5])
        return gains[:, None, None].expand(spec.shape)

    monkeypatch.setattr(enhancer.net, "listen_with", half_of_the_left)
    x = _talk(1.0)
    np.testing.assert_allclose(enhancer.enhance(np.stack([3 * x, x]))[0], 2.7 * x, atol=1e-5)
    np.testing.assert_allclose(enhancer.enhance(x), 0.5 * x, atol=1e-5)


def test_bad_shapes_are_refused(enhancer: Enhancer) -> None:
    x = np.zeros(1_000, np.float32)
    with pytest.raises(UsageError, match="mono"):
        enhancer.enhance(np.zeros((3, 10), np.float32))
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


def test_changes_are_loaded_on_top_of_what_they_change(enhancer: Enhancer, tmp_path: Path) -> None:
    enhancer.save(tmp_path / "base")
    base = Enhancer.from_pretrained(tmp_path / "base")
    tuned = Enhancer(copy.deepcopy(base.net))
    with torch.no_grad():
        tuned.net.listen.leave.bias += 1.0
    tuned.save_changes(tmp_path / "tuned", base)
    assert (tmp_path / "tuned" / "changes.safetensors").stat().st_size < 10_000
    back = Enhancer.from_pretrained(tmp_path / "tuned")
    assert back.revision != base.revision
    for name, value in tuned.net.state_dict().items():
        torch.testing.assert_close(back.net.state_dict()[name], value, rtol=0, atol=0)
    x = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    assert not np.allclose(back.enhance(x), base.enhance(x))
    # Other weights under the same name are not what was changed.
    tuned.save(tmp_path / "base")
    with pytest.raises(CheckpointError, match=r"changes weights .*base of revision"):
        Enhancer.from_pretrained(tmp_path / "tuned")


def test_changes_that_fit_nothing_are_told(enhancer: Enhancer, tmp_path: Path) -> None:
    enhancer.save(tmp_path / "base")
    base = Enhancer.from_pretrained(tmp_path / "base")
    base.save_changes(tmp_path / "same", base)
    assert Enhancer.from_pretrained(tmp_path / "same").config == base.config
    save_file({"listen.colour": torch.zeros(1)}, tmp_path / "same" / "changes.safetensors")
    with pytest.raises(CheckpointError, match="colour"):
        Enhancer.from_pretrained(tmp_path / "same")


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
