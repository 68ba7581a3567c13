"""A simple, plausible repair of the span of a timed fault, for re-listening and for nothing else.

    repair(samples, fault)     the clip with that span repaired, None where nothing is to be done

Repairs leave sound that has no such fault as much alone as they can. What they do to it all the
same is what the control span of `hearken.critic.verify` is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hearken.critic.evidence import (
    CLICK,
    RESOLUTION_S,
    active_db,
    frame_levels_db,
    lone_impulses_db,
)
from hearken.nouns import SAMPLE_RATE, Audio, Fault

__all__ = ["REPAIRS", "repair"]

Array = NDArray[np.float64]
Repair = Callable[[Array, int, int], Array]

_FADE = 80
_CLICK_DB = 12.0
_NEAR = 2 * SAMPLE_RATE  # what counts as the neighbourhood of a span


def repair(samples: Audio, fault: Fault) -> Audio | None:
    """The clip with one fault repaired.

    Args:
        samples: [T] at 16 kHz.
        fault: its times may reach beyond the clip.

    Returns:
        [T] float32, shorter after a pause was cut; None for a type that has no repair here, a
        span outside the clip, silence, and sound that the repair would not change.
    """
    mend = REPAIRS.get(fault.type)
    start = max(0, round(fault.start_s * SAMPLE_RATE))
    end = min(len(samples), round(fault.end_s * SAMPLE_RATE))
    if (
        mend is None
        or end - start < SAMPLE_RATE // 50
        or not samples.any()
        or not np.isfinite(samples).all()
    ):
        return None
    x = np.asarray(samples, np.float64)
    y = mend(x, start, end)
    same = len(y) == len(x) and np.array_equal(y, x)
    return None if same else np.clip(y, -1.0, 1.0).astype(np.float32)


def fill_holes(x: Array, start: int, end: int) -> Array:
    """Lost sound in the span: what lies before it played backwards, faded into what lies after."""
    active = active_db(frame_levels_db(x))
    if active is None:
        return x
    slack = round(RESOLUTION_S * SAMPLE_RATE)
    first, last = max(0, start - slack), min(len(x), end + slack)
    low = frame_levels_db(x[first:last], 80, 80) < active - 35.0
    edges = np.flatnonzero(np.diff(np.r_[0, low, 0]))
    y = x.copy()
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        p, q = max(0, first + a * 80 - _FADE), min(len(x), first + b * 80 + _FADE)
        if b - a < 2 or p < q - p or len(x) - q < 1:
            continue
        before = x[2 * p - q : p][::-1]
        after = x[q : 2 * q - p][::-1]
        after = np.pad(after, (q - p - len(after), 0))
        mix = np.linspace(0.0, 1.0, q - p)
        y[p:q] = np.sqrt(1 - mix) * before + np.sqrt(mix) * after
    return y


def remove_clicks(x: Array, start: int, end: int) -> Array:
    """Lone impulses in the span: 3 ms around each as a straight line."""
    slack = round(RESOLUTION_S * SAMPLE_RATE)
    lone_db = lone_impulses_db(x)
    if lone_db is None:
        return x
    lone_db[: max(0, start - slack)] = lone_db[end + slack :] = -60.0
    y = x.copy()
    while lone_db.max() > _CLICK_DB:
        at = int(np.argmax(lone_db))
        p, q = max(0, at - 6), min(len(x) - 1, at + 42)
        y[p : q + 1] = np.linspace(y[p], y[q], q - p + 1)
        lone_db[max(0, at - CLICK) : at + CLICK] = -60.0
    return y


def match_level(x: Array, start: int, end: int) -> Array:
    """The loud level of the span becomes that of its neighbourhood."""
    around = np.concatenate([x[max(0, start - _NEAR) : start], x[end : end + _NEAR]])
    if len(around) < SAMPLE_RATE // 5:
        return x
    change_db = _loud_db(around) - _loud_db(x[start:end])
    gain_db = np.zeros(len(x))
    gain_db[start:end] = np.clip(change_db, -30.0, 30.0)
    gain_db = np.convolve(gain_db, np.ones(_FADE) / _FADE, mode="same")
    return x * 10 ** (gain_db / 20)


def cut_pause(x: Array, start: int, end: int) -> Array:
    """The softest four fifths of the span are cut out, with a fade over the seam."""
    levels_db = frame_levels_db(x[start:end])
    length = max(1, round(0.8 * len(levels_db)))
    windows = np.lib.stride_tricks.sliding_window_view(levels_db, length)
    first = start + 160 * int(np.argmin(np.percentile(windows, 85, axis=1)))
    last = min(end, first + 160 * length)
    left, right = x[:first].copy(), x[last:].copy()
    n = min(_FADE, len(left), len(right))
    ramp = np.linspace(0.0, 1.0, n)
    seam = left[len(left) - n :] * (1 - ramp) + right[:n] * ramp
    return np.concatenate([left[: len(left) - n], seam, right[n:]])


def turn_down(x: Array, start: int, end: int) -> Array:
    """The span 30 dB softer, with whatever is said in it: the control span loses its words too."""
    gain_db = np.zeros(len(x))
    gain_db[start:end] = -30.0
    return x * 10 ** (np.convolve(gain_db, np.ones(_FADE) / _FADE, mode="same") / 20)


REPAIRS: Mapping[str, Repair] = MappingProxyType(
    {
        "noise_event": turn_down,
        "packet_loss": fill_holes,
        "clicks": remove_clicks,
        "gain_jump": match_level,
        "dropout": fill_holes,
        "unnatural_pause": cut_pause,
    }
)
"""Fault type -> what mends [start, end) of [T]; types without a time of their own are not here."""


def _loud_db(x: Array) -> float:
    return float(np.percentile(frame_levels_db(x), 90))
