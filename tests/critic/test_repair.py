from __future__ import annotations

import numpy as np
import pytest

from hearken.critic.repair import REPAIRS, repair
from hearken.nouns import FAULT_TYPES, Audio, Fault

SR = 16_000


@pytest.fixture
def tone() -> Audio:
    """Two seconds of 200 Hz at peak 0.1, with a little noise."""
    t = np.arange(2 * SR) / SR
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(t))
    return (0.1 * np.sin(2 * np.pi * 200 * t) + noise).astype(np.float32)


def rms(x: Audio) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def mended(x: Audio, kind: str, start_s: float, end_s: float) -> Audio:
    y = repair(x, Fault(kind, start_s, end_s, 3))
    assert y is not None
    assert y.dtype == np.float32
    return y


@pytest.mark.parametrize("kind", ["dropout", "packet_loss"])
def test_a_hole_is_filled_with_its_neighbourhood(tone: Audio, kind: str) -> None:
    holed = tone.copy()
    holed[SR : SR + 1600] = 0.0
    y = mended(holed, kind, 1.0, 1.1)
    assert rms(y[SR : SR + 1600]) == pytest.approx(rms(tone), rel=0.5)
    assert np.array_equal(y[: SR - 100], tone[: SR - 100])
    assert np.array_equal(y[SR + 1700 :], tone[SR + 1700 :])


def test_a_hole_at_the_start_is_left() -> None:
    x = np.r_[np.zeros(1600), 0.1 * np.sin(np.arange(SR))].astype(np.float32)
    assert repair(x, Fault("dropout", 0.0, 0.1, 3)) is None


def test_clicks_are_taken_out(tone: Audio) -> None:
    clicked = tone.copy()
    clicked[[17000, 18000, 30000]] += np.float32(0.8)
    y = mended(clicked, "clicks", 1.0, 1.2)
    assert np.abs(y[16000:19200]).max() < 0.12
    assert y[30000] == clicked[30000]  # outside the span


def test_the_level_of_a_jump_is_matched(tone: Audio) -> None:
    jumped = tone.copy()
    jumped[SR : SR + 8000] *= np.float32(4.0)
    y = mended(jumped, "gain_jump", 1.0, 1.5)
    assert rms(y[SR + 200 : SR + 7800]) == pytest.approx(rms(tone), rel=0.05)
    assert np.allclose(y[: SR - 200], tone[: SR - 200], atol=1e-6)


def test_a_pause_is_cut_out_of_the_clip(tone: Audio) -> None:
    gap = np.full(SR, 1e-4, np.float32)
    paused = np.concatenate([tone[:SR], gap, tone[SR:]])
    y = mended(paused, "unnatural_pause", 1.0, 2.0)
    assert len(paused) - len(y) == pytest.approx(0.8 * SR, abs=400)
    assert rms(y) > rms(paused)


def test_an_event_is_turned_down(tone: Audio) -> None:
    y = mended(tone, "noise_event", 1.0, 1.5)
    assert rms(y[SR + 200 : SR + 7800]) == pytest.approx(rms(tone) / 10**1.5, rel=0.05)
    assert np.allclose(y[: SR - 200], tone[: SR - 200], atol=1e-6)


def test_nothing_to_do_is_said(tone: Audio) -> None:
    assert repair(tone, Fault("dropout", 1.0, 1.2, 3)) is None
    assert repair(tone, Fault("clicks", 1.0, 1.2, 3)) is None


@pytest.mark.parametrize("kind", sorted(set(FAULT_TYPES) - set(REPAIRS)))
def test_faults_of_the_whole_clip_have_no_repair(tone: Audio, kind: str) -> None:
    assert not FAULT_TYPES[kind].localised
    assert repair(tone, Fault(kind, 0.0, 2.0, 3)) is None


@pytest.mark.parametrize("kind", REPAIRS)
@pytest.mark.parametrize("length", [0, 10, 3200, 2 * SR])
@pytest.mark.parametrize("span", [(0.0, 2.0), (0.0, 0.1), (1.95, 4.0), (7.0, 8.0), (0.5, 0.5)])
def test_odd_sound_never_raises(kind: str, length: int, span: tuple[float, float]) -> None:
    for value in (0.0, 0.5, float("nan")):
        x = np.full(length, value, np.float32)
        x[::7] *= np.float32(0.5)
        y = repair(x, Fault(kind, *span, 3))
        assert y is None or np.isfinite(y).all()
