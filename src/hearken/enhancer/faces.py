"""Where the faces are: two detectors, a tracker, and who is who over a whole video.

Faces come from OpenCV's Haar cascade (alt2, bundled in its wheel) on a picture scaled to 360
lines; between full searches only the surroundings of the followed face are searched. With the
extra [face] they can come from MediaPipe's face mesh instead.

Several faces: the one that is largest over time is followed, and is left only when another has
been clearly larger for a while. `people` follows all of them and orders them from the left.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hearken.errors import UsageError
from hearken.nouns import FPS

__all__ = [
    "DETECTORS",
    "Detector",
    "Face",
    "FaceTracker",
    "Haar",
    "Mesh",
    "Person",
    "nobody",
    "people",
]

HOLD = 8  # frames that a face may go undetected (a blink of the detector) and still count
MIN_HITS = 2  # one lone detection is more often a curtain than a face
MOUTH_DOWN = 0.79  # mouth centre below the top of the face box, in box heights

_FULL_SEARCH_EVERY = 12  # frames between looks for other faces
_LOST_SEARCH_EVERY = 4  # with no face for a second, look only at every 4th frame
_ROLL_EVERY = 24  # frames between looks at how far the head is rolled
_ROLLS = np.arange(-24, 25, 12)  # degrees
_SWITCH_GAIN = 1.5
_CUT_GREY = 6.0  # mean change of a thumbnail, of 255, that is a cut if ...
_CUT_GAIN = 5.0  # ... it is so much more than usual
_REJOIN = 1.0  # a face that comes back so near, in box sides, is the same person
_MIN_SHARE = 0.01  # of the video; who is seen for less is nobody

Sightings = NDArray[np.float64]  # [N, 5], unbroken: frame, centre x, centre y, side, roll
Boxes = NDArray[np.float64]  # [N, 3]: centre x, centre y, side, in pixels


class Detector(Protocol):
    """Finds faces in one grey picture.

    Attributes:
        lines: a picture with more lines is scaled down to so many first.
        near: it is quicker where only the surroundings of a face are searched.
    """

    lines: int
    near: bool

    def __call__(self, grey: NDArray[np.uint8], around: NDArray[np.float64] | None) -> Boxes:
        """Faces [N, 3] in all of a picture [H, W], or only `around` a box [3]."""
        ...

    def roll(self, grey: NDArray[np.uint8], box: NDArray[np.float64]) -> float | None:
        """Degrees that the head in `box` is tilted, its chin to the right; None if unknown."""
        ...


class Haar:
    """OpenCV's frontal-face cascade; it comes with the package."""

    lines = 360
    near = True

    def __init__(self) -> None:
        name = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
        self._cascade = cv2.CascadeClassifier(str(name))

    def __call__(self, grey: NDArray[np.uint8], around: NDArray[np.float64] | None) -> Boxes:
        """Faces [N, 3] in all of a picture [H, W], or only `around` a box [3]."""
        x0 = y0 = 0
        low, high = max(24, min(grey.shape) // 10), min(grey.shape)
        if around is not None:
            cx, cy, side = around
            x0, y0 = max(0, int(cx - 0.85 * side)), max(0, int(cy - 0.85 * side))
            grey = grey[y0 : int(cy + 0.85 * side) + 1, x0 : int(cx + 0.85 * side) + 1]
            low, high = max(20, int(0.75 * side)), int(1.35 * side)
        if min(grey.shape) < low:
            return np.zeros((0, 3))
        boxes = self._cascade.detectMultiScale(
            grey, 1.12, 3, minSize=(low, low), maxSize=(high, high)
        )
        if not len(boxes):
            return np.zeros((0, 3))
        x, y, w, h = np.asarray(boxes, np.float64).T
        return np.stack([x0 + x + w / 2, y0 + y + h / 2, (w + h) / 2], axis=1)

    def roll(self, grey: NDArray[np.uint8], box: NDArray[np.float64]) -> float | None:
        """Degrees that the head in `box` is tilted: the mean of turns at which it is detected.

        Each turn counts by its number of overlapping detections, which falls off alike to
        both sides of upright. Within 2 degrees of a face mesh up to 15, then too low.
        """
        cx, cy, side = box
        wide, low, high = int(1.7 * side), int(0.75 * side), int(1.35 * side)
        votes = []
        for turn in _ROLLS:
            move = np.array(cv2.getRotationMatrix2D((float(cx), float(cy)), -float(turn), 1.0))
            move[:, 2] = move[:, 2] + wide / 2 - box[:2]
            upright = cv2.warpAffine(grey, move, (wide, wide), borderMode=cv2.BORDER_REPLICATE)
            _, counts = self._cascade.detectMultiScale2(
                upright, 1.12, 3, minSize=(low, low), maxSize=(high, high)
            )
            votes.append(float(np.max(counts, initial=0)))
        return float(np.dot(votes, _ROLLS) / sum(votes)) if any(votes) else None


class Mesh:
    """MediaPipe's face mesh: a box is put so that its mouth is where the lips are.

    Raises:
        UsageError: MediaPipe is not installed.
    """

    lines = 720
    near = False

    LIPS = (61, 291, 0, 17)  # corners, top and bottom of the outer lip line
    _FACE = (10, 152)  # top of the forehead, chin
    _SIDE = 1.0  # of a Haar box, in face heights

    def __init__(self) -> None:
        try:
            from mediapipe.python.solutions.face_mesh import FaceMesh
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"the mesh detector needs MediaPipe ({error}): pip install 'hearken[face]' "
                "(Python 3.11 or 3.12), or use --detector haar"
            ) from error
        self._mesh: Any = FaceMesh(static_image_mode=True, max_num_faces=4)

    def landmarks(self, grey: NDArray[np.uint8]) -> NDArray[np.float64]:
        """All landmarks [N, 468, 2] in pixels."""
        found = self._mesh.process(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)).multi_face_landmarks
        size = (grey.shape[1], grey.shape[0])
        faces = [[(p.x, p.y) for p in face.landmark[:468]] for face in found or ()]
        return np.array(faces, np.float64).reshape(-1, 468, 2) * size

    def __call__(self, grey: NDArray[np.uint8], around: NDArray[np.float64] | None) -> Boxes:
        """Faces [N, 3] in all of a picture [H, W]; `around` is not needed."""
        points = self.landmarks(grey)
        mouth = points[:, self.LIPS].mean(axis=1)
        top, chin = points[:, self._FACE[0]], points[:, self._FACE[1]]
        side = self._SIDE * np.hypot(*(chin - top).T)
        return np.column_stack([mouth[:, 0], mouth[:, 1] - (MOUTH_DOWN - 0.5) * side, side])

    def roll(self, grey: NDArray[np.uint8], box: NDArray[np.float64]) -> float | None:
        """0: the box is put where the mouth needs it, however the head is tilted."""
        return 0.0


DETECTORS: dict[str, Callable[[], Detector]] = {"haar": Haar, "mesh": Mesh}


@dataclass
class Face:
    """One followed face.

    Attributes:
        id: of this unbroken sight.
        box: (centre x, centre y, side) in pixels of the full frame.
        roll: degrees that the head is tilted, its chin to the right.
        hits: frames in which it was detected.
        missed: frames since.
        weight: mean side of late.
    """

    id: int
    box: NDArray[np.float64]
    roll: float = 0.0
    hits: int = 1
    missed: int = 0
    weight: float = 0.0


@dataclass
class FaceTracker:
    """Follows faces through frames of one size; `step` gives the chosen face, or None.

    Attributes:
        detector: what finds them.
        every: all faces are followed from frame to frame, not the chosen one alone.
        faces: those in sight.
        chosen: the largest over time.
    """

    detector: Detector = field(default_factory=Haar)
    every: bool = False
    faces: list[Face] = field(default_factory=list)
    chosen: Face | None = None
    _frame: int = 0
    _lost: int = 0
    _next_id: int = 0
    _thumbnail: NDArray[np.float32] | None = None
    _change: float = 0.0

    def step(self, frame: NDArray[np.uint8]) -> Face | None:
        """Look at the next grey frame [H, W].

        Returns:
            The followed face with its newest box, or None where none is in sight.
        """
        scale = min(1.0, self.detector.lines / min(frame.shape))
        small = frame
        if scale < 1.0:
            small = np.asarray(
                cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
            )
        if self._is_cut(small):
            self.faces, self.chosen, self._lost = [], None, 0
        self._look(small, scale)
        self._choose()
        for face in self.faces if self.every else [self.chosen] if self.chosen else []:
            if face.missed == 0 and (face.hits - MIN_HITS) % _ROLL_EVERY == 0:
                roll = self.detector.roll(small, face.box * scale)
                face.roll = face.roll if roll is None else roll
        self._frame += 1
        self._lost = 0 if self.chosen else self._lost + 1
        return self.chosen

    def _is_cut(self, small: NDArray[np.uint8]) -> bool:
        """The picture changes far more than it did of late."""
        last = self._thumbnail
        thumbnail = cv2.resize(small, (32, 18), interpolation=cv2.INTER_AREA)
        self._thumbnail = np.asarray(thumbnail, np.float32)
        if last is None:
            return False
        change = float(np.abs(self._thumbnail - last).mean())
        usual, self._change = self._change, self._change + 0.1 * (change - self._change)
        return change > max(_CUT_GREY, _CUT_GAIN * usual)

    def _look(self, small: NDArray[np.uint8], scale: float) -> None:
        """Update the faces: the followed ones nearby, and every so often all of them."""
        followed = self.faces if self.every else [self.chosen] if self.chosen else []
        if self.detector.near and followed and self._frame % _FULL_SEARCH_EVERY:
            gone = [face for face in followed if not self._nearby(face, small, scale)]
            if not gone:
                return
            if all(face.missed % 3 for face in gone):  # a turned head: no full search each time
                for face in gone:
                    face.missed += 1
                return
        if self._lost > FPS and self._frame % _LOST_SEARCH_EVERY:
            return
        self._match(self.detector(small, None) / scale, self.faces)

    def _nearby(self, face: Face, small: NDArray[np.uint8], scale: float) -> bool:
        near = self.detector(small, face.box * scale)
        if len(near):
            self._match(near / scale, [face])
        return len(near) > 0

    def _match(self, seen: Boxes, among: list[Face]) -> None:
        """Give each seen box to the nearest face within half its side; the rest are new."""
        free = list(range(len(seen)))
        for face in sorted(among, key=lambda f: -f.weight):
            distance = [np.hypot(*(seen[i, :2] - face.box[:2])) / face.box[2] for i in free]
            best = int(np.argmin(distance)) if free else -1
            if free and distance[best] < 0.5:
                face.box = seen[free.pop(best)]
                face.hits, face.missed = face.hits + 1, 0
            else:
                face.missed += 1
        if among is self.faces:
            for i in free:
                self._next_id += 1
                self.faces.append(Face(self._next_id, seen[i]))

    def _choose(self) -> None:
        """Keep the followed face unless it is gone or another is clearly larger over time."""
        self.faces = [f for f in self.faces if f.missed <= HOLD]
        for face in self.faces:
            face.weight += 0.02 * (face.box[2] - face.weight)  # about two seconds of memory
        firm = [f for f in self.faces if f.hits >= MIN_HITS]
        if self.chosen not in self.faces:
            self.chosen = max(firm, key=lambda f: f.box[2], default=None)
        elif firm:
            rival = max(firm, key=lambda f: f.weight)
            if self.chosen and rival.weight > _SWITCH_GAIN * self.chosen.weight:
                self.chosen = rival


@dataclass(frozen=True, eq=False)
class Person:
    """Where one person is in each frame.

    Attributes:
        track: [V] int32, which unbroken sight of him a frame belongs to; -1 where out of sight.
        box: [V, 4] float32, box and roll as in `Face`, before smoothing; zero where out of sight.
    """

    track: NDArray[np.int32]
    box: NDArray[np.float32]

    @property
    def centre(self) -> tuple[float, float]:
        """Mean position (x, y) over the frames in which he is seen, pixels."""
        x, y = self.box[self.track >= 0, :2].mean(axis=0)
        return float(x), float(y)

    def at(self, v: int) -> Face | None:
        """The face in frame `v`, as a tracker gives it."""
        if v >= len(self.track) or self.track[v] < 0:
            return None
        box = self.box[v].astype(np.float64)
        return Face(int(self.track[v]), box[:3], roll=float(box[3]))


def nobody() -> Person:
    """Who is in no frame."""
    return Person(np.zeros(0, np.int32), np.zeros((0, 4), np.float32))


def people(frames: Iterable[NDArray[np.uint8]], detector: Detector | None = None) -> list[Person]:
    """Follow every face through a video, and put together what belongs to one person.

    A face that is lost and comes back within its own width of where that person was last, at a
    similar size, is the same person: nobody is recognised by looks, so a cut to another view
    can make one person two. Who is seen for less than a second (of a clip under 4 s: a quarter
    of it) or 1 % of the video is left out.

    Args:
        frames: grey [H, W] at 25 fps.
        detector: `Haar` where None.

    Returns:
        The people, from left to right by their mean position over time.
    """
    tracker = FaceTracker(detector or Haar(), every=True)
    noted: dict[int, array[float]] = {}  # flat: an hour of small tuples would take 20 MB a face
    v = 0
    for v, frame in enumerate(frames, 1):
        tracker.step(frame)
        for face in tracker.faces:
            if face.hits >= MIN_HITS:
                row = (v - 1, *face.box.tolist(), face.roll)
                noted.setdefault(face.id, array("d")).extend(row)
    sights = {identity: np.asarray(flat).reshape(-1, 5) for identity, flat in noted.items()}
    least = max(min(FPS, v // 4), _MIN_SHARE * v)
    groups = [g for g in _grouped(sights) if sum(len(sights[i]) for i in g) >= least]
    found = []
    for group in groups:
        track, box = np.full(v, -1, np.int32), np.zeros((v, 4), np.float32)
        for identity in group:
            rows = sights[identity]
            track[rows[:, 0].astype(int)] = identity
            box[rows[:, 0].astype(int)] = rows[:, 1:]
        found.append(Person(track, box))
    return sorted(found, key=lambda person: person.centre)


def _grouped(sights: dict[int, Sightings]) -> list[list[int]]:
    """Ids of unbroken sights, put together by person; none overlap in time."""
    groups: list[list[int]] = []
    for identity, rows in sorted(sights.items(), key=lambda item: tuple(item[1][0])):
        start, x, y, side, _ = rows[0]
        best, nearest = None, _REJOIN
        for group in groups:
            end, was_x, was_y, was_side, _ = sights[group[-1]][-1]
            apart = np.hypot(x - was_x, y - was_y) / was_side
            if end < start and apart < nearest and 1 / 1.6 < side / was_side < 1.6:
                best, nearest = group, apart
        if best is None:
            groups.append([identity])
        else:
            best.append(identity)
    return groups
