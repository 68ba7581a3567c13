"""What differences can a reward tell? Rollouts and real variations, against PESQ and DistillMOS.

    python benchmarks/reward_resolution.py --scenes DIR [--pairs 500] [--rater NAME ...] --json OUT

Windows of held-out scenes, each as the shipped enhancer makes it (the base), as masks that are
sampled around its mask (rollouts: the groups that fine-tuning compares), and in versions that
differ more (variations: the mask raised to powers, no video, another talker's, shares of the
unprocessed sound, other enhancers). A pair is a version and its base; its reward is that of
docs/reward.md, by the critic's words through each rater, by its expected overall score, by the
faults it names. For each reward, rollouts and variations apart:

distinct     Different values, and different when rounded to 0.001.
std, flat    Mean standard deviation within a window's group, and the share of groups where it is
             below 0.001: those teach nothing. For faults it is taken frame by frame, as training
             does.
within, all  Rank correlation with the gain in PESQ-WB and in DistillMOS: mean over windows of that
             within each, and over all pairs. Both intervals draw windows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray

from hearken.enhancer.model import Enhancer
from hearken.enhancer.policy import GaussianMaskPolicy
from hearken.errors import HearkenError, MetricError
from hearken.feedback.guard import Judge
from hearken.feedback.reward import (
    Rate,
    Rewards,
    fault_rewards,
    rate_scores,
    rate_words,
    relative,
)
from hearken.loops.enhancer_finetune import Config
from hearken.loops.enhancer_finetune_judge import loads
from hearken.loops.enhancer_finetune_scenes import Excerpts
from hearken.metrics.agreement import Interval, srcc, try_ci, within_groups
from hearken.metrics.table import Item, Row, measuring
from hearken.metrics.tabulate import Table, plain, show
from hearken.nouns import Description
from hearken.run.track import provenance, track
from reward_pairs import Group, made, per_window, windows

KINDS = ("rollouts", "variations")
METRICS = ("pesq_wb", "distillmos")
FLAT = Config.min_std
Said = Sequence[Description | None]
Reward = Callable[[Said, Description | None, Group], Rewards]
Figure = dict[str, Any]
Floats = NDArray[np.float64]


def rewards_by(raters: Mapping[str, Rate]) -> dict[str, Reward]:
    """Name -> reward of some versions of a window, [1, G], given what was said of them."""

    def by_words(rate: Rate) -> Reward:
        return lambda said, base, group: relative(
            rate_words(said, rate)[None], rate_words([base], rate)
        )

    found = {name: by_words(rate) for name, rate in raters.items()}
    found["scores"] = lambda said, base, group: relative(
        rate_scores(said)[None], rate_scores([base])
    )
    found["faults"] = lambda said, base, group: fault_rewards(
        loads(said, group.frames, group.frame_s)[None], loads([base], group.frames, group.frame_s)
    )
    return found


def group_std(rewards: Rewards) -> float | None:
    """The spread that a group's rewards are divided by in training; None of fewer than two."""
    valid_G = rewards.valid_PG[0]
    if valid_G.sum() < 2:
        return None
    if rewards.frames_PGF is None:
        return float(rewards.total_PG[0][valid_G].std(ddof=1))
    variance_F = rewards.frames_PGF[0][valid_G].var(axis=0, ddof=1)
    return float(np.sqrt(variance_F.mean()))


def figures(
    rewards_N: Sequence[float],
    groups: Sequence[str],
    stds: Sequence[float],
    gains: Mapping[str, Floats],
) -> Figure:
    """All figures of one reward over N pairs of one kind.

    Args:
        rewards_N: the rewards, NaN where there is none.
        groups: the window of each pair.
        stds: within each group.
        gains: [N] of each metric, NaN where it failed.
    """
    all_N = np.asarray(rewards_N, float)
    known_N = all_N[np.isfinite(all_N)]
    found: Figure = {
        "pairs": len(all_N),
        "failed": int(len(all_N) - len(known_N)),
        "distinct": len(set(known_N.tolist())),
        "distinct to 0.001": len(set(np.round(known_N, 3).tolist())),
        "groups": len(stds),
        "std": float(np.mean(stds)) if stds else None,
        "flat": float(np.mean(np.asarray(stds) < FLAT)) if stds else None,
    }
    for metric, gain_N in gains.items():
        kept = np.isfinite(all_N) & np.isfinite(gain_N)
        both = np.stack([all_N[kept], gain_N[kept]], axis=1)
        labels = [g for g, k in zip(groups, kept, strict=True) if k]
        found[f"{metric}, within"] = _within(both, labels)
        found[f"{metric}, all"] = try_ci(both, labels, statistic=lambda x: srcc(*x.T))
    return found


def _within(both: Floats, labels: Sequence[str]) -> Interval | None:
    try:
        return within_groups(both[:, 0].tolist(), both[:, 1].tolist(), labels)
    except MetricError:
        return None


def resolve(
    groups: Sequence[Group],
    said: Sequence[tuple[Description | None, Said, Said]],
    measured: Sequence[Sequence[Row]],
    raters: Mapping[str, Rate],
) -> Figure:
    """Figures of each reward, of the words, and every pair.

    Args:
        groups: the windows.
        said: of each window's base, rollouts and variations.
        measured: rows of each window's base, rollouts and variations, in this order.
        raters: of the words.
    """
    pairs: list[Figure] = []
    stds: dict[tuple[str, str], list[float]] = {}
    rewards = rewards_by(raters)
    for group, (base, *versions), rows in zip(groups, said, measured, strict=True):
        gains = iter([_gains(row, rows[0]) for row in rows[1:]])
        names = ([f"{g}" for g in range(len(group.rollouts))], list(group.variations))
        for kind, spoken, labels in zip(KINDS, versions, names, strict=True):
            by_reward = {name: reward(spoken, base, group) for name, reward in rewards.items()}
            for name, found in by_reward.items():
                std = group_std(found)
                stds.setdefault((name, kind), []).extend([] if std is None else [std])
            for g, (label, words) in enumerate(zip(labels, spoken, strict=True)):
                values = {n: float(r.total_PG[0, g]) for n, r in by_reward.items()}
                pairs.append({"window": group.name, "talker": group.talker, "kind": kind,
                              "version": label, "words": words.words if words else None,
                              "gains": next(gains), "rewards": values})  # fmt: skip
    return {
        "rewards": {
            name: {kind: _figures(pairs, name, kind, stds[name, kind]) for kind in KINDS}
            for name in rewards
        },
        "words": {kind: _texts([p for p in pairs if p["kind"] == kind]) for kind in KINDS},
        "versions": _versions(pairs, list(rewards)),
        "pairs": pairs,
    }


def _gains(row: Row, base: Row) -> dict[str, float]:
    values = ((m, row.values[m], base.values[m]) for m in METRICS)
    return {m: np.nan if a is None or b is None else a - b for m, a, b in values}


def _figures(pairs: Sequence[Figure], name: str, kind: str, stds: Sequence[float]) -> Figure:
    some = [p for p in pairs if p["kind"] == kind]
    gains = {m: np.array([p["gains"][m] for p in some]) for m in METRICS}
    return figures([p["rewards"][name] for p in some], [p["window"] for p in some], stds, gains)


def _texts(some: Sequence[Figure]) -> Figure:
    """How many different texts, and how many of a window's versions on average."""
    known = [p for p in some if p["words"] is not None]
    by_window: dict[str, set[str]] = {}
    for p in known:
        by_window.setdefault(p["window"], set()).add(p["words"])
    mean = float(np.mean([len(texts) for texts in by_window.values()])) if by_window else None
    return {"sounds": len(known), "distinct": len({p["words"] for p in known}), "a window": mean}


def _versions(pairs: Sequence[Figure], rewards: Sequence[str]) -> dict[str, Figure]:
    """Mean gain and mean reward of each version; all rollouts are one."""
    members: dict[str, list[Figure]] = {}
    for p in pairs:
        members.setdefault("rollout" if p["kind"] == "rollouts" else p["version"], []).append(p)
    return {
        version: {m: _mean([p["gains"][m] for p in some]) for m in METRICS}
        | {r: _mean([p["rewards"][r] for p in some]) for r in rewards}
        for version, some in members.items()
    }


def _mean(values: Sequence[float]) -> float | None:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else None


def tables(found: Figure) -> list[Table]:
    """The figures as tables: one a kind, and the versions."""
    result = []
    for kind in KINDS:
        by_reward = {name: row[kind] for name, row in found["rewards"].items()}
        figures_of = list(next(iter(by_reward.values())))
        body = [(f, *[row[f] for row in by_reward.values()]) for f in figures_of]
        words = found["words"][kind]
        note = f"{words['sounds']} sounds, {words['distinct']} different texts; of a window's "
        note += f"versions {words['a window'] or 0:.2f} on average."
        result.append(Table(kind, ("figure", *by_reward), tuple(body), (note,), 3))
    rows = [(version, *row.values()) for version, row in found["versions"].items()]
    header = ("version", *METRICS, *found["rewards"])
    return [*result, Table("Mean gain and reward of each version", header, tuple(rows))]


def run(args: argparse.Namespace) -> Figure:
    """Make, hear and measure all pairs."""
    from hearken.critic.model import Critic
    from hearken.feedback.rating import Rater

    raters: dict[str, Rate] = {"words": Rater.from_pretrained()}
    errors: dict[str, str] = {}
    for name in args.rater:
        try:
            raters[name] = Rater.from_pretrained(name)
        except HearkenError as error:
            errors[name] = str(error)
    critic = Critic.from_pretrained(args.critic)
    base = Enhancer.from_pretrained(args.weights)
    others = {str(f): Enhancer.from_pretrained(f).net for f in args.enhancer}
    cache = args.cache or args.out.parent / "crops"
    excerpts = Excerpts(args.scenes, cache, seconds=args.seconds)
    judge, rng = Judge(critic.listen), np.random.default_rng(args.seed)
    noise = torch.Generator().manual_seed(args.seed)
    policy = GaussianMaskPolicy(args.sigma, *args.cell)
    each = per_window(args.rollouts, len(others))
    groups, said, rows = [], [], []
    with measuring(METRICS, args.workers) as rows_of:
        count = min(len(excerpts), math.ceil(args.pairs / each))
        chosen = windows(excerpts, count, rng)
        for one, stranger in track(chosen, total=count, label="hearing"):
            group = made(base.net, one, stranger, others,
                         policy=policy, rollouts=args.rollouts, noise=noise)  # fmt: skip
            if group is None:
                continue
            versions = [*group.rollouts, *group.variations.values()]
            items = [Item(one.name, x, group.reference) for x in (group.base, *versions)]
            groups.append(group)
            rows.append(rows_of(items))  # the workers begin; taken below
            told = judge.hear(versions)
            split = len(group.rollouts)
            said.append((judge.hear_once(group.base), told[:split], told[split:]))
        measured = [list(some) for some in track(rows, label="measuring")]
    found = resolve(groups, said, measured, raters)
    about = {"critic": {"id": critic.id, "revision": critic.revision},
             "enhancer": {"id": base.id, "revision": base.revision},
             "sigma": args.sigma, "cell": args.cell, "rollouts": args.rollouts,
             "seconds": args.seconds,
             "windows": len(groups), "failed_raters": errors}  # fmt: skip
    return {**about, **found}


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="held-out, AVSEC layout")
    parser.add_argument("--pairs", type=int, default=500, help="about so many")
    parser.add_argument("--rater", nargs="*", default=[], help="more raters of words")
    parser.add_argument("--critic", help="folder of a critic; the shipped one by default")
    parser.add_argument("--weights", help="of the base; the shipped enhancer by default")
    parser.add_argument("--enhancer", nargs="*", default=[], help="weights of more variations")
    parser.add_argument("--sigma", type=float, default=Config.sigma, help="of the sampled gains")
    parser.add_argument("--cell", type=int, nargs=2, default=[Config.cell_bins, Config.cell_frames],
                        metavar=("BINS", "FRAMES"), help="that share a sampled offset")  # fmt: skip
    parser.add_argument("--rollouts", type=int, default=Config.rollouts, help="of a group")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a window")
    parser.add_argument("--cache", type=Path, help="for mouth crops; crops/ beside the result")
    parser.add_argument("--workers", type=int, default=2, help="processes that compute metrics")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True, dest="out")
    return parser.parse_args(words)


def main() -> None:
    """Measure, print, save."""
    args = parse()
    start = time.perf_counter()
    found = run(args)
    facts, _ = provenance(args.seed)
    about = {k: facts[k] for k in ("commit", "hardware", "versions", "command")}
    page = {**about, "wall_s": time.perf_counter() - start, **found}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(_plain(page), indent=1) + "\n", encoding="utf-8")
    show(tables(found))
    for name, error in found["failed_raters"].items():
        print(f"rater {name}: {error}")


def _plain(value: Any) -> Any:
    """As JSON: intervals as objects, what is not finite as null."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else plain(value)


if __name__ == "__main__":
    main()
