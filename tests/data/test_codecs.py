"""Real codecs: aligned, the right length, and worse at fewer bits."""

from __future__ import annotations

import numpy as np
import pytest

from hearken.data.codecs import (
    CODECS,
    OPUS_FRAME,
    chain,
    delay,
    lag,
    opus_with_losses,
    round_trip,
)
from hearken.errors import UsageError
from hearken.nouns import Audio


def snr_db(x: Audio, y: Audio) -> float:
    return float(10 * np.log10(np.sum(x**2) / (np.sum((x - y) ** 2) + 1e-12)))


@pytest.mark.parametrize(("codec", "kbps"), [(c, r) for c, rs in CODECS.items() for r in rs])
def test_aligned_and_as_long(speechlike: Audio, codec: str, kbps: float) -> None:
    x = speechlike[:24_001]
    y = round_trip(x, codec, kbps)
    assert y.shape == x.shape
    assert y.dtype == np.float32
    assert abs(lag(x, y)) <= 1
    assert not np.array_equal(x, y)
    assert np.dot(x, y) > 0.5 * np.dot(x, x)


def test_known_delays_are_found() -> None:
    assert delay("g722", 64) == 22
    assert delay("opus", 32) == pytest.approx(104, abs=1)
    assert delay("amr", 12.2) == pytest.approx(78, abs=1)
    assert delay("gsm", 13) == 0


def test_lag_finds_a_shift_both_ways(rng: np.random.Generator) -> None:
    x = rng.standard_normal(4_000).astype(np.float32)
    later = np.concatenate([np.zeros(37, np.float32), x])
    assert lag(x, later) == 37
    assert lag(later, x) == -37


def test_more_bits_are_nearer(speechlike: Audio) -> None:
    for codec, low, high in (("opus", 6, 32), ("mp3", 8, 32), ("amr", 4.75, 12.2)):
        rough, fine = round_trip(speechlike, codec, low), round_trip(speechlike, codec, high)
        assert snr_db(speechlike, fine) > snr_db(speechlike, rough) + 1.0, codec


def test_silence_stays_silent_and_a_chain_is_its_steps(speechlike: Audio) -> None:
    silence = np.zeros(16_000, np.float32)
    for codec, rates in CODECS.items():
        assert np.abs(round_trip(silence, codec, rates[0])).max() < 1e-2
    steps = (("gsm", 13.0), ("amr", 4.75))
    by_hand = round_trip(round_trip(speechlike, "gsm", 13), "amr", 4.75)
    assert np.array_equal(chain(speechlike, steps), by_hand)


def test_unknown_codec_names_the_known_ones(speechlike: Audio) -> None:
    with pytest.raises(UsageError, match="g722"):
        round_trip(speechlike, "speex", 8)
    with pytest.raises(UsageError, match="opus"):
        round_trip(speechlike, "opus", 7)


def test_only_the_lost_packets_are_concealed(speechlike: Audio) -> None:
    packets = len(speechlike) // OPUS_FRAME
    none = np.zeros(packets, bool)
    some = none.copy()
    some[80:83] = True
    whole, broken = opus_with_losses(speechlike, none), opus_with_losses(speechlike, some)
    if whole is None or broken is None:
        pytest.skip("no libopus beside PyAV here")
    (x, ahead), (y, _) = whole, broken
    first = 80 * OPUS_FRAME - ahead
    assert abs(lag(speechlike, x)) <= 1
    assert np.array_equal(x[:first], y[:first])
    hole = slice(first, first + 3 * OPUS_FRAME)
    assert not np.array_equal(x[hole], y[hole])
    assert np.abs(y[hole]).max() > 0.0  # made up, not muted
    later = slice(first + 12 * OPUS_FRAME, None)
    assert snr_db(x[later], y[later]) > 5.0  # the decoder has found its way back
