"""Greedy words never say that a fault ends before it starts, and end with their line."""

from __future__ import annotations

import pytest
import torch

from hearken.critic.answer import digit_forms
from hearken.critic.decode import GreedyRules, forbidden_digits, newline_tokens
from hearken.critic.tiny import train_tokenizer


@pytest.mark.parametrize(
    ("text", "longest_s", "expected"),
    [
        ("dropout 0.9-0.", 6, range(10)),
        ("dropout 0.9-1.", 6, ()),
        ("dropout 2.4-2.", 6, range(5)),
        ("dropout 2.4-1.", 6, range(10)),
        ("dropout 0.9-", 6, (0,)),
        ("dropout 3.0-", 6, (0, 1, 2)),
        ("dropout 3.0-", 30, ()),  # the end may have two digits: 3.0-12.5
        ("dropout 12.5-12.", 30, range(6)),
        ("severity 3", 6, ()),
        ("dropout 2.4-2.5", 6, ()),
    ],
)
def test_digits_that_would_run_backwards(
    text: str, longest_s: float, expected: tuple[int, ...]
) -> None:
    assert forbidden_digits(text, longest_s) == tuple(expected)


def test_the_next_likeliest_digit_is_taken() -> None:
    tokenizer = train_tokenizer(["dropout 0.9-1.2 s"] * 3, 420)
    forms = digit_forms(tokenizer)
    rows = ["faults: dropout 2.4-2.", "faults: dropout 2.4-4."]
    ids = torch.tensor([tokenizer(r)["input_ids"] for r in rows])
    scores = torch.zeros(2, len(tokenizer))
    scores[:, forms[0][4]] = 2  # "4" is the likeliest, "7" the next
    scores[:, forms[0][7]] = 1
    chosen = GreedyRules(tokenizer, forms, [], 6)(ids, scores).argmax(-1)
    assert tokenizer.decode(chosen[:1]) == "7"
    assert tokenizer.decode(chosen[1:]) == "4"


def test_the_words_are_the_last_line() -> None:
    tokenizer = train_tokenizer(["words: it is fine"] * 3, 420)
    newlines = newline_tokens(tokenizer)
    assert tokenizer.convert_tokens_to_ids("\nfaults: ") in newlines
    assert tokenizer("\n")["input_ids"][0] in newlines
    rules = GreedyRules(tokenizer, digit_forms(tokenizer), newlines, 6)
    rows = ["faults: none", "\nwords: "]
    ids = torch.full((2, 12), tokenizer.pad_token_id)
    for row, text in enumerate(rows):
        tokens = tokenizer(text)["input_ids"]
        ids[row, -len(tokens) :] = torch.tensor(tokens)
    first = rules(ids, torch.zeros(2, len(tokenizer)))
    assert first[0].isfinite().all()
    assert first[1, newlines].isinf().all()
    later = torch.cat([ids, torch.full((2, 12), tokenizer("f")["input_ids"][0])], dim=1)
    assert rules(later, torch.zeros(2, len(tokenizer)))[1, newlines].isinf().all()
