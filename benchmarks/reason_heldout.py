"""What reasoning (GRPO) changed on clips that no choice has seen: greedy and sampled answers.

    python benchmarks/reason_heldout.py BEFORE AFTER CORPUS [--skip 300] [--count 300] [-o FILE]

The policy is trained on its sampled answers, so their mean grade is what its reward is; the
critic that users hear is greedy. Paired by clip; 95 % intervals over talkers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from hearken import Critic
from hearken.critic.grade import grade
from hearken.data.corpus import read_corpus
from hearken.media import load_audio
from hearken.metrics.agreement import bootstrap_ci


def main() -> None:
    """Grade both critics in both ways and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--skip", type=int, default=300)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--temperature", type=float, default=0.9)
    parser.add_argument("-o", "--out", type=Path)
    args = parser.parse_args()
    plantings = read_corpus(args.corpus)[args.skip : args.skip + args.count]
    sounds = [load_audio(p.path) for p in plantings]
    critics = {w: Critic.from_pretrained(getattr(args, w)) for w in ("before", "after")}
    found: dict[str, dict[str, float]] = {}
    for how in ("greedy", "sampled"):
        totals = {}
        for when, critic in critics.items():
            said = critic.listen(
                sounds, sample=how == "sampled", temperature=args.temperature, seed=1
            )
            pairs = zip(said, plantings, strict=True)
            totals[when] = np.array([grade(s, p.description).total for s, p in pairs])
        change = totals["after"] - totals["before"]
        ci = bootstrap_ci(list(change), clusters=[p.speaker for p in plantings])
        means = {when: float(t.mean()) for when, t in totals.items()}
        found[how] = {**means, "value": ci.value, "low": ci.low, "high": ci.high,
                      "count": ci.count}  # fmt: skip
    text = json.dumps(found, indent=1)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
