"""Repaired clips: the truth is what the mask does to speech and noise alone."""

from __future__ import annotations

import numpy as np
import pytest

from hearken.data.planted import active_rms
from hearken.data.repaired import CLASSIC, repaired, spectral_subtraction, taken, wiener
from hearken.errors import InputError
from hearken.nouns import Audio


def _speech(seconds: float = 3.0) -> Audio:
    t = np.arange(round(seconds * 16_000)) / 16_000
    voice = sum(np.sin(2 * np.pi * 140 * k * t + k) / k for k in range(1, 30))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * t), 0, None)
    return np.asarray(0.1 * voice * syllables, np.float32)


def _noise(rng: np.random.Generator) -> Audio:
    return rng.standard_normal(48_000).astype(np.float32)


def _nothing(mixture: Audio, rng: np.random.Generator):  # type: ignore[no-untyped-def]
    return lambda x: x


def test_a_machine_that_does_nothing_leaves_the_noise_as_it_was_mixed() -> None:
    clip = repaired(_speech(), _noise(np.random.default_rng(1)), _nothing, np.random.default_rng(2))
    residue = clip.audio - clip.reference
    snr_db = 20 * np.log10(active_rms(clip.reference) / np.sqrt(np.mean(residue**2)))
    assert clip.physics["residual_snr_db"] == pytest.approx(snr_db, abs=0.1)
    assert -5.1 <= snr_db <= 20.1
    assert clip.physics["suppressed_share"] == 0.0
    assert [f.type for f in clip.faults] == ["background_noise"]


def test_taken_is_the_share_of_bins_below_a_tenth_of_their_power() -> None:
    clean = _speech()
    assert taken(clean, clean) == 0.0
    assert taken(clean, clean * np.float32(0.4)) == 0.0  # -8 dB
    assert taken(clean, clean * np.float32(0.2)) == 1.0  # -14 dB


def test_half_the_time_taken_is_half_the_bins() -> None:
    rng = np.random.default_rng(0)
    clean = rng.standard_normal(64_000).astype(np.float32)
    speech = clean.copy()
    speech[32_000:] = 0.0
    assert taken(clean, speech) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("machine", CLASSIC)
def test_a_chosen_mask_is_linear_and_takes_more_noise_than_speech(machine) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    speech, noise = _speech(), 0.02 * _noise(rng)
    through = machine(speech + noise, rng)
    np.testing.assert_allclose(through(speech + noise), through(speech) + through(noise), atol=1e-5)
    lost_db = 20 * np.log10(active_rms(speech) / active_rms(through(speech)))
    gone_db = 10 * np.log10(np.mean(noise**2) / np.mean(through(noise) ** 2))
    assert gone_db > lost_db + 1.5


def test_what_subtraction_leaves_of_steady_noise_is_musical() -> None:
    found = [
        repaired(_speech(), _noise(np.random.default_rng(k)), spectral_subtraction,
                 np.random.default_rng(k))
        for k in range(6)
    ]  # fmt: skip
    assert any(f.type == "musical_noise" for clip in found for f in clip.faults)
    assert all("musical_snr_db" not in c.physics or c.physics["residual_snr_db"] > 0 for c in found)


def test_a_machine_that_takes_the_softer_half_is_told_as_over_suppression() -> None:
    def harsh(mixture: Audio, rng: np.random.Generator):  # type: ignore[no-untyped-def]
        from hearken.data.faults_spectrum import istft, stft

        loud = np.abs(stft(mixture))
        gain = np.where(loud > np.quantile(loud, 0.95), 1.0, 0.01)
        return lambda x: istft(stft(x) * gain, len(x))

    clip = repaired(_speech(), _noise(np.random.default_rng(0)), harsh, np.random.default_rng(0))
    assert "over_suppression" in [f.type for f in clip.faults]
    assert clip.physics["suppressed_share"] > 0.5


def test_another_voice_keeps_its_name() -> None:
    voice = np.roll(_speech(), 4_000)
    kind = "competing_talker"
    clip = repaired(_speech(), voice, wiener, np.random.default_rng(0), kind=kind)
    assert {f.type for f in clip.faults} <= {"competing_talker", "over_suppression"}


def test_a_machine_that_says_nothing_is_an_input_error() -> None:
    def mute(mixture: Audio, rng: np.random.Generator):  # type: ignore[no-untyped-def]
        return np.zeros_like

    with pytest.raises(InputError, match="no speech"):
        repaired(_speech(), _noise(np.random.default_rng(0)), mute, np.random.default_rng(0))
