"""How sure a score is: the interval that its distribution over the digits stands for.

Pure Python and nothing to load: the record, the evaluation and the reports all call this one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise

__all__ = ["MASS", "interval"]

MASS = 0.9
"""Share of the distribution that the interval of every score holds."""


def interval(probs: Sequence[float], mass: float = MASS) -> tuple[float, float]:
    """The shortest interval that holds `mass` of a distribution over the digits 1..5.

    A true value between two digits is taught as both of them, in proportion to how near each is
    (`hearken.data.scores.soft`). Read backwards, digit k stands for the values around it with a
    density that falls linearly to 0 at its neighbours: a triangle of half-width 1, half of one
    at 1 and at 5, each of mass 1. The density of the value is the sum over k of p_k times its
    triangle: straight between digits, p_k high at 2, 3, 4 and 2 p_k at 1 and 5.

    Args:
        probs: five, 0 or more, at least one above 0; need not sum to 1.
        mass: between 0 and 1.

    Returns:
        (lo, hi), 1 <= lo < hi <= 5. Of several shortest ones, the lowest.

    >>> interval((0, 0, 0, 0, 1))
    (4.316228, 5.0)
    >>> interval((0, 0, 1, 0, 0))
    (2.316228, 3.683772)
    """
    total = float(sum(probs))
    heights = [float(p) / total for p in probs]
    heights[0] *= 2
    heights[-1] *= 2
    below = [0.0]  # mass below each digit
    for left, right in pairwise(heights):
        below.append(below[-1] + (left + right) / 2)
    found = []
    for x in _turns(heights, below, mass):
        at = _mass_below(x, heights, below)
        if at + mass <= 1 + 1e-9:
            found.append((x, _value(at + mass, heights, below)))
        if at - mass >= -1e-9:
            found.append((_value(at - mass, heights, below), x))
    lo, hi = min(found, key=lambda ends: (round(ends[1] - ends[0], 9), ends[0]))
    return round(lo, 6), round(hi, 6)


def _turns(heights: list[float], below: list[float], mass: float) -> list[float]:
    """Values at which the shortest interval can begin or end.

    Slid along, an interval [a, b] of constant mass is shortest where its ends have one density,
    f(a) = f(b) = h, or where an end lies on a digit. On a straight piece k with slope g the mass
    below the point of density h is below[k] + (h^2 - heights[k]^2) / 2g: that makes h of each
    pair of pieces one equation.
    """
    turns = [1.0, 2.0, 3.0, 4.0, 5.0]
    slopes = [right - left for left, right in pairwise(heights)]
    slopes = [g if abs(g) > 1e-12 else 0.0 for g in slopes]
    for i, j in combinations(range(4), 2):
        (fi, gi), (fj, gj) = (heights[i], slopes[i]), (heights[j], slopes[j])
        if math.isclose(gi, gj):
            continue
        if gi == 0 or gj == 0:
            level = fi if gi == 0 else fj
        else:
            rest = mass + below[i] - below[j] + fj**2 / (2 * gj) - fi**2 / (2 * gi)
            level = math.sqrt(max(0.0, rest / (1 / (2 * gj) - 1 / (2 * gi))))
        for k, f, g in ((i, fi, gi), (j, fj, gj)):
            if g and 0 < (level - f) / g < 1:
                turns.append(k + 1 + (level - f) / g)
    return turns


def _mass_below(x: float, heights: list[float], below: list[float]) -> float:
    k = min(int(x) - 1, 3)
    s = x - 1 - k
    return below[k] + s * heights[k] + s * s * (heights[k + 1] - heights[k]) / 2


def _value(mass: float, heights: list[float], below: list[float]) -> float:
    """The lowest value with so much mass below it."""
    k = next((k for k in range(4) if below[k + 1] >= mass), 3)
    rest, f, g = max(0.0, mass - below[k]), heights[k], heights[k + 1] - heights[k]
    root = f + math.sqrt(max(0.0, f * f + 2 * g * rest))
    return k + 1 + min(1.0, 2 * rest / root if root > 0 else 0.0)
