from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hearken.enhancer import lips

FRAME = np.arange(200 * 320, dtype=np.uint32).reshape(200, 320).astype(np.uint8)


class Script:
    """Stands for the detector: gives the boxes that a test wrote for each frame."""

    lines = 360
    near = True

    def __init__(self, frames: list[list[tuple[float, float, float]]]) -> None:
        self.frames = frames
        self.full_searches = 0
        self.now = -1
        self.tilt = 0.0

    def __call__(self, grey: np.ndarray, around: np.ndarray | None) -> np.ndarray:
        seen = np.array(self.frames[self.now], np.float64).reshape(-1, 3)
        if around is None:
            self.full_searches += 1
            return seen
        near = np.abs(seen[:, :2] - around[:2]).max(axis=1) < around[2]
        return seen[near]

    def roll(self, grey: np.ndarray, box: np.ndarray) -> float | None:
        return self.tilt

    def play(self) -> Iterator[np.ndarray]:
        for now in range(len(self.frames)):
            self.now = now
            yield FRAME


def crop(script: Script) -> lips.Lips:
    return lips.crop_mouths(script.play(), detector=script)


def test_a_steady_face_is_cropped_in_every_frame() -> None:
    script = Script([[(160.0, 100.0, 80.0)]] * 50)
    seen = crop(script)
    assert seen.crops.shape == (50, 88, 88)
    assert seen.crops.dtype == np.uint8
    assert seen.found.all()
    assert seen.message == ""
    np.testing.assert_allclose(seen.boxes[10], [120, 60, 80, 80])
    assert script.full_searches <= 8  # in between, only the surroundings of the face


def test_box_jitter_is_smoothed(rng: np.random.Generator) -> None:
    jitter = rng.normal(0, 3, (100, 2))
    frames = [[(160.0 + dx, 100.0 + dy, 80.0)] for dx, dy in jitter]
    seen = crop(Script(frames))
    centre = seen.boxes[10:-10, :2] + seen.boxes[10:-10, 2:] / 2
    assert np.diff(centre, axis=0).std() < 0.25 * np.diff(jitter, axis=0).std()


def test_no_face_is_told_and_costs_few_searches() -> None:
    script = Script([[]] * 200)
    seen = crop(script)
    assert not seen.found.any()
    assert not seen.crops.any()
    assert "no face" in seen.message
    assert script.full_searches < 100


def test_a_short_gap_is_held_and_a_long_one_is_lost() -> None:
    face: list[tuple[float, float, float]] = [(160.0, 100.0, 80.0)]
    frames = [face] * 30 + [[]] * 4 + [face] * 30 + [[]] * 50 + [face] * 30
    seen = crop(Script(frames))
    assert seen.found[:64].all()
    assert not seen.found[80:108].any()
    assert seen.found[-24:].all()
    assert "face lost" in seen.message


def test_the_larger_face_wins_and_a_passing_one_does_not() -> None:
    near, far, passing = (100.0, 100.0, 90.0), (250.0, 100.0, 50.0), (250.0, 100.0, 100.0)
    frames = [[far, near]] * 60 + [[passing, near]] * 12 + [[far, near]] * 40
    seen = crop(Script(frames))
    np.testing.assert_allclose(seen.boxes[3:, 0], 55, atol=1)


def test_a_cut_to_another_place_is_not_averaged() -> None:
    frames = [[(80.0, 100.0, 80.0)]] * 40 + [[(240.0, 100.0, 80.0)]] * 40
    seen = crop(Script(frames))
    centre = seen.boxes[seen.found, 0] + 40
    assert set(np.round(centre)) <= {80.0, 240.0}
    assert seen.found.mean() > 0.9


def test_one_lone_detection_is_no_face() -> None:
    frames: list[list[tuple[float, float, float]]] = [[]] * 60
    frames[12] = [(160.0, 100.0, 80.0)]
    assert not crop(Script(frames)).found.any()


def test_empty_video_and_plain_pictures() -> None:
    assert lips.crop_mouths(iter([])).crops.shape == (0, 88, 88)
    grey = [np.full((120, 160), 128, np.uint8)] * 5
    seen = lips.crop_mouths(grey)
    assert seen.crops.shape == (5, 88, 88)
    assert not seen.found.any()


def test_contact_sheet_shows_crops() -> None:
    seen = crop(Script([[(160.0, 100.0, 80.0)]] * 30))
    sheet = lips.contact_sheet(seen.crops, columns=4, rows=2)
    assert sheet.shape == (176, 352)
    np.testing.assert_array_equal(sheet[:88, :88], seen.crops[0])


@pytest.mark.data
def test_real_faces_are_found(data_dir: Path) -> None:
    videos = sorted((data_dir / "av").glob("*.mp4"))
    unseen = [v for v in videos if "GRID-s1_" not in v.name]
    assert unseen
    for video in unseen[:3]:
        seen = lips.crop_mouths(video)
        assert seen.found.mean() > 0.95
        # a mouth moves: the middle of the crop changes more than its upper corners
        move = np.abs(np.diff(seen.crops.astype(np.float32), axis=0)).mean(axis=0)
        assert move[35:60, 30:58].mean() > 1.3 * move[:15, :15].mean()
