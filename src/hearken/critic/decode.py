"""Two rules of the grammar that greedy decoding keeps for the model.

A fault ends after it starts: to write that, a model must compare two numbers, and at a resolution
of 0.1 s a short fault is easily written "0.9-0.9 s". The digits that would make a time run
backwards are left out, and the likeliest of the others is taken. And the words are the last line:
once they have begun, no new line does.

The other rules a model must keep by itself, and text that breaks them is an error. Sampled text
is left alone altogether: there, what is written is the policy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor

__all__ = ["GreedyRules", "forbidden_digits", "newline_tokens"]

_TAIL = 12  # tokens that hold a start and the beginning of an end, in any tokenizer
_BEFORE_END = re.compile(r"(?<![0-9.])([0-9]+)\.([0-9])-$")
_IN_END = re.compile(r"(?<![0-9.])([0-9]+)\.([0-9])-([0-9]+)\.$")


def forbidden_digits(text: str, longest_s: float) -> tuple[int, ...]:
    """Digits that cannot come next, because the end would not be later than the start.

    Args:
        text: what is written so far.
        longest_s: no time is longer than this; tells whether an end may have two digits.

    >>> forbidden_digits("faults: clicks 1.3-1.", 6)
    (0, 1, 2, 3)
    >>> forbidden_digits("faults: clicks 1.9-", 6)
    (0, 1)
    """
    if found := _IN_END.search(text):
        start = int(found[1]) * 10 + int(found[2])
        return tuple(d for d in range(10) if int(found[3]) * 10 + d <= start)
    if (found := _BEFORE_END.search(text)) and longest_s < 10:
        start = int(found[1]) * 10 + int(found[2])
        return tuple(d for d in range(10) if d * 10 + 9 <= start)
    return ()


def newline_tokens(tokenizer: Any) -> list[int]:
    """The ids of all tokens that hold a line feed ("Ċ" is how byte-level BPE spells it)."""
    return [i for piece, i in tokenizer.get_vocab().items() if "\n" in piece or "Ċ" in piece]


class GreedyRules(LogitsProcessor):
    """Sets the logits of what the two rules forbid to minus infinity, row by row.

    Args:
        tokenizer: one with single tokens for digits.
        forms: for each form of digits ("4", " 4", ...) the ids of 0..9.
        newlines: see `newline_tokens`.
        longest_s: the critic's window.
    """

    def __init__(
        self,
        tokenizer: Any,
        forms: Sequence[Sequence[int]],
        newlines: Sequence[int],
        longest_s: float,
    ) -> None:
        self._tokenizer = tokenizer
        self._forms = forms
        self._newlines = list(newlines)
        self._longest_s = longest_s
        self._pieces: dict[int, str] = {}
        self._in_words: set[int] = set()

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Called by `generate` before each token is chosen."""
        for row, ids in enumerate(input_ids[:, -_TAIL:].tolist()):
            text = "".join(self._piece(i) for i in ids)
            if "\nwords: " in text:
                self._in_words.add(row)
            if row in self._in_words:
                scores[row, self._newlines] = -torch.inf
            digits = forbidden_digits(text, self._longest_s)
            if digits and len(digits) < 10:
                scores[row, [form[d] for form in self._forms for d in digits]] = -torch.inf
        return scores

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            self._pieces[token] = self._tokenizer.decode([token])
        return self._pieces[token]
