"""Seven scores, 1-5, from what was done to a clip and from two intrusive metrics.

The rule, whole, is in docs/data.md. In short: every physical quantity has a severity by its
ramp; 0.8 x severity is its penalty (0-4); penalties of one dimension join as
4 (1 - prod(1 - p / 4)), so none can hide another and the sum cannot leave the scale.
Listening effort is led by ESTOI and the overall score by PESQ-WB, less what they cannot hear.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hearken.data.planted import Planted
from hearken.data.ramps import RAMPS
from hearken.nouns import DIMENSIONS

__all__ = ["Intrusive", "penalties", "pesq_to_mos", "scores", "soft"]

_PER_SEVERITY = 0.8
_SPEED_PER_OCTAVE = 2.0 / RAMPS["tempo_octaves"].ruinous

_DISTORTION = ("drr_db", "clip_ratio", "bandwidth_hz", "codec_level", "suppressed_share")
_CONTINUITY = ("lost_ratio", "clicks_per_s", "jump_db", "dropout_s", "pause_s")
_NATURALNESS = {
    "robot_share": 1.0,
    "suppressed_share": 0.6,
    "musical_snr_db": 0.5,
    "tempo_octaves": 0.8,
    "pause_s": 0.6,
    "codec_level": 0.5,
    "bandwidth_hz": 0.4,
    "clip_ratio": 0.4,
    "drr_db": 0.3,
    "lost_ratio": 0.6,
    "dropout_s": 0.4,
    "jump_db": 0.3,
}
"""How much of each penalty a listener would also hold against the voice itself."""

_NOISE_IN_NATURALNESS = 0.15


@dataclass(frozen=True)
class Intrusive:
    """Metrics of the degraded clip against its reference; None where one failed."""

    pesq_wb: float | None
    estoi: float | None
    si_sdr_db: float | None = None


def scores(planted: Planted, intrusive: Intrusive) -> dict[str, float]:
    """Continuous scores for the seven dimensions, 1-5; speed has 3 for normal.

    A metric that is None is replaced by the joint physical penalty.
    """
    physics = planted.physics
    one = penalties(physics)
    noise = join(one[k] for k in ("noise", "event") if k in one)
    distortion = join(
        [one[k] for k in _DISTORTION if k in one]
        + [0.6 * one[k] for k in ("musical_snr_db", "robot_share", "rt60_s") if k in one]
    )
    continuity = join(one[k] for k in _CONTINUITY if k in one)
    unnatural = join(
        [share * one[k] for k, share in _NATURALNESS.items() if k in one]
        + [_NOISE_IN_NATURALNESS * noise]
    )
    unheard = join([0.5 * one[k] for k in ("tempo_octaves", "pause_s", "jump_db") if k in one])
    everything = join((0.8 * noise, 0.8 * distortion, 0.7 * continuity, 0.5 * unnatural))
    octaves = math.log2(physics.get("tempo", 1.0))
    value = {
        "noise": 5.0 - noise,
        "distortion": 5.0 - distortion,
        "speed": 3.0 + _SPEED_PER_OCTAVE * octaves,
        "continuity": 5.0 - continuity,
        "naturalness": 5.0 - unnatural,
        "listening_effort": 5.0 - join((_effort(intrusive.estoi, everything), 0.5 * unheard)),
        "overall": 5.0 - join((_dissatisfaction(intrusive.pesq_wb, everything), unheard)),
    }
    return {name: min(5.0, max(1.0, value[name])) for name in DIMENSIONS}


def penalties(physics: Mapping[str, float]) -> dict[str, float]:
    """Each physical quantity as a penalty 0-4; the steady noises are first joined to one.

    "noise" sums the powers of background, hum, a competing talker (which counts 2 dB more
    than it measures: it is harder to ignore) and what a noise suppressor left; "event" weighs
    the event's penalty by 0.6 + 0.4 sqrt(its share of the time).
    """
    steady_db = {
        "background_snr_db": 0.0,
        "talker_snr_db": 2.0,
        "hum_snr_db": -4.0,
        "residual_snr_db": 0.0,
    }
    found = {k: _PER_SEVERITY * RAMPS[k].severity(v) for k, v in physics.items() if k in RAMPS}
    out = {k: v for k, v in found.items() if k not in steady_db and k != "event_snr_db"}
    power = sum(
        10 ** (-(physics[k] - more_db) / 10) for k, more_db in steady_db.items() if k in physics
    )
    if power > 0:
        snr_db = -10 * math.log10(power)
        out["noise"] = _PER_SEVERITY * RAMPS["background_snr_db"].severity(snr_db)
    if "event_snr_db" in found:
        share = min(1.0, max(0.0, physics.get("event_share", 1.0)))
        out["event"] = found["event_snr_db"] * (0.6 + 0.4 * math.sqrt(share))
    return out


def join(parts: Iterable[float]) -> float:
    """Penalties 0-4 as one: 4 (1 - prod(1 - p / 4)); never less than the largest of them.

    >>> join([2.0, 2.0])
    3.0
    """
    left = 1.0
    for p in parts:
        left *= 1.0 - min(4.0, max(0.0, p)) / 4.0
    return 4.0 * (1.0 - left)


def pesq_to_mos(pesq_wb: float) -> float:
    """PESQ-WB, 1.02-4.64, spread over 1-5.

    Undoes the logistic of ITU-T P.862.2, y = 0.999 + 4 / (1 + exp(-1.3669 x + 3.8224)),
    which squeezes all noisy speech into 1.0-1.5, then takes x from 0.3-4.5 to 1-5.

    >>> round(pesq_to_mos(4.644), 2), round(pesq_to_mos(1.1), 2)
    (5.0, 1.0)
    """
    y = min(4.6438, max(1.005, pesq_wb))
    x = (3.8224 - math.log(4.0 / (y - 0.999) - 1.0)) / 1.3669
    return min(5.0, max(1.0, 1.0 + 4.0 * (x - 0.3) / 4.2))


def soft(value: float) -> tuple[float, float, float, float, float]:
    """A value as probabilities over the digits 1..5 whose mean is the value again.

    >>> soft(3.25)
    (0.0, 0.0, 0.75, 0.25, 0.0)
    """
    value = min(5.0, max(1.0, value))
    p = [max(0.0, 1.0 - abs(value - digit)) for digit in range(1, 6)]
    return (p[0], p[1], p[2], p[3], p[4])


def _effort(estoi: float | None, otherwise: float) -> float:
    """Penalty by ESTOI: none at 0.98, 4 at 0.28; straight between."""
    return otherwise if estoi is None else min(4.0, max(0.0, 4.0 * (0.98 - estoi) / 0.7))


def _dissatisfaction(pesq_wb: float | None, physical: float) -> float:
    """Three parts PESQ, one part physics."""
    if pesq_wb is None:
        return physical
    return 0.75 * (5.0 - pesq_to_mos(pesq_wb)) + 0.25 * physical
