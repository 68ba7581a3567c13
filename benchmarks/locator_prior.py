"""How much a fault's name in the words should add to the odds of its spans: `locator.NAMED`.

    python benchmarks/locator_prior.py CORPUS [--critic DIR] [--count 700]

CORPUS is for choosing (`hearken data faults --count 700 --split valid`), not for the figures of the
README. For each prior: F1, precision and recall at IoU 0.5 of the faults that have a time of
their own, and macro F1 of their types by clip; with the words' own times in the first line.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hearken import Critic
from hearken.critic.locator import PLACED, place
from hearken.data.corpus import read_corpus
from hearken.media import load_audio
from hearken.metrics.spans import Counts, match
from hearken.nouns import Description, Fault

PRIORS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
BATCH = 32


def line(said: Sequence[Sequence[Fault]], true: Sequence[Sequence[Fault]]) -> str:
    """The figures of one way of placing."""
    total = sum((match(s, t) for s, t in zip(said, true, strict=True)), Counts())
    types = []
    for name in PLACED:
        claims = np.array([name in {f.type for f in faults} for faults in said])
        facts = np.array([name in {f.type for f in faults} for faults in true])
        types.append(2 * (claims & facts).sum() / max(1, claims.sum() + facts.sum()))
    return (
        f"F1 {total.f1:.3f}  precision {total.precision:.3f}  recall {total.recall:.3f}  "
        f"types by clip {np.mean(types):.3f}"
    )


def timed(description: Description) -> list[Fault]:
    """The faults that have a time of their own."""
    return [f for f in description.faults if f.type in PLACED]


def main() -> None:
    """Hears the clips once, places with every prior, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--critic", type=Path)
    parser.add_argument("--count", type=int, default=700)
    args = parser.parse_args()
    critic = Critic.from_pretrained(args.critic)
    locator, critic.locator = critic.locator, None  # its words as they are
    if locator is None:
        raise SystemExit("this critic has no locator")
    plantings = read_corpus(args.corpus)[: args.count]
    sounds = [load_audio(p.path) for p in plantings]
    words = critic.listen(sounds, batch_size=BATCH)
    known = [k for k, said in enumerate(words) if isinstance(said, Description)]
    said = [w for w in words if isinstance(w, Description)]
    true = [timed(plantings[k].description) for k in known]
    print("words    ", line([timed(s) for s in said], true))
    batches = [critic.inputs([sounds[k] for k in known[i : i + BATCH]])
               for i in range(0, len(known), BATCH)]  # fmt: skip
    for prior in PRIORS:
        found = [
            spans
            for b in batches
            for spans in locator.find(
                b["input_features"], b["input_features_mask"].sum(-1), prior=prior
            )
        ]
        placed = [timed(place(s, f)) for s, f in zip(said, found, strict=True)]
        print(f"prior {prior:g}  ", line(placed, true), flush=True)


if __name__ == "__main__":
    main()
