"""How alike two texts are (ROUGE-L), and how varied many of them are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Variety", "rouge_l", "variety"]

_WORD = re.compile(r"[a-z0-9]+")
_SENTENCE = re.compile(r"[^.!?]*[^.!?\s][^.!?]*")


@dataclass(frozen=True)
class Variety:
    """How varied texts are; compare only over the same number of clips.

    Attributes:
        texts: how many.
        distinct: share of them that differ, 0-1: 1 where no two are the same.
        sentences: how many different sentences there are in all.
        type_token_ratio: different words over all words, 0-1.
    """

    texts: int
    distinct: float
    sentences: int
    type_token_ratio: float


def variety(texts: Sequence[str]) -> Variety:
    """Counts over many texts. Words as in `rouge_l`; sentences end in . ! or ?

    >>> variety(["The rain falls. Rain falls.", "The rain falls."])
    Variety(texts=2, distinct=1.0, sentences=2, type_token_ratio=0.375)
    """
    spoken = [" ".join(_WORD.findall(t.lower())) for t in texts]
    words = [w for t in spoken for w in t.split()]
    found = {" ".join(_WORD.findall(s)) for t in texts for s in _SENTENCE.findall(t.lower())} - {""}
    return Variety(
        texts=len(texts),
        distinct=len(set(spoken)) / len(texts) if texts else 0.0,
        sentences=len(found),
        type_token_ratio=len(set(words)) / len(words) if words else 0.0,
    )


def rouge_l(said: str, truth: str) -> float:
    """ROUGE-L F1, 0-1: longest common subsequence of words over their number (Lin 2004).

    Words are runs of a-z and 0-9 in lower case, unstemmed. Two empty texts give 1, one gives 0.

    >>> round(rouge_l("the rain covers the voice", "rain covers a voice"), 3)
    0.667
    """
    a, b = _WORD.findall(said.lower()), _WORD.findall(truth.lower())
    if not a or not b:
        return float(a == b)
    return 2.0 * _common(a, b) / (len(a) + len(b))


def _common(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, by one row of dynamic programming."""
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for j, other in enumerate(b, start=1):
            diagonal, row[j] = (
                row[j],
                diagonal + 1 if word == other else max(row[j], row[j - 1]),
            )
    return row[-1]
