from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hearken import media
from hearken.app import enhance
from hearken.app.cli import main
from hearken.app.inputs import expand
from hearken.app.record import Enhancement
from hearken.nouns import SAMPLE_RATE, Audio


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for row in found:
        Enhancement.model_validate(row)
    return found


def test_audio_in_audio_out(
    hand: Any, wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["enhance", str(wav), "-o", str(out)]) == 0
    (row,) = rows(capsys)
    assert row["outputs"] == [str(out / "a.wav")]
    assert row["face_found"] is None
    before, after = media.load_audio(wav), media.load_audio(out / "a.wav")
    assert len(after) == len(before)
    np.testing.assert_allclose(after, before / 2, atol=1e-4)
    assert hand.crops == [None]


def test_long_sound_goes_through_in_blocks(
    hand: Any, speechlike: Audio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = np.tile(speechlike, 12)[: 16_000 * 21 + 7]
    media.write_audio(tmp_path / "long.wav", long)
    assert main(["enhance", str(tmp_path / "long.wav"), "-o", str(tmp_path / "out")]) == 0
    assert rows(capsys)[0]["duration"] == round(len(long) / 16_000, 4)
    assert len(hand.blocks) > 4
    assert max(hand.blocks) <= 16_000 * 4
    after = media.load_audio(tmp_path / "out" / "long.wav")
    np.testing.assert_allclose(after, long / 2, atol=1e-4)


def test_damage_at_the_end_is_found_before_anything_is_written(
    hand: Any, speechlike: Audio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = np.append(np.tile(speechlike, 4), np.float32(np.nan))
    soundfile.write(tmp_path / "late.wav", late, 16_000, "FLOAT")
    assert main(["enhance", str(tmp_path / "late.wav"), "-o", str(tmp_path / "out")]) == 3
    assert "NaN" in rows(capsys)[0]["error"]
    assert hand.blocks == []
    assert not (tmp_path / "out").exists()


def test_video_in_the_same_video_out(
    hand: Any, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["enhance", str(film), "-o", str(out)]) == 0
    (row,) = rows(capsys)
    assert row["outputs"] == [str(out / "film.mp4"), str(out / "film.wav")]
    before, after = list(media.iter_frames(film)), list(media.iter_frames(out / "film.mp4"))
    np.testing.assert_array_equal(before, after)
    loud, soft = media.load_audio(film), media.load_audio(out / "film.mp4")
    assert np.std(soft) == pytest.approx(np.std(loud) / 2, rel=0.1)


def test_no_face_is_said_and_the_sound_alone_is_used(
    hand: Any, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enhance", str(film), "-o", str(tmp_path / "out")]) == 0
    (row,) = rows(capsys)
    assert row["face_found"] == 0
    assert "face" in " ".join(row["warnings"])
    assert hand.crops == [None]


def test_one_bad_file_is_one_row(
    hand: Any, wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    names = [str(tmp_path / "gone.wav"), str(bad), str(wav)]
    assert main(["enhance", *names, "-o", str(tmp_path / "out")]) == 3
    found = rows(capsys)
    assert [r["path"] for r in found] == names
    assert [r["error"] is None for r in found] == [False, False, True]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.wav"]


def test_results_are_not_overwritten_unasked(
    hand: Any, wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    call = ["enhance", str(wav), "-o", str(out)]
    assert main(call) == 0
    (out / "a.wav").write_bytes(b"precious")
    assert main(call) == 3
    assert (out / "a.wav").read_bytes() == b"precious"
    assert "--overwrite" in rows(capsys)[-1]["error"]
    assert main([*call, "--overwrite"]) == 0
    assert (out / "a.wav").read_bytes() != b"precious"


def test_a_source_is_never_its_own_result(
    hand: Any, wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = wav.read_bytes()
    assert main(["enhance", str(wav), "-o", str(wav.parent), "--overwrite"]) == 3
    assert wav.read_bytes() == kept


def test_names_that_would_collide_are_told_apart(tmp_path: Path) -> None:
    for name in ("x/a.wav", "x/a.flac", "x/sub/a.wav", "y/A.wav", "y/a.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    items = expand([str(tmp_path / "x"), *(str(tmp_path / "y" / n) for n in ("A.wav", "a.wav"))])
    names = [job.name for job in enhance._named(items)]
    assert names == ["a", "a_wav", "sub/a", "A_wav_2", "a_wav_3"]
    assert len({n.lower() for n in names}) == 5


def test_sound_and_face_apart(
    hand: Any, wav: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["enhance", "--audio", str(wav), "--video", str(film), "-o", str(out)]) == 0
    (row,) = rows(capsys)
    assert row["outputs"] == [str(out / "a.wav")]
    assert row["face_found"] == 0


def test_scenes_are_named_by_scene(
    hand: Any, speechlike: Audio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "avsec" / "scenes"
    folder.mkdir(parents=True)
    for i in (1, 2):
        media.write_audio(folder / f"S0000{i}_mixed.wav", speechlike[:SAMPLE_RATE])
    out = tmp_path / "out"
    assert main(["enhance", "--scenes", str(tmp_path / "avsec"), "-o", str(out)]) == 0
    assert [r["key"] for r in rows(capsys)] == ["S00001", "S00002"]
    assert sorted(p.name for p in out.iterdir()) == ["S00001.wav", "S00002.wav"]


@pytest.mark.parametrize(
    "args",
    [
        ["a.wav"],
        ["-o", "out"],
        ["a.wav", "--scenes", "d", "-o", "out"],
        ["--video", "v.mp4", "-o", "out"],
        ["--scenes", "no-such-folder", "-o", "out"],
    ],
)
def test_wrong_calls(hand: Any, args: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["enhance", *args]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.data
def test_a_real_face_is_found(
    hand: Any, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "in.mp4"
    shutil.copy(next((data_dir / "av").glob("GRID-s1_*.mp4")), film)
    assert main(["enhance", str(film), "-o", str(tmp_path / "out")]) == 0
    (row,) = rows(capsys)
    assert row["face_found"] > 0.95
    assert hand.crops[0].shape[1:] == (88, 88)
