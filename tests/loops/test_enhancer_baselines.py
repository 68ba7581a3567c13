"""Other people's enhancers: as long as what they got, aligned with it, and cleaner."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from hearken.errors import UsageError
from hearken.loops.enhancer_baselines import BASELINES, missing


@pytest.fixture(params=BASELINES)
def baseline(request):
    for reason in missing([request.param]).values():
        pytest.skip(reason)
    return BASELINES[request.param].run


@pytest.fixture(scope="module")
def spoken():
    """Four seconds of a synthetic talker and half a second of silence: RNNoise knows a buzz."""
    from hearken.app.puppet._voice import speak

    said = speak("Please place the blue box by the door. It is not too heavy for you.").samples
    return np.pad(0.3 * said / np.abs(said).max(), (0, 8_000)).astype(np.float32)


def lag(made, wanted) -> int:
    """Samples by which `made` comes late: where their cross-correlation peaks."""
    n = 2 * len(wanted)
    across = np.fft.irfft(np.fft.rfft(made, n) * np.conj(np.fft.rfft(wanted, n)), n)
    peak = int(np.argmax(across))
    return peak if peak < len(wanted) else peak - n


@pytest.mark.parametrize("samples", [16_000, 16_001, 12_345])
def test_as_long_and_aligned(baseline, spoken, rng, samples):
    clean = spoken[8_000 : 8_000 + samples]
    mix = clean + (0.005 * rng.standard_normal(samples)).astype(np.float32)
    made = baseline(mix)
    assert made.shape == mix.shape
    assert made.dtype == np.float32
    assert lag(made, clean) == 0
    assert not np.shares_memory(made, mix)


def test_noise_goes_and_speech_stays(baseline, spoken, rng):
    mix = spoken + (0.01 * rng.standard_normal(len(spoken))).astype(np.float32)
    made = baseline(mix)
    assert np.std(made[-4_000:]) < 0.6 * np.std(mix[-4_000:])
    assert np.corrcoef(made, spoken)[0, 1] > 0.85


def test_silence_is_no_nan(baseline):
    made = baseline(np.zeros(16_000, np.float32))
    assert made.shape == (16_000,)
    assert np.abs(made).max() < 1e-3


def test_a_muted_beginning_is_no_nan(baseline, spoken):
    made = baseline(np.concatenate([np.zeros(8_000, np.float32), spoken]))
    assert np.isfinite(made).all()
    assert np.std(made[8_000:]) > 0.3 * np.std(spoken)


def test_full_scale_does_not_wrap(baseline):
    loud = np.sin(2 * np.pi * 300 * np.arange(16_000) / 16_000).astype(np.float32)
    made = baseline(1.2 * loud)
    assert np.isfinite(made).all()
    # A wrapped sample jumps by two; a sine of 300 Hz moves by 0.15 at most.
    assert np.abs(np.diff(made)).max() < 1.0


def test_an_absent_package_is_named(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pyrnnoise" else real(name)
    )
    assert missing(["rnnoise"]) == {
        "rnnoise": "'pyrnnoise' is not installed: pip install 'hearken[baselines]'"
    }
    with pytest.raises(UsageError, match="baselines deepest: choose of spectral-gate"):
        missing(["deepest"])
