"""Grades what was said against the planted truth: the reward of reasoning and its evaluation.

Every part lies in [0, 1], each dimension has its own (Kostenok et al. 2026, dimension-wise
rewards), and `grade(render(truth), truth)` is 1 in every part. Words that break the grammar
score 0 in all: the critic as a student is never excused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hearken.critic.grammar import parse, quantise
from hearken.errors import GrammarError
from hearken.nouns import DIMENSIONS, Description, Fault, Judgement

__all__ = ["PARTS", "grade", "pair_faults"]

PARTS = (
    *DIMENSIONS,
    "fault_presence",
    "fault_type",
    "fault_time",
    "fault_detail",
    "words",
    "grammar",
)


def grade(said: Description | GrammarError | str, truth: Description) -> Judgement:
    """How near the words are to the truth; the total is the mean of the parts.

    Args:
        said: a description, a text to be parsed, or the error that parsing gave.
        truth: what was planted; compared as far as the grammar can say it.
    """
    if isinstance(said, str):
        try:
            said = parse(said)
        except GrammarError as error:
            said = error
    if isinstance(said, GrammarError):
        return Judgement(0.0, dict.fromkeys(PARTS, 0.0))
    truth = quantise(truth)
    pairs = pair_faults(said.faults, truth.faults)
    parts = {
        d: 1 - abs(said.scores[d].value - truth.scores[d].value) / 4  # 4: the widest miss
        for d in DIMENSIONS
    }
    parts |= {
        "fault_presence": float(bool(said.faults) == bool(truth.faults)),
        "fault_type": _f1([f.type for f in said.faults], [f.type for f in truth.faults]),
        "fault_time": _times(pairs, max(len(said.faults), len(truth.faults))),
        "fault_detail": _details(pairs, truth.faults),
        "words": _overlap(said.words, truth.words),
        "grammar": 1.0,
    }
    return Judgement(sum(parts.values()) / len(parts), parts)


def pair_faults(said: Sequence[Fault], truth: Sequence[Fault]) -> list[tuple[Fault, Fault]]:
    """Faults of one type matched one to one, the largest overlap in time first."""
    rivals = [
        (_iou(s, t), i, j)
        for i, s in enumerate(said)
        for j, t in enumerate(truth)
        if s.type == t.type
    ]
    used_said: set[int] = set()
    used_truth: set[int] = set()
    pairs = []
    for _, i, j in sorted(rivals, key=lambda r: (-r[0], r[1], r[2])):
        if i not in used_said and j not in used_truth:
            used_said.add(i)
            used_truth.add(j)
            pairs.append((said[i], truth[j]))
    return pairs


def _iou(a: Fault, b: Fault) -> float:
    """Intersection over union in time."""
    both = max(0.0, min(a.end_s, b.end_s) - max(a.start_s, b.start_s))
    union = max(a.end_s, b.end_s) - min(a.start_s, b.start_s)
    return min(1.0, both / union) if union > 0 else 0.0


def _times(pairs: Sequence[tuple[Fault, Fault]], count: int) -> float:
    """Mean overlap in time over all faults of either side; an unmatched one counts 0."""
    return min(1.0, sum(_iou(s, t) for s, t in pairs) / count) if count else 1.0


def _details(pairs: Sequence[tuple[Fault, Fault]], truth: Sequence[Fault]) -> float:
    """Overlap of the details' words, over the true faults that have a detail."""
    named = sum(bool(f.detail) for f in truth)
    got = sum(_f1(s.detail.lower().split(), t.detail.lower().split()) for s, t in pairs if t.detail)
    return got / named if named else 1.0


def _f1(said: Sequence[str], truth: Sequence[str]) -> float:
    """F1 of two bags; 1 where both are empty."""
    if not said and not truth:
        return 1.0
    both = sum((Counter(said) & Counter(truth)).values())
    return 2 * both / (len(said) + len(truth))


def _overlap(said: str, truth: str) -> float:
    """ROUGE-L F1: the longest common subsequence of words."""
    a, b = _tokens(said), _tokens(truth)
    if not a and not b:
        return 1.0
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, start=1):
            above = row[j]
            row[j] = diagonal + 1 if x == y else max(above, row[j - 1])
            diagonal = above
    return 2 * row[-1] / (len(a) + len(b))


def _tokens(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()
