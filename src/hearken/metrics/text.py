"""How alike two texts are: ROUGE-L."""

from __future__ import annotations

import re

__all__ = ["rouge_l"]

_WORD = re.compile(r"[a-z0-9]+")


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
