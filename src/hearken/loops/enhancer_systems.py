"""The rows of the enhancer's table: what each system makes of a scene.

    unprocessed             the mixture: doing nothing is a strong baseline
    spectral-gate ...       `enhancer_baselines`, those that are installed
    audio-only twin         an enhancer of the same size that was trained without pictures
    video right             the enhancer as it is used
    video other             with the picture of another scene's talker
    video rival             with the picture of the talker to be removed, where the scene has it
    video none              with no picture
    video 0.1 s late        with the right picture behind the sound; early: ahead of it
    enhanced                finished files, in place of the enhancer
    oracle mask             |S| / (|S| + |N|) with the mixture's phase
    oracle phase mask       Re(S Y*) / |Y|^2 within 0-1, Erdogan et al. 2015, eq. 12

Right, other, rival and none agree for an enhancer that is deaf to lips; right and late agree for
one that takes from the picture only who speaks, or that nothing moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hearken import media
from hearken.data import scenes
from hearken.errors import InputError, MetricError
from hearken.loops.enhancer_baselines import BASELINES
from hearken.nouns import SAMPLE_RATE, SAMPLES_PER_FRAME, Audio, Crops, Scene

__all__ = [
    "NO_FACE",
    "TWIN",
    "VIDEOS",
    "Enhances",
    "Made",
    "Pictures",
    "System",
    "finished",
    "oracle_phase_mask",
    "oracle_ratio_mask",
    "systems",
]

VIDEOS = ("right", "other", "rival", "none")
TWIN = "audio-only twin"
NO_FACE = "no face found"


class Enhances(Protocol):
    """What is evaluated: `hearken.enhancer.Enhancer`, or anything with its one method."""

    def enhance(self, samples: Audio, crops: Crops | None) -> Audio:
        """[T] and [V, 88, 88] or None to [T]."""
        ...


@dataclass(frozen=True, eq=False)
class Made:
    """What a system made of a scene, [T], and a remark; None where it does not apply."""

    samples: Audio | None
    remark: str = ""


System = Callable[[Scene, scenes.SceneAudio], Made]


class Pictures:
    """Which video a system is shown; the mouth crops of a video are made once for all systems.

    Attributes:
        made: videos cropped so far.
        seconds: spent on that.
    """

    def __init__(self, found: Sequence[Scene], crops_of: Callable[[str], Crops | None]) -> None:
        self.made = 0
        self.seconds = 0.0
        self._all = list(found)
        self._crops_of = crops_of
        self._notes: dict[str, scenes.Note] = {}
        self.crops = lru_cache(maxsize=64)(self._crops)
        """Path of a video -> mouth crops, or None where no face was found."""

    def note(self, scene: Scene) -> scenes.Note:
        """What tables group the scene by."""
        return self._notes.setdefault(scene.mix, scenes.note(scene))

    def path(self, scene: Scene, which: str) -> str | None:
        """The video of a scene: "right", "rival" or "other"; None where the folder has none."""
        if which == "right":
            return scene.video
        if which == "rival":
            return scenes.rival_video(scene)
        return self._other(scene)

    def _other(self, scene: Scene) -> str | None:
        """The video of the next scene of another talker; failing that, of another clip."""
        at = self._all.index(scene)
        later = [s for s in self._all[at + 1 :] + self._all[:at] if s.video is not None]
        talker = self.note(scene).talker
        stranger = next((s for s in later if self.note(s).talker != talker), None)
        other = stranger or next((s for s in later if s.target != scene.target), None)
        return other.video if other else None

    def _crops(self, path: str) -> Crops | None:
        start = time.perf_counter()
        try:
            return self._crops_of(path)
        finally:
            self.made += 1
            self.seconds += time.perf_counter() - start


def systems(
    enhancer: Enhances | None,
    pictures: Pictures,
    *,
    videos: Sequence[str] = VIDEOS,
    shifts_s: Sequence[float] = (),
    twin: Enhances | None = None,
    baselines: Sequence[str] = (),
    finished_in: Path | None = None,
    oracle: bool = True,
) -> dict[str, System]:
    """Name of a row -> what makes it, in the order of the table.

    Args:
        enhancer: what is evaluated; None where finished files take its place.
        pictures: of the scenes.
        videos: of `VIDEOS`.
        shifts_s: seconds by which the right picture comes late; negative is early.
        twin: hears, and is never shown a picture.
        baselines: names of `BASELINES` that can run here.
        finished_in: folder of finished files.
        oracle: add the masks that know the reference.
    """
    rows: dict[str, System] = {"unprocessed": lambda scene, sound: Made(sound.mix)}
    rows |= {name: _hearing(BASELINES[name].run) for name in baselines}
    if twin is not None:
        rows[TWIN] = _hearing(_blind(twin))
    if finished_in is not None:
        rows["enhanced"] = _finished(finished_in)
    if enhancer is not None:
        for which in videos:
            blind = which == "none"
            rows[f"video {which}"] = (
                _hearing(_blind(enhancer)) if blind else _seeing(enhancer, pictures, which)
            )
        for late_s in shifts_s:
            name = f"video {abs(late_s):g} s {'early' if late_s < 0 else 'late'}"
            rows[name] = _seeing(enhancer, pictures, "right", late_s)
    if oracle:
        rows["oracle mask"] = _knowing(oracle_ratio_mask)
        rows["oracle phase mask"] = _knowing(oracle_phase_mask)
    return rows


def oracle_ratio_mask(mix: Audio, reference: Audio) -> Audio:
    """The mix [T] through |S| / (|S| + |N|), S the reference, N the rest (STFT 512, hop 128)."""

    def mask(mix_KF: NDArray[Any], reference_KF: NDArray[Any]) -> NDArray[Any]:
        target, rest = np.abs(reference_KF), np.abs(mix_KF - reference_KF)
        return np.asarray(target / np.maximum(target + rest, 1e-9))

    return _masked(mix, reference, mask)


def oracle_phase_mask(mix: Audio, reference: Audio) -> Audio:
    """The mix [T] through the real part of S / Y held within 0-1: the best such gain in power."""

    def mask(mix_KF: NDArray[Any], reference_KF: NDArray[Any]) -> NDArray[Any]:
        along = (reference_KF * mix_KF.conj()).real
        return np.asarray(np.clip(along / np.maximum(np.abs(mix_KF) ** 2, 1e-12), 0.0, 1.0))

    return _masked(mix, reference, mask)


def finished(folder: Path, scene: Scene, samples: int) -> Audio:
    """The finished file of a scene, [samples].

    Raises:
        InputError: there is none, or it cannot be read.
        MetricError: its length differs by more than a video frame.
    """
    names = (folder / f"{scene.scene}{end}" for end in (".wav", ".flac"))
    path = next((p for p in names if p.is_file()), None)
    if path is None:
        raise InputError(f"{folder} has no {scene.scene}.wav")
    x = media.load_audio(path)
    if abs(len(x) - samples) > SAMPLES_PER_FRAME:
        raise MetricError(f"{path}: {len(x)} samples, but the mix has {samples}")
    return np.pad(x[:samples], (0, max(0, samples - len(x))))


def _hearing(run: Callable[[Audio], Audio]) -> System:
    return lambda scene, sound: Made(run(sound.mix))


def _blind(enhancer: Enhances) -> Callable[[Audio], Audio]:
    return lambda samples: enhancer.enhance(samples, None)


def _finished(folder: Path) -> System:
    return lambda scene, sound: Made(finished(folder, scene, len(sound.mix)))


def _knowing(oracle: Callable[[Audio, Audio], Audio]) -> System:
    def make(scene: Scene, sound: scenes.SceneAudio) -> Made:
        return Made(None if sound.reference is None else oracle(sound.mix, sound.reference))

    return make


def _seeing(enhancer: Enhances, pictures: Pictures, which: str, late_s: float = 0.0) -> System:
    def make(scene: Scene, sound: scenes.SceneAudio) -> Made:
        path = pictures.path(scene, which)
        if path is None:
            if which == "rival":
                return Made(None)
            raise InputError("the folder has no such video")
        crops = pictures.crops(path)
        if crops is None:  # as the product does: by sound alone, and told
            return Made(enhancer.enhance(sound.mix, None), NO_FACE)
        return Made(_enhanced(enhancer, sound.mix, crops, late_s))

    return make


def _enhanced(enhancer: Enhances, samples: Audio, crops: Crops, late_s: float) -> Audio:
    """Enhanced with the picture `late_s` behind the sound.

    0.1 s is two and a half frames: the picture goes back by three, and the sound by half a one.
    """
    late = round(late_s * SAMPLE_RATE)
    frames = -(-late // SAMPLES_PER_FRAME)
    rest = frames * SAMPLES_PER_FRAME - late
    shown = _fit(crops, rest + len(samples))
    # At the ends, the first or last picture stands still.
    shown = shown[np.clip(np.arange(len(shown)) - frames, 0, len(shown) - 1)]
    return enhancer.enhance(np.pad(samples, (rest, 0)), shown)[rest:]


def _fit(crops: Crops, samples: int) -> Crops:
    """Crops cut, or repeated from their start, to cover [samples]."""
    frames = -(-samples // SAMPLES_PER_FRAME)
    index = np.arange(frames) % len(crops)
    # The own video may end a frame early: hold its last frame rather than jump to the first.
    return crops[
        np.minimum(index if frames > len(crops) + 2 else np.arange(frames), len(crops) - 1)
    ]


def _masked(
    mix: Audio, reference: Audio, mask: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]
) -> Audio:
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    stft = ShortTimeFFT(hann(512, sym=False), hop=128, fs=SAMPLE_RATE)
    mix_KF = stft.stft(mix)
    made = stft.istft(mix_KF * mask(mix_KF, stft.stft(reference)), k1=len(mix))
    return np.asarray(made, np.float32)
