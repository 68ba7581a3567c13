"""Training scenes for the enhancer, mixed on the fly and never twice the same.

What each batch holds follows from (seed, step) alone, so a resumed run sees the same scenes.
The recipe keeps a network from knowing the one talker who has most of the video, and from
ignoring lips: mixtures of a talker with himself, voices shifted in pitch and formants while the
video stays, voice and lips that go faster or slower, random colour on every voice, crops that
move and flip, talkers who were never filmed, someone else's lips, and no lips at all, in every
kind of mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hearken.data import mixing
from hearken.data.stock import FACTORS, Face, Stock
from hearken.nouns import CROP_SIZE, SAMPLE_RATE, SAMPLES_PER_FRAME, Audio, Crops

__all__ = ["Batch", "Mixer"]

_QUIET_RMS = 3e-4
_PEAK = 0.95
_SPEEDS = (0.84, 1.19)
_OUT_OF_STEP = 3  # video frames from which lips are of no use

Floats = NDArray[np.float32]
Row = tuple[Floats, Floats, Crops, Floats, Floats]  # mix, clean, crops, envelope, seen
Item = TypeVar("Item")
Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Batch:
    """B scenes; the first N have a filmed talker.

    Attributes:
        mix: [B, T].
        clean: [B, T] the target as it is in the mixture (in a room: direct and early sound).
        crops: [N, V, 88, 88] uint8.
        drawn: [N, V, 24] the envelope that those lips belong to.
        told: [B, V, 24] envelopes for the talkers without video; rows before N are zero.
        seen: [B, V] 1 where the network may look.
    """

    mix: Floats
    clean: Floats
    crops: Crops
    drawn: Floats
    told: Floats
    seen: Floats


@dataclass(frozen=True)
class Mixer:
    """Draws batches from a stock of voices, noises, rooms and faces.

    Attributes:
        stock: what to draw from.
        envelope: (clean [T], V) -> [V, 24].
        imagine: (envelope, rng) -> the envelope as lips would have told it.
        batch: B.
        frames: V of each scene.
        filmed: share of scenes with a filmed talker.
        blank: share of scenes without a look at him.
        wrong: share of scenes that show someone else's lips, or the talker's at another time.
        noisy: share of scenes with noise and no other talker; some of them nearly clean.
        seed: of everything.
    """

    stock: Stock
    envelope: Callable[[Audio, int], Floats]
    imagine: Callable[[Floats, np.random.Generator], Floats]
    batch: int = 10
    frames: int = 60
    filmed: float = 0.5
    blank: float = 0.35
    wrong: float = 0.14
    noisy: float = 0.5
    seed: int = 0

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        rng = np.random.default_rng([self.seed, step])
        filmed = round(self.batch * self.filmed)
        rows = [self._filmed(rng) for _ in range(filmed)]
        rows += [self._heard_only(rng) for _ in range(self.batch - filmed)]
        mix, clean, crops, envelopes, seen = zip(*rows, strict=True)
        told = np.stack(envelopes)
        drawn = told[:filmed].copy()
        told[:filmed] = 0
        none = np.zeros((0, self.frames, CROP_SIZE, CROP_SIZE), np.uint8)
        shown = np.stack(crops[:filmed]) if filmed else none
        return Batch(np.stack(mix), np.stack(clean), shown, drawn, told, np.stack(seen))

    def _filmed(self, rng: np.random.Generator) -> Row:
        """A scene of a talker with video, who may speak faster or slower than he did."""
        face = _pick(self.stock.faces, rng)
        which = int(rng.integers(len(FACTORS)))
        speed = rng.uniform(*_SPEEDS) if rng.random() < 0.5 else 1.0
        start = int(rng.integers(0, max(1, face.frames - round(self.frames * speed) + 1)))
        target = _hurried(face.voice(which), start * SAMPLES_PER_FRAME, self._samples, speed)
        seen, wrong = self._seen(rng), rng.random() < self.wrong
        mix, clean = self._scene(target, rng, not wrong and bool(seen.any()), face, which)
        if wrong:  # the sound alone must do: someone else's lips, or his own out of step
            late = rng.random() < 0.4 and face.frames >= self.frames + 2 * _OUT_OF_STEP
            if late:
                start = (start + int(rng.integers(_OUT_OF_STEP, 12))) % (face.frames - self.frames)
            else:
                face, start = _pick(self.stock.faces, rng), int(rng.integers(0, 10))
        crops = _shown(_rows(face.crops, start, self.frames, speed), rng)
        drawn = self.envelope(_float(face.voice(0)), face.frames)
        return mix, clean, crops, _rows(drawn, start, self.frames, speed), seen

    def _heard_only(self, rng: np.random.Generator) -> Row:
        """A scene of a talker without video; an imagined lip-reader may tell of him."""
        voice = _float(_pick(self.stock.voices, rng))
        target = mixing.loop_to(voice, self._samples, rng)
        seen, wrong = self._seen(rng), rng.random() < self.wrong
        mix, clean = self._scene(target, rng, not wrong and bool(seen.any()), None, 0, voice)
        source = target
        if wrong and rng.random() < 0.4:
            source = np.roll(target, int(rng.integers(_OUT_OF_STEP, 25)) * SAMPLES_PER_FRAME)
        elif wrong:
            source = mixing.loop_to(_float(_pick(self.stock.voices, rng)), self._samples, rng)
        told = self.imagine(self.envelope(source, self.frames), rng)
        return mix, clean, np.zeros(0, np.uint8), told, seen

    @property
    def _samples(self) -> int:
        return self.frames * SAMPLES_PER_FRAME

    def _seen(self, rng: np.random.Generator) -> Floats:
        """Where there is video: all of the scene, none, or (rarely) not for a while."""
        seen = np.ones(self.frames, np.float32)
        draw = rng.random()
        if draw < self.blank:
            seen[:] = 0
        elif draw < self.blank + 0.08:
            at, length = rng.integers(0, self.frames), rng.integers(4, max(5, self.frames // 2))
            seen[at : at + length] = 0
        return seen

    def _scene(
        self,
        target: Audio,
        rng: np.random.Generator,
        guided: bool,
        face: Face | None,
        which: int,
        voice: Audio | None = None,
    ) -> tuple[Audio, Audio]:
        """Mixture and reference; `guided` where lips tell which talker is meant."""
        if rng.random() < 0.7:
            target = mixing.random_eq(target, rng)
        kind = rng.random()
        noisy_only = kind < self.noisy
        company = self._company(face, rng)
        if face is not None and company is not None:
            other, noisy_only = company, not face.company_talks
        elif noisy_only:
            other = self._noise(rng)
            if rng.random() < 0.25:
                other = mixing.mix_at_snr(other, self._noise(rng), rng.uniform(-6, 6))[0]
        else:
            other = self._talker(rng, face, which, voice)
            if kind > 0.75 + 0.25 * self.noisy:
                other = mixing.mix_at_snr(
                    other, self._talker(rng, face, which, voice), rng.uniform(-5, 5)
                )[0]
            if rng.random() < 0.2:
                other = mixing.mix_at_snr(other, self._noise(rng), rng.uniform(0, 15))[0]
        wide = rng.uniform(-10, 20 if noisy_only else 10)
        snr_db = rng.uniform(-5, 5) if rng.random() < 0.7 else wide
        if not noisy_only and not guided and rng.random() < 0.6:
            snr_db = abs(snr_db)  # unseen among voices, the target can only be the louder one
        return self._joined(target, other, snr_db, rng)

    def _joined(
        self, target: Audio, other: Audio, snr_db: float, rng: np.random.Generator
    ) -> tuple[Audio, Audio]:
        clean = target
        if self.stock.rooms and rng.random() < 0.2:
            room, place = (_float(_pick(self.stock.rooms, rng)) for _ in range(2))
            clean = mixing.reverberate(target, room, early=True)
            target = mixing.reverberate(target, room)
            other = mixing.reverberate(other, place)
        mix, _ = mixing.mix_at_snr(target, other, snr_db)
        gain = 10 ** rng.uniform(-1.5, 0) * _PEAK / max(float(np.abs(mix).max()), 1e-4)
        return (mix * gain).astype(np.float32), (clean * gain).astype(np.float32)

    def _company(self, face: Face | None, rng: np.random.Generator) -> Audio | None:
        """For every other talker who was recorded with company, a piece of it: his own room."""
        if face is None or face.company is None or rng.random() < 0.5:
            return None
        for _ in range(3):
            x = mixing.loop_to(_float(face.company), self._samples, rng)
            if mixing.rms(x) > _QUIET_RMS:
                return mixing.random_eq(x, rng, 5.0) if rng.random() < 0.5 else x
        return None

    def _noise(self, rng: np.random.Generator) -> Audio:
        """A piece of recorded noise, babble, or now and then a synthetic one."""
        draw = rng.random()
        if draw < 0.2:
            voices = [_float(_pick(self.stock.voices, rng)) for _ in range(rng.integers(4, 9))]
            return mixing.babble(voices, rng, self._samples)
        if draw < 0.92 and self.stock.noises:
            for _ in range(3):
                x = mixing.loop_to(_float(_pick(self.stock.noises, rng)), self._samples, rng)
                if mixing.rms(x) > _QUIET_RMS:
                    return mixing.random_eq(x, rng, 5.0) if rng.random() < 0.5 else x
        white = rng.standard_normal(self._samples).astype(np.float32)
        return mixing.random_eq(white, rng, 20.0)

    def _talker(
        self, rng: np.random.Generator, face: Face | None, which: int, voice: Audio | None
    ) -> Audio:
        """An interfering voice, often the target's own."""
        draw = rng.random()
        if face is not None and draw < 0.7:
            if draw > 0.57:
                which = int(rng.integers(len(FACTORS)))
            other = _float(_pick(self.stock.faces, rng).voice(which))
        elif voice is not None and draw < 0.5:
            other = voice
        elif face is None and draw < 0.6:
            other = _float(_pick(self.stock.faces, rng).voice(int(rng.integers(len(FACTORS)))))
        elif draw > 0.94 and self.stock.commands:
            other = _float(_pick(self.stock.commands, rng))
        else:
            other = _float(_pick(self.stock.voices, rng))
        x = mixing.loop_to(other, self._samples, rng)
        return mixing.random_eq(x, rng) if rng.random() < 0.7 else x


def _shown(crops: Crops, rng: np.random.Generator) -> Crops:
    """Crops [V, 88, 88] of wider ones: moved, turned, scaled, flipped and relit, all as one."""
    import cv2

    side = crops.shape[-1]
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-9, 9), rng.uniform(0.82, 1.2))
    turn[0] = turn[0] * rng.uniform(0.9, 1.11)  # wider or narrower mouths
    turn[0, 2] = CROP_SIZE / 2 - turn[0, :2].sum() * side / 2
    turn[1, 2] -= (side - CROP_SIZE) / 2
    turn[:, 2] = turn[:, 2] + rng.uniform(-5, 5, 2)
    if rng.random() < 0.5:
        turn = np.array([[-1.0, 0, CROP_SIZE - 1], [0, 1, 0]]) @ np.vstack([turn, [0, 0, 1]])
    light = 255 * (np.arange(256) / 255) ** rng.uniform(0.6, 1.6)
    light = np.clip(128 + (light - 128) * rng.uniform(0.6, 1.2), 0, 255).astype(np.uint8)
    blur = rng.random() < 0.2
    out = np.empty((len(crops), CROP_SIZE, CROP_SIZE), np.uint8)
    for i, crop in enumerate(crops):
        moved = cv2.warpAffine(crop, turn, (CROP_SIZE,) * 2, borderMode=cv2.BORDER_REPLICATE)
        out[i] = cv2.LUT(cv2.blur(moved, (3, 3)) if blur else moved, light)
    return out


def _pick(items: Sequence[Item], rng: np.random.Generator) -> Item:
    return items[int(rng.integers(len(items)))]


def _float(x: NDArray[np.int16]) -> Audio:
    return x.astype(np.float32) / np.float32(32768)


def _hurried(x: NDArray[np.int16], start: int, n: int, speed: float) -> Audio:
    """`n` samples from `start`, `speed` times as fast (pitch goes along), zero beyond the end."""
    piece = _float(x[start : start + round(n * speed)])
    if speed != 1.0:
        import soxr

        piece = soxr.resample(piece, SAMPLE_RATE * speed, SAMPLE_RATE)[:n]
    return np.pad(piece, (0, n - len(piece)))


def _rows(x: NDArray[Kind], start: int, n: int, speed: float) -> NDArray[Kind]:
    """`n` rows from `start`, `speed` rows apart; the last one is held."""
    at = start + np.round(np.arange(n) * speed).astype(int)
    return x[np.minimum(at, len(x) - 1)]
