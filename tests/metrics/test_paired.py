"""Paired differences, sign flips and Holm's correction, by hand arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hearken.errors import MetricError
from hearken.metrics.paired import difference, holm, sign_flip_p

nan = math.nan


def test_seeds_are_averaged_in_each_scene_first():
    # d = [[1, 3], [2, 2], [-1, 1]]: scenes 2, 2, 0; seeds 2/3 and 2.
    found = difference([[2, 4], [3, 3], [0, 2]], [[1, 1], [1, 1], [1, 1]], resamples=100)
    assert found.mean.value == pytest.approx(4 / 3)
    assert (found.mean.count, found.seeds) == (3, 2)
    assert found.seed_std == pytest.approx((2 - 2 / 3) / math.sqrt(2))
    assert found.p == 0.5  # scenes 2, 2, 0: of 8 flips, ++0 and --0, twice each


def test_a_base_without_seeds_stands_for_all():
    found = difference([[2, 4], [3, 3]], [[1], [2]], resamples=100)
    assert found.mean.value == pytest.approx(((1 + 3) / 2 + (1 + 1) / 2) / 2)


def test_what_is_missing_leaves_its_cell_alone():
    # Scene 0 has seed 1 alone (3), scene 1 both (mean 2), scene 2 neither; seed 2 is never there.
    ours = [[nan, 4, nan], [3, 3, nan], [nan, 2, nan]]
    found = difference(ours, [[1, 1, 1], [1, 1, 1], [1, nan, 1]], ["a", "b", "c"], resamples=100)
    assert found.mean.value == pytest.approx((3 + 2) / 2)
    assert (found.mean.count, found.mean.clusters, found.seeds) == (2, 2, 2)
    assert found.seed_std == pytest.approx(abs(2 - 2.5) / math.sqrt(2))


def test_one_seed_has_no_spread():
    found = difference([[2.0], [3.0]], [[1.0], [1.0]], resamples=100)
    assert found.seeds == 1
    assert math.isnan(found.seed_std)


def test_the_interval_draws_clusters():
    ours = np.repeat([[0.0], [1.0]], 10, axis=0)
    found = difference(ours, np.zeros((20, 1)), ["a"] * 10 + ["b"] * 10)
    # Two talkers: a draw is all of a, all of b or both.
    assert (found.mean.low, found.mean.high, found.mean.clusters) == (0.0, 1.0, 2)


@pytest.mark.parametrize(
    ("ours", "base"),
    [
        ([1.0, 2.0], [1.0, 2.0]),
        ([[1.0], [2.0]], [[1.0]]),
        ([[1, 2, 3]], [[1, 2]]),
        ([[1]], [[nan]]),
    ],
)
def test_no_pairs(ours, base):
    with pytest.raises(MetricError, match="paired"):
        difference(ours, base)


def test_exact_flips_by_hand():
    assert sign_flip_p([1, 1, 1, 1]) == pytest.approx(2 / 16)
    assert sign_flip_p([1, 1, 1, -1]) == pytest.approx((2 + 8) / 16)  # sums 2 and 4 of 16
    assert sign_flip_p([3, -1]) == 1.0
    assert sign_flip_p([0, 0, 0]) == 1.0
    assert sign_flip_p([5]) == 1.0


def test_drawn_flips_agree_with_the_normal_and_repeat(rng):
    from scipy.stats import norm

    d = rng.standard_normal(200)
    d += 1.5 / math.sqrt(200) - d.mean()
    z = d.sum() / math.sqrt(float(d @ d))
    found = sign_flip_p(d, permutations=4999)
    assert found == pytest.approx(2 * norm.sf(z), abs=0.02)
    assert sign_flip_p(d, permutations=4999) == found
    assert sign_flip_p(d + 10, permutations=999) == pytest.approx(2 / 1000)


@pytest.mark.parametrize("bad", [[], [1.0, nan], [[1.0], [2.0]], [math.inf]])
def test_flips_refuse(bad):
    with pytest.raises(MetricError, match="sign flips"):
        sign_flip_p(bad)


def test_flips_are_fair_under_the_null(rng):
    p = [sign_flip_p(rng.standard_normal(12), permutations=499) for _ in range(200)]
    assert 0.01 < np.mean(np.asarray(p) <= 0.05) < 0.10
    assert np.mean(p) == pytest.approx(0.5, abs=0.07)


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04: x 4, 3, 2, 1 = .02 .03 .06 .04, and the last is lifted to .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
