"""Channels of the waveform: each one on a sound made to show it, and none on the level."""

from __future__ import annotations

import numpy as np
import pytest

from hearken.critic.waveform import CHANNELS, waveform_features
from hearken.nouns import Audio

HOP = 320
T = np.arange(16_000) / 16_000


def channel(x: Audio, name: str) -> np.ndarray:
    found = waveform_features([x.astype(np.float32)], HOP, 50)
    assert found.shape == (1, 8, 50)
    return found[0, CHANNELS.index(name)]


def tone(hz: float) -> Audio:
    return np.asarray(0.3 * np.sin(2 * np.pi * hz * T), np.float32)


def test_flat_tops_of_a_clipped_tone() -> None:
    clipped = np.clip(tone(200.0), -0.15, 0.15)  # |sin| >= 0.49: two thirds of the time
    middle = slice(2, -2)
    assert channel(clipped, "flat_tops")[middle] == pytest.approx(np.sqrt(2 / 3), abs=0.03)
    assert channel(tone(200.0), "flat_tops")[middle].max() < 0.42  # acos(.98) / pi * 2 = .13
    assert channel(clipped, "held_tops")[middle].min() > 0.7
    assert channel(tone(200.0), "held_tops")[middle].max() < 0.35


def test_crest_of_a_tone_is_half_of_log_two() -> None:
    assert channel(tone(500.0), "crest")[5:-5] == pytest.approx(np.log10(np.sqrt(2)), abs=0.01)


def test_a_hole_has_a_sharp_end_and_a_sharp_start() -> None:
    x = np.random.default_rng(0).standard_normal(16_000) * 0.1
    x[6_400:9_600] = 0.0  # hops 20 to 29
    x = x.astype(np.float32)
    assert int(channel(x, "edge_down").argmax()) == 19
    assert int(channel(x, "edge_up").argmax()) == 29
    assert channel(x, "edge_down").max() > 0.8  # to the floor, 70 dB down
    silence = channel(x, "silence")
    assert silence[21:29].min() == 1.0
    assert silence[1:19].max() < 0.01


def test_the_end_of_a_clip_is_no_edge() -> None:
    x = np.random.default_rng(0).standard_normal(10_000).astype(np.float32) * np.float32(0.1)
    assert channel(x, "edge_down").max() < 0.2
    assert not channel(x, "voicing")[33:].any()  # nothing after the end


def test_pitch_is_the_lag_in_octaves() -> None:
    voice = sum(tone(125.0 * k) / k for k in range(1, 8))
    assert channel(voice, "voicing")[6:-6].min() > 0.95
    assert channel(voice, "pitch")[6:-6] == pytest.approx(np.log2(64 / 60) / 2, abs=0.03)
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    assert channel(noise, "voicing")[6:-6].mean() < 0.5


@pytest.mark.parametrize("gain", [0.01, 3.0])
def test_no_channel_depends_on_the_level(gain: float, speechlike: Audio) -> None:
    plain = waveform_features([speechlike], HOP, 150)
    again = waveform_features([speechlike * np.float32(gain)], HOP, 150)
    np.testing.assert_allclose(plain, again, atol=2e-3)


@pytest.mark.parametrize("length", [0, 1, 79, 321, 4_000])
def test_silence_and_scraps(length: int) -> None:
    assert not waveform_features([np.zeros(length, np.float32)], HOP, 20).any()
    click = np.zeros(length, np.float32)
    click[: min(1, length)] = 1.0
    assert np.isfinite(waveform_features([click], HOP, 20)).all()
