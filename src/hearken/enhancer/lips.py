"""Mouth crops from a raw video: the face is found, followed, smoothed, and its mouth cut out.

One pass over grey 25 fps frames in bounded memory: a frame waits only until the smoothing
window around it is full. The mouth is taken from the geometry of the face box; see
`benchmarks/mouths.py` for how far that is from a face mesh's mouth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hearken.enhancer.faces import MIN_HITS, MOUTH_DOWN, Detector, Face, FaceTracker, Haar, Person
from hearken.nouns import CROP_SIZE, FPS, Crops

__all__ = [
    "Lips",
    "Mouth",
    "Sheet",
    "contact_sheet",
    "crop_mouths",
    "gaps",
    "mouth_centre",
    "mouths",
    "say",
]

_WIDE_CROP = 96  # the field's crop; its middle 88x88 is what the network sees
_SMOOTH = 8  # half width of the smoothing window, frames: 0.64 s in all
_MOUTH_SWING = 0.37  # a tilted head's box stays behind, so its mouth swings by more than 0.29
_MOUTH_SIDE = 0.60  # crop side, in box heights


@dataclass(frozen=True, eq=False)
class Mouth:
    """One frame's mouth.

    Attributes:
        crop: [88, 88] uint8, black where there is no face.
        box: (centre x, centre y, side, roll) of the face, smoothed; None where there is none.
    """

    crop: NDArray[np.uint8]
    box: NDArray[np.float64] | None

    @property
    def found(self) -> bool:
        """False where the enhancer must go by sound alone."""
        return self.box is not None


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


def mouths(
    source: Path | str | Iterable[NDArray[np.uint8]],
    *,
    size: int = CROP_SIZE,
    detector: Detector | None = None,
    person: Person | None = None,
) -> Iterator[Mouth]:
    """The talker's mouth in every frame, one after the other: memory does not grow with length.

    Args:
        source: a video file, or grey frames [H, W] at 25 fps.
        size: side of the crops: the middle of the 96x96 crop. Up to 96.
        detector: what finds faces; `Haar` where None.
        person: one of `faces.people` of the same frames; where None, the largest face.

    Raises:
        MediaError: the file cannot be read.
    """
    if person is None:
        tracker = FaceTracker(detector or Haar())
        follow = tracker.step
    else:
        follow = _Known(person)
    margin = (_WIDE_CROP - size) // 2
    none = np.zeros((size, size), np.uint8)
    for frame, box in _smoothed(_frames(source), follow):
        crop = none if box is None else _cut(frame, box)[margin:][:size, margin : margin + size]
        yield Mouth(crop, box)


def crop_mouths(
    source: Path | str | Iterable[NDArray[np.uint8]],
    *,
    size: int = CROP_SIZE,
    detector: Detector | None = None,
) -> Lips:
    """Find the talker's face in every frame and cut out the mouth: `mouths`, all at once.

    Args:
        source: a video file, or grey frames [H, W] at 25 fps.
        size: side of the crops that are returned: the middle of the 96x96 crop. Up to 96.
        detector: what finds faces; `Haar` where None.

    Returns:
        Crops, where a face was found, and a sentence that says what is missing.

    Raises:
        MediaError: the file cannot be read.
    """
    seen = list(mouths(source, size=size, detector=detector))
    stacked = np.stack([m.crop for m in seen]) if seen else np.zeros((0, size, size), np.uint8)
    all_boxes = np.array([np.zeros(3) if m.box is None else m.box[:3] for m in seen]).reshape(-1, 3)
    found_V = all_boxes[:, 2] > 0
    corner = all_boxes[:, :2] - all_boxes[:, 2:] / 2
    full = np.concatenate([corner, all_boxes[:, 2:], all_boxes[:, 2:]], axis=1) * found_V[:, None]
    return Lips(stacked, found_V, full.astype(np.float32), say(found_V))


def mouth_centre(box: NDArray[np.float64]) -> tuple[float, float]:
    """Where the crop of a face box (centre x, centre y, side, roll) has its middle."""
    cx, cy, side, roll = box
    tilt = np.radians(roll)
    return (
        float(cx + _MOUTH_SWING * side * np.sin(tilt)),
        float(cy + (MOUTH_DOWN - 0.5) * side * np.cos(tilt)),
    )


def contact_sheet(crops: Crops, columns: int = 10, rows: int = 3) -> NDArray[np.uint8]:
    """Evenly spaced crops in a grid [rows * 88, columns * 88]: one look says if they are good."""
    count, side = columns * rows, crops.shape[-1]
    sheet = np.zeros((rows * side, columns * side), np.uint8)
    if len(crops):
        for i, v in enumerate(np.linspace(0, len(crops) - 1, count).astype(int)):
            y, x = i // columns * side, i % columns * side
            sheet[y : y + side, x : x + side] = crops[v]
    return sheet


class Sheet:
    """Collects crops for a contact sheet from a stream of unknown length: 30 to 60 of them."""

    def __init__(self) -> None:
        self._kept: list[NDArray[np.uint8]] = []
        self._every = 1
        self._count = 0

    def add(self, crop: NDArray[np.uint8]) -> None:
        """Take in the next crop [88, 88]."""
        if self._count % self._every == 0:
            self._kept.append(crop.copy())
        self._count += 1
        if len(self._kept) > 60:
            self._kept, self._every = self._kept[::2], 2 * self._every

    def picture(self) -> NDArray[np.uint8]:
        """The grid so far, [264, 880]."""
        empty = np.zeros((0, CROP_SIZE, CROP_SIZE), np.uint8)
        return contact_sheet(np.stack(self._kept) if self._kept else empty)


def _frames(source: Path | str | Iterable[NDArray[np.uint8]]) -> Iterable[NDArray[np.uint8]]:
    if isinstance(source, str | Path):
        from hearken.media import iter_frames

        return iter_frames(source)
    return source


class _Known:
    """Plays a person's boxes back, frame by frame."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._frame = -1

    def __call__(self, frame: NDArray[np.uint8]) -> Face | None:
        self._frame += 1
        return self._person.at(self._frame)


def _smoothed(
    frames: Iterable[NDArray[np.uint8]],
    follow: Callable[[NDArray[np.uint8]], Face | None],
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64] | None]]:
    """Each frame with its face box, averaged over neighbours that show the same face."""
    past: deque[tuple[int, NDArray[np.float64]]] = deque(maxlen=2 * _SMOOTH + 1)
    waiting: deque[NDArray[np.uint8]] = deque()
    none = (-1, np.zeros(4))
    for frame in frames:
        face = follow(frame)
        past.append(none if face is None else (face.id, np.append(face.box, face.roll)))
        waiting.append(frame)
        if len(waiting) > _SMOOTH:
            box = _average(past, len(past) - len(waiting))
            yield waiting.popleft(), box
    while waiting:
        box = _average(past, len(past) - len(waiting))
        yield waiting.popleft(), box


def _average(past: deque[tuple[int, NDArray[np.float64]]], at: int) -> NDArray[np.float64] | None:
    """Hann-weighted mean box around position `at`, over boxes of the same face without a jump."""
    near = [i for i in range(at - MIN_HITS, at + MIN_HITS + 1) if 0 <= i < len(past)]
    there = [i for i in near if past[i][0] >= 0]
    seen = min(there, key=lambda i: (abs(i - at), i < at), default=None)
    if seen is None:  # a face is firm only at its second sighting: look a little around
        return None
    identity, centre = past[seen]
    total, weight = np.zeros(4), 0.0
    for i, (other, box) in enumerate(past):
        jump = np.hypot(*(box[:2] - centre[:2])) > 0.35 * centre[2]  # a cut, not a nod
        if other == identity and not jump and abs(i - at) <= _SMOOTH:
            w = 0.5 + 0.5 * np.cos(np.pi * (i - at) / (_SMOOTH + 1))
            total += w * box
            weight += w
    return total / weight


def _cut(frame: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The 96x96 mouth crop: sub-pixel, area-averaged, border repeated outside the picture."""
    width = max(8, round(_MOUTH_SIDE * box[2]))
    patch = cv2.getRectSubPix(frame, (width, width), mouth_centre(box))
    how = cv2.INTER_AREA if width > _WIDE_CROP else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(patch, (_WIDE_CROP, _WIDE_CROP), interpolation=how), np.uint8)


def say(found_V: NDArray[np.bool_]) -> str:
    """What is missing, in one sentence for the record; "" where a face [V] is seen throughout."""
    if not len(found_V):
        return "the video has no frames: enhanced by sound alone"
    if not found_V.any():
        return "no face found in the video: enhanced by sound alone"
    lost = 1.0 - float(found_V.mean())
    if lost == 0.0:
        return ""
    spans = gaps(found_V)
    where = ", ".join(f"{a / FPS:.1f}-{b / FPS:.1f} s" for a, b in spans[:5])
    more = ", ..." if len(spans) > 5 else ""
    return f"face lost in {lost:.0%} of the video ({where}{more}): enhanced by sound alone there"


def gaps(found_V: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The runs of frames, start and end, without a face.

    >>> gaps(np.array([False, True, False, False]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], ~found_V, [0]]).astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
