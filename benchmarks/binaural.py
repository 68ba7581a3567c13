"""What the enhancer does to the place of a talker: level and time differences between two ears.

    hearken data scenes --data DIR -o SCENES --count 20 --split valid --binaural
    python benchmarks/binaural.py --scenes SCENES [--enhancer DIR] [--json OUT]

The scenes are simulated (`hearken.data.scenes_binaural`): a hard sphere, no measured head. Three
systems: *unprocessed*; *one mask*, of the better ear, on both ears, as the product does; and
*mask per ear*, the enhancer on each ear as if the other were not there.

A bin of the spectrogram (32 ms, every 8 ms) counts where the target is above the interferer by the
margin at both ears, and within 40 dB of his loudest bin. In it the interaural level difference
(ILD, dB, all frequencies) and time difference (ITD, us, from the phase, below 1500 Hz) of the
output are compared with those of the target's stem. The error of a scene is the mean of the
absolute differences, weighted by the target's power; tables give means over scenes with 95 %
bootstrap intervals over scenes. *pooled* first sums power and cross-spectrum of these bins over
the scene, for each frequency: where the talker is, less how he flickers. *added* compares with the
mixture in the same bins: what the enhancer itself moved. SI-SDR gain is at the ear where the
mixture has the higher SI-SDR.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearken import Enhancer
from hearken.data import scenes
from hearken.enhancer.lips import crop_mouths
from hearken.errors import HearkenError
from hearken.metrics.agreement import bootstrap_ci
from hearken.metrics.intrusive import si_sdr_db
from hearken.nouns import SAMPLE_RATE, Audio, Scene

SYSTEMS = ("unprocessed", "one mask", "mask per ear")
BARS = {"ild_db": 1.0, "itd_us": 30.0}
"""The largest mean errors that pass, of *one mask* in bins that the target dominates by 0 dB."""

MARGINS_DB = (0.0, 10.0)
FLOOR_DB = 40.0
ITD_BELOW_HZ = 1500.0
FRAME, HOP = 512, 128

Row = dict[str, float]


def main() -> None:
    """Enhance every scene three ways, print the tables and, if asked, write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--enhancer", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    enhancer = Enhancer.from_pretrained(args.enhancer)
    found = [s for s in scenes.read(args.scenes) if s.reference is not None][: args.limit]
    rows = [row for scene in found for row in measured(enhancer, scene)]
    out = {
        "enhancer": {"id": enhancer.id, "revision": enhancer.revision},
        "scenes": len(found),
        "bars": BARS,
        **summary(rows),
    }
    print(json.dumps(out, indent=1))
    if args.json:
        args.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


def measured(enhancer: Any, scene: Scene) -> list[dict[str, Any]]:
    """One row for each system: its name, and its figures."""
    sound = scenes.load_binaural(scene)
    if sound.reference is None or sound.interferer is None:
        raise HearkenError(f"{scene.mix}: no stems at both ears; build with --binaural")
    lips = crop_mouths(scene.video) if scene.video else None
    seen = (lips.crops, lips.found) if lips is not None and lips.found.any() else (None, None)
    made = {
        "unprocessed": sound.mix,
        "one mask": enhancer.enhance(sound.mix, *seen),
        "mask per ear": np.stack([enhancer.enhance(ear, *seen) for ear in sound.mix]),
    }
    before = [si_sdr_db(r, m) for r, m in zip(sound.reference, sound.mix, strict=True)]
    ear = int(np.argmax(before))
    return [
        {
            "system": name,
            "scene": scene.scene,
            "si_sdr_gain_db": si_sdr_db(sound.reference[ear], x[ear]) - before[ear],
            **errors(x, sound.mix, sound.reference, sound.interferer),
        }
        for name, x in made.items()
    ]


def errors(output: Audio, mix: Audio, target: Audio, interferer: Audio) -> Row:
    """Errors of the cues of [2, T] against the target's and, as `added`, the mixture's."""
    out, mixed, wanted, rest = (spectrum(x) for x in (output, mix, target, interferer))
    figures: Row = {}
    for margin_db in MARGINS_DB:
        weights = dominated(wanted, rest, margin_db)
        for name, other in (("", wanted), ("_added", mixed)):
            ild, itd = cue_errors(out, other, weights)
            figures |= {f"ild_db{name}/{margin_db:g}": ild, f"itd_us{name}/{margin_db:g}": itd}
        ild, itd = cue_errors(out, wanted, weights, pooled=True)
        figures |= {f"ild_db_pooled/{margin_db:g}": ild, f"itd_us_pooled/{margin_db:g}": itd}
    return figures


def spectrum(ears: Audio) -> NDArray[np.complex128]:
    """[2, T] to [2, K, F]."""
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    stft = ShortTimeFFT(hann(FRAME, sym=False), hop=HOP, fs=SAMPLE_RATE)
    return np.stack([stft.stft(x.astype(np.float64)) for x in ears])


def dominated(
    target: NDArray[np.complex128], rest: NDArray[np.complex128], margin_db: float
) -> NDArray[np.float64]:
    """The target's power [K, F] at both ears, zero where he does not dominate."""
    power, other = np.abs(target) ** 2, np.abs(rest) ** 2
    total = power.sum(axis=0)
    above = (power > other * 10 ** (margin_db / 10)).all(axis=0)
    return np.where(above & (total > total.max() * 10 ** (-FLOOR_DB / 10)), total, 0.0)


def cue_errors(
    one: NDArray[np.complex128],
    two: NDArray[np.complex128],
    weights: NDArray[np.float64],
    *,
    pooled: bool = False,
) -> tuple[float, float]:
    """Weighted mean absolute differences of ILD, dB, and of ITD, us; NaN where no bin counts."""
    level, turn = _cues(one, weights > 0, pooled)
    other_level, other_turn = _cues(two, weights > 0, pooled)
    weights = weights.sum(axis=1, keepdims=True) if pooled else weights
    hz = np.fft.rfftfreq(FRAME, 1 / SAMPLE_RATE)
    low = (hz > 0) & (hz < ITD_BELOW_HZ)
    lag_us = 1e6 * np.angle((turn * other_turn.conj())[low]) / (2 * np.pi * hz[low, None])
    return (
        _mean(np.abs(level - other_level), weights),
        _mean(np.abs(lag_us), weights[low]),
    )


def _cues(
    ears: NDArray[np.complex128], kept: NDArray[np.bool_], pooled: bool
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Level difference, dB, and cross-spectrum: [K, F], or [K, 1] over the frames that are kept."""
    power, turn = np.abs(ears) ** 2, ears[0] * ears[1].conj()
    if pooled:
        power = (power * kept).sum(axis=2, keepdims=True)
        turn = (turn * kept).sum(axis=1, keepdims=True)
    tiny = 1e-24
    return 10 * np.log10((power[0] + tiny) / (power[1] + tiny)), turn


def _mean(x: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    total = float(weights.sum())
    return float((x * weights).sum() / total) if total else float("nan")


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """{"systems": {system: {figure: mean and interval}}, "passed"}."""
    figures = [k for k in rows[0] if k not in ("system", "scene")]
    systems = {
        name: {f: _interval([r[f] for r in rows if r["system"] == name]) for f in figures}
        for name in SYSTEMS
    }
    kept = systems["one mask"]
    passed = all(kept[f"{cue}/0"]["value"] <= bar for cue, bar in BARS.items())
    return {"systems": systems, "passed": passed}


def _interval(values: Sequence[float]) -> dict[str, float]:
    kept = np.array([v for v in values if np.isfinite(v)])
    if not len(kept):
        return {"value": float("nan"), "low": float("nan"), "high": float("nan"), "count": 0}
    ci = bootstrap_ci(kept)
    return {
        "value": round(ci.value, 3),
        "low": round(ci.low, 3),
        "high": round(ci.high, 3),
        "count": ci.count,
    }


if __name__ == "__main__":
    main()
