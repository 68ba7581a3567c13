"""A simulated head: delays and levels by hand, and scenes that say where they put whom."""

from __future__ import annotations

import numpy as np
import pytest

from hearken.data import scenes_binaural as binaural
from hearken.errors import UsageError

A_OVER_C_S = 0.0875 / 343.0


def pulse(at: int = 400, n: int = 2_000) -> np.ndarray:
    x = np.zeros(n, np.float32)
    x[at] = 0.5
    return x


def tone(hz: float, n: int = 16_000) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * hz * np.arange(n) / 16_000).astype(np.float32)


def level_db(x: np.ndarray) -> float:
    middle = x[2_000:-2_000]
    return float(10 * np.log10(np.mean(np.square(middle, dtype=np.float64))))


def lag_s(left: np.ndarray, right: np.ndarray, hz: float) -> float:
    """How much later a tone reaches the right ear, from its phase, s."""
    at = np.exp(-2j * np.pi * hz * np.arange(len(left)) / 16_000)
    return float(np.angle(np.vdot(at, right) / np.vdot(at, left)) / (2 * np.pi * hz))


def test_in_front_both_ears_hear_the_same() -> None:
    left, right = binaural.place(tone(500), 0.0)
    np.testing.assert_allclose(left, right, atol=1e-6)


def test_left_is_positive_and_mirrors_right() -> None:
    left, right = binaural.place(pulse(), 40.0)
    assert np.abs(left).max() > 2 * np.abs(right).max()
    assert np.argmax(np.abs(left)) < np.argmax(np.abs(right))
    mirrored = binaural.place(pulse(), -40.0)
    np.testing.assert_allclose(mirrored[::-1], [left, right], atol=1e-6)


@pytest.mark.parametrize("azimuth_deg", [15.0, 45.0, 90.0])
def test_high_frequencies_are_delayed_as_woodworth_says(azimuth_deg: float) -> None:
    """a/c (sin + angle): the shadow's own delay has died away where its gains are flat."""
    angle = np.radians(azimuth_deg)
    left, right = (np.fft.rfft(x) for x in binaural.place(pulse(), azimuth_deg))
    hz = np.fft.rfftfreq(2_000, 1 / 16_000)
    high = (hz > 6_000) & (hz < 7_500)
    phase = np.unwrap(np.angle(left * right.conj()))[high]
    slope_s = np.polyfit(hz[high], phase, 1)[0] / (2 * np.pi)
    assert slope_s == pytest.approx(A_OVER_C_S * (np.sin(angle) + angle), abs=25e-6)


def test_low_frequencies_are_delayed_half_as_much_again() -> None:
    """Kuhn 1977: 3 a/c sin; the first-order shadow comes within a tenth of it."""
    got = lag_s(*binaural.place(tone(200), 45.0), hz=200)
    assert got == pytest.approx(3 * A_OVER_C_S * np.sin(np.radians(45)), rel=0.1)


def test_the_shadow_by_hand() -> None:
    """From 90 degrees: alpha 2 at the near ear; at the far one 1.05 + .95 cos 216 = 0.281."""
    w = 2 * np.pi * 4_000 * A_OVER_C_S / 2
    near, far = (10 * np.log10((1 + (a * w) ** 2) / (1 + w**2)) for a in (2.0, 0.28143))
    left, right = binaural.place(tone(4_000), 90.0)
    dry_db = level_db(tone(4_000))
    assert level_db(left) - dry_db == pytest.approx(near, abs=0.05)
    assert level_db(right) - dry_db == pytest.approx(far, abs=0.05)
    low = binaural.place(tone(100), 90.0)
    assert level_db(low[0]) - level_db(low[1]) < 1.0


def test_a_room_keeps_the_direct_sound_and_is_wide_behind_it(rng: np.random.Generator) -> None:
    rir = np.zeros(4_000, np.float32)
    rir[100] = 1.0
    x = rng.standard_normal(16_000).astype(np.float32)
    np.testing.assert_allclose(
        binaural.in_room(x, rir, 30.0, rng), binaural.place(x, 30.0), atol=1e-5
    )
    rir[200:] = 0.05 * rng.standard_normal(3_800)
    left, right = binaural.in_room(x, rir, 0.0, rng)
    plain = binaural.place(x, 0.0)[0]
    assert np.corrcoef(left, right)[0, 1] < 0.95
    assert np.corrcoef(left, plain)[0, 1] > 0.2
    with pytest.raises(UsageError, match="silent"):
        binaural.in_room(x, np.zeros(100, np.float32), 0.0, rng)


def test_a_scene_says_where_it_put_whom(rng: np.random.Generator) -> None:
    target, other = (0.1 * rng.standard_normal(8_000).astype(np.float32) for _ in range(2))
    placed = binaural.arrange(target, [other, target], [], rng)
    assert abs(placed.azimuths_deg[0]) <= 30
    assert all(abs(a) <= 90 for a in placed.azimuths_deg)
    np.testing.assert_array_equal(placed.target, binaural.place(target, placed.azimuths_deg[0]))
    both = [
        binaural.place(x, a) for x, a in zip([other, target], placed.azimuths_deg[1:], strict=True)
    ]
    np.testing.assert_allclose(placed.interferer, both[0] + both[1], atol=1e-6)
