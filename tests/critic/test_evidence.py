"""Each detector on faults put in by hand: what is there is seen, what is not is contradicted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from hearken.critic.evidence import DETECTORS, evidence
from hearken.nouns import FAULT_TYPES, Audio, Fault

SR = 16_000


@pytest.fixture
def voice(speechlike: Audio) -> Audio:
    """`speechlike` with soft edges of its syllables, and breath up to 8 kHz while it speaks.

    Syllables are the first half of each half second.
    """
    rng = np.random.default_rng(2)
    loud = np.clip(np.sin(2 * np.pi * 2.0 * np.arange(len(speechlike)) / SR), 0, None)
    breath = (0.01 * loud + 1e-4) * rng.standard_normal(len(speechlike))
    return (speechlike * loud**1.5 + breath).astype(np.float32)


def noisy(x: Audio, rng: np.random.Generator) -> Audio:
    return x + 0.02 * rng.standard_normal(len(x)).astype(np.float32)


def humming(x: Audio, rng: np.random.Generator) -> Audio:
    t = np.arange(len(x)) / SR
    tone = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 16))
    return (x + 0.01 * tone).astype(np.float32)


def clipped(x: Audio, rng: np.random.Generator) -> Audio:
    return np.clip(x, -0.05, 0.05)


def clipped_then_softer(x: Audio, rng: np.random.Generator) -> Audio:
    return 0.3 * clipped(x, rng)


def narrow(x: Audio, rng: np.random.Generator) -> Audio:
    sos = butter(10, 3400, fs=SR, output="sos")
    return np.asarray(sosfiltfilt(sos, x), np.float32)


WHOLE: list[tuple[str, Callable[[Audio, np.random.Generator], Audio]]] = [
    ("background_noise", noisy),
    ("hum", humming),
    ("clipping", clipped),
    ("clipping", clipped_then_softer),
    ("band_limiting", narrow),
]


@pytest.mark.parametrize(("kind", "spoil"), WHOLE)
def test_a_fault_of_the_whole_clip_is_seen(
    voice: Audio, rng: np.random.Generator, kind: str, spoil: Callable[..., Audio]
) -> None:
    assert evidence(spoil(voice, rng), Fault(kind, 0.0, 3.0, 3)) is True


@pytest.mark.parametrize("kind", ["background_noise", "hum", "band_limiting"])
def test_a_fault_that_is_not_there_is_contradicted(voice: Audio, kind: str) -> None:
    assert evidence(voice, Fault(kind, 0.0, 3.0, 3)) is False


def test_unclipped_peaks_contradict_clipping(voice: Audio) -> None:
    peaky = voice.copy()
    peaky[::800] += np.float32(0.7)  # 20 a second: a crest far above 17 dB, with no flat top
    assert evidence(peaky, Fault("clipping", 0.0, 3.0, 3)) is False


def test_rounded_tops_are_no_proof_against_clipping(voice: Audio) -> None:
    smooth = np.convolve(np.clip(voice, -0.05, 0.05), np.ones(5) / 5, mode="same")
    assert evidence(smooth.astype(np.float32), Fault("clipping", 0.0, 3.0, 3)) is not False


# --- faults with a time of their own -------------------------------------------------------------


def holed(x: Audio, start_s: float, end_s: float) -> Audio:
    y = x.copy()
    y[round(start_s * SR) : round(end_s * SR)] = 0.0
    return y


def test_a_dropout_is_where_the_hole_is(voice: Audio) -> None:
    y = holed(voice, 1.1, 1.2)
    assert evidence(y, Fault("dropout", 1.1, 1.2, 3)) is True
    assert evidence(y, Fault("dropout", 1.1, 1.3, 3)) is not False
    assert evidence(y, Fault("dropout", 2.1, 2.2, 3)) is False
    assert evidence(y, Fault("dropout", 0.0, 3.0, 3)) is False  # a hole, but not this long
    assert evidence(voice, Fault("dropout", 1.1, 1.2, 3)) is False


def test_a_stutter_of_holes_is_one_dropout(voice: Audio) -> None:
    y = voice.copy()
    for k in range(5):
        y = holed(y, 1.02 + 0.1 * k, 1.06 + 0.1 * k)
    assert evidence(y, Fault("dropout", 1.0, 1.5, 3)) is True


def test_a_pause_between_words_is_no_dropout(voice: Audio) -> None:
    assert evidence(voice, Fault("dropout", 1.5, 2.0, 3)) is False


def test_clicks(voice: Audio) -> None:
    y = voice.copy()
    for at_s in (1.12, 1.31, 1.43):
        y[round(at_s * SR)] += np.float32(0.5)
    assert evidence(y, Fault("clicks", 1.1, 1.5, 3)) is True
    assert evidence(y, Fault("clicks", 2.1, 2.5, 3)) is False


def test_one_click_alone_is_not_enough(voice: Audio) -> None:
    y = voice.copy()
    y[round(1.2 * SR)] += np.float32(0.5)
    assert evidence(y, Fault("clicks", 1.1, 1.5, 3)) is False


def test_an_unnatural_pause_is_soft_nearly_all_the_time(voice: Audio) -> None:
    gap = 1e-4 * np.random.default_rng(3).standard_normal(SR)
    y = np.concatenate([voice[: round(1.2 * SR)], gap, voice[round(1.2 * SR) :]]).astype(np.float32)
    assert evidence(y, Fault("unnatural_pause", 1.2, 2.2, 3)) is True
    assert evidence(y, Fault("unnatural_pause", 0.0, 1.2, 3)) is not True
    assert evidence(voice, Fault("unnatural_pause", 0.9, 1.9, 3)) is False  # it speaks in there


def test_a_gain_jump_has_a_step_at_both_ends(rng: np.random.Generator) -> None:
    steady = 0.05 * rng.standard_normal(3 * SR)
    y = steady.copy()
    y[SR : 2 * SR] *= 10  # 20 dB at each edge, and 20 dB between the peaks
    assert evidence(y.astype(np.float32), Fault("gain_jump", 1.0, 2.0, 3)) is True
    assert evidence(steady.astype(np.float32), Fault("gain_jump", 1.0, 2.0, 3)) is False


def test_packets_that_are_zero_or_come_twice(voice: Audio) -> None:
    claim = Fault("packet_loss", 1.1, 1.4, 3)
    lost = holed(voice, 1.20, 1.22)
    again = voice.copy()
    again[19520:19840] = 0.5 * again[19200:19520]
    assert evidence(lost, claim) is True
    assert evidence(again, claim) is True
    assert evidence(voice, claim) is None  # good concealment leaves no trace


def test_a_stretch_with_nothing_beyond_the_rest_holds_no_event(voice: Audio) -> None:
    talk = np.tile(voice[: SR // 4], 6)
    y = np.concatenate([talk, voice[SR // 4 : SR // 2], talk])  # a breath of 0.25 s at 1.5 s
    claim = Fault("noise_event", 1.5, 1.75, 3)
    assert evidence(y, claim) is False
    tone = 0.05 * np.sin(0.7 * np.arange(SR // 4)).astype(np.float32)
    y[round(1.5 * SR) : round(1.75 * SR)] += tone
    assert evidence(y, claim) is not False


# --- what it must not do -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FAULT_TYPES)
@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(0),
        np.zeros(10),
        np.ones(3200),  # 0.2 s
        np.zeros(3 * SR),
        np.full(3 * SR, 0.5),
        np.full(SR, np.nan),
        np.r_[np.zeros(SR), 1.0, np.zeros(SR)],
    ],
    ids=["none", "ten", "short", "silence", "constant", "nan", "impulse"],
)
@pytest.mark.parametrize("span", [(0.0, 3.0), (0.0, 0.1), (2.9, 9.0), (7.0, 8.0), (0.5, 0.5)])
def test_odd_sound_never_raises(kind: str, sound: Audio, span: tuple[float, float]) -> None:
    found = evidence(sound.astype(np.float32), Fault(kind, *span, 3))
    assert found in (True, False, None)
    if len(sound) < SR // 2 or not np.isfinite(sound).all() or not sound.any():
        assert found is None


@pytest.mark.parametrize("kind", sorted(set(FAULT_TYPES) - set(DETECTORS)))
def test_types_without_an_honest_detector_have_no_opinion(voice: Audio, kind: str) -> None:
    assert evidence(voice, Fault(kind, 0.0, 3.0, 5)) is None


def test_a_long_clip_is_judged_in_pieces(voice: Audio, rng: np.random.Generator) -> None:
    clean = np.tile(voice, 20)  # 60 s
    late = clean.copy()
    late[-20 * SR :] = noisy(late[-20 * SR :], rng)
    assert evidence(clean, Fault("background_noise", 0.0, 60.0, 3)) is False
    assert evidence(late, Fault("background_noise", 0.0, 60.0, 3)) is True
    assert evidence(clean, Fault("dropout", 0.0, 60.0, 3)) is None
    assert evidence(holed(clean, 47.1, 47.2), Fault("dropout", 47.1, 47.2, 3)) is True
