"""One table of all rewards and controls: fine-tuned enhancers on the same held-out scenes.

    python benchmarks/rewards_table.py --scenes DIR --runs RUNS --out TABLE [--workers 2]

RUNS/<row>/<seed>/enhancer holds the weights; rows are none, shuffled, dnsmos, words, scores,
faults, words_faults, gradient, critic (what is shipped as enhancer-critic). What was measured is
kept in TABLE: the same command after one more seed computes that seed alone. See
`hearken.loops.rewards_compare`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hearken.loops.rewards_compare import Config, main


def parse(words: list[str] | None = None) -> Config:
    """The command line as a Config."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="held-out, AVSEC layout")
    parser.add_argument("--runs", type=Path, required=True, help="RUNS/<row>/<seed>/enhancer")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and cache")
    parser.add_argument("--pretrained", default="", help="weights the runs started from")
    parser.add_argument("--critic", default="", help="folder or name; the shipped one by default")
    parser.add_argument("--rater", default="", help="folder or name; the shipped one by default")
    parser.add_argument("--metrics", default=Config.metrics)
    parser.add_argument("--limit", type=int, default=0, help="only the first so many scenes")
    parser.add_argument("--workers", type=int, default=Config.workers)
    parser.add_argument("--resamples", type=int, default=Config.resamples)
    parser.add_argument("--permutations", type=int, default=Config.permutations)
    parser.add_argument("--device", default=Config.device)
    parser.add_argument("--seed", type=int, default=Config.seed)
    return Config(**vars(parser.parse_args(words)))


if __name__ == "__main__":
    main(parse())
