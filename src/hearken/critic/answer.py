"""Between the tokens a model writes and the `Description` they mean, in both directions.

A score is not the digit that was written but the expectation over the five digit tokens at the
place where it was written; a fault's confidence is the probability of its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LogitsProcessor

from hearken.critic.grammar import LABELS, parse, parse_scores, render
from hearken.critic.temperature import temper
from hearken.errors import CheckpointError, GrammarError
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Description, Fault, Score

__all__ = [
    "Answer",
    "Recorder",
    "Written",
    "digit_families",
    "digit_forms",
    "encode",
    "read",
    "read_scores",
    "score_places",
]


@dataclass(frozen=True)
class Answer:
    """A description as a lesson.

    Attributes:
        tokens: of `render(description)` and the end token.
        places: index in `tokens` of the seven score digits.
        words_at: index in `tokens` of the first one that holds the line of words.
        probs: [7, 5] the truth's distribution over the digits.
    """

    tokens: tuple[int, ...]
    places: tuple[int, ...]
    words_at: int
    probs: NDArray[np.float32]


@dataclass(frozen=True)
class Written:
    """What a model wrote of one clip.

    Attributes:
        text: decoded, without the end token.
        tokens: the same as ids.
        finished: False where it was cut off at the allowed length.
        token_probs: [L] probability of each token.
        digit_probs: [L, N, 5] probabilities of the digits of each family at each place.
    """

    text: str
    tokens: tuple[int, ...]
    finished: bool
    token_probs: NDArray[np.float32]
    digit_probs: NDArray[np.float32]


class Recorder(LogitsProcessor):
    """Keeps the few probabilities that `read` needs while `generate` runs.

    Storing all logits of an 8B model would take gigabytes; this takes kilobytes. Called before
    temperature is applied, so what it keeps is the model's own belief, also when sampling.
    """

    def __init__(self, families: Sequence[Sequence[int]]) -> None:
        self._ids = torch.tensor([i for family in families for i in family])
        self._shape = (len(families), 5)
        self._last: torch.Tensor | None = None
        self._digits: list[torch.Tensor] = []
        self._chosen: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Called by `generate` before each token is chosen; changes nothing."""
        self.settle(input_ids[:, -1])
        self._last = torch.log_softmax(scores.float(), dim=-1)
        self._digits.append(self._last[:, self._ids.to(scores.device)].exp().cpu())
        return scores

    def settle(self, tokens_B: torch.Tensor) -> None:
        """Notes with what probability the latest tokens were chosen."""
        if self._last is not None:
            self._chosen.append(self._last.gather(1, tokens_B[:, None])[:, 0].exp().cpu())
            self._last = None

    def row(self, index: int, length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`token_probs` [L] and `digit_probs` [L, N, 5] of one sequence of the batch."""
        chosen = torch.stack([c[index] for c in self._chosen[:length]] or [torch.zeros(0)][:0])
        digits = torch.stack([d[index] for d in self._digits[:length]])
        return chosen.numpy(), digits.reshape(length, *self._shape).numpy()


def digit_families(tokenizer: Any) -> tuple[tuple[int, ...], ...]:
    """The ids of "1".."5" in each form that the tokenizer has as single tokens.

    Raises:
        CheckpointError: no form has all five as single tokens.
    """
    families = tuple(form[1:6] for form in digit_forms(tokenizer))
    if not families:
        raise CheckpointError("the tokenizer has no single tokens for the digits")
    return families


def digit_forms(tokenizer: Any) -> tuple[tuple[int, ...], ...]:
    """The ids of "0".."9" in each form, with or without a blank, that has them all."""
    forms = []
    for blank in ("", "Ġ", "▁"):  # none, as byte-level BPE writes it, as SentencePiece does
        ids = tokenizer.convert_tokens_to_ids([f"{blank}{d}" for d in range(10)])
        if None not in ids and tokenizer.unk_token_id not in ids and len(set(ids)) == 10:
            forms.append(tuple(int(i) for i in ids))
    return tuple(forms)


def encode(tokenizer: Any, description: Description) -> Answer:
    """The truth as tokens to be learnt, and where its digits are.

    Raises:
        CheckpointError: the tokenizer does not write the score digits as single tokens.
    """
    text = render(description)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    known = {i for family in digit_families(tokenizer) for i in family}
    places = _token_at(tokenizer, ids, _digit_offsets(text))
    if len(places) != len(DIMENSIONS) or any(ids[k] not in known for k in places):
        raise CheckpointError("the tokenizer does not write each score digit as one token")
    (words_at,) = _token_at(tokenizer, ids, [text.index("\nwords: ") + 1])
    probs = np.array([description.scores[d].probs for d in DIMENSIONS], dtype=np.float32)
    return Answer((*ids, tokenizer.eos_token_id), tuple(places), words_at, probs)


def read(
    tokenizer: Any, written: Written, temperature: Mapping[str, float] | None = None
) -> Description:
    """The description that was written, scores as expectations, faults with confidence.

    Args:
        tokenizer: of the model that wrote.
        written: its answer.
        temperature: of each dimension's digits; 1 where it has none.

    Raises:
        GrammarError: the text breaks the grammar, or stops before its end.
    """
    text = written.text
    if not written.finished:
        line = text.count("\n") + 1
        raise GrammarError("the text does not end within the allowed length", text=text, line=line)
    said = parse(text)
    faults = tuple(_with_confidence(f, tokenizer, written) for f in said.faults)
    return replace(
        said, scores=read_scores(tokenizer, written, temperature), faults=faults, raw=text
    )


def read_scores(
    tokenizer: Any, written: Written, temperature: Mapping[str, float] | None = None
) -> dict[str, Score]:
    """The seven scores alone, as expectations; arguments as for `read`.

    Raises:
        GrammarError: the score lines break the grammar.
    """
    points = parse_scores(written.text)
    places = score_places(tokenizer, written)
    family_of = {i: n for n, f in enumerate(digit_families(tokenizer)) for i in f}
    scores = {}
    for name, place in zip(DIMENSIONS, places, strict=True):
        family = family_of.get(written.tokens[place])
        probs = written.digit_probs[place, family].tolist() if family is not None else []
        # A digit written as part of a longer token has no rivals to compare with.
        heat = (temperature or {}).get(name, 1.0)
        scores[name] = Score.of(temper(probs, heat)) if sum(probs) > 0 else points[name]
    return scores


def score_places(tokenizer: Any, written: Written) -> list[int]:
    """Index in `written.tokens` of each of the seven score digits; the score lines must parse."""
    return _token_at(tokenizer, written.tokens, _digit_offsets(written.text))


def _with_confidence(fault: Fault, tokenizer: Any, written: Written) -> Fault:
    name = FAULT_TYPES[fault.type].words
    start = written.text.find(f"{name} {fault.start_s:.1f}-{fault.end_s:.1f} s")
    if start < 0:
        return fault
    first, last = _token_at(tokenizer, written.tokens, [start, start + len(name) - 1])
    return replace(fault, confidence=float(np.prod(written.token_probs[first : last + 1])))


def _digit_offsets(text: str) -> list[int]:
    """Character offsets of the seven score digits in a text whose score lines parse."""
    offsets, at = [], 0
    for name in DIMENSIONS:
        at += len(LABELS[name]) + 2
        offsets.append(at)
        at += 2
    return offsets


def _token_at(tokenizer: Any, ids: Sequence[int], offsets: Sequence[int]) -> list[int]:
    """Index of the token that holds each character offset of the decoded text."""
    pieces = tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False)
    whole = tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)
    if "".join(pieces) == whole:
        ends = np.cumsum([len(p) for p in pieces])
    else:  # a tokenizer that drops blanks at the start of a piece: decode every prefix
        prefixes = [list(ids[: k + 1]) for k in range(len(ids))]
        texts = tokenizer.batch_decode(prefixes, clean_up_tokenization_spaces=False)
        ends = np.array([len(t) for t in texts])
    found = np.searchsorted(ends, offsets, side="right")
    return [int(k) for k in found if not math.isinf(k) and k < len(ids)]
