"""A drawn face that a face finder takes for one: shaded once, its mouth moved per frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hearken.app.puppet._mouth import Mouth
from hearken.nouns import FPS

__all__ = ["HEIGHT", "WIDTH", "draw"]

WIDTH, HEIGHT = 480, 360
_FINE = 2  # drawn this much larger and averaged down: smooth edges
_W, _H = WIDTH * _FINE, HEIGHT * _FINE
_CX = _W // 2  # the face's axis
_EYE_Y, _MOUTH_Y = 318, 476
_SKIN, _SHADE, _BLUSH = (236, 190, 162), (196, 140, 112), (232, 150, 132)
_HAIR, _HAIR_LIGHT = (66, 44, 34), (104, 72, 54)
_LIP, _LIP_LOW, _INSIDE = (186, 92, 88), (206, 112, 106), (70, 22, 26)

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]


def draw(mouths: Sequence[Mouth], rng: np.random.Generator) -> Iterator[Image]:
    """RGB frames [HEIGHT, WIDTH, 3], one per mouth; the head sways a little and blinks."""
    room, head = _room(), _head()
    phase = rng.uniform(0, 2 * np.pi, 4)
    shut_V = _blinks(len(mouths), rng)
    for v, mouth in enumerate(mouths):
        face = head.copy()
        _eyes(face, shut_V[v])
        _mouth(face, mouth)
        t = 2 * np.pi * v / FPS
        dx = 5 * np.sin(0.23 * t + phase[0]) + 2 * np.sin(0.61 * t + phase[1])
        dy = 3 * np.sin(0.31 * t + phase[2]) - 3 * mouth.opening
        yield _compose(room, face, (dx, dy), 1.2 * np.sin(0.17 * t + phase[3]))


def _compose(room: Image, head: Image, shift: tuple[float, float], turn: float) -> Image:
    """The head RGBA, turned by `turn` degrees and shifted by fine pixels, before the room."""
    move = cv2.getRotationMatrix2D((_CX, 600), turn, 1.0)
    move[:, 2] += np.array(shift)
    moved = cv2.warpAffine(head, move, (_W, _H))
    small = cv2.resize(moved, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    a = small[..., 3:].astype(np.float32) / np.float32(255)
    whole = small[..., :3] * a + room * (1 - a)
    return np.asarray(whole + np.float32(0.5), np.uint8)


def _blinks(frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How far the eyes are shut, 0-1, per frame: a blink of 5 frames every 2-5 s."""
    shut = np.zeros(frames + 8)
    at = int(rng.integers(20, 60))
    while at < frames:
        shut[at : at + 5] = (0.5, 1.0, 1.0, 0.6, 0.25)
        at += int(rng.integers(2 * FPS, 5 * FPS))
    return np.asarray(shut[:frames])


def _blob(
    image: Image,
    centre: tuple[int, int],
    axes: tuple[int, int],
    colour: Colour,
    strength: float = 1.0,
    blur: int = 0,
) -> None:
    """Paint an ellipse; `blur` fine pixels soften its edge, `strength` is its opacity."""
    reach = 3 * blur + 2
    left, top = (max(0, c - a - reach) for c, a in zip(centre, axes, strict=True))
    part = image[top : centre[1] + axes[1] + reach, left : centre[0] + axes[0] + reach]
    mask = np.zeros(part.shape[:2], np.uint8)
    middle = (centre[0] - left, centre[1] - top)
    cv2.ellipse(mask, middle, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
    _tint(part, mask, colour, strength, blur)


def _tint(image: Image, mask: Image, colour: Colour, strength: float, blur: int) -> None:
    soft = cv2.GaussianBlur(mask, (0, 0), blur) if blur else mask
    a = (np.asarray(soft, np.float32) * (strength / 255))[..., None]
    image[:] = (image * (1 - a) + np.array(colour, np.float32) * a + 0.5).astype(np.uint8)


def _room() -> Image:
    """A soft wall, and shoulders in a jumper."""
    y, x = np.mgrid[0:_H, 0:_W].astype(np.float32)
    glow = np.exp(-(((x - 0.35 * _W) / (0.6 * _W)) ** 2 + ((y - 0.3 * _H) / (0.8 * _H)) ** 2))
    wall = np.array([122, 146, 158]) + glow[..., None] * np.array([78, 70, 62])
    room = np.clip(wall, 0, 255).astype(np.uint8)
    _blob(room, (_CX, _H + 130), (330, 250), (52, 84, 112), blur=2)
    _blob(room, (_CX - 120, _H + 20), (150, 90), (70, 106, 136), 0.6, 40)
    _blob(room, (_CX, 640), (112, 74), (40, 66, 90), blur=2)
    small = cv2.resize(room, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _head() -> Image:
    """The head without eyes and mouth: RGB, and its opacity as a fourth channel."""
    face = np.zeros((_H, _W, 3), np.uint8)
    face[:] = _HAIR
    alpha = np.zeros((_H, _W), np.uint8)
    for centre, axes in [
        ((_CX, 290), (196, 226)),
        ((_CX, 360), (164, 222)),
        ((_CX, 600), (78, 110)),
    ]:
        cv2.ellipse(alpha, centre, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
    _blob(face, (_CX, 610), (76, 110), _SHADE, blur=2)  # neck
    for side in (-1, 1):  # ears
        _blob(face, (_CX + side * 166, 356), (22, 44), _SHADE, blur=2)
        cv2.ellipse(alpha, (_CX + side * 168, 356), (24, 46), 0, 0, 360, 255, -1, cv2.LINE_AA)
    _blob(face, (_CX, 356), (160, 214), _SHADE, blur=2)
    _blob(face, (_CX, 352), (138, 194), _SKIN, blur=22)
    _blob(face, (_CX - 20, 230), (90, 50), (250, 214, 188), 0.6, 30)  # light on the brow
    for side in (-1, 1):
        _blob(face, (_CX + side * 84, 404), (42, 30), _BLUSH, 0.35, 18)
        _blob(face, (_CX + side * 66, 392), (34, 22), (250, 212, 186), 0.55, 14)
        _blob(face, (_CX + side * 66, _EYE_Y), (50, 30), (176, 120, 98), 0.75, 11)  # socket
    _nose(face)
    _hair(face)
    for side in (-1, 1):  # brows
        points = np.array([(side * x + _CX, y) for x, y in [(28, 282), (62, 266), (106, 282)]])
        _stroke(face, points, _HAIR, 11)
    soft = cv2.GaussianBlur(alpha, (0, 0), 1.2)
    return np.dstack([face, np.asarray(soft, np.uint8)])


def _nose(face: Image) -> None:
    _blob(face, (_CX - 3, 350), (13, 64), (252, 220, 196), 0.75, 7)  # bridge, lit
    _blob(face, (_CX + 22, 378), (10, 44), _SHADE, 0.6, 8)
    _blob(face, (_CX, 404), (26, 17), (240, 184, 156), 0.9, 6)
    for side in (-1, 1):
        _blob(face, (_CX + side * 15, 414), (7, 4), (128, 74, 64), 0.8, 2)
    _blob(face, (_CX, 426), (30, 6), _SHADE, 0.7, 5)
    _blob(face, (_CX, 516), (46, 8), _SHADE, 0.55, 7)  # under the lower lip


def _hair(face: Image) -> None:
    """A parted fringe over the upper face."""
    mask = np.zeros((_H, _W), np.uint8)
    cv2.ellipse(mask, (_CX, 290), (204, 234), 0, 180, 360, 255, -1, cv2.LINE_AA)
    cut = np.zeros_like(mask)
    cv2.ellipse(cut, (_CX - 14, 360), (138, 166), 4, 0, 360, 255, -1, cv2.LINE_AA)
    mask[cut > 0] = 0
    cv2.rectangle(mask, (0, 340), (_W, _H), 0, -1)
    _tint(face, mask, _HAIR, 1.0, 3)
    for k in range(5):
        strand = (
            (-150 + 16 * k, 250 - 8 * k),
            (-100 + 30 * k, 140 - 4 * k),
            (10 + 34 * k, 118 + 8 * k),
        )
        points = np.array([(_CX + x, y) for x, y in strand])
        _stroke(face, points, _HAIR_LIGHT, 4)


def _stroke(image: Image, points: NDArray[np.int_], colour: Colour, width: int) -> None:
    """A smooth curve through three points."""
    t = np.linspace(0, 1, 24)[:, None]
    a, b, c = points.astype(float)
    control = 2 * b - (a + c) / 2
    curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * control + t**2 * c
    points_32 = [np.round(curve).astype(np.int32)]
    cv2.polylines(image, points_32, False, (*colour, 255), width, cv2.LINE_AA)


def _eyes(face: Image, shut: float) -> None:
    for side in (-1, 1):
        x, high = _CX + side * 66, max(0, round(17 * (1 - shut)))
        if high > 3:
            part = face[_EYE_Y - 20 : _EYE_Y + 21, x - 36 : x + 37, :3]
            white = np.zeros(part.shape[:2], np.uint8)
            cv2.ellipse(white, (36, 20), (33, high), 0, 0, 360, 255, -1, cv2.LINE_AA)
            eye = np.full_like(part, 243)
            cv2.circle(eye, (36, 19), 16, (60, 74, 58), -1, cv2.LINE_AA)
            cv2.circle(eye, (36, 19), 11, (92, 110, 84), -1, cv2.LINE_AA)
            cv2.circle(eye, (36, 19), 7, (22, 18, 18), -1, cv2.LINE_AA)
            cv2.circle(eye, (31, 14), 3, (250, 250, 250), -1, cv2.LINE_AA)
            a = (white / np.float32(255))[..., None]
            part[:] = (eye * a + part * (1 - a)).astype(np.uint8)
        lid = np.array([(x - 35, _EYE_Y + 3), (x, _EYE_Y - high), (x + 35, _EYE_Y + 3)])
        _stroke(face, lid, (58, 36, 32), 6)


def _mouth(face: Image, mouth: Mouth) -> None:
    """Lips around an opening; the lower one drops with the jaw, the corners stay a little up."""
    half = round(38 + 28 * mouth.width)
    gap = round(50 * mouth.opening)
    full = 11 + 5 * (1 - mouth.width)  # pursed lips are fuller
    t = np.linspace(-1, 1, 41)
    arch = np.sqrt(1 - t**2)
    x = _CX + half * t
    smile = _MOUTH_Y - 5 * t**2  # the line on which closed lips meet
    top = smile - 0.25 * gap * arch
    low = smile + 0.75 * gap * arch
    bow = full * arch * (1 - 0.3 * np.exp(-((t / 0.16) ** 2)))  # the dip in the upper lip
    _fill(face, x, top - bow, low + (full + 4) * arch, _LIP_LOW)
    _fill(face, x, top - bow, top, _LIP)
    gleam = low + 0.5 * (full + 4) * arch
    _fill(face, x[13:-13], gleam[13:-13] - 2, gleam[13:-13] + 1, (222, 140, 132))
    if gap > 2:
        inner = slice(2, -2)
        _fill(face, x[inner], top[inner], low[inner], _INSIDE)
        if gap > 20:
            tongue = np.maximum(low - 0.34 * gap * arch, top)
            _fill(face, x[8:-8], tongue[8:-8], low[8:-8] - 1, (176, 84, 86))
        edge = float(top[20]) + min(12.0, 0.4 * gap)  # upper teeth end in a straight line
        teeth = np.clip(edge, top, low)
        _fill(face, x[5:-5], top[5:-5], teeth[5:-5], (236, 230, 222))
    line = np.stack([x, top], 1)
    cv2.polylines(
        face, [np.round(line).astype(np.int32)], False, (118, 50, 52, 255), 3, cv2.LINE_AA
    )


def _fill(
    face: Image,
    x: NDArray[np.float64],
    upper: NDArray[np.float64],
    lower: NDArray[np.float64],
    colour: Colour,
) -> None:
    """The area between two curves over the same `x`."""
    curves = np.stack([np.concatenate([x, x[::-1]]), np.concatenate([upper, lower[::-1]])], 1)
    cv2.fillPoly(face, [np.round(curves).astype(np.int32)], (*colour, 255), cv2.LINE_AA)
