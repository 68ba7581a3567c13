"""The grader: truth as words is worth 1, everything else less, nothing outside [0, 1]."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearken.critic.grade import PARTS, grade, pair_faults
from hearken.critic.grammar import render
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Description, Fault, Score

TRUTH = Description(
    {d: Score.of([0, 0.3, 0.7, 0, 0]) for d in DIMENSIONS},
    (
        Fault("background_noise", 0.0, 4.0, 4, "heavy rain"),
        Fault("dropout", 1.0, 2.0, 3),
    ),
    "Heavy rain covers the voice.",
)


def test_truth_as_words_is_worth_one() -> None:
    judged = grade(render(TRUTH), TRUTH)
    assert judged.total == 1
    assert judged.parts == dict.fromkeys(PARTS, 1.0)


def test_malformed_words_are_worth_nothing() -> None:
    judged = grade(render(TRUTH)[:-40].replace("noise", "nose"), TRUTH)
    assert judged.total == 0
    assert set(judged.parts.values()) == {0.0}


def test_parts_by_hand() -> None:
    said = replace(
        TRUTH,
        scores={**TRUTH.scores, "noise": Score.point(5)},  # truth says 3: half of the widest miss
        faults=(
            Fault("background_noise", 0.0, 2.0, 4, "rain"),  # half the time, half the detail
            Fault("hum", 0.0, 4.0, 1),  # not there; the dropout is missed
        ),
        words="Rain covers the words.",
    )
    parts = grade(said, TRUTH).parts
    assert parts["noise"] == 0.5
    assert parts["overall"] == pytest.approx(1 - 0.3 / 4)  # said 2.7, truth as a digit 3
    assert parts["fault_presence"] == 1
    assert parts["fault_type"] == 0.5
    assert parts["fault_time"] == 0.25
    assert parts["fault_detail"] == pytest.approx(2 / 3)
    assert parts["words"] == pytest.approx(2 * 3 / 9)  # "rain covers the" in order, of 4 and 5


def test_no_faults_said_of_a_faultless_clip() -> None:
    clean = replace(TRUTH, faults=())
    assert grade(clean, clean).parts["fault_type"] == 1
    parts = grade(TRUTH, clean).parts
    assert parts["fault_presence"] == parts["fault_type"] == parts["fault_time"] == 0


def test_pairs_prefer_the_larger_overlap() -> None:
    said = (Fault("clicks", 0, 1, 1), Fault("clicks", 2, 3, 1))
    truth = (Fault("clicks", 2.1, 3, 1), Fault("clicks", 0.9, 2, 1))
    assert pair_faults(said, truth) == [(said[1], truth[0]), (said[0], truth[1])]


faults = st.builds(
    lambda t, s, n, v: Fault(t, s, s + n, v),
    st.sampled_from(sorted(FAULT_TYPES)[:4]),
    st.floats(0, 5),
    st.floats(0.05, 5),
    st.integers(1, 5),
)
descriptions = st.builds(
    lambda digits, f, words: Description(
        {d: Score.point(n) for d, n in zip(DIMENSIONS, digits, strict=True)}, tuple(f), words
    ),
    st.lists(st.integers(1, 5), min_size=7, max_size=7),
    st.lists(faults, max_size=3),
    st.sampled_from(["", "rain", "rain and hum", "the voice is robotic"]),
)


@given(descriptions, descriptions)
@settings(max_examples=100, deadline=None)
def test_every_part_is_bounded(said: Description, truth: Description) -> None:
    judged = grade(said, truth)
    assert set(judged.parts) == set(PARTS)
    assert all(0 <= v <= 1 for v in judged.parts.values())
    assert judged.total == pytest.approx(sum(judged.parts.values()) / len(PARTS))
    assert grade(render(truth), truth).total == 1
