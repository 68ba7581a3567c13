"""What `hearken listen --verify` is worth: timed faults and fault types, before and after checking.

    python benchmarks/verify.py --faults CORPUS [--critic DIR] [--limit N] [--json OUT]

Three tables over a corpus of planted faults (`hearken data faults`), with 95 % intervals over
clips. *Faults*: precision, recall and F1 of the timed faults (IoU 0.5, types with a time of their
own) and of the types of each clip: of all that the critic names, of what `signal` and `full` keep,
and, for comparison, of as many chosen by the critic's own confidence.
*Types*: the same for each type. *Detectors*: how often a detector contradicts planted faults
(wrongly), the same type claimed where the clip has none of it, and planted faults claimed at
another time. *Repairs*: how often re-listening contradicts the same three.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hearken import Critic
from hearken.critic.evidence import DETECTORS, evidence
from hearken.critic.repair import REPAIRS
from hearken.critic.verify import relisten, verify
from hearken.data.corpus import Planting, read_corpus
from hearken.media import load_audio
from hearken.metrics.agreement import bootstrap_ci
from hearken.metrics.spans import match
from hearken.nouns import FAULT_TYPES, Audio, Description, Fault

Faults = Sequence[Fault]
Table = dict[str, dict[str, Any]]
BATCH = 32

COMPARISONS = {
    "signal over said": ("said", "signal"),
    "full over said": ("said", "full"),
    "full over signal": ("signal", "full"),
    "full over surest": ("surest, as full", "full"),
    "full over signal, then surest": ("signal, then surest", "full"),
}
"""Change -> (before, after): what checking is worth, and what it is worth beyond confidence."""


def main() -> None:
    """Hear the corpus once, check twice, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=Path, required=True)
    parser.add_argument("--critic", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    plantings = read_corpus(args.faults)[: args.limit]
    sounds = [load_audio(p.path) for p in plantings]
    critic = Critic.from_pretrained(args.critic)
    answers = critic.listen(sounds, batch_size=BATCH)
    heard = [i for i, a in enumerate(answers) if isinstance(a, Description)]
    clips, said = [sounds[i] for i in heard], [answers[i] for i in heard]
    truth = [plantings[i].description.faults for i in heard]
    kept = {"said": [d.faults for d in said]}
    for depth in ("signal", "full"):
        checked = verify(critic, clips, said, depth=depth, seed=args.seed, batch_size=BATCH)
        kept[depth] = [c.said.faults for c in checked]
    kept |= {
        "surest, as signal": surest(kept["said"], kept["signal"]),
        "surest, as full": surest(kept["said"], kept["full"]),
        "signal, then surest": surest(kept["signal"], kept["full"]),
    }
    claims = [claimed(p, plantings, args.seed) for p in plantings]
    out = {
        "critic": {"id": critic.id, "revision": critic.revision},
        "clips": len(plantings),
        "readable": len(heard),
        "faults": {name: figures(f, truth) for name, f in kept.items()},
        "change": {
            name: change(kept[before], kept[after], truth)
            for name, (before, after) in COMPARISONS.items()
        },
        "types": {
            kind: {n: figures(kept[n], truth, kind) for n in ("said", "signal", "full")}
            for kind in FAULT_TYPES
        },
        "detectors": detectors(sounds, claims),
        "repairs": repairs(critic, sounds, claims, args.seed),
    }
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    show(out)


def surest(faults: Sequence[Faults], like: Sequence[Faults]) -> list[Faults]:
    """As many timed faults, and as many others, as `like` has: those the critic is surest of."""

    def sure(f: Fault) -> float:
        return f.confidence or 0.0

    bars = {}
    for timed in (True, False):
        count = sum(FAULT_TYPES[f.type].localised == timed for fs in like for f in fs)
        all_ = [f for fs in faults for f in fs if FAULT_TYPES[f.type].localised == timed]
        bars[timed] = sorted(map(sure, all_), reverse=True)[count - 1] if count else 2.0
    return [tuple(f for f in fs if sure(f) >= bars[FAULT_TYPES[f.type].localised]) for fs in faults]


# --- what is kept, against the truth ---------------------------------------------------------


def counts(kept: Sequence[Faults], truth: Sequence[Faults], kind: str = "") -> np.ndarray:
    """[P, 6]: hits, said, true of the timed faults, then of the types of the clip."""
    rows = []
    for ours, theirs in zip(kept, truth, strict=True):
        ours, theirs = ([f for f in fs if kind in ("", f.type)] for fs in (ours, theirs))
        timed = match(*([f for f in fs if FAULT_TYPES[f.type].localised] for fs in (ours, theirs)))
        a, b = {f.type for f in ours}, {f.type for f in theirs}
        rows.append((timed.hits, timed.said, timed.true, len(a & b), len(a), len(b)))
    return np.array(rows, float)


RATES = {
    "precision": lambda hits, said, true: hits / said if said else float("nan"),
    "recall": lambda hits, said, true: hits / true if true else float("nan"),
    "f1": lambda hits, said, true: 2 * hits / (said + true) if said + true else float("nan"),
}


def figures(kept: Sequence[Faults], truth: Sequence[Faults], kind: str = "") -> Table:
    """Precision, recall and F1 with their intervals, timed and by clip."""
    rows = counts(kept, truth, kind)
    out: Table = {}
    for name, first in (("timed", 0), ("clip", 3)):
        part = rows[:, first : first + 3]
        if not part.any():
            continue
        hits, said, true = (int(n) for n in part.sum(axis=0))
        out[name] = {"hits": hits, "said": said, "true": true}
        for rate, of in RATES.items():
            out[name][rate] = interval(part, lambda r, of=of: of(*r.sum(axis=0)))
    return out


def change(before: Sequence[Faults], after: Sequence[Faults], truth: Sequence[Faults]) -> Table:
    """Differences of the rates, paired by clip."""
    rows = np.hstack([counts(after, truth), counts(before, truth)])
    return {
        name: {
            rate: interval(
                rows[:, [*range(a, a + 3), *range(a + 6, a + 9)]],
                lambda r, of=of: of(*r[:, :3].sum(axis=0)) - of(*r[:, 3:].sum(axis=0)),
            )
            for rate, of in RATES.items()
        }
        for name, a in (("timed", 0), ("clip", 3))
    }


def interval(rows: np.ndarray, statistic: Any) -> dict[str, float]:
    ci = bootstrap_ci(rows, statistic=statistic)
    return {"value": ci.value, "low": ci.low, "high": ci.high}


# --- detectors and repairs by themselves, without a critic's choice of faults ----------------


def claimed(p: Planting, corpus: Sequence[Planting], seed: int) -> dict[str, list[Fault]]:
    """Claims about one clip: what is planted, types it lacks, and what is planted elsewhere.

    Times are rounded to the 0.1 s of the critic's grammar. A type that is lacking is claimed for
    a stretch as long as one of that type in another clip.
    """
    rng = np.random.default_rng([seed, int(p.key)])
    planted = [rounded(f) for f in p.description.faults if f.type in {*DETECTORS, *REPAIRS}]
    there = {f.type for f in p.description.faults}
    absent, elsewhere = [], []
    for kind in sorted({*DETECTORS, *REPAIRS} - there):
        if rng.random() < 0.25:
            length_s = p.seconds
            if FAULT_TYPES[kind].localised:
                length_s *= float(rng.choice(shares(corpus, kind)))
            start_s = float(rng.uniform(0.0, p.seconds - length_s))
            absent.append(rounded(Fault(kind, start_s, start_s + length_s, 3)))
    for f in planted:
        free = [g for g in moves(f, p.seconds) if not any(overlap(g, h) for h in planted)]
        if free and FAULT_TYPES[f.type].localised:
            elsewhere.append(free[int(rng.integers(len(free)))])
    return {"planted": planted, "absent": absent, "elsewhere": elsewhere}


_SHARES: dict[str, list[float]] = {}


def shares(corpus: Sequence[Planting], kind: str) -> list[float]:
    """How much of its clip each planted fault of a type covers."""
    if kind not in _SHARES:
        _SHARES[kind] = [
            (f.end_s - f.start_s) / p.seconds
            for p in corpus
            for f in p.description.faults
            if f.type == kind
        ] or [0.3]
    return _SHARES[kind]


def rounded(f: Fault) -> Fault:
    start_s = round(f.start_s, 1)
    return replace(f, start_s=start_s, end_s=max(round(f.end_s, 1), start_s + 0.1))


def moves(f: Fault, seconds: float) -> list[Fault]:
    """The fault at each tenth of a second, inside the clip."""
    length_s = f.end_s - f.start_s
    starts = np.arange(0.0, seconds - length_s, 0.1)
    return [replace(f, start_s=float(s), end_s=float(s) + length_s) for s in starts]


def overlap(a: Fault, b: Fault) -> bool:
    return a.type == b.type and a.start_s < b.end_s and b.start_s < a.end_s


def detectors(sounds: Sequence[Audio], claims: Sequence[dict[str, list[Fault]]]) -> Table:
    """Share of claims that each detector contradicts, and with which it agrees."""
    found = [
        (kind, f.type, evidence(x, f))
        for x, claim in zip(sounds, claims, strict=True)
        for kind, faults in claim.items()
        for f in faults
    ]
    return tally(found, list(DETECTORS))


def repairs(
    critic: Critic, sounds: Sequence[Audio], claims: Sequence[dict[str, list[Fault]]], seed: int
) -> Table:
    """Share of claims that re-listening contradicts, and with which it agrees."""
    rows = [
        (x, kind, f)
        for x, claim in zip(sounds, claims, strict=True)
        for kind, faults in claim.items()
        for f in faults
        if f.type in REPAIRS
    ]
    pairs = [(x, f) for x, _, f in rows]
    heard = relisten(critic, pairs, seed=seed, batch_size=BATCH)
    return tally([(k, f.type, v) for (_, k, f), v in zip(rows, heard, strict=True)], list(REPAIRS))


def tally(found: Sequence[tuple[str, str, bool | None]], kinds: Sequence[str]) -> Table:
    out: Table = {}
    for kind in kinds:
        for how in ("planted", "absent", "elsewhere"):
            verdicts = [v for h, t, v in found if (h, t) == (how, kind)]
            if verdicts:
                out.setdefault(kind, {})[how] = {
                    "count": len(verdicts),
                    "contradicts": sum(v is False for v in verdicts) / len(verdicts),
                    "agrees": sum(v is True for v in verdicts) / len(verdicts),
                }
    return out


# --- printing --------------------------------------------------------------------------------


def show(out: dict[str, Any]) -> None:
    """The tables as text."""
    print(f"{out['critic']['id']} {out['critic']['revision']}, {out['clips']} clips")
    for part in ("timed", "clip"):
        print(f"\n{part + ' faults':32}{'said':>6}{'hits':>6}   precision      recall         F1")
        for name, row in out["faults"].items():
            line(name, row[part])
        for name, row in out["change"].items():
            cells = "".join(
                f"  {c['value']:+.3f} [{c['low']:+.3f}, {c['high']:+.3f}]"
                for c in row[part].values()
            )
            print(f"  {name:30}{cells}")
        for kind, rows in out["types"].items():
            for name in ("said", "signal", "full"):
                if part in rows[name] and FAULT_TYPES[kind].localised >= (part == "timed"):
                    line(f"{kind} {name}", rows[name][part])
    for part in ("detectors", "repairs"):
        print(f"\n{part}: contradicts / agrees (claims)")
        for kind, row in out[part].items():
            cells = "   ".join(
                f"{how} {c['contradicts']:.3f} / {c['agrees']:.2f} ({c['count']})"
                for how, c in row.items()
            )
            print(f"  {kind:18}{cells}")


def line(name: str, row: dict[str, Any]) -> None:
    cells = "".join(
        f"{c['value']:6.3f} [{c['low']:.2f},{c['high']:.2f}]" for c in (row[rate] for rate in RATES)
    )
    print(f"  {name:30}{row['said']:6d}{row['hits']:6d} {cells}")


if __name__ == "__main__":
    main()
