"""Words that agree with the times: what the critic goes on from, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hearken.critic import Critic, parse
from hearken.critic.answer import Written
from hearken.critic.grammar import render
from hearken.critic.locator import PLACED, Located
from hearken.critic.reword import moved, resumed, reworded
from hearken.critic.tiny import train_tokenizer
from hearken.nouns import DIMENSIONS, Description, Fault, Score


def said(*faults: Fault) -> Description:
    plain = Description({d: Score.point(3) for d in DIMENSIONS}, faults, "A hole near the end.")
    return Description(plain.scores, faults, plain.words, render(plain))


def written(text: str, *, finished: bool = True) -> Written:
    nothing = np.zeros(0, np.float32)
    return Written(text, (), finished, nothing, nothing)


HOLE = Fault("dropout", 1.0, 1.1, 2, "", 0.9)


def test_only_what_the_line_of_faults_can_say_is_a_move() -> None:
    assert moved(said(HOLE), said())
    assert moved(said(HOLE), said(Fault("dropout", 2.0, 2.1, 2)))
    assert not moved(said(HOLE), said(Fault("dropout", 1.02, 1.12, 2, "", 0.3)))


def test_the_critic_goes_on_after_its_own_scores_and_the_placed_faults() -> None:
    placed = said(Fault("dropout", 2.0, 2.1, 2))
    written_before = said(HOLE)
    placed = Description(placed.scores, placed.faults, placed.words, written_before.raw)
    tokenizer = train_tokenizer([placed.raw] * 3, 420)
    batch = {
        "input_ids": torch.tensor([[9, 9, 9], [0, 7, 8]]),
        "attention_mask": torch.tensor([[1, 1, 1], [0, 1, 1]]),
        "input_features": torch.arange(2.0)[:, None, None],
    }
    given = resumed(tokenizer, batch, [1, 0], [said(), placed])
    assert given["input_features"].flatten().tolist() == [1, 0]
    rows = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(given["input_ids"], given["attention_mask"], strict=True)
    ]
    assert rows[0][:2] == [7, 8]
    assert rows[1][:3] == [9, 9, 9]
    texts = [tokenizer.decode(rows[0][2:]), tokenizer.decode(rows[1][3:])]
    before = placed.raw.split("faults: ")[0]
    assert texts[0] == f"{before}faults: none\nwords: "
    assert texts[1] == f"{before}faults: dropout 2.0-2.1 s, severity 2\nwords: "
    assert given["attention_mask"][0, 0] == 0  # the shorter one is padded on the left


def test_new_words_take_the_place_of_the_old_ones_where_they_end() -> None:
    placed = said(HOLE)
    new = reworded(placed, written("A hole early on."))
    assert new.words == "A hole early on."
    assert parse(new.raw).words == new.words
    assert new.faults == placed.faults
    assert reworded(placed, written("A hole ear", finished=False)) == placed
    assert reworded(placed, written("A hole.\nAnd more.")) == placed


@pytest.mark.parametrize("there", [True, False])
def test_the_shipped_critic_speaks_of_the_faults_as_placed(
    there: bool, speechlike: NDArray[np.float32]
) -> None:
    critic = Critic.from_pretrained()
    holed = speechlike.copy()
    holed[16_000:18_400] = 0.0
    (plain,) = critic.listen([holed])
    assert isinstance(plain, Description)
    kind = next(f.type for f in plain.faults if f.type in PLACED)  # what it calls the hole
    spans = {kind: (Located(2.5, 2.7, 1.0),)} if there else {}
    critic.locator = SimpleNamespace(find=lambda *_, **__: [spans])  # type: ignore[assignment]
    (told,) = critic.listen([holed])
    assert isinstance(told, Description)
    times = [(f.start_s, f.end_s) for f in told.faults if f.type == kind]
    assert times == [(2.5, 2.7)] * there
    assert [f.type for f in parse(told.raw).faults] == [f.type for f in told.faults]
    assert told.words == parse(told.raw).words
    assert told.words != plain.words


def test_a_critic_without_a_locator_is_taken_at_its_word(speechlike: NDArray[np.float32]) -> None:
    critic = Critic.from_pretrained()
    critic.locator = None
    (told,) = critic.listen([speechlike])
    assert isinstance(told, Description)
    assert parse(told.raw).words == told.words


def test_the_shipped_critic_has_a_locator(tmp_path: Path) -> None:
    assert Critic.from_pretrained().locator is not None
