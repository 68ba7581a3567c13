"""Scene folders as stock: what is kept on disk, what the mixer gets of it, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from hearken import media
from hearken.data import scene_stock
from hearken.data.online import Mixer
from hearken.errors import ManifestError
from small_scenes import SAMPLES, crops_of, write_avsec4


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_avsec4(tmp_path / "avsec", train=4, dev=3)


def build(root: Path, cache: Path, **changes: object):
    return scene_stock.build(root, cache, crops_of, **{"count": 2, **changes})


def pcm_of(path: Path) -> np.ndarray:
    return np.round(media.load_audio(path) * 32768).astype(np.int16)


def test_each_scene_is_a_face_with_its_company(root: Path, tmp_path: Path) -> None:
    train, _ = build(root, tmp_path / "cache")
    assert [f.name for f in train.faces] == [f"scenes/S0000{i}" for i in (1, 2, 3, 4)]
    folder = root / "train" / "scenes"
    face = train.faces[1]
    assert (face.group, face.company_talks, face.frames) == ("talkertrain1", True, 25)
    np.testing.assert_array_equal(face.voice(0), pcm_of(folder / "S00002_target_mono.wav"))
    np.testing.assert_array_equal(face.voice(3), face.voice(0))
    np.testing.assert_array_equal(face.company, pcm_of(folder / "S00002_interferer_mono.wav"))
    np.testing.assert_array_equal(face.crops, crops_of(folder / "S00002_silent.mp4")[0])
    assert not train.faces[0].company_talks
    assert train.faces[2].company_talks  # noise and speech
    # Scenes 1 and 4 have noise, 2 has speech, 3 has both and goes with its own talker only.
    assert (len(train.noises), len(train.commands), len(train.voices)) == (2, 1, 4)
    np.testing.assert_array_equal(train.commands[0], face.company)


def test_nothing_is_held_in_memory(root: Path, tmp_path: Path) -> None:
    train, _ = build(root, tmp_path / "cache")
    face = train.faces[0]
    for array in (face.crops, face.voice(0), face.company, train.noises[0]):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
    assert train.faces[0] is not face


def test_the_cache_is_made_once(root: Path, tmp_path: Path) -> None:
    build(root, tmp_path / "cache")

    def never(path: Path) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError(f"{path} was looked at again")

    again, _ = scene_stock.build(root, tmp_path / "cache", never, count=2)
    assert len(again.faces) == 4


def test_each_process_of_a_run_begins_elsewhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = build(root, tmp_path / "one")
    order: list[str] = []

    def noting(path: Path) -> tuple[np.ndarray, np.ndarray]:
        order.append(path.stem[:6])
        return crops_of(path)

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    two, _ = scene_stock.build(root, tmp_path / "two", noting, count=2)
    assert order[:4] == ["S00003", "S00004", "S00001", "S00002"]
    for a, b in zip(one.faces, two.faces, strict=True):
        assert (a.name, a.group) == (b.name, b.group)
        np.testing.assert_array_equal(a.crops, b.crops)


def test_worker_processes_make_the_same_cache(root: Path, tmp_path: Path) -> None:
    one, _ = build(root, tmp_path / "one")
    two, _ = build(root, tmp_path / "two", workers=2)
    for a, b in zip(one.faces, two.faces, strict=True):
        np.testing.assert_array_equal(a.crops, b.crops)
        np.testing.assert_array_equal(a.company, b.company)


def test_mixed_scenes_repeat_and_hold_the_target(root: Path, tmp_path: Path) -> None:
    train, _ = build(root, tmp_path / "cache")
    plain = {"batch": 6, "frames": 20, "filmed": 0.7, "seed": 3}
    mixer = Mixer(train, lambda x, n: np.zeros((n, 24), np.float32), lambda e, rng: e, **plain)
    one, two = mixer(4), mixer(4)
    assert one.mix.shape == (6, 12_800)
    assert one.crops.shape == (4, 20, 88, 88)
    assert one.mix.tobytes() == two.mix.tobytes()
    assert np.isfinite(one.mix).all()
    for mix, clean in zip(one.mix, one.clean, strict=True):
        assert np.corrcoef(mix, clean)[0, 1] > 0.1


def test_dev_scenes_validate_as_they_were_mixed(root: Path, tmp_path: Path) -> None:
    _, held_out = build(root, tmp_path / "cache")
    folder = root / "dev" / "scenes"
    assert [s.kind for s in held_out] == ["noise/unseen", "talker/unseen", "talker/unseen"]
    np.testing.assert_array_equal(held_out[0].mix, media.load_audio(folder / "S00001_mono_mix.wav"))
    np.testing.assert_array_equal(
        held_out[0].clean, media.load_audio(folder / "S00001_target_mono.wav")
    )
    mine, others = (crops_of(folder / f"S0000{i}_silent.mp4")[0][:, 4:92, 4:92] for i in (1, 2))
    np.testing.assert_array_equal(held_out[0].crops, mine)
    np.testing.assert_array_equal(held_out[0].wrong, others)
    _, fewer = build(root, tmp_path / "cache", count=1)
    assert [s.kind for s in fewer] == ["noise/unseen", "talker/unseen"]


def test_a_scene_without_a_face_is_heard(root: Path, tmp_path: Path) -> None:
    (root / "train" / "scenes" / "S00002_silent.mp4").unlink()
    train, _ = build(root, tmp_path / "cache")
    assert [f.name[-1] for f in train.faces] == ["1", "3", "4"]
    assert len(train.voices) == 4


def test_scenes_of_one_name_in_two_folders_stay_apart(root: Path, tmp_path: Path) -> None:
    (root / "train" / "more").mkdir()
    os.rename(root / "train" / "scenes", root / "train" / "more" / "scenes")
    write_avsec4(tmp_path / "second", train=1)
    os.rename(tmp_path / "second" / "train" / "scenes", root / "train" / "scenes")
    train, _ = build(root, tmp_path / "cache")
    assert len({f.name for f in train.faces}) == 5


def test_one_bad_scene_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_avsec4(tmp_path / "avsec", train=11)
    (root / "train" / "scenes" / "S00005_target_mono.wav").write_bytes(b"RIFF")
    train, _ = build(root, tmp_path / "cache")
    assert len(train.faces) == 10
    assert "1 of 11" in (said := capsys.readouterr().err)
    assert "S00005" in said
    (root / "train" / "scenes" / "S00006_target_mono.wav").write_bytes(b"RIFF")
    with pytest.raises(ManifestError, match="2 of 11"):
        build(root, tmp_path / "fresh")


def test_a_damaged_cache_is_named(root: Path, tmp_path: Path) -> None:
    build(root, tmp_path / "cache")
    kept = tmp_path / "cache" / "train" / "scenes" / "S00003.npz"
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(ManifestError, match=r"S00003\.npz.*delete it"):
        build(root, tmp_path / "cache")


@pytest.mark.parametrize("side", ["train", "dev"])
def test_a_missing_side_is_named(root: Path, tmp_path: Path, side: str) -> None:
    os.rename(root / side, root / "elsewhere")
    with pytest.raises(ManifestError, match=side):
        build(root, tmp_path / "cache")


def test_scenes_without_targets_or_faces_cannot_train(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="shows a face"):
        scene_stock.build(
            root,
            tmp_path / "cache",
            lambda path: (np.zeros((25, 96, 96), np.uint8), np.zeros(25, bool)),
            count=1,
        )
    for path in (root / "train" / "scenes").glob("*target*"):
        path.unlink()
    with pytest.raises(ManifestError, match="no scene has a target"):
        build(root, tmp_path / "cache")


def test_without_a_json_nobody_knows_who_speaks(root: Path, tmp_path: Path) -> None:
    (root / "scenes.train.json").write_text(json.dumps([]))
    train, _ = build(root, tmp_path / "cache")
    assert (len(train.noises), len(train.commands)) == (0, 0)
    assert all(f.company_talks and len(f.company) == SAMPLES for f in train.faces)
