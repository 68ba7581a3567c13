"""Credit by line: each reward goes to the tokens that earned it.

An answer has a line for each score, one of faults and one of words, and each part of its grade
is of one line. Paid out over the whole answer, a well-placed dropout praises an unlucky digit as
well; paid out by line, a token hears only of its own. Within a group, as in GRPO (Shao et al.
2024, eq. 3), but divided by the spread of the whole batch: a group that hardly differs should
hardly count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearken.nouns import DIMENSIONS, Judgement

__all__ = ["LINES", "line_advantages", "token_advantages"]

LINES: tuple[tuple[str, ...], ...] = (
    *((name,) for name in DIMENSIONS),
    ("fault_presence", "fault_type", "fault_time", "fault_detail"),
    ("words",),
)
"""The parts of a grade that each line of an answer earns; the grammar is every line's, as words
that break it score 0 in all."""


def line_advantages(
    judged: Sequence[Judgement], group: int, score_weight: float = 1.0
) -> NDArray[np.float32]:
    """[B, 9] by how much each line did better than the same line of the other answers.

    Args:
        judged: B grades, those of one clip together.
        group: answers to a clip.
        score_weight: of the seven lines of scores, against 1 of faults and of words.
    """
    earned = np.array([[sum(j.parts[p] for p in line) for line in LINES] for j in judged])
    by_group = earned.reshape(-1, group, len(LINES))
    centred = (by_group - by_group.mean(axis=1, keepdims=True)).reshape(earned.shape)
    weight = np.array([score_weight] * len(DIMENSIONS) + [1.0, 1.0])
    return (weight * centred / (centred.std(axis=0) + 1e-4)).astype(np.float32)


def token_advantages(
    tokenizer: Any, completions: Sequence[Sequence[int]], lines: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[B, L] for each token the advantage of the line [B, 9] that it is on.

    A token that begins with a line break is on the line it begins; whatever follows the last
    line counts as part of it.
    """
    out = np.zeros((len(completions), max((len(c) for c in completions), default=0)), np.float32)
    breaks: dict[int, int] = {}
    for row, ids in enumerate(completions):
        line = 0
        for place, token in enumerate(ids):
            if token not in breaks:
                breaks[token] = tokenizer.decode([token]).count("\n")
            line = min(line + breaks[token], len(LINES) - 1)
            out[row, place] = lines[row, line]
    return out
