"""Words that agree with the times: the last line, written anew after the faults were placed.

A critic writes its words after its faults, and takes from them what it says of "the beginning" or
"the middle". Where the locator moved a fault or left one out, the words would still tell of the
old one. So the answer is taken back to the end of its line of faults, that line is set right, and
the critic goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hearken.critic.answer import Written
from hearken.critic.grammar import quantise, render
from hearken.nouns import DIMENSIONS, Description

__all__ = ["moved", "resumed", "reworded"]

_WORDS = "\nwords: "


def moved(said: Description, placed: Description) -> bool:
    """Whether the line of faults reads otherwise now."""
    return quantise(said).faults != quantise(placed).faults


def resumed(
    tokenizer: Any, batch: dict[str, Tensor], rows: Sequence[int], placed: Sequence[Description]
) -> dict[str, Tensor]:
    """What the critic is given to go on from: question, scores as written, faults as placed.

    Args:
        tokenizer: of the critic.
        batch: what it was given at first, questions padded on the left.
        rows: of the batch.
        placed: one description for each of them, its `raw` as written.
    """
    texts = []
    for row, description in zip(rows, placed, strict=True):
        asked = batch["input_ids"][row][batch["attention_mask"][row].bool()].tolist()
        known = tokenizer(_prefix(description), add_special_tokens=False)["input_ids"]
        texts.append([*asked, *known])
    longest = max(map(len, texts))
    ids = torch.full((len(texts), longest), tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    for k, text in enumerate(texts):
        ids[k, longest - len(text) :] = torch.tensor(text)
        mask[k, longest - len(text) :] = 1
    chosen = {name: value[list(rows)] for name, value in batch.items()}
    device = batch["input_ids"].device
    return {**chosen, "input_ids": ids.to(device), "attention_mask": mask.to(device)}


def reworded(placed: Description, written: Written) -> Description:
    """The description with the words that were written now; as it was where they do not end."""
    words = " ".join(written.text.split())
    if not written.finished or words != written.text:
        return placed
    return replace(placed, words=words, raw=_prefix(placed) + words)


def _prefix(placed: Description) -> str:
    scores = placed.raw.split("\n")[: len(DIMENSIONS)]
    faults = render(placed).split("\n")[len(DIMENSIONS)]
    return "\n".join([*scores, faults]) + _WORDS
