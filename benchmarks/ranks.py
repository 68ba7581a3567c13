"""Who orders the versions of one sentence best: the critic, DNSMOS or DistillMOS?

    python benchmarks/ranks.py --data DATA_DIR [--critic DIR] [--sentences 24] --json OUT.json

Sentences, noises and talkers are held out of the critic's training. `codecs`: the sentence as it
is and through two codecs at five bit rates each. `enhancement`: in noise, and after spectral
subtraction, a Wiener filter (two settings of each) and the shipped enhancer without a picture.
Listeners' ratings cannot be shipped, so PESQ-WB against the clean sentence stands in for them (and
the critic's training truth contains PESQ: it is closer to it than the other two are); within one
codec the bit rate is a second, independent order. Mean over sentences of the rank correlation
within each, with its 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from hearken.app.corpora import Enhancing
from hearken.data.codecs import round_trip
from hearken.data.faults_noise import at_snr
from hearken.data.mixing import loop_to
from hearken.data.planted import working_gain
from hearken.data.repaired import CLASSIC
from hearken.metrics.agreement import bootstrap_ci, srcc
from hearken.metrics.blind import distillmos, dnsmos
from hearken.metrics.intrusive import pesq_wb
from hearken.nouns import Audio
from hearken.run.track import provenance, track
from robustness_sounds import RATES, Sounds

JUDGES = ("critic", "dnsmos", "distillmos")


def codecs(clip: Audio) -> tuple[list[Audio], list[tuple[str, float]]]:
    """Versions of a clip, and the codec and kbit/s of each."""
    gain = working_gain(clip)
    versions, labels = [clip], [("none", 0.0)]
    for codec, rates in RATES.items():
        for kbps in rates:
            versions.append(round_trip(clip * gain, codec, kbps) / gain)
            labels.append((codec, float(kbps)))
    return versions, labels


def enhanced(clip: Audio, noise: Audio, rng: np.random.Generator) -> list[Audio]:
    """A clip in noise of 0-10 dB, and what machines make of it."""
    mixture = clip + at_snr(clip, loop_to(noise, len(clip), rng), float(rng.uniform(0, 10)))
    machines = [m for m in CLASSIC for _ in range(2)] + [Enhancing("small")]
    return [mixture, *(machine(mixture, rng)(mixture) for machine in machines)]


def judged(critic: Any, versions: list[Audio], reference: Audio) -> dict[str, list[float]]:
    """Each judge's number of each version; higher is better."""
    said = critic.scores(versions)
    return {
        "critic": [float("nan") if not isinstance(s, dict) else s["overall"].value for s in said],
        "dnsmos": [dnsmos(x)["ovrl"] for x in versions],
        "distillmos": [distillmos(x) for x in versions],
        "pesq_wb": [pesq_wb(reference, x) for x in versions],
    }


def table(groups: list[dict[str, list[float]]], truth: str) -> dict[str, Any]:
    """Mean rank correlation of each judge with `truth` within groups, and its lead, paired."""
    ranks = {j: np.array([srcc(g[j], g[truth]) for g in groups]) for j in JUDGES}
    found = {j: _ci(r) for j, r in ranks.items()}
    for other in JUDGES[1:]:
        found[f"critic - {other}"] = _ci(ranks["critic"] - ranks[other])
    return found


def _ci(values: Any) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    ci = bootstrap_ci(known)
    return {"value": ci.value, "low": ci.low, "high": ci.high, "count": ci.count}


def main() -> None:
    """Measures, prints, saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--critic", help="folder of a critic; the shipped one by default")
    parser.add_argument("--sentences", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True, dest="out")
    args = parser.parse_args()
    from hearken import Critic

    critic = Critic.from_pretrained(args.critic)
    sounds = Sounds.draw(args.data, args.sentences, args.seed)
    coded, by_rate, cleaned = [], [], []
    for i, clip in enumerate(track(sounds.clean, total=args.sentences, label="ranking")):
        rng = np.random.default_rng([args.seed, 5, i])
        versions, labels = codecs(clip)
        numbers = judged(critic, versions, clip)
        coded.append(numbers)
        for codec in RATES:
            own = [k for k, (name, _) in enumerate(labels) if name == codec]
            picked = {j: [numbers[j][k] for k in own] for j in JUDGES}
            by_rate.append({**picked, "rate": [labels[k][1] for k in own]})
        noise = sounds.source("background_noise", rng)["noise"]
        cleaned.append(judged(critic, enhanced(clip, noise, rng), clip))
    found = {
        "codecs, order of PESQ-WB": table(coded, "pesq_wb"),
        "codecs, order of the bit rate": table(by_rate, "rate"),
        "enhancement, order of PESQ-WB": table(cleaned, "pesq_wb"),
    }
    for name, row in found.items():
        print(
            name, {k: f"{v['value']:.2f} [{v['low']:.2f}, {v['high']:.2f}]" for k, v in row.items()}
        )
    facts, _ = provenance(args.seed)
    kept = {k: facts[k] for k in ("commit", "hardware", "versions") if k in facts}
    whole = {**kept, "critic": {"id": critic.id, "revision": critic.revision}, "ranks": found}
    args.out.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
