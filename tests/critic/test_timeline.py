"""Windows cover every sample; what they say becomes one timeline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearken.critic.timeline import Heard, merge, windows
from hearken.errors import GrammarError
from hearken.nouns import DIMENSIONS, Description, Fault, Score


def said(digit: int, *faults: Fault, words: str = "") -> Description:
    return Description({d: Score.point(digit) for d in DIMENSIONS}, faults, words, raw="raw")


@given(st.integers(1, 500), st.integers(2, 60), st.integers(1, 60))
def test_windows_cover_everything_and_are_full(length: int, window: int, overlap: int) -> None:
    hop = max(1, window - overlap)
    spans = windows(length, window, hop)
    covered = {i for s, e in spans for i in range(s, e)}
    assert covered == set(range(length))
    assert all(e - s == min(window, length) for s, e in spans)


def test_scores_are_weighted_by_the_time_a_window_adds() -> None:
    whole = merge([Heard(0, 6, said(1)), Heard(5, 11, said(5)), Heard(7, 13, said(3))])
    assert isinstance(whole, Description)
    assert whole.scores["noise"].value == pytest.approx((6 * 1 + 5 * 5 + 2 * 3) / 13)
    assert whole.scores["noise"].probs == pytest.approx((6 / 13, 0, 2 / 13, 0, 5 / 13))


def test_faults_that_touch_become_one_and_others_stay() -> None:
    whole = merge(
        [
            Heard(0, 6, said(2, Fault("hum", 0, 6, 2), Fault("clicks", 1, 2, 1, confidence=0.5))),
            Heard(5, 11, said(2, Fault("hum", 0, 9, 4, "mains"), Fault("clicks", 3, 4, 3))),
        ]
    )
    assert isinstance(whole, Description)
    assert whole.faults == (
        Fault("hum", 0, 11, 4, "mains"),
        Fault("clicks", 1, 2, 1, confidence=0.5),
        Fault("clicks", 8, 9, 3),
    )


def test_a_fault_beyond_the_clip_is_not_reported() -> None:
    alone = merge([Heard(0, 2, said(3, Fault("hum", 0, 5, 2), Fault("clicks", 2.5, 3, 1)))])
    assert isinstance(alone, Description)
    assert alone.faults == (Fault("hum", 0, 2, 2),)


def test_unreadable_windows_are_left_out_until_they_are_too_many() -> None:
    bad = GrammarError("no", text="gibberish", line=1)
    some = [Heard(i, i + 1, said(4, words="fine")) for i in range(4)]
    whole = merge([*some, Heard(4, 5, bad)])
    assert isinstance(whole, Description)
    assert whole.scores["overall"].value == 4
    assert "gibberish" in whole.raw
    assert merge([*some, Heard(4, 5, bad), Heard(5, 6, bad)]) is bad


def test_words_are_those_of_the_worst_windows_in_order() -> None:
    parts = [said(4, words="a"), said(1, words="b"), said(2, words="c"), said(1, words="b")]
    whole = merge([Heard(i, i + 1, p) for i, p in enumerate(parts)])
    assert isinstance(whole, Description)
    assert whole.words == "a b c"
