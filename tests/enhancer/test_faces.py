from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hearken.enhancer import faces, lips
from hearken.errors import UsageError

Box = tuple[float, float, float]
LEFT, RIGHT = (80.0, 100.0, 60.0), (240.0, 100.0, 80.0)


class Script:
    """Stands for the detector: gives the boxes that a test wrote for each frame."""

    lines = 360
    near = True

    def __init__(self, frames: list[list[Box]], tilt: float = 0.0) -> None:
        self.frames = frames
        self.tilt = tilt
        self.now = -1

    def __call__(self, grey: np.ndarray, around: np.ndarray | None) -> np.ndarray:
        seen = np.array(self.frames[self.now], np.float64).reshape(-1, 3)
        return seen if around is None else seen[np.abs(seen[:, 0] - around[0]) < around[2] / 2]

    def roll(self, grey: np.ndarray, box: np.ndarray) -> float | None:
        return self.tilt

    def play(self, cuts: tuple[int, ...] = ()) -> Iterator[np.ndarray]:
        """Grey frames, whose shade changes at each cut; in each, every face is a bright square."""
        shade = 90
        for now, boxes in enumerate(self.frames):
            self.now = now
            shade = 230 - shade if now in cuts else shade
            frame = np.full((200, 320), shade, np.uint8)
            for x, y, side in boxes:
                frame[int(y) : int(y + side / 2), int(x - side / 3) : int(x + side / 3)] = side
            yield frame


def people(frames: list[list[Box]], cuts: tuple[int, ...] = ()) -> list[faces.Person]:
    script = Script(frames)
    return faces.people(script.play(cuts), script)


def test_people_are_ordered_from_the_left() -> None:
    found = people([[RIGHT, LEFT]] * 60)
    assert [p.centre[0] for p in found] == [80.0, 240.0]
    assert all((p.track[1:] >= 0).all() for p in found)
    np.testing.assert_allclose(found[1].box[30], [240, 100, 80, 0])


def test_the_order_is_that_of_the_mean_place() -> None:
    """One walks from the left edge past the other, who sits, to the right edge and stays."""
    walk = [(20.0 + 4 * min(v, 65), 40.0, 50.0) for v in range(150)]
    found = people([[at, (140.0, 150.0, 60.0)] for at in walk])
    assert [round(p.centre[1]) for p in found] == [150, 40]


def test_who_leaves_and_comes_back_to_his_place_is_the_same() -> None:
    found = people([[LEFT, RIGHT]] * 60 + [[LEFT]] * 40 + [[LEFT, RIGHT]] * 60)
    assert len(found) == 2
    gone = found[1].track < 0
    assert not gone[1:60].any()
    assert gone[75:98].all()
    assert not gone[115:].any()


def test_who_is_there_at_once_is_another_however_near() -> None:
    near = (80.0 + 40.0, 100.0, 60.0)
    assert len(people([[LEFT, near]] * 60)) == 2


def test_passers_by_and_flickers_are_nobody() -> None:
    frames: list[list[Box]] = [[LEFT]] * 2_000
    frames[100:104] = [[LEFT, RIGHT]] * 4
    frames[500:511] = [[LEFT, (200.0, 60.0, 40.0)]] * 11  # half a second, held for 8 frames more
    assert [p.centre[0] for p in people(frames)] == [80.0]


def test_a_short_clip_may_be_all_of_a_face() -> None:
    assert len(people([[LEFT]] * 10)) == 1
    assert people([[]] * 30) == []
    assert people([]) == []


def test_a_cut_ends_a_sight() -> None:
    """The same place after a cut is not averaged with what was there before."""
    moved = (90.0, 104.0, 60.0)
    frames: list[list[Box]] = [[LEFT]] * 40 + [[moved]] * 40
    script = Script(frames)
    seen = [m.box for m in lips.mouths(script.play(cuts=(40,)), detector=script)]
    assert all(box is not None for box in seen)
    xs = np.array([box[0] for box in seen if box is not None])
    np.testing.assert_allclose(xs, [80] * 40 + [90] * 40)
    still = [m.box for m in lips.mouths(script.play(), detector=script)]
    assert len({box[0] for box in still if box is not None}) > 2  # a nod is smoothed
    assert len(people(frames, cuts=(40,))) == 1


@pytest.mark.parametrize(("tilt", "x", "y"), [(0.0, 240.0, 123.2), (15.0, 247.7, 122.4)])
def test_the_mouth_swings_with_a_tilted_head(tilt: float, x: float, y: float) -> None:
    """240 + 0.37 * 80 sin 15 = 247.66 and 100 + 0.29 * 80 cos 15 = 122.41."""
    script = Script([[RIGHT]] * 30, tilt)
    (*_, last) = lips.mouths(script.play(), detector=script)
    assert last.box is not None
    np.testing.assert_allclose(lips.mouth_centre(last.box), (x, y), atol=0.06)


def test_a_known_person_is_cropped_where_he_is_seen() -> None:
    frames: list[list[Box]] = [[LEFT, RIGHT]] * 40 + [[RIGHT]] * 40 + [[LEFT, RIGHT]] * 40
    script = Script(frames)
    left, right = faces.people(script.play(), script)
    for person, shade in ((left, 60), (right, 80)):  # the squares are as bright as they are wide
        crops = [m.crop for m in lips.mouths(script.play(), person=person)]
        assert crops[20][30:58, 30:58].mean() == shade
    found = [m.found for m in lips.mouths(script.play(), person=left)]
    assert len(found) == 120
    assert not any(found[52:78])
    assert all(found[:40])
    assert all(found[85:])


def test_a_person_of_a_shorter_video_is_out_of_sight_after_it() -> None:
    script = Script([[LEFT]] * 30)
    (left,) = faces.people(script.play(), script)
    longer = Script([[LEFT]] * 50)
    found = [m.found for m in lips.mouths(longer.play(), person=left)]
    assert found == [True] * 32 + [False] * 18  # two frames more: a blink of the detector
    assert not any(m.found for m in lips.mouths(longer.play(), person=faces.nobody()))


def test_the_mesh_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mediapipe", None)
    with pytest.raises(UsageError, match=r"hearken\[face\]"):
        faces.Mesh()


def test_the_cascade_finds_no_face_in_nothing() -> None:
    haar = faces.Haar()
    blank = np.full((100, 160), 128, np.uint8)
    assert haar(blank, None).shape == (0, 3)
    assert haar(blank, np.array([2.0, 2.0, 10.0])).shape == (0, 3)
    assert haar.roll(blank, np.array([80.0, 50.0, 40.0])) is None


@pytest.mark.parametrize("degrees", [-12.0, 0.0, 12.0])
def test_the_tilt_of_a_drawn_head(degrees: float) -> None:
    import cv2

    from hearken.app.puppet._face import draw
    from hearken.app.puppet._mouth import Mouth

    mouth = Mouth(*(0.2 for _ in Mouth.__dataclass_fields__))
    (image,) = draw([mouth], np.random.default_rng(0))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # anticlockwise on the screen: the chin swings to the right
    move = cv2.getRotationMatrix2D((240, 190), degrees, 1.0)
    turned = np.asarray(cv2.warpAffine(grey, move, grey.shape[::-1]), np.uint8)
    haar = faces.Haar()
    (box,) = haar(turned, None)
    roll = haar.roll(turned, box)
    assert roll is not None
    assert roll == pytest.approx(degrees, abs=5)
