"""Temperatures that make a critic's intervals hold what they promise.

A network's probabilities are surer than they should be (Guo et al. 2017). One temperature for
each dimension, fitted on clips that it was not trained on, spreads its digits until the 90 %
intervals hold 90 % of the true values. It is kept beside the weights, and applied whenever a
score is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hearken.critic.interval import MASS, interval
from hearken.critic.prompt import SIDE_FILE
from hearken.errors import HearkenError
from hearken.nouns import DIMENSIONS, Description

__all__ = ["coverage", "fit", "keep", "temper"]

_ENOUGH = 20
_GRID = (1.0, *(float(t) for t in np.geomspace(0.7, 6.0, 40)))  # sharper ones cost correlation


def temper(probs: Sequence[float], temperature: float) -> tuple[float, ...]:
    """Probabilities p ** (1 / temperature), normalised: above 1 flatter, below 1 sharper.

    >>> temper((0.8, 0.2), 1.0)
    (0.8, 0.2)
    >>> temper((0.9, 0.1), 2.0)
    (0.75, 0.25)
    """
    raised = np.asarray(probs, np.float64) ** (1.0 / temperature)
    return tuple(round(float(p), 9) for p in raised / raised.sum())


def coverage(probs: Sequence[Sequence[float]], truth: Sequence[float], mass: float = MASS) -> float:
    """Share of the true values [N] inside the intervals of the distributions [N][5]."""
    ends = [interval(p, mass) for p in probs]
    return float(np.mean([lo <= t <= hi for (lo, hi), t in zip(ends, truth, strict=True)]))


def fit(
    said: Sequence[Description | HearkenError], truth: Sequence[Description]
) -> dict[str, float]:
    """The temperature of each dimension whose intervals hold most nearly `MASS` of the truth.

    Args:
        said: answers, their scores read without a temperature; unreadable ones are left out.
        truth: of the same clips.

    Returns:
        Dimension -> temperature; none at all for fewer than 20 answers, which tell nothing.
    """
    pairs = [(s, t) for s, t in zip(said, truth, strict=True) if isinstance(s, Description)]
    if len(pairs) < _ENOUGH:
        return {}
    found = {}
    for name in DIMENSIONS:
        probs = [s.scores[name].probs for s, _ in pairs]
        values = [t.scores[name].value for _, t in pairs]
        misses = [abs(coverage([temper(p, t) for p in probs], values) - MASS) for t in _GRID]
        near = [t for t, miss in zip(_GRID, misses, strict=True) if miss <= min(misses) + 1e-9]
        mildest: float = min(near, key=lambda t: abs(math.log(t)))
        found[name] = round(mildest, 4)
    return found


def keep(folder: Path, temperatures: Mapping[str, float]) -> None:
    """Writes the temperatures into a critic folder's side file."""
    path = folder / SIDE_FILE
    side = json.loads(path.read_text("utf-8")) if path.is_file() else {"prompt": "describe"}
    path.write_text(json.dumps({**side, "temperature": dict(temperatures)}) + "\n", "utf-8")
