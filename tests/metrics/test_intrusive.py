"""Intrusive metrics: hand-made numbers, known extremes, and errors in place of silent zeros."""

# ruff: noqa: NPY002  (the global generator is what is tested)

from __future__ import annotations

import numpy as np
import pytest

from hearken.errors import MetricError
from hearken.metrics.intrusive import SI_SDR_BOUND_DB, estoi, pesq_wb, si_sdr_db, stoi

ALL = (pesq_wb, stoi, estoi, si_sdr_db)


def test_si_sdr_by_hand():
    # e = s + n with n orthogonal to s, |s|^2 = 4, |n|^2 = 1: a = 1, 10 log10(4) dB.
    s = np.array([1.0, -1.0, 1.0, -1.0])
    n = np.array([0.5, 0.5, -0.5, -0.5])
    assert si_sdr_db(s, s + n) == pytest.approx(10 * np.log10(4.0), abs=1e-9)


def test_si_sdr_ignores_scale_and_offset(rng):
    s, n = rng.standard_normal(8000), rng.standard_normal(8000)
    plain = si_sdr_db(s, s + 0.3 * n)
    assert si_sdr_db(s, -7.0 * (s + 0.3 * n) + 2.0) == pytest.approx(plain, abs=1e-9)


def test_si_sdr_is_bounded(rng):
    s = rng.standard_normal(8000)
    assert si_sdr_db(s, s) == SI_SDR_BOUND_DB
    assert si_sdr_db([1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]) == -SI_SDR_BOUND_DB


def test_clean_is_best_and_noise_lowers_all(speechlike, rng):
    little = speechlike + 0.005 * rng.standard_normal(len(speechlike))
    much = speechlike + 0.1 * rng.standard_normal(len(speechlike))
    for metric in ALL:
        clean, better, worse = (metric(speechlike, x) for x in (speechlike, little, much))
        assert clean > better > worse, metric.__name__
    assert pesq_wb(speechlike, speechlike) == pytest.approx(4.644, abs=0.001)
    assert stoi(speechlike, speechlike) == pytest.approx(1.0, abs=1e-6)
    assert estoi(speechlike, speechlike) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("metric", ALL)
def test_undefined_raises(metric, speechlike):
    n = len(speechlike)
    for bad, word in (
        (np.zeros(n), "silent"),
        (np.full(n, np.nan), "NaN"),
        (speechlike[:-1], "samples"),
        (np.stack([speechlike, speechlike]), r"\[T\]"),
    ):
        with pytest.raises(MetricError, match=word):
            metric(speechlike, bad)
    with pytest.raises(MetricError, match="reference is silent"):
        metric(np.zeros(n), speechlike)


def test_too_short_and_too_long_are_errors(speechlike, rng):
    short = speechlike[:3000]
    with pytest.raises(MetricError, match="PESQ"):
        pesq_wb(short, short)
    with pytest.raises(MetricError, match="30 frames"):
        stoi(short, short)
    with pytest.raises(MetricError, match="60 s"):
        pesq_wb(np.tile(speechlike, 21), np.tile(speechlike, 21))


def test_estoi_repeats_to_the_bit_and_leaves_the_global_state(speechlike, rng):
    noisy = speechlike + 0.05 * rng.standard_normal(len(speechlike))
    first = estoi(speechlike, noisy)
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    assert estoi(speechlike, noisy) == first  # though the global state is another one
    assert np.random.random() == expected
