"""Credit by line: who is paid for what, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hearken.critic.credit import LINES, line_advantages, token_advantages
from hearken.critic.grade import PARTS
from hearken.critic.grammar import render
from hearken.critic.tiny import train_tokenizer
from hearken.nouns import DIMENSIONS, Description, Fault, Judgement, Score


def judged(**parts: float) -> Judgement:
    return Judgement(0.0, {**dict.fromkeys(PARTS, 0.5), **parts})


def test_every_part_but_the_grammar_is_of_exactly_one_line() -> None:
    owned = [part for line in LINES for part in line]
    assert sorted([*owned, "grammar"]) == sorted(PARTS)


def test_a_line_is_compared_with_its_own_group_and_by_its_own_parts() -> None:
    grades = [judged(noise=1.0), judged(noise=0.0), judged(words=0.9), judged(words=0.7)]
    lines = line_advantages(grades, 2)
    # noise: +-.5 in the first group, 0 in the second; spread of the batch sqrt(.125)
    assert lines[:, 0] == pytest.approx(np.array([0.5, -0.5, 0, 0]) / 0.125**0.5, rel=1e-3)
    assert lines[:, 8] == pytest.approx(np.array([0, 0, 0.1, -0.1]) / 0.005**0.5, rel=2e-3)
    assert not lines[:, 1:8].any()


def test_scores_can_weigh_less_and_groups_that_agree_weigh_nothing() -> None:
    grades = [judged(noise=1.0, words=1.0), judged(noise=0.0, words=0.0)]
    full, half = line_advantages(grades, 2), line_advantages(grades, 2, score_weight=0.5)
    assert half[:, 0] == pytest.approx(full[:, 0] / 2)
    assert half[:, 8] == pytest.approx(full[:, 8])
    assert not line_advantages([judged()] * 4, 2).any()


def test_each_token_gets_the_advantage_of_the_line_it_is_on() -> None:
    said = Description(
        {d: Score.point(3) for d in DIMENSIONS}, (Fault("hum", 0.0, 1.0, 2),), "It hums."
    )
    tokenizer = train_tokenizer([render(said)] * 3, 420)
    ids = tokenizer(render(said), add_special_tokens=False)["input_ids"]
    lines = np.arange(18, dtype=np.float32).reshape(2, 9)
    spread = token_advantages(tokenizer, [ids, ids[:2]], lines)
    assert spread.shape == (2, len(ids))
    text_lines = render(said).split("\n")
    for line, text in enumerate(text_lines):
        mine = [i for i, a in zip(ids, spread[0], strict=True) if a == line]
        assert tokenizer.decode(mine).strip("\n") == text
    assert spread[1].tolist() == [9.0, 9.0] + [0.0] * (len(ids) - 2)


def test_what_follows_the_last_line_counts_as_part_of_it() -> None:
    class Newlines:
        def decode(self, ids: list[int]) -> str:
            return "\n" * ids[0]

    lines = np.arange(9, dtype=np.float32)[None]
    assert token_advantages(Newlines(), [[0, 3, 9, 1]], lines).tolist() == [[0, 3, 8, 8]]
