"""The nouns that every floor shares: frozen dataclasses and closed lists, no behaviour.

Audio is float32 mono at 16 kHz in [-1, 1]. Video is grey mouth crops at 25 fps. One video
frame is 640 samples; this clock is written down here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CROP_SIZE",
    "DIMENSIONS",
    "FAULT_TYPES",
    "FPS",
    "SAMPLES_PER_FRAME",
    "SAMPLE_RATE",
    "Audio",
    "Clip",
    "Crops",
    "Description",
    "Fault",
    "FaultType",
    "Judgement",
    "Rollout",
    "Scene",
    "Score",
    "Source",
]

SAMPLE_RATE = 16_000
FPS = 25
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS  # 640
CROP_SIZE = 88

Audio = NDArray[np.float32]  # [T] samples at SAMPLE_RATE
Crops = NDArray[np.uint8]  # [V, CROP_SIZE, CROP_SIZE] grey mouth crops at FPS

DIMENSIONS = (
    "noise",
    "distortion",
    "speed",
    "continuity",
    "naturalness",
    "listening_effort",
    "overall",
)
"""QualiSpeech's seven. 1-5, 5 best, except speed, where 3 is normal, 1 slow, 5 fast."""


@dataclass(frozen=True)
class FaultType:
    """What kind of thing a fault is.

    Attributes:
        dimension: the one of `DIMENSIONS` that it lowers first.
        localised: True where it has an onset and an end of its own; False where it
            always covers the whole clip (hum, a codec).
        words: the plain name that the critic writes.
    """

    dimension: str
    localised: bool
    words: str


FAULT_TYPES: Mapping[str, FaultType] = MappingProxyType(
    {
        "background_noise": FaultType("noise", False, "background noise"),
        "noise_event": FaultType("noise", True, "noise event"),
        "competing_talker": FaultType("noise", False, "competing talker"),
        "hum": FaultType("noise", False, "hum"),
        "reverberation": FaultType("distortion", False, "reverberation"),
        "clipping": FaultType("distortion", False, "clipping"),
        "band_limiting": FaultType("distortion", False, "band limiting"),
        "codec": FaultType("distortion", False, "codec artefacts"),
        "musical_noise": FaultType("distortion", False, "musical noise"),
        "over_suppression": FaultType("distortion", False, "over-suppression"),
        "robotic": FaultType("naturalness", False, "robotic voice"),
        "speed_change": FaultType("speed", False, "wrong speed"),
        "packet_loss": FaultType("continuity", True, "packet loss"),
        "clicks": FaultType("continuity", True, "clicks"),
        "gain_jump": FaultType("continuity", True, "level jump"),
        "dropout": FaultType("continuity", True, "dropout"),
        "unnatural_pause": FaultType("continuity", True, "unnatural pause"),
    }
)
"""The closed list of faults, in the order the critic's prompt states them."""


@dataclass(frozen=True)
class Source:
    """Where a clip came from, as the file itself says.

    Attributes:
        path: the path or name given by the caller; "" for an array.
        sha256: of the file's bytes; "" for an array.
        sr_in: the file's own sample rate, Hz.
        channels_in: its number of channels.
        channel: the channel that was used, or "mix".
        duration_s: of the decoded sound.
        effective_bandwidth_hz: the highest frequency with speech energy in it.
        has_video: True where the file carries a picture stream that moves.
    """

    path: str
    sha256: str
    sr_in: int
    channels_in: int
    channel: int | str
    duration_s: float
    effective_bandwidth_hz: float
    has_video: bool = False


@dataclass(frozen=True, eq=False)
class Clip:
    """Sound ready to be listened to: `samples` [T] float32 mono 16 kHz, and its source."""

    samples: Audio
    source: Source

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a clip, and when.

    Attributes:
        type: a key of `FAULT_TYPES`.
        start_s: onset, seconds from the start of the clip.
        end_s: end, seconds; start_s < end_s.
        severity: 1 (barely audible) to 5 (ruins the clip).
        detail: free words, e.g. "dog bark", "opus 8 kbit/s"; "" for none.
        confidence: 0-1, or None where the fault is planted truth.
    """

    type: str
    start_s: float
    end_s: float
    severity: int
    detail: str = ""
    confidence: float | None = None


@dataclass(frozen=True)
class Score:
    """A value on 1-5 and the distribution over the digits 1..5 that it is the mean of."""

    value: float
    probs: tuple[float, float, float, float, float]

    @classmethod
    def point(cls, digit: int) -> Score:
        """The certain score: all mass on one digit.

        >>> Score.point(4)
        Score(value=4.0, probs=(0.0, 0.0, 0.0, 1.0, 0.0))
        """
        p = [0.0] * 5
        p[digit - 1] = 1.0
        return cls(float(digit), (p[0], p[1], p[2], p[3], p[4]))

    @classmethod
    def of(cls, probs: tuple[float, ...] | list[float]) -> Score:
        """The expectation over five digit probabilities, normalised to sum to 1.

        >>> Score.of([0, 0, 1, 1, 0]).value
        3.5
        """
        total = float(sum(probs))
        p = [float(x) / total for x in probs]
        value = sum((i + 1) * x for i, x in enumerate(p))
        return cls(value, (p[0], p[1], p[2], p[3], p[4]))


@dataclass(frozen=True)
class Description:
    """What the critic says of one clip.

    Attributes:
        scores: one `Score` for each of `DIMENSIONS`.
        faults: in order of onset.
        words: the free sentences.
        raw: the text exactly as the model wrote it ("" where there was no model).
        model: model id; "" for planted truth.
        revision: weight revision or hash.
    """

    scores: Mapping[str, Score]
    faults: tuple[Fault, ...]
    words: str
    raw: str = ""
    model: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Judgement:
    """A reward or grade: a total, and the bounded parts it is made of."""

    total: float
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Interferer:
    """One disturbing source of a scene. `type` is speech, noise or music; times in samples."""

    type: str
    name: str
    time_start: int
    time_end: int
    offset: int = 0
    position: int = 0


@dataclass(frozen=True)
class Scene:
    """One audio-visual scene, as AVSEC writes it (see `hearken.data.scenes`).

    Attributes:
        scene: "S00001".
        dataset: where the target comes from.
        duration: samples.
        snr_db: of target to sum of interferers.
        target: clip name of the target talker.
        interferers: 1-3 of them.
        mix, reference, interferer_audio, video: absolute paths, None where not in the folder.
    """

    scene: str
    dataset: str
    duration: int
    snr_db: float
    target: str
    interferers: tuple[Interferer, ...]
    mix: str
    reference: str | None = None
    interferer_audio: str | None = None
    video: str | None = None
    room: str = ""


@dataclass(frozen=True)
class Rollout:
    """One sampled action of a policy and what it was worth.

    Attributes:
        clip: name of the clip.
        text: the raw words that the critic wrote of the result.
        judgement: the reward and its parts; None where the judge failed.
    """

    clip: str
    text: str
    judgement: Judgement | None
