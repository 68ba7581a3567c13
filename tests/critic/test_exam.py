"""The numbers that training watches, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hearken.critic.exam import agreement
from hearken.errors import GrammarError
from hearken.nouns import DIMENSIONS, Description, Fault, Score


def description(value: float, *faults: Fault) -> Description:
    low = int(value)
    probs = [0.0] * 6
    probs[low - 1], probs[low] = low + 1 - value, value - low
    return Description({d: Score.of(probs[:5]) for d in DIMENSIONS}, faults, "It is noisy.")


def test_agreement_by_hand() -> None:
    hum, clicks = Fault("hum", 0, 1, 2), Fault("clicks", 0, 1, 2)
    truths = [description(v, f) for v, f in zip((1.5, 2.5, 4.5), (hum, hum, clicks), strict=True)]
    bad = GrammarError("no", text="", line=1)
    said = [description(2.0, hum), description(3.0, clicks), description(4.0, clicks), bad]
    found = agreement(said, [*truths, truths[0]])
    expected = np.corrcoef([2, 3, 4], [1.5, 2.5, 4.5])[0, 1]
    assert found["valid/noise_pcc"] == pytest.approx(expected)
    assert found["valid/score_pcc"] == pytest.approx(expected)
    assert found["valid/fault_recall"] == 2 / 4
    assert found["valid/fault_precision"] == 2 / 3
    assert found["valid/parsed"] == 3 / 4


def test_a_constant_score_agrees_with_nothing() -> None:
    truths = [description(v) for v in (1.5, 2.5, 3.5)]
    assert agreement([description(3.0)] * 3, truths)["valid/noise_pcc"] == 0
