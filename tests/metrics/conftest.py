"""Rows of an evaluation of the critic, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hearken.metrics.heard_faults import faults_text
from hearken.metrics.spans import match, mean_iou
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Fault


def _row(i, said, true, *, value=3.0, known=3.0, words="a. b.", speaker=None):
    timed = [[f for f in side if FAULT_TYPES[f.type].localised] for side in (said, true)]
    made = {"clip": f"{i}", "control": "", "speaker": speaker or f"s{i}", "heard": True}
    made |= {"parsed": True, "grade": 0.5, "rouge_l": 0.5, "group": "", "seconds": 4.0}
    made |= {"said/words": words, "true/words": f"truth {i}."}
    for side, faults in (("said", said), ("true", true)):
        made[f"{side}/faults"] = faults_text(faults)
        made[f"{side}/types"] = " ".join(sorted({f.type for f in faults}))
    for name, (a, b) in (("all", (said, true)), ("timed", timed)):
        c = match(a, b)
        made |= {f"{name}/hits": c.hits, f"{name}/said": c.said, f"{name}/true": c.true}
        made[f"{name}/iou"] = mean_iou(a, b) if a or b else None
        made[f"{name}/onset_errors_s"] = " ".join(f"{e:.3f}" for e in c.onset_errors_s)
    for d in DIMENSIONS:
        made |= {f"said/{d}": value, f"true/{d}": known, f"lo/{d}": value - 1, f"hi/{d}": value}
    return made


@pytest.fixture
def heard_row() -> Callable[..., dict[str, Any]]:
    """(number, said faults, true faults, said value, known value) -> one clip's row."""
    return _row


@pytest.fixture
def clicks() -> Callable[..., Fault]:
    """(start, end, confidence) -> a fault with times of its own."""
    return lambda start, end, confidence=None: Fault("clicks", start, end, 3, confidence=confidence)
