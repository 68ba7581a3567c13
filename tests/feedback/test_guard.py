from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hearken.errors import GrammarError, JudgeError
from hearken.feedback.guard import Judge, fingerprint, usable
from hearken.nouns import DIMENSIONS, Audio, Description, Fault, Score

GOOD = Description({d: Score.point(3) for d in DIMENSIONS}, (), "Rain covers the voice.")


def sound(level: float) -> Audio:
    return np.full(4, level, np.float32)


class Critic:
    """Fails on negative sounds; counts its calls."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, clips: Sequence[Audio]) -> list[Description | GrammarError]:
        self.calls.append(len(clips))
        bad = GrammarError("no score for noise", text="?", line=1)
        return [bad if c[0] < 0 else GOOD for c in clips]


def test_malformed_words_are_a_gap_and_are_counted() -> None:
    judge = Judge(Critic())
    assert judge.hear([sound(1), sound(-1), None, sound(2)]) == [GOOD, None, None, GOOD]
    assert (judge.heard, judge.failed) == (3, 1)
    assert "no score for noise" in judge.last_error


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (GOOD, ""),
        (replace(GOOD, words=" - "), "no words"),
        (replace(GOOD, scores={"noise": Score.point(3)}), "no score for distortion"),
        (replace(GOOD, scores={**GOOD.scores, "noise": Score(float("nan"), (0.0,) * 5)}), "noise"),
        (replace(GOOD, scores={**GOOD.scores, "speed": Score(5.5, (0.0,) * 5)}), "speed is 5.5"),
        (replace(GOOD, faults=(Fault("hum", 0.0, 1.0, 9),)), "severity 9"),
        (replace(GOOD, faults=(Fault("hum", 1.0, 1.0, 2),)), "hum 1.0-1.0"),
    ],
)
def test_what_can_be_used(said: Description, problem: str) -> None:
    found = usable(said)
    assert (problem in found) if problem else (found == "")


def test_memory_is_by_the_samples_and_hears_alone() -> None:
    critic = Critic()
    judge = Judge(critic, remember=1)
    assert judge.hear_once(sound(1)) == GOOD
    assert judge.hear_once(sound(1).copy()) == GOOD
    assert critic.calls == [1]
    judge.hear_once(sound(2))
    judge.hear_once(sound(1))  # forgotten: only one is remembered
    assert critic.calls == [1, 1, 1]
    assert fingerprint(sound(1)) != fingerprint(sound(2))


def test_a_judge_that_fails_too_often_stops_the_run() -> None:
    judge = Judge(Critic(), max_failed_frac=0.25, patience=8)
    judge.hear([sound(-1)])
    assert judge.enforce(4, 4) == 1.0  # too few answers to stop for
    with pytest.raises(JudgeError, match="50% of the last 8"):
        judge.enforce(0, 4)


def test_old_failures_are_forgotten() -> None:
    judge = Judge(Critic(), max_failed_frac=0.25, patience=8)
    judge.enforce(4, 4)
    with pytest.raises(JudgeError):
        judge.enforce(0, 4)
    assert judge.enforce(0, 4) == 0.0
    assert judge.enforce(2, 8) == 0.25


def test_the_window_survives_a_checkpoint() -> None:
    a, b = Judge(Critic(), patience=8), Judge(Critic(), patience=8)
    a.enforce(1, 4)
    b.restore(a.state())
    assert a.enforce(0, 2) == b.enforce(0, 2) == pytest.approx(1 / 6)


def test_a_critic_that_loses_an_answer_is_noticed() -> None:
    with pytest.raises(JudgeError, match="1 answers to 2 clips"):
        Judge(lambda clips: [GOOD]).hear([sound(1), sound(2)])
