"""How well a critic does on clips whose truth is known, in the few numbers training watches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hearken.critic.grade import grade
from hearken.errors import HearkenError
from hearken.nouns import DIMENSIONS, Description

__all__ = ["agreement"]


def agreement(
    said: Sequence[Description | HearkenError], truths: Sequence[Description]
) -> dict[str, float]:
    """Correlation of each score with the truth, faults named rightly, share that parses.

    A dimension whose correlation is undefined (constant, or fewer than 3 readable) counts 0.
    """
    pairs = [(s, t) for s, t in zip(said, truths, strict=True) if isinstance(s, Description)]
    pcc = {}
    for d in DIMENSIONS:
        a = np.array([s.scores[d].value for s, _ in pairs])
        b = np.array([t.scores[d].value for _, t in pairs])
        defined = len(pairs) >= 3 and a.std() > 1e-9 and b.std() > 1e-9
        pcc[f"valid/{d}_pcc"] = float(np.corrcoef(a, b)[0, 1]) if defined else 0.0
    hits = sum(len({f.type for f in s.faults} & {f.type for f in t.faults}) for s, t in pairs)
    named = sum(len({f.type for f in s.faults}) for s, _ in pairs)
    planted = sum(len({f.type for f in t.faults}) for t in truths)
    answers = [s if isinstance(s, Description) else "" for s in said]
    grades = [grade(s, t) for s, t in zip(answers, truths, strict=True)]
    score = float(np.mean(list(pcc.values())))
    f1 = 2 * hits / max(1, planted + named)
    time = float(np.mean([g.parts["fault_time"] for g in grades]))
    return {
        "valid/all": (score + f1 + time) / 3,
        "valid/score_pcc": score,
        **pcc,
        "valid/fault_f1": f1,
        "valid/fault_recall": hits / max(1, planted),
        "valid/fault_precision": hits / max(1, named),
        "valid/fault_time": time,
        "valid/words": float(np.mean([g.parts["words"] for g in grades])),
        "valid/parsed": len(pairs) / max(1, len(said)),
    }
