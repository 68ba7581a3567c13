"""The grammar: what is said can be read back, and nothing else can."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearken.critic.grammar import parse, parse_scores, quantise, render
from hearken.errors import GrammarError
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Description, Fault, Score

EXAMPLE = """\
noise: 2
distortion: 4
speed: 3
continuity: 5
naturalness: 3
listening effort: 2
overall: 2
faults: background noise 0.0-5.0 s, severity 4, rain | dropout 1.2-1.5 s, severity 3
words: A steady rain covers the voice."""

free_text = st.text(max_size=40)
faults = st.builds(
    lambda kind, start, length, severity, detail: Fault(
        kind, start, start + length, severity, detail
    ),
    st.sampled_from(list(FAULT_TYPES)),
    st.floats(0, 5000),
    st.floats(0.001, 300),
    st.integers(1, 5),
    free_text,
)
scores = st.lists(st.floats(0.01, 1), min_size=5, max_size=5).map(Score.of)
descriptions = st.builds(
    Description,
    st.fixed_dictionaries(dict.fromkeys(DIMENSIONS, scores)),
    st.lists(faults, max_size=4).map(tuple),
    free_text,
)


@given(descriptions)
@settings(max_examples=150, deadline=None)
def test_what_is_rendered_is_read_back(description: Description) -> None:
    assert parse(render(description)) == quantise(description)


@given(descriptions)
@settings(max_examples=50, deadline=None)
def test_quantising_twice_changes_nothing(description: Description) -> None:
    once = quantise(description)
    assert quantise(once) == once


def test_the_documented_example() -> None:
    said = parse(EXAMPLE)
    assert [said.scores[d].value for d in DIMENSIONS] == [2, 4, 3, 5, 3, 2, 2]
    assert said.faults == (
        Fault("background_noise", 0.0, 5.0, 4, "rain"),
        Fault("dropout", 1.2, 1.5, 3),
    )
    assert said.words == "A steady rain covers the voice."
    assert render(said) == EXAMPLE


def test_halves_go_up_and_times_to_tenths() -> None:
    half = Score.of([0, 1, 1, 0, 0])
    said = quantise(
        Description(dict.fromkeys(DIMENSIONS, half), (Fault("clicks", 1.234, 1.2341, 2),), "")
    )
    assert said.scores["noise"].value == 3
    assert (said.faults[0].start_s, said.faults[0].end_s) == (1.2, 1.3)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("noise: 2", "noise: 6", 1),
        ("noise: 2", "noise:2", 1),
        ("noise: 2", "noise: 2 ", 1),
        ("distortion: 4", "distortion: 4.0", 2),
        ("speed: 3\n", "", 3),
        ("overall: 2", "Overall: 2", 7),
        ("background noise 0.0", "background noise 0", 8),
        ("0.0-5.0", "5.0-0.0", 8),
        ("severity 4", "severity 0", 8),
        ("background noise", "backgroundnoise", 8),
        ("rain |", "rain|", 8),
        (", rain", ", rain, heavy", 8),
        ("faults: ", "faults: none | ", 8),
        ("words: ", "word: ", 9),
        ("voice.", "voice.\nThe end.", 10),
        ("voice.", "voice. ", 9),
        ("2\ndist", "２\ndist", 1),
    ],
)
def test_a_violation_names_its_line(old: str, new: str, line: int) -> None:
    text = EXAMPLE.replace(old, new, 1)
    assert text != EXAMPLE
    with pytest.raises(GrammarError) as caught:
        parse(text)
    assert caught.value.line == line
    assert caught.value.text == text


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_other_text_is_an_error_and_never_a_crash(text: str) -> None:
    with pytest.raises(GrammarError):
        parse(text)


def test_scores_alone_need_no_faults() -> None:
    assert parse_scores("\n".join(EXAMPLE.splitlines()[:7]))["continuity"].value == 5
    with pytest.raises(GrammarError, match="line 7"):
        parse_scores("\n".join(EXAMPLE.splitlines()[:6]))
