from __future__ import annotations

import numpy as np
import pytest

from hearken.enhancer.envelope import BANDS, envelope, imagine


def test_envelope_follows_the_voice_and_not_its_gain(speechlike: np.ndarray) -> None:
    drawn = envelope(speechlike, 75)
    assert drawn.shape == (75, BANDS)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(envelope(0.1 * speechlike, 75), drawn, atol=0.05)
    loud = np.sqrt(np.mean(speechlike[: 75 * 640].reshape(75, 640) ** 2, axis=1))
    assert np.corrcoef(np.log(loud + 1e-4), drawn[:, :12].mean(axis=1))[0, 1] > 0.9


def test_an_event_lands_in_its_frame() -> None:
    x = np.full(40 * 640, 1e-4, np.float32) * np.random.default_rng(0).standard_normal(40 * 640)
    x[20 * 640 : 21 * 640] += np.sin(np.arange(640) / 3)
    drawn = envelope(x.astype(np.float32), 40).mean(axis=1)
    assert int(np.argmax(drawn)) == 20


@pytest.mark.parametrize("samples", [0, 100, 64_000])
def test_any_length_fits_the_frames(samples: int) -> None:
    drawn = envelope(np.zeros(samples, np.float32), 30)
    assert drawn.shape == (30, BANDS)
    assert np.isfinite(drawn).all()


def test_imagined_lips_know_loudness_better_than_shape(speechlike: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    true = envelope(speechlike, 75)
    loud, shape = [], []
    for _ in range(40):
        told = imagine(true, rng)
        assert told.shape == true.shape
        loud.append(np.corrcoef(true.mean(1), told.mean(1))[0, 1])
        a, b = (
            e - e.mean(1, keepdims=True) - (e - e.mean(1, keepdims=True)).mean(0)
            for e in (true, told)
        )
        shape.append(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert 0.6 < np.mean(loud) < 0.97
    assert np.mean(shape) < np.mean(loud) - 0.1


def test_imagine_is_chance_from_the_generator_only(speechlike: np.ndarray) -> None:
    true = envelope(speechlike, 75)
    one, two = (imagine(true, np.random.default_rng(7)) for _ in range(2))
    assert one.tobytes() == two.tobytes()
