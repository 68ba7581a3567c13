"""Measures that need the clean reference: PESQ-WB, STOI, ESTOI, SI-SDR.

All take (reference, estimate), float arrays [T] of one length at 16 kHz, and raise
`MetricError` where the measure is not defined (silence, lengths that differ, NaN, too short):
a failed metric is a row with its error, never a silent 0. `docs/metrics.md` has ranges and sources.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearken.errors import MetricError, require
from hearken.nouns import SAMPLE_RATE

__all__ = ["PESQ_MAX_S", "SI_SDR_BOUND_DB", "estoi", "pesq_wb", "si_sdr_db", "stoi"]

SI_SDR_BOUND_DB = 100.0
"""An exact copy has SI-SDR +inf; the value is held within +-100 dB so that means exist."""

PESQ_MAX_S = 60.0
"""The P.862 code keeps 50 utterances in fixed arrays; longer files overrun them."""

Signal = NDArray[Any]


def pesq_wb(reference: Signal, estimate: Signal) -> float:
    """Wide-band PESQ as MOS-LQO, 1.04-4.64, higher is better (ITU-T P.862.2).

    Args:
        reference: clean speech [T], 16 kHz.
        estimate: what is judged [T], 16 kHz.

    Raises:
        MetricError: silence, no utterance found, shorter than 0.25 s or longer than 60 s.
        UsageError: the `metrics` extra is not installed.
    """
    reference, estimate = _checked("PESQ", reference, estimate)
    if len(reference) > PESQ_MAX_S * SAMPLE_RATE:
        raise MetricError(
            f"PESQ: clip of {len(reference) / SAMPLE_RATE:.1f} s; it is defined up to "
            f"{PESQ_MAX_S:.0f} s: cut the clip"
        )
    try:
        import pesq
    except ModuleNotFoundError as error:
        raise require("pesq", "metrics") from error
    try:
        value = float(pesq.pesq(SAMPLE_RATE, reference, estimate, "wb"))
    except (pesq.PesqError, ValueError, ZeroDivisionError) as error:
        what = error.args[0] if error.args else type(error).__name__
        what = what.decode() if isinstance(what, bytes) else str(what)
        raise MetricError(f"PESQ: {what}") from error
    if not np.isfinite(value):
        raise MetricError(f"PESQ: result is {value}")
    return value


def stoi(reference: Signal, estimate: Signal) -> float:
    """Short-time objective intelligibility, about 0-1, higher is better (Taal et al. 2011).

    Raises:
        MetricError: silence, lengths that differ, fewer than 30 speech frames (about 0.4 s).
        UsageError: the `metrics` extra is not installed.
    """
    return _stoi("STOI", reference, estimate, extended=False)


def estoi(reference: Signal, estimate: Signal) -> float:
    """Extended STOI, about 0-1, higher is better (Jensen and Taal 2016). Errors as `stoi`."""
    return _stoi("ESTOI", reference, estimate, extended=True)


def si_sdr_db(reference: Signal, estimate: Signal) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019, eq. 3).

    With a = <e, s> / |s|^2 for zero-mean s (reference) and e (estimate),
    SI-SDR = 10 log10(|a s|^2 / |a s - e|^2). Held within +-`SI_SDR_BOUND_DB`.

    Raises:
        MetricError: silence, lengths that differ, NaN.

    >>> s = np.sin(np.arange(16000) / 10.0)
    >>> n = np.cos(np.arange(16000) / 10.0)
    >>> round(si_sdr_db(s, s + 0.1 * n))
    20
    """
    reference, estimate = _checked("SI-SDR", reference, estimate)
    s = reference - reference.mean()
    e = estimate - estimate.mean()
    energy = float(s @ s)
    if np.ptp(reference) == 0.0 or np.ptp(estimate) == 0.0:
        raise MetricError("SI-SDR: a constant signal has no scale")
    scaled = (float(e @ s) / energy) * s
    rest = scaled - e
    kept, lost = float(scaled @ scaled), float(rest @ rest)
    floor = 1e-13 * (kept + lost)  # below the bound, and keeps the logarithm finite
    ratio_db = 10.0 * np.log10((kept + floor) / (lost + floor))
    return float(np.clip(ratio_db, -SI_SDR_BOUND_DB, SI_SDR_BOUND_DB))


def _stoi(name: str, reference: Signal, estimate: Signal, *, extended: bool) -> float:
    reference, estimate = _checked(name, reference, estimate)
    try:
        from pystoi import stoi as pystoi
    except ModuleNotFoundError as error:
        raise require("pystoi", "metrics") from error
    with warnings.catch_warnings(), _fixed_numpy_seed():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            value = float(pystoi(reference, estimate, SAMPLE_RATE, extended=extended))
        except (RuntimeWarning, ValueError) as error:
            raise MetricError(f"{name}: fewer than 30 frames of speech ({error})") from error
    if not np.isfinite(value):
        raise MetricError(f"{name}: result is {value}")
    return value


@contextmanager
def _fixed_numpy_seed() -> Iterator[None]:
    """Pystoi dithers ESTOI from NumPy's global state: fix it, then give the state back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _checked(name: str, reference: Signal, estimate: Signal) -> tuple[Signal, Signal]:
    """Both as float64 [T], or the reason why `name` is undefined on them."""
    pair = []
    for role, x in (("reference", reference), ("estimate", estimate)):
        array = np.asarray(x, dtype=np.float64)
        if array.ndim != 1:
            raise MetricError(f"{name}: {role} has shape {array.shape}; it must be [T]")
        if not np.isfinite(array).all():
            raise MetricError(f"{name}: {role} has NaN or infinite samples")
        if not array.any():
            raise MetricError(f"{name}: {role} is silent")
        pair.append(array)
    if len(pair[0]) != len(pair[1]):
        raise MetricError(
            f"{name}: reference has {len(pair[0])} samples, estimate {len(pair[1])}: align them"
        )
    return pair[0], pair[1]
