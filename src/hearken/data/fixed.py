"""Held-out scenes that stay the same through a whole training run, to choose weights by.

Sets: noise and competing talkers, each for the face that training knows (other clips of his)
and for faces it never saw; the known talker against himself; and talkers without any video.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hearken.data import mixing
from hearken.data.stock import Face, Stock
from hearken.nouns import CROP_SIZE, SAMPLES_PER_FRAME, Audio, Crops

__all__ = ["FixedScene", "fixed_scenes", "middle"]

_SNRS_DB = (-5.0, 0.0, 5.0)
_UNFILMED_FRAMES = 100


@dataclass(frozen=True, eq=False)
class FixedScene:
    """One scene: `mix`, `clean` [T]; crops [V, 88, 88] of the talker and of someone else.

    `kind` names its set; `crops` and `wrong` are None where the talker was not filmed.
    """

    kind: str
    mix: Audio
    clean: Audio
    crops: Crops | None
    wrong: Crops | None


def fixed_scenes(stock: Stock, known: str, count: int, *, seed: int = 0) -> list[FixedScene]:
    """Up to `count` scenes of each set, from the held-out side of a split.

    Args:
        stock: held-out voices, noises and faces.
        known: group of the talker whose other clips are trained on.
        count: scenes a set; whole rounds of clips and of -5, 0 and 5 dB.
        seed: of everything drawn.
    """
    scenes: list[FixedScene] = []
    faces = {
        "known": [f for f in stock.faces if f.group == known],
        "unseen": [f for f in stock.faces if f.group != known],
    }
    for who, clips in faces.items():
        if clips:
            scenes += [_filmed("noise", who, clips, stock, i, seed) for i in range(count)]
            scenes += [_filmed("talker", who, clips, stock, i, seed) for i in range(count)]
    if len(faces["known"]) > 1:
        scenes += [
            _filmed("same_voice", "known", faces["known"], stock, i, seed) for i in range(count)
        ]
    return scenes + [_unfilmed(stock, i, seed) for i in range(count)]


def _filmed(
    kind: str, who: str, clips: list[Face], stock: Stock, index: int, seed: int
) -> FixedScene:
    rng = np.random.default_rng([seed, index, len(kind), len(who)])
    at = index % len(clips)
    face = clips[at]
    others = [f for f in stock.faces if f.group != face.group] or clips
    wrong = others[index % len(others)]
    n = face.frames * SAMPLES_PER_FRAME
    target = _float(face.voice(0))[:n]
    if kind == "noise":
        other = _float(stock.noises[index * 7 % len(stock.noises)])
    elif kind == "talker":
        other = _float(stock.voices[index * 3 % len(stock.voices)])
    else:
        other = _float(clips[(at + 1 + index // len(clips)) % len(clips)].voice(0))
    other = _sounding(other, n, rng)
    turn = (index if len(clips) % 3 else index + index // len(clips)) % 3
    mix, _ = mixing.mix_at_snr(target, other, _SNRS_DB[turn])
    return FixedScene(f"{kind}/{who}", mix, target, middle(face.crops), middle(wrong.crops))


def _unfilmed(stock: Stock, index: int, seed: int) -> FixedScene:
    rng = np.random.default_rng([seed, index, 99])
    n = _UNFILMED_FRAMES * SAMPLES_PER_FRAME
    target = mixing.loop_to(_float(stock.voices[index * 5 % len(stock.voices)]), n, rng)
    other = _sounding(_float(stock.noises[index * 3 % len(stock.noises)]), n, rng)
    mix, _ = mixing.mix_at_snr(target, other, _SNRS_DB[index % 3])
    return FixedScene("noise/unfilmed", mix, target, None, None)


def _sounding(x: Audio, n: int, rng: np.random.Generator) -> Audio:
    """A piece of a sound that is not silent (recordings of short events have long gaps)."""
    for _ in range(8):
        piece = mixing.loop_to(x, n, rng)
        if mixing.rms(piece) > 1e-3:
            break
    return piece


def middle(crops: Crops) -> Crops:
    """The middle 88x88 that the network sees of crops [V, 96, 96]."""
    edge = (crops.shape[-1] - CROP_SIZE) // 2
    return crops[:, edge : edge + CROP_SIZE, edge : edge + CROP_SIZE]


def _float(x: NDArray[np.int16]) -> Audio:
    return x.astype(np.float32) / np.float32(32768)
