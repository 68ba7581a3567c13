"""From phonemes to the shape of the mouth, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hearken.app.puppet._voice import Phoneme
from hearken.nouns import FPS

__all__ = ["Mouth", "mouths"]


@dataclass(frozen=True)
class Mouth:
    """A mouth: `opening` 0 (shut) to 1, `width` 0 (pursed) to 1 (spread), both at rest 0, 0.5."""

    opening: float
    width: float


# IPA symbol: (opening, width, weight). The weight is how much the sound insists on its shape:
# the lips must meet for /m b p/, while the tongue makes /k/ or /h/ behind any lips.
_SHAPES: dict[str, tuple[float, float, float]] = {
    **dict.fromkeys("mbp", (0.0, 0.5, 4.0)),
    **dict.fromkeys("fv", (0.10, 0.55, 2.5)),
    **dict.fromkeys("szdtnlθðɾ", (0.22, 0.62, 0.6)),
    **dict.fromkeys("ʃʒɹr", (0.25, 0.25, 0.9)),
    **dict.fromkeys("kgŋhɡxʔ", (0.32, 0.55, 0.25)),
    **dict.fromkeys("wuʊ", (0.22, 0.05, 1.4)),
    **dict.fromkeys("oɔ", (0.60, 0.18, 1.2)),
    **dict.fromkeys("iɪj", (0.30, 0.95, 1.0)),
    **dict.fromkeys("eɛ", (0.58, 0.80, 1.0)),
    **dict.fromkeys("æa", (0.92, 0.80, 1.2)),
    **dict.fromkeys("ɑɒʌɐ", (0.90, 0.50, 1.2)),
    **dict.fromkeys("əɚɜ", (0.42, 0.45, 0.6)),
}
_REST = (0.0, 0.5, 0.8)
_STEP_S = 0.005
_SPREAD_S = 0.03  # how far a sound reaches into its neighbours


def _targets(phoneme: Phoneme) -> Iterator[tuple[float, float, tuple[float, float, float]]]:
    """(start, end, shape) of each symbol: a diphthong or an affricate moves on its way."""
    shapes = [_SHAPES[c] for c in phoneme.label if c in _SHAPES] or [_REST]
    length_s = (phoneme.end_s - phoneme.start_s) / len(shapes)
    for i, shape in enumerate(shapes):
        start_s = phoneme.start_s + i * length_s
        yield start_s, start_s + length_s, shape


def mouths(phonemes: Sequence[Phoneme], frames: int, lead_s: float = 0.0) -> list[Mouth]:
    """The mouth in the middle of each of `frames` frames at 25 fps.

    Each sound pulls towards its shape with a Gaussian of 30 ms around its time; the mean of
    all pulls by weight is the shape: dominance functions (Cohen and Massaro, 1993).

    Args:
        phonemes: in order of time.
        frames: how many.
        lead_s: rest before the first phoneme's clock starts.
    """
    steps = int(frames / FPS / _STEP_S) + 1
    shape_S3 = np.tile(np.array(_REST), (steps, 1))
    for phoneme in phonemes:
        for start_s, end_s, shape in _targets(phoneme):
            first, last = (round((lead_s + t) / _STEP_S) for t in (start_s, end_s))
            shape_S3[first:last] = shape
    weight_S = shape_S3[:, 2]
    total_S = _spread(weight_S)
    opening_S, width_S = (_spread(shape_S3[:, i] * weight_S) / total_S for i in (0, 1))
    middle = (np.arange(frames) + 0.5) / FPS / _STEP_S
    opening_V = np.interp(middle, np.arange(steps), opening_S)
    width_V = np.interp(middle, np.arange(steps), width_S)
    return [Mouth(float(o), float(w)) for o, w in zip(opening_V, width_V, strict=True)]


def _spread(x: NDArray[np.float64]) -> NDArray[np.float64]:
    reach = round(3 * _SPREAD_S / _STEP_S)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _STEP_S / _SPREAD_S) ** 2)
    padded = np.pad(x, reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid")
