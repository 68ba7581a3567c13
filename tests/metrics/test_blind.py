"""Blind metrics: equality with the reference script, order, and errors."""

from __future__ import annotations

import numpy as np
import pytest

from hearken.errors import MetricError
from hearken.metrics.blind import distillmos, dnsmos


def test_dnsmos_hears_noise_and_leaves_its_input(speechlike, rng):
    noisy = speechlike + 0.05 * rng.standard_normal(len(speechlike)).astype(np.float32)
    kept = noisy.copy()
    clean, worse = dnsmos(speechlike), dnsmos(noisy)
    assert set(clean) == {"ovrl", "sig", "bak"}
    assert clean["bak"] > worse["bak"] + 0.5
    assert np.array_equal(noisy, kept)


@pytest.mark.parametrize("metric", [dnsmos, distillmos])
@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (np.zeros(16000), "silent"),
        (np.ones(100), "shorter"),
        (np.full(16000, np.inf), "NaN"),
        (np.ones((2, 16000)), r"\[T\]"),
    ],
)
def test_blind_errors(metric, bad, word):
    with pytest.raises(MetricError, match=word):
        metric(bad)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 6])  # 3 s: repeated; 18 s: windows
def test_dnsmos_equals_speechmos(speechlike, rng, repeats, monkeypatch):
    reference = pytest.importorskip("speechmos.dnsmos")
    # The P.808 network alone needs a mel spectrogram from librosa, slow to load: not compared.
    monkeypatch.setattr(
        reference.DNSMOS, "audio_melspec", lambda *_, **__: np.zeros((900, 120), np.float32)
    )
    x = np.tile(speechlike, repeats)
    x = np.clip(x + 0.02 * rng.standard_normal(len(x)), -1, 1).astype(np.float32)
    theirs, ours = reference.run(x, 16000), dnsmos(x)
    for name in ("ovrl", "sig", "bak"):
        assert ours[name] == pytest.approx(theirs[f"{name}_mos"], abs=1e-3)


@pytest.mark.slow
def test_distillmos_scale_and_silence_on_stdout(speechlike, capsys):
    value = distillmos(speechlike)
    assert 1.0 <= value <= 5.0
    assert distillmos(speechlike) == value
    assert capsys.readouterr().out == ""  # stdout is for data


@pytest.mark.slow
@pytest.mark.data
def test_blind_metrics_order_real_speech(data_dir, rng):
    from hearken import media

    clean = media.load_audio(sorted((data_dir / "speech").glob("LS-*"))[0])[:80000]
    noisy = clean + 0.03 * rng.standard_normal(len(clean)).astype(np.float32)
    assert distillmos(clean) > distillmos(noisy) + 0.5
    assert dnsmos(clean)["ovrl"] > dnsmos(noisy)["ovrl"] + 0.5


def test_windows_of_a_repeated_clip_are_those_of_the_reference_script() -> None:
    """Each distinct window is heard once; the mean is that over all windows, by hand."""
    from hearken.metrics import blind

    x = np.random.default_rng(0).standard_normal(20_000).astype(np.float32) * 0.1
    long = np.tile(x, 8)  # as doubling until 9.01 s gives
    hops = int(len(long) // 16_000 - 9.01) + 1
    cuts = [long[i * 16_000 : int((i + 9.01) * 16_000)] for i in range(hops)]
    each = [blind.dnsmos(cut)["ovrl"] for cut in cuts if len(cut) == 144_160]
    assert blind.dnsmos(x)["ovrl"] == pytest.approx(float(np.mean(each)), abs=1e-5)
    assert blind.dnsmos(x, windows=1)["ovrl"] == pytest.approx(each[0], abs=1e-5)
