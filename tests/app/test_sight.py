"""Which face: two drawn ones side by side, of whom the right one leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from hearken import media
from hearken.app.cli import main
from hearken.app.puppet._face import draw
from hearken.app.puppet._mouth import Mouth
from hearken.app.sight import see
from hearken.errors import HearkenError
from hearken.nouns import SAMPLE_RATE, SAMPLES_PER_FRAME

FRAMES, LEAVES, SECONDS = 70, 45, 4.0  # the picture ends at 2.8 s, the right face leaves at 1.8 s


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    shut, wide = Mouth(0.0, 0.5), Mouth(0.9, 0.8)
    left = list(draw([shut] * FRAMES, rng))
    right = list(draw([shut if v // 3 % 2 else wide for v in range(FRAMES)], rng))
    frames = []
    for v in range(FRAMES):
        page = np.full((400, 880, 3), 128, np.uint8)
        small = cv2.resize(left[v], None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        page[60 : 60 + small.shape[0], 20 : 20 + small.shape[1]] = small
        if v < LEAVES:
            page[20 : 20 + right[v].shape[0], 390 : 390 + right[v].shape[1]] = right[v]
        frames.append(page)
    path = tmp_path_factory.mktemp("two") / "two.mp4"
    sound = rng.normal(0, 0.1, round(SECONDS * SAMPLE_RATE)).astype(np.float32)
    media.write_video(path, frames, sound)
    return path


def _movement(crops: np.ndarray) -> float:
    return float(np.abs(np.diff(crops[5:40].astype(np.float32), axis=0)).mean())


def test_all_faces_from_the_left(hand: Any, two: Path) -> None:
    first, second = see(hand, two, round(SECONDS * SAMPLE_RATE), face="all")
    assert (first.face, second.face) == (1, 2)
    assert _movement(first.sight) < 0.5 * _movement(second.sight)  # it is the right one who talks
    assert first.unseen == [(pytest.approx(2.8, abs=0.05), 4.0)]
    assert second.unseen == [(pytest.approx(1.8, abs=0.45), 4.0)]
    assert len(first.found) == 100
    assert first.share == pytest.approx(0.7, abs=0.02)
    assert "2.8-4.0 s" in first.message


def test_one_face_by_number(hand: Any, two: Path) -> None:
    length = round(SECONDS * SAMPLE_RATE)
    (second,) = see(hand, two, length, face="2")
    (_, again) = see(hand, two, length, face="all")
    np.testing.assert_array_equal(second.sight, again.sight)
    with pytest.raises(HearkenError, match="no face 3 from the left: it shows 2 faces"):
        see(hand, two, length, face="3")


def test_the_largest_until_it_leaves(hand: Any, two: Path) -> None:
    (view,) = see(hand, two, round(SECONDS * SAMPLE_RATE))
    assert view.face == "largest"
    (_, second) = see(hand, two, round(SECONDS * SAMPLE_RATE), face="all")
    assert _movement(view.sight) == pytest.approx(_movement(second.sight), rel=0.2)
    assert view.found[60]  # then there is the other


def test_a_picture_longer_than_the_sound_is_cut(hand: Any, two: Path) -> None:
    (view,) = see(hand, two, SAMPLE_RATE)
    assert len(view.found) == 25
    assert view.message == ""
    assert view.unseen == []


def test_what_a_codec_adds_to_the_sound_is_not_missed(hand: Any, two: Path) -> None:
    length = FRAMES * SAMPLES_PER_FRAME
    assert see(hand, two, length + 3 * SAMPLES_PER_FRAME)[0].unseen == []
    (start, end) = see(hand, two, length + 6 * SAMPLES_PER_FRAME)[0].unseen[0]
    assert (start, end) == (2.8, 3.04)


def test_one_output_for_each_face(
    hand: Any, two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    call = ["enhance", str(two), "-o", str(out), "--face", "all", "--sheet"]
    assert main(call) == 0
    row = json.loads(capsys.readouterr().out)
    names = [f"two.face{n}{end}" for n in (1, 2) for end in (".mp4", ".wav", ".lips.png")]
    assert row["outputs"] == [str(out / name) for name in names]
    assert sorted(p.name for p in out.iterdir()) == sorted(names)
    assert [face["face"] for face in row["faces"]] == [1, 2]
    assert row["faces"][1]["outputs"] == [str(out / name) for name in names[3:]]
    assert row["faces"][1]["unseen"][-1][1] == pytest.approx(4.0, abs=0.05)
    assert row["face_found"] == row["faces"][0]["found"]
    assert len([w for w in row["warnings"] if w.startswith("face 2 from the left: ")]) == 1
    assert cv2.imread(str(out / "two.face1.lips.png"), cv2.IMREAD_GRAYSCALE).shape == (264, 880)
    assert main(call) == 3
    assert "--overwrite" in json.loads(capsys.readouterr().out)["error"]


def test_a_face_that_is_not_there_is_an_error_of_its_file(
    hand: Any, two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enhance", str(two), "-o", str(tmp_path / "out"), "--face", "3"]) == 3
    assert "no face 3" in json.loads(capsys.readouterr().out)["error"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("face", ["all", "2"])
def test_no_face_is_sound_alone_under_the_plain_name(
    hand: Any, film: Path, face: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["enhance", str(film), "-o", str(out), "--face", face]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["outputs"] == [str(out / "film.mp4"), str(out / "film.wav")]
    assert row["faces"][0]["unseen"] == [[0.0, pytest.approx(1.0, abs=0.05)]]
    assert "no face" in row["warnings"][0]
    assert hand.crops == [None]


@pytest.mark.parametrize("face", ["0", "-1", "left", "1.5", "²"])
def test_faces_that_cannot_be(face: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["enhance", "a.mp4", "-o", str(tmp_path), f"--face={face}"])
