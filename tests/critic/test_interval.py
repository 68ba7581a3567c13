"""The interval of a digit distribution: by hand, and against a fine grid."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from hearken.critic.interval import interval
from hearken.data.scores import soft


@pytest.mark.parametrize(
    ("probs", "lo", "hi"),
    [
        # Half a triangle, 2 (v - 4) on 4..5: 1 - (lo - 4)^2 = 0.9.
        ((0, 0, 0, 0, 1), 4 + math.sqrt(0.1), 5.0),
        ((1, 0, 0, 0, 0), 1.0, 2 - math.sqrt(0.1)),
        # A whole triangle: each tail (1 - w)^2 / 2 = 0.05.
        ((0, 0, 1, 0, 0), 2 + math.sqrt(0.1), 4 - math.sqrt(0.1)),
        # 0.5 on 2..3, slopes 0.5 beside it, tails t^2 / 4 = 0.05.
        ((0, 0.5, 0.5, 0, 0), 1 + math.sqrt(0.2), 4 - math.sqrt(0.2)),
        ((0, 2, 2, 0, 0), 1 + math.sqrt(0.2), 4 - math.sqrt(0.2)),  # need not sum to 1
        # Two halves far apart: cheapest to cut 0.1 at one end, 0.5 - 0.5 x^2 = 0.1; the lower wins.
        ((0.5, 0, 0, 0, 0.5), 1.0, 4 + math.sqrt(0.8)),
    ],
)
def test_by_hand(probs: tuple[float, ...], lo: float, hi: float) -> None:
    assert interval(probs) == pytest.approx((lo, hi), abs=2e-6)


def test_half_the_mass_is_the_middle_of_the_triangle() -> None:
    assert interval((0, 0, 1, 0, 0), mass=0.5) == pytest.approx(
        (2 + math.sqrt(0.5), 4 - math.sqrt(0.5)), abs=2e-6
    )


@pytest.mark.parametrize("value", np.linspace(1, 5, 17))
def test_a_value_lies_in_the_interval_of_its_own_soft_label(value: float) -> None:
    lo, hi = interval(soft(float(value)))
    assert lo <= value <= hi
    assert hi - lo < 2.2


def test_nothing_shorter_holds_the_mass(rng: np.random.Generator) -> None:
    at = np.linspace(1, 5, 4001)
    for spread in (0.1, 0.5, 5.0):
        for p in rng.dirichlet([spread] * 5, size=40):
            density = np.interp(at, range(1, 6), [2 * p[0], p[1], p[2], p[3], 2 * p[4]])
            steps = (density[1:] + density[:-1]) / 2 * 0.001
            below = np.concatenate([[0.0], np.cumsum(steps)])
            lo, hi = interval(tuple(p))
            held = np.interp(hi, at, below) - np.interp(lo, at, below)
            assert held == pytest.approx(0.9, abs=2e-3)
            ends = np.searchsorted(below, below + 0.9 - 1e-12)
            inside = ends < len(at)
            shortest = (at[ends[inside]] - at[inside]).min()
            assert hi - lo <= shortest + 2e-6


@pytest.mark.parametrize(
    "probs",
    [
        (1e-320, 3e-320, 1.0, 0.0, 5e-324),  # slopes whose inverse overflows
        (0.2, 0.2 + 1e-16, 0.2, 0.2 - 1e-16, 0.2),
        (0.1, 0.2, 0.3, 0.4, 0.5),  # pieces of one slope
        tuple(np.float32([0.1, 0.2, 0.3, 0.3, 0.1])),
    ],
)
def test_numbers_that_cancel(probs: tuple[float, ...]) -> None:
    lo, hi = interval(probs)
    assert type(lo) is type(hi) is float
    assert 1 <= lo < hi <= 5


def test_it_needs_no_torch() -> None:
    code = "import sys, hearken.critic.interval; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
