"""What reasoning (GRPO) changed on clips that no choice has seen: greedy and sampled answers.

    python benchmarks/reason_heldout.py BEFORE AFTER CORPUS [--count 400] [-o FILE]

The policy is trained on its sampled answers, so their mean grade is what its reward is; the
critic that users hear is greedy. Paired by clip; 95 % intervals over talkers. `text agreement` is
ROUGE-L with the true words; `type F1` of the fault types by clip and `timed F1` of the faults that
have a time of their own (IoU 0.5) pool all clips.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearken import Critic
from hearken.critic.grade import grade
from hearken.data.corpus import Planting, read_corpus
from hearken.media import load_audio
from hearken.metrics.agreement import bootstrap_ci, pcc
from hearken.metrics.spans import match
from hearken.metrics.text import rouge_l
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Description

Rows = NDArray[np.float64]
SCORES = len(DIMENSIONS)


def facts(said: Any, planting: Planting) -> list[float]:
    """One clip's row: grade, ROUGE-L, 7 scores said, 7 true, then hits, said, true, twice."""
    truth = planting.description
    total = grade(said, truth).total
    true_scores = [truth.scores[d].value for d in DIMENSIONS]
    types = {f.type for f in truth.faults}
    timed = [f for f in truth.faults if FAULT_TYPES[f.type].localised]
    if not isinstance(said, Description):
        nothing = [3.0] * SCORES
        return [total, 0.0, *nothing, *true_scores, 0, 0, len(types), 0, 0, len(timed)]
    named = {f.type for f in said.faults}
    found = match([f for f in said.faults if FAULT_TYPES[f.type].localised], timed)
    return [
        total,
        rouge_l(said.words, truth.words),
        *(said.scores[d].value for d in DIMENSIONS),
        *true_scores,
        *(len(named & types), len(named), len(types)),
        *(found.hits, found.said, found.true),
    ]


def mean_pcc(rows: Rows) -> float:
    """Mean correlation over the dimensions."""
    said, true = rows[:, 2 : 2 + SCORES], rows[:, 2 + SCORES : 2 + 2 * SCORES]
    return float(np.mean([pcc(said[:, k], true[:, k]) for k in range(SCORES)]))


def f1(rows: Rows, first: int) -> float:
    """2 hits / (said + true), over all clips."""
    hits, said, true = rows[:, first : first + 3].sum(axis=0)
    return float(2 * hits / max(1.0, said + true))


FIGURES = {
    "grade": lambda rows: float(rows[:, 0].mean()),
    "text agreement": lambda rows: float(rows[:, 1].mean()),
    "type F1": lambda rows: f1(rows, 2 + 2 * SCORES),
    "timed F1": lambda rows: f1(rows, 5 + 2 * SCORES),
    "mean PCC": mean_pcc,
}


def compared(before: Rows, after: Rows, talkers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Each figure before, after, and its paired change with the interval over talkers."""
    width = before.shape[1]
    both = np.concatenate([before, after], axis=1)
    found = {}
    for name, figure in FIGURES.items():
        ci = bootstrap_ci(
            both, talkers, statistic=lambda r, f=figure: f(r[:, width:]) - f(r[:, :width])
        )
        found[name] = {"before": figure(before), "after": figure(after), "value": ci.value,
                       "low": ci.low, "high": ci.high, "count": ci.count}  # fmt: skip
    return found


def main() -> None:
    """Grade both critics in both ways and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("-o", "--out", type=Path)
    args = parser.parse_args()
    plantings = read_corpus(args.corpus)[args.skip : args.skip + args.count]
    sounds = [load_audio(p.path) for p in plantings]
    critics = [Critic.from_pretrained(folder) for folder in (args.before, args.after)]
    found = {}
    for how in ("greedy", "sampled"):
        options: dict[str, Any] = {}
        if how == "sampled":
            options = {"sample": True, "temperature": args.temperature, "seed": 1}
        before, after = (
            np.array(
                [facts(s, p) for s, p in zip(c.listen(sounds, **options), plantings, strict=True)]
            )
            for c in critics
        )
        found[how] = compared(before, after, [p.speaker for p in plantings])
    text = json.dumps(found, indent=1)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
