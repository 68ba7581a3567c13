from __future__ import annotations

import numpy as np
import pytest

from hearken.errors import JudgeError, MetricError, UsageError
from hearken.feedback.reward import (
    Piece,
    fault_load,
    fault_rewards,
    heard_load,
    measured,
    pieces_of,
    rate_scores,
    rate_words,
    relative,
    shuffled,
)
from hearken.nouns import DIMENSIONS, Audio, Description, Fault, Score


def say(words: str = "Fine.", digit: int = 3, faults: tuple[Fault, ...] = ()) -> Description:
    return Description({d: Score.point(digit) for d in DIMENSIONS}, faults, words)


def test_relative_keeps_its_parts_and_its_gaps() -> None:
    out = relative(np.array([[4.0, np.nan], [2.0, 3.0]]), np.array([3.0, np.nan]))
    assert out.total_PG[0, 0] == 1.0
    assert out.valid_PG.tolist() == [[True, False], [False, False]]
    judgement = out.judgement(0, 0)
    assert judgement is not None
    assert judgement.total == judgement.parts["rating"] - judgement.parts["base"]
    assert out.judgement(0, 1) is None


@pytest.mark.parametrize("bad", [0.9, 5.1, 1e6, np.inf])
def test_a_rating_without_bounds_is_refused(bad: float) -> None:
    with pytest.raises(JudgeError, match="outside 1-5"):
        relative(np.array([[3.0, bad]]), np.array([3.0]))


def test_words_are_rated_and_failures_skipped() -> None:
    asked: list[str] = []

    def rater(texts: object) -> list[float]:
        asked.extend(texts)  # type: ignore[call-overload]
        return [4.0] * len(asked)

    out = rate_words([say("One."), None, say("Two.")], rater)
    assert asked == ["One.", "Two."]
    np.testing.assert_array_equal(out, [4.0, np.nan, 4.0])


def test_scores_are_the_expectation_of_overall() -> None:
    said = say()
    half = Description({**said.scores, "overall": Score.of([0, 0, 1, 1, 0])}, (), "x")
    np.testing.assert_array_equal(rate_scores([half, None]), [3.5, np.nan])


def test_load_is_severity_where_the_fault_is_and_is_bounded() -> None:
    faults = (Fault("clicks", 0.1, 0.2, 2), Fault("dropout", 0.2, 0.3, 5))
    load = fault_load(say(faults=faults), frames=5, frame_s=0.1)
    np.testing.assert_allclose(load, [0, 0.4, 1.0, 1.0, 0])
    unsure = Fault("clicks", 0.0, 1.0, 5, confidence=0.25)
    np.testing.assert_allclose(fault_load(say(faults=(unsure,)), 2, 0.1), [0.25, 0.25])


def test_a_repaired_span_is_credited_there_and_only_there() -> None:
    bad = fault_load(say(faults=(Fault("dropout", 0.1, 0.2, 5),)), frames=4, frame_s=0.1)
    out = fault_rewards(np.stack([[np.zeros(4), bad, np.full(4, np.nan)]]), bad[None])
    assert out.frames_PGF is not None
    np.testing.assert_allclose(out.frames_PGF[0, 0], [0, 1, 1, 0])
    np.testing.assert_allclose(out.frames_PGF[0, 1], 0)
    assert out.total_PG[0, 0] == 0.5
    assert out.valid_PG.tolist() == [[True, True, False]]


def test_a_fault_heard_in_one_piece_of_two_is_there_and_half_in_the_overlap() -> None:
    """Pieces 0-1 s, .5-1.5 s and 1-2 s; the first two are hissing all the time, the last is not."""
    hiss = say(faults=(Fault("background_noise", 0.0, 1.0, 5),))
    cuts = [(a / 10, b / 10) for a, b in pieces_of(20, 10)]
    assert cuts == [(0.0, 1.0), (0.5, 1.5), (1.0, 2.0)]
    pieces = [Piece(*cut, said) for cut, said in zip(cuts, (hiss, hiss, say()), strict=True)]
    load = heard_load(pieces, frames=9, frame_s=0.25)
    np.testing.assert_allclose(load, [1, 1, 1, 1, 0.5, 0.5, 0, 0, 0])


@pytest.mark.parametrize(("samples", "length"), [(1, 4), (4, 4), (5, 4), (9, 4), (16, 5), (7, 1)])
def test_pieces_cover_a_sound_and_none_is_beyond_it(samples: int, length: int) -> None:
    cuts = pieces_of(samples, length)
    assert set().union(*(range(a, b) for a, b in cuts)) == set(range(samples))
    assert {b - a for a, b in cuts} == {min(samples, length)}


def test_measured_is_cut_and_a_failed_metric_is_no_reward() -> None:
    def metric(x: Audio) -> float:
        if not x.any():
            raise MetricError("silent")
        return float(x[0])

    sounds = [np.array([v], np.float32) for v in (3.0, 9.0, 0.0)]
    np.testing.assert_array_equal(measured([*sounds, None], metric), [3.0, 5.0, np.nan, np.nan])


def test_shuffled_has_the_same_numbers_for_other_clips() -> None:
    real = relative(np.array([[4.0, 2.0], [3.0, 5.0]]), np.array([3.0, 3.0]))
    out = shuffled(real)
    np.testing.assert_array_equal(out.total_PG, real.total_PG[::-1])
    np.testing.assert_array_equal(out.parts_PG["rating"], real.parts_PG["rating"][::-1])
    with pytest.raises(UsageError, match="two clips"):
        shuffled(relative(np.array([[4.0, 2.0]]), np.array([3.0])))
