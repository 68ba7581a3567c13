from __future__ import annotations

import numpy as np
import pytest

from hearken.data import mixing
from hearken.errors import UsageError


def _tone(hz: float, n: int = 32_000) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(n) / 16_000).astype(np.float32)


def _peak_hz(x: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
    return float(np.argmax(spectrum) * 16_000 / len(x))


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 7.5])
def test_mix_has_the_snr_it_was_asked_for(rng: np.random.Generator, snr_db: float) -> None:
    target, noise = _tone(200), rng.normal(size=32_000).astype(np.float32)
    mix, scaled = mixing.mix_at_snr(target, noise, snr_db)
    got = 20 * np.log10(mixing.rms(target) / mixing.rms(scaled))
    assert got == pytest.approx(snr_db, abs=1e-3)
    np.testing.assert_allclose(mix, target + scaled, atol=1e-6)


def test_mix_refuses_lengths_that_differ() -> None:
    with pytest.raises(UsageError, match="lengths differ"):
        mixing.mix_at_snr(_tone(100, 10), _tone(100, 11), 0.0)


def test_mix_of_silence_stays_finite() -> None:
    mix, scaled = mixing.mix_at_snr(np.zeros(10, np.float32), _tone(100, 10), 5.0)
    assert np.isfinite(mix).all()
    np.testing.assert_array_equal(scaled, _tone(100, 10))


@pytest.mark.parametrize("factor", [0.75, 1.0, 1.4])
def test_formant_shift_moves_pitch_and_keeps_length(factor: float) -> None:
    shifted = mixing.formant_shift(_tone(300), factor)
    assert len(shifted) == 32_000
    assert _peak_hz(shifted) == pytest.approx(300 * factor, rel=0.02)
    assert mixing.rms(shifted) == pytest.approx(mixing.rms(_tone(300)), rel=0.15)


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_formant_shift_keeps_events_where_they_were(factor: float) -> None:
    gate = np.zeros(32_000, np.float32)
    gate[8_000:12_000] = 1
    gate[20_000:28_000] = 1
    shifted = mixing.formant_shift(_tone(220) * gate, factor)
    envelope = np.convolve(np.abs(shifted), np.ones(400) / 400, "same")
    on = envelope > 0.5 * np.median(envelope[envelope > 0.2])
    edges = np.flatnonzero(np.diff(on.astype(int)))
    assert len(edges) == 4
    np.testing.assert_allclose(edges, [8_000, 12_000, 20_000, 28_000], atol=400)


def test_eq_keeps_level_length_and_time(rng: np.random.Generator) -> None:
    x = np.zeros(16_000, np.float32)
    x[8_000] = 1.0
    y = mixing.random_eq(x, rng)
    assert y.shape == x.shape
    assert mixing.rms(y) == pytest.approx(mixing.rms(x), rel=1e-3)
    assert abs(int(np.argmax(np.abs(y))) - 8_000) <= 1


def test_loop_cuts_and_repeats_without_a_click(rng: np.random.Generator) -> None:
    assert len(mixing.loop_to(_tone(100), 5_000, rng)) == 5_000
    looped = mixing.loop_to(_tone(130, 5_000), 40_000, rng)
    assert len(looped) == 40_000
    assert np.abs(np.diff(looped)).max() < 0.11  # a 130 Hz tone steps by 0.051


def test_babble_has_the_level_of_one_voice(rng: np.random.Generator) -> None:
    voices = [_tone(f) for f in (150, 260, 333, 410)]
    out = mixing.babble([*voices, np.zeros(32_000, np.float32)], rng)
    assert mixing.rms(out) == pytest.approx(mixing.rms(voices[0]), rel=0.1)


def test_reverb_does_not_delay() -> None:
    rir = np.zeros(4_000, np.float32)
    rir[500], rir[2_500] = 0.5, 0.25
    x = np.zeros(8_000, np.float32)
    x[1_000] = 1.0
    y = mixing.reverberate(x, rir)
    assert y[1_000] == pytest.approx(1.0, abs=1e-5)
    assert y[3_000] == pytest.approx(0.5, abs=1e-5)
    assert mixing.reverberate(x, rir, early=True)[3_000] == pytest.approx(0.0, abs=1e-5)


def test_same_seed_same_bytes() -> None:
    def one() -> bytes:
        g = np.random.default_rng(5)
        return mixing.random_eq(mixing.loop_to(_tone(99, 3_000), 9_000, g), g).tobytes()

    assert one() == one()
