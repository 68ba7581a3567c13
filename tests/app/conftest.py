"""Stand-ins for the two models, so that the commands are tested without weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hearken import media
from hearken.errors import GrammarError, HearkenError
from hearken.nouns import DIMENSIONS, SAMPLE_RATE, Audio, Crops, Description, Fault, Score


class FakeEar:
    """Scores by level alone: louder is worse. Refuses clips that start with exact full scale."""

    id = "fake-critic"
    revision = "abc123"
    window_s = 5.0

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.scored = 0

    def listen(
        self, clips: Sequence[Audio], *, batch_size: int = 16
    ) -> list[Description | HearkenError]:
        self.batches.append(len(clips))
        return [self._one(c) for c in clips]

    def scores(
        self, clips: Sequence[Audio], *, batch_size: int = 16
    ) -> list[dict[str, Score] | HearkenError]:
        self.scored += len(clips)
        said = [self._one(c) for c in clips]
        return [dict(s.scores) if isinstance(s, Description) else s for s in said]

    def _one(self, clip: Audio) -> Description | HearkenError:
        if clip[0] > 0.99:
            return GrammarError("not a digit: 'seven'", text="noise: seven", line=1)
        level = float(np.sqrt(np.mean(np.square(clip))))
        low = min(1.0, level / 0.2)
        score = Score.of([low, 0.1, 0.1, 0.1, 1.0 - low + 1e-6])
        seconds = len(clip) / SAMPLE_RATE
        faults = (
            Fault("background_noise", 0.0, seconds, 4, "rain", 0.9),
            Fault("dropout", min(0.5, seconds / 2), seconds * 0.7, 3),
        )
        words = 'A steady <b>rain</b> covers the voice, "quite" loud.'
        return Description({d: score for d in DIMENSIONS}, faults, words, "raw text")


class FakeHand:
    """Halves the sound; remembers its blocks, and the mouths shown, None for sound alone."""

    def __init__(self) -> None:
        self.crops: list[Crops | None] = []
        self.blocks: list[int] = []

    def look(self, mouths: Iterable[tuple[NDArray[np.uint8], bool]]) -> Crops:
        return np.stack([crop for crop, _ in mouths])

    def stream(
        self, samples: Audio | Iterator[Audio], sight: Crops | None = None
    ) -> Iterator[Audio]:
        self.crops.append(sight)
        for block in [samples] if isinstance(samples, np.ndarray) else samples:
            self.blocks.append(len(block))
            yield (block * np.float32(0.5)).astype(np.float32)


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> FakeEar:
    from hearken.app import listen

    fake = FakeEar()
    monkeypatch.setattr(listen, "load_critic", lambda options: fake)
    return fake


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> FakeHand:
    from hearken.app import enhance

    fake = FakeHand()
    monkeypatch.setattr(enhance, "load_enhancer", lambda options: fake)
    return fake


@pytest.fixture
def wav(tmp_path: Path, speechlike: Audio) -> Path:
    path = tmp_path / "a.wav"
    media.write_audio(path, speechlike)
    return path


@pytest.fixture
def film(tmp_path: Path, speechlike: Audio) -> Path:
    """A second of grey noise with sound: there is no face in it."""
    path = tmp_path / "film.mp4"
    noise = np.random.default_rng(1).integers(0, 255, (25, 96, 128, 3), dtype=np.uint8)
    media.write_video(path, list(noise), speechlike[:SAMPLE_RATE])
    return path
