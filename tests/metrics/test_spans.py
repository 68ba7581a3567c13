"""Timed spans: matches by hand, one to one, by type, and the rules for empty sets."""

from __future__ import annotations

import pytest

from hearken.metrics.spans import Counts, iou, match, mean_iou
from hearken.nouns import Fault


def span(start: float, end: float, kind: str = "dropout") -> Fault:
    return Fault(kind, start, end, 3)


def test_iou_by_hand():
    assert iou(span(0, 2), span(1, 3)) == pytest.approx(1 / 3)
    assert iou(span(0, 1), span(2, 3)) == 0.0
    assert iou(span(1, 2), span(1, 2)) == 1.0


def test_threshold_is_inclusive():
    assert match([span(0, 1)], [span(0, 2)]).hits == 1  # IoU exactly 0.5
    assert match([span(0, 0.99)], [span(0, 2)]).hits == 0


def test_types_do_not_match_across():
    assert match([span(0, 1, "clicks")], [span(0, 1, "dropout")]) == Counts(0, 1, 1)


def test_one_truth_is_found_once():
    counts = match([span(0, 1), span(0, 1)], [span(0, 1)])
    assert (counts.hits, counts.precision, counts.recall) == (1, 0.5, 1.0)


def test_pairing_is_best_not_greedy():
    # Greedy takes the exact pair (0-10, 0-10) and strands the other two; two hits exist.
    said = [span(0, 10), span(0, 6)]
    truth = [span(0, 10), span(0, 19)]
    assert match(said, truth).hits == 2


def test_onset_errors():
    counts = match([span(1.2, 2.0), span(5, 6)], [span(1.0, 2.0), span(5.1, 6.0)])
    assert sorted(counts.onset_errors_s) == pytest.approx([0.1, 0.2])


def test_empty_sets():
    nothing = match([], [])
    assert (nothing.precision, nothing.recall, nothing.f1) == (1.0, 1.0, 1.0)
    assert mean_iou([], []) == 1.0
    for said, truth in (([span(0, 1)], []), ([], [span(0, 1)])):
        counts = match(said, truth)
        assert (counts.precision, counts.recall, counts.f1) == (0.0, 0.0, 0.0)
        assert mean_iou(said, truth) == 0.0


def test_counts_add_before_they_divide():
    total = match([span(0, 1)], [span(0, 1)]) + match([], [span(0, 1), span(2, 3)]) + Counts()
    assert (total.precision, total.recall) == (1.0, pytest.approx(1 / 3))
    assert total.f1 == pytest.approx(0.5)


def test_mean_iou_counts_what_is_unpaired():
    # One pair at 1/3, one said in vain, none missed: (1/3) / 2.
    assert mean_iou([span(0, 2), span(8, 9)], [span(1, 3)]) == pytest.approx(1 / 6)
