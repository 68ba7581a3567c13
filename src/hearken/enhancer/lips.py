"""Mouth crops from a raw video: the face is found, followed, smoothed, and its mouth cut out.

One pass over grey 25 fps frames in bounded memory: a frame waits only until the smoothing
window around it is full. Faces come from OpenCV's Haar cascade (alt2, bundled in its
wheel) on a picture scaled to 360 lines; between full searches only the surroundings of the
followed face are searched. The mouth is taken from the geometry of the face box, which is
within 11 % of a face-mesh's mouth centre at the 95th percentile on frontal talkers.

Several faces: the one that is largest over time is followed, and is left only when
another has been clearly larger for a while, so a crop does not jump between people.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hearken.nouns import CROP_SIZE, FPS, Crops

__all__ = ["Face", "FaceTracker", "Lips", "contact_sheet", "crop_mouths"]

_SEARCH_LINES = 360
_WIDE_CROP = 96  # the field's crop; its middle 88x88 is what the network sees
_FULL_SEARCH_EVERY = 12  # frames between looks for other faces
_LOST_SEARCH_EVERY = 4  # with no face for a second, look only at every 4th frame
_HOLD = 8  # frames that a face may go undetected (a blink of the detector) and still count
_SMOOTH = 8  # half width of the smoothing window, frames: 0.64 s in all
_MIN_HITS = 2  # one lone detection is more often a curtain than a face
_SWITCH_GAIN = 1.5
_MOUTH_DOWN = 0.79  # mouth centre below the top of the Haar box, in box heights
_MOUTH_SIDE = 0.60  # crop side, in box heights


@dataclass
class Face:
    """One followed face: `box` is (centre x, centre y, side) in pixels of the full frame."""

    id: int
    box: NDArray[np.float64]
    hits: int = 1
    missed: int = 0
    weight: float = 0.0


@dataclass(frozen=True, eq=False)
class Lips:
    """What was seen.

    Attributes:
        crops: [V, 88, 88] uint8; black where no face was found.
        found: [V] bool; False where the enhancer must go by sound alone.
        boxes: [V, 4] float32 face boxes x, y, width, height in pixels; zero where not found.
        message: "" where a face was seen throughout, else one sentence that says what was not.
    """

    crops: Crops
    found: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    message: str


@dataclass
class FaceTracker:
    """Follows faces through frames of one size; `step` gives the chosen face, or None."""

    faces: list[Face] = field(default_factory=list)
    chosen: Face | None = None
    _frame: int = 0
    _lost: int = 0
    _next_id: int = 0
    _cascade: Any = None

    def step(self, frame: NDArray[np.uint8]) -> Face | None:
        """Look at the next grey frame [H, W].

        Returns:
            The followed face with its newest box, or None where none is in sight.
        """
        scale = min(1.0, _SEARCH_LINES / min(frame.shape))
        small = frame
        if scale < 1.0:
            small = np.asarray(
                cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
            )
        self._look(small, scale)
        self._choose()
        self._frame += 1
        self._lost = 0 if self.chosen else self._lost + 1
        return self.chosen

    def _look(self, small: NDArray[np.uint8], scale: float) -> None:
        """Update the faces: the followed one nearby, and every so often all of them."""
        near = None
        if self.chosen is not None and self._frame % _FULL_SEARCH_EVERY:
            near = self._search(small, self.chosen.box * scale)
            if len(near):
                self._match(near / scale, [self.chosen])
                return
            if self.chosen.missed % 3:  # a turned head: no need to search all of it each time
                self.chosen.missed += 1
                return
        if self._lost > FPS and self._frame % _LOST_SEARCH_EVERY:
            return
        self._match(self._search(small, None) / scale, self.faces)

    def _search(
        self, small: NDArray[np.uint8], around: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Faces [N, 3] (centre x, centre y, side) in a small frame, or only `around` a box."""
        x0 = y0 = 0
        low, high = max(24, min(small.shape) // 10), min(small.shape)
        if around is not None:
            cx, cy, side = around
            x0, y0 = max(0, int(cx - 0.85 * side)), max(0, int(cy - 0.85 * side))
            small = small[y0 : int(cy + 0.85 * side) + 1, x0 : int(cx + 0.85 * side) + 1]
            low, high = max(20, int(0.75 * side)), int(1.35 * side)
        if min(small.shape) < low:
            return np.zeros((0, 3))
        if self._cascade is None:
            name = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
            self._cascade = cv2.CascadeClassifier(str(name))
        boxes = self._cascade.detectMultiScale(
            small, 1.12, 3, minSize=(low, low), maxSize=(high, high)
        )
        if not len(boxes):
            return np.zeros((0, 3))
        x, y, w, h = np.asarray(boxes, np.float64).T
        return np.stack([x0 + x + w / 2, y0 + y + h / 2, (w + h) / 2], axis=1)

    def _match(self, seen: NDArray[np.float64], among: list[Face]) -> None:
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
        self.faces = [f for f in self.faces if f.missed <= _HOLD]
        for face in self.faces:
            face.weight += 0.02 * (face.box[2] - face.weight)  # about two seconds of memory
        firm = [f for f in self.faces if f.hits >= _MIN_HITS]
        if self.chosen not in self.faces:
            self.chosen = max(firm, key=lambda f: f.box[2], default=None)
        elif firm:
            rival = max(firm, key=lambda f: f.weight)
            if self.chosen and rival.weight > _SWITCH_GAIN * self.chosen.weight:
                self.chosen = rival


def crop_mouths(source: Path | str | Iterable[NDArray[np.uint8]], *, size: int = CROP_SIZE) -> Lips:
    """Find the talker's face in every frame and cut out the mouth.

    Args:
        source: a video file, or grey frames [H, W] at 25 fps.
        size: side of the crops that are returned: the middle of the 96x96 crop. Up to 96.

    Returns:
        Crops, where a face was found, and a sentence that says what is missing.

    Raises:
        MediaError: the file cannot be read.
    """
    crops: list[NDArray[np.uint8]] = []
    boxes: list[NDArray[np.float64]] = []
    margin = (_WIDE_CROP - size) // 2
    for frame, box in _smoothed(_frames(source)):
        boxes.append(box if box is not None else np.zeros(3))
        wide = _cut(frame, box) if box is not None else np.zeros((_WIDE_CROP,) * 2, np.uint8)
        crops.append(wide[margin : margin + size, margin : margin + size].copy())
    stacked = np.stack(crops) if crops else np.zeros((0, size, size), np.uint8)
    all_boxes = np.array(boxes).reshape(-1, 3)
    found_V = all_boxes[:, 2] > 0
    corner = all_boxes[:, :2] - all_boxes[:, 2:] / 2
    full = np.concatenate([corner, all_boxes[:, 2:], all_boxes[:, 2:]], axis=1) * found_V[:, None]
    return Lips(stacked, found_V, full.astype(np.float32), _say(found_V))


def contact_sheet(lips: Lips, columns: int = 10, rows: int = 3) -> NDArray[np.uint8]:
    """Evenly spaced crops in a grid [rows * 88, columns * 88]: one look says if they are good."""
    count, side = columns * rows, lips.crops.shape[-1]
    sheet = np.zeros((rows * side, columns * side), np.uint8)
    if len(lips.crops):
        for i, v in enumerate(np.linspace(0, len(lips.crops) - 1, count).astype(int)):
            y, x = i // columns * side, i % columns * side
            sheet[y : y + side, x : x + side] = lips.crops[v]
    return sheet


def _frames(source: Path | str | Iterable[NDArray[np.uint8]]) -> Iterable[NDArray[np.uint8]]:
    if isinstance(source, str | Path):
        from hearken.media import iter_frames

        return iter_frames(source)
    return source


def _smoothed(
    frames: Iterable[NDArray[np.uint8]],
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64] | None]]:
    """Each frame with its face box, averaged over neighbours that show the same face."""
    tracker = FaceTracker()
    past: deque[tuple[int, NDArray[np.float64]]] = deque(maxlen=2 * _SMOOTH + 1)
    waiting: deque[NDArray[np.uint8]] = deque()
    none = (-1, np.zeros(3))
    for frame in frames:
        face = tracker.step(frame)
        past.append(none if face is None else (face.id, face.box))
        waiting.append(frame)
        if len(waiting) > _SMOOTH:
            box = _average(past, len(past) - len(waiting))
            yield waiting.popleft(), box
    while waiting:
        box = _average(past, len(past) - len(waiting))
        yield waiting.popleft(), box


def _average(past: deque[tuple[int, NDArray[np.float64]]], at: int) -> NDArray[np.float64] | None:
    """Hann-weighted mean box around position `at`, over boxes of the same face without a jump."""
    near = [i for i in range(at - _MIN_HITS, at + _MIN_HITS + 1) if 0 <= i < len(past)]
    seen = min((i for i in near if past[i][0] >= 0), key=lambda i: abs(i - at), default=None)
    if seen is None:  # a face is firm only at its second sighting: look a little around
        return None
    identity, centre = past[seen]
    total, weight = np.zeros(3), 0.0
    for i, (other, box) in enumerate(past):
        jump = np.hypot(*(box[:2] - centre[:2])) > 0.35 * centre[2]  # a cut, not a nod
        if other == identity and not jump and abs(i - at) <= _SMOOTH:
            w = 0.5 + 0.5 * np.cos(np.pi * (i - at) / (_SMOOTH + 1))
            total += w * box
            weight += w
    return total / weight


def _cut(frame: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The 96x96 mouth crop: sub-pixel, area-averaged, border repeated outside the picture."""
    cx, cy, side = box
    width = max(8, round(_MOUTH_SIDE * side))
    mouth = (float(cx), float(cy + (_MOUTH_DOWN - 0.5) * side))
    patch = cv2.getRectSubPix(frame, (width, width), mouth)
    how = cv2.INTER_AREA if width > _WIDE_CROP else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(patch, (_WIDE_CROP, _WIDE_CROP), interpolation=how), np.uint8)


def _say(found_V: NDArray[np.bool_]) -> str:
    """The sentence for the record."""
    if not len(found_V):
        return "the video has no frames: enhanced by sound alone"
    if not found_V.any():
        return "no face found in the video: enhanced by sound alone"
    lost = 1.0 - float(found_V.mean())
    if lost == 0.0:
        return ""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], ~found_V, [0]]).astype(int)))
    spans = [f"{a / FPS:.1f}-{b / FPS:.1f} s" for a, b in edges.reshape(-1, 2)[:5]]
    more = ", ..." if len(edges) > 10 else ""
    where = ", ".join(spans) + more
    return f"face lost in {lost:.0%} of the video ({where}): enhanced by sound alone there"
