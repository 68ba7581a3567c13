"""ROUGE-L by hand."""

from __future__ import annotations

import pytest

from hearken.metrics.text import Variety, rouge_l, variety


def test_by_hand():
    # LCS "police the gunman" = 3 words of 4 and 4 (Lin 2004's own example is 3/4).
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(0.75)
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(0.5)


def test_order_matters_case_and_marks_do_not():
    assert rouge_l("A steady rain.", "a steady, RAIN") == 1.0
    assert rouge_l("rain steady a", "a steady rain") == pytest.approx(1 / 3)


def test_empty():
    assert rouge_l("", "") == 1.0
    assert rouge_l("word", "") == rouge_l("", "word") == 0.0
    assert rouge_l("...", "word") == 0.0


def test_length_weighs_in():
    assert rouge_l("rain", "rain rain rain") == pytest.approx(2 * 1 / 4)


def test_variety_by_hand():
    found = variety(["Rain falls. Rain falls!", "rain, falls.  ...", "", "A dog barks 2.5 times"])
    # "2.5" ends a sentence at its dot: rain falls / a dog barks 2 / 5 times.
    assert found == Variety(texts=4, distinct=1.0, sentences=3, type_token_ratio=8 / 12)
    assert variety(["Hum.", "hum"]).distinct == 0.5  # case and stops do not make another text
    assert variety([]) == Variety(0, 0.0, 0, 0.0)
