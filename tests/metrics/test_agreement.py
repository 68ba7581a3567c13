"""Correlations against hand and SciPy; bootstrap intervals that know about clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hearken.errors import MetricError
from hearken.metrics.agreement import bootstrap_ci, pcc, srcc, within_groups


def test_by_hand():
    # Deviations (-1, 0, 1) and (-1, 1, 0): sum of products 1, both norms 2.
    assert pcc([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    assert srcc([10, 20, 1000], [1, 3, 2]) == pytest.approx(0.5)


def test_equals_scipy_with_ties(rng):
    from scipy import stats

    a = rng.integers(1, 6, 60).astype(float)
    b = a + rng.integers(-2, 3, 60)
    assert pcc(a, b) == pytest.approx(stats.pearsonr(a, b)[0])
    assert srcc(a, b) == pytest.approx(stats.spearmanr(a, b)[0])


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        ([1, 2], [1, 2], "too few"),
        ([1, 1, 1], [1, 2, 3], "constant"),
        ([1, 2, 3], [1, 2], "shapes"),
        ([1, 2, math.nan], [1, 2, 3], "NaN"),
    ],
)
def test_undefined_correlations_raise(a, b, word):
    with pytest.raises(MetricError, match=word):
        pcc(a, b)
    with pytest.raises(MetricError, match=word):
        srcc(a, b)


def test_interval_covers_the_mean_about_as_often_as_it_says(rng):
    covered = 0
    for i in range(100):
        found = bootstrap_ci(rng.standard_normal(40), resamples=200, seed=i)
        covered += found.low <= 0.0 <= found.high
    assert 85 <= covered <= 100


def test_clusters_widen_the_interval(rng):
    talkers = np.repeat(np.arange(10), 20)
    values = rng.standard_normal(10)[talkers] + 0.1 * rng.standard_normal(200)
    naive, honest = bootstrap_ci(values), bootstrap_ci(values, list(talkers))
    assert honest.value == naive.value
    assert honest.high - honest.low > 2 * (naive.high - naive.low)
    assert (honest.count, honest.clusters) == (200, 10)


def test_same_seed_same_interval(rng):
    values = rng.standard_normal(30)
    assert bootstrap_ci(values, seed=4) == bootstrap_ci(values, seed=4)
    assert bootstrap_ci(values, seed=4) != bootstrap_ci(values, seed=5)


def test_the_mean_is_the_general_way_made_fast(rng):
    values, talkers = rng.standard_normal(97), [f"t{i % 13}" for i in range(97)]
    fast = bootstrap_ci(values, talkers)
    general = bootstrap_ci(values, talkers, statistic=lambda rows: float(np.mean(rows)))
    assert (fast.value, fast.count, fast.clusters) == (general.value, 97, 13)
    assert (fast.low, fast.high) == pytest.approx((general.low, general.high))


def test_pairs_as_rows(rng):
    a = rng.standard_normal(50)
    rows = np.stack([a, a + 0.1 * rng.standard_normal(50)], axis=1)
    found = bootstrap_ci(rows, statistic=lambda x: pcc(x[:, 0], x[:, 1]))
    assert 0.9 < found.low < found.value < found.high <= 1.0


def test_one_cluster_has_no_interval():
    found = bootstrap_ci([1.0, 2.0, 3.0], ["s1"] * 3)
    assert found.value == 2.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_bad_calls():
    with pytest.raises(MetricError, match="no rows"):
        bootstrap_ci([])
    with pytest.raises(MetricError, match="labels"):
        bootstrap_ci([1.0, 2.0], ["a"])


def test_within_groups_by_hand():
    true = [1, 2, 3, 1, 2, 3, 4, 4, 4, 1, 2, 1, 2, 3]
    said = [1, 2, 3, 3, 2, 1, 1, 2, 3, 1, 2, 7, 7, 7]
    label = [*"aaabbbcccdd", *"eee"]
    found = within_groups(said, true, label, resamples=200)
    # a: 1, b: -1, e: one value for all is 0; c has one truth and d two clips.
    assert found.value == pytest.approx(0.0)
    assert found.count == found.clusters == 3
    assert found.low < 0 < found.high


def test_within_groups_needs_a_group():
    with pytest.raises(MetricError, match="no group"):
        within_groups([1, 2], [1, 2], ["a", "a"])
    with pytest.raises(MetricError, match="2 values"):
        within_groups([1, 2], [1, 2, 3], ["a", "a", "a"])
