"""Temperatures: powers by hand, coverage by hand, and a fit that mends an overconfident critic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hearken.critic.temperature import coverage, fit, keep, temper
from hearken.errors import GrammarError
from hearken.nouns import DIMENSIONS, Description, Score


def test_temper_by_hand() -> None:
    assert temper((0.5, 0.5, 0.0), 3.0) == (0.5, 0.5, 0.0)
    assert temper((0.8, 0.2), 0.5) == pytest.approx((0.64 / 0.68, 0.04 / 0.68))


def test_coverage_counts_the_true_values_inside() -> None:
    sure = (0.0, 0.0, 0.0, 0.0, 1.0)  # its interval is 4.316 to 5
    assert coverage([sure, sure, sure, sure], [5.0, 4.4, 4.3, 1.0]) == 0.5


def _answers(noise: float, sharpness: float) -> tuple[list[Description], list[Description]]:
    """Scores that are off by `noise`, told with a distribution that is too narrow or too wide."""
    rng = np.random.default_rng(0)
    said, truth = [], []
    for value in rng.uniform(1.5, 4.5, 300):
        centre = value + noise * rng.standard_normal()
        probs = np.exp(-0.5 * ((np.arange(1, 6) - centre) * sharpness) ** 2) + 1e-9
        told = Score.of(list(probs))
        said.append(Description({d: told for d in DIMENSIONS}, (), ""))
        low = min(4, int(value))
        digits = [0.0] * 5
        digits[low - 1], digits[low] = low + 1 - value, value - low
        truth.append(Description({d: Score.of(digits) for d in DIMENSIONS}, (), ""))
    return said, truth


def test_a_fitted_temperature_makes_the_intervals_of_an_overconfident_critic_honest() -> None:
    said, truth = _answers(0.6, 5.0)
    values = [t.scores["noise"].value for t in truth]
    raw = [s.scores["noise"].probs for s in said]
    assert coverage(raw, values) < 0.82
    found = fit(said, truth)
    assert set(found) == set(DIMENSIONS)
    assert found["noise"] > 1
    mended = [temper(p, found["noise"]) for p in raw]
    assert coverage(mended, values) == pytest.approx(0.9, abs=0.03)


def test_a_cautious_critic_is_sharpened_no_further_than_its_scores_can_bear() -> None:
    said, truth = _answers(0.6, 0.8)
    assert 0.7 <= fit(said, truth)["noise"] < 1


def test_intervals_that_no_temperature_mends_are_left_as_they_are() -> None:
    said, truth = _answers(0.1, 0.5)  # every interval holds the truth, at any temperature
    assert fit(said, truth)["noise"] == 1.0


def test_too_few_readable_answers_fit_nothing() -> None:
    said, truth = _answers(0.6, 1.0)
    error = GrammarError("no scores", text="", line=1)
    assert fit([*said[:19], error], truth[:20]) == {}


def test_temperatures_are_kept_beside_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "hearken.json").write_text('{"prompt": "listen"}')
    keep(tmp_path, {"noise": 1.5})
    side = json.loads((tmp_path / "hearken.json").read_text())
    assert side == {"prompt": "listen", "temperature": {"noise": 1.5}}
