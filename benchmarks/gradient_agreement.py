"""What does one step teach? Whether the gradients of independent steps agree, and with whom.

    python benchmarks/gradient_agreement.py --scenes DIR [--steps 8] --json OUT

Each step has its own clips. Its gradient, to all weights of the shipped enhancer, is taken by

exact      climbing the critic's expected scores, its overall alone, DistillMOS (never a reward;
           here to see what it would ask for), or the supervised loss;
sampled    the policy gradient of a reward in cells of --cells bins x frames @ sigma.

norm       Of a step's gradient, mean.
agree      Mean cosine between the gradients of two different steps: 0, and a step teaches nothing
           that the next one confirms.
with ...   Cosine between the sum over steps and that of each exact teacher; of a teacher with
           itself, between the sums of the even and of the odd steps.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor

from hearken.enhancer.model import Enhancer
from hearken.enhancer.net import MaskNet
from hearken.feedback.guard import Judge
from hearken.loops.enhancer_finetune_judge import Panel, Tools
from hearken.loops.enhancer_finetune_scenes import Batch, Excerpts, collate
from hearken.loops.enhancer_finetune_step import Learner, Recipe
from hearken.loops.processes import Processes
from hearken.metrics.blind import distillmos_model
from hearken.metrics.tabulate import Table, show
from hearken.nouns import DIMENSIONS
from hearken.run.track import provenance, track

Steps = list[tuple[Batch, Batch]]
EXACT = {
    "critic, seven scores": Recipe(reward="gradient", epochs=1),
    "critic, overall": Recipe(reward="gradient", gradient_of="overall", epochs=1),
    "DistillMOS": Recipe(reward="gradient", gradient_of="overall", epochs=1),
    "supervised": Recipe(reward="none", epochs=1),
}


def gradients(
    recipe: Recipe, base: MaskNet, tools: Tools, steps: Steps, label: str
) -> list[Tensor]:
    """[D] of each step, at the base."""
    net = copy.deepcopy(base).requires_grad_(True)
    still = torch.optim.SGD(net.parameters(), lr=0.0)
    panel = Panel(recipe.reward, Judge(tools.listen), tools, recipe.pieces_s)
    learner = Learner(replace(recipe, max_norm=1e9), net, base, still, panel, Processes())
    out = []
    for k, (clips, anchor) in enumerate(track(steps, label=label)):
        own = anchor if recipe.reward == "none" else None
        learner.step(clips, own, np.random.default_rng(k))
        parts = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten()
                 for p in net.parameters()]  # fmt: skip
        out.append(-torch.cat(parts).clone())  # uphill
    panel.close()
    return out


def by_distillmos() -> Any:
    """DistillMOS in the place of the critic's scores."""
    model = distillmos_model().requires_grad_(False)

    def dithered(x: Tensor) -> Tensor:
        """Its spectrum has no slope where it is nothing; there the gradient is set to 0."""
        y = x + 1e-6 * torch.randn(len(x), generator=torch.Generator().manual_seed(0))
        if y.requires_grad:
            y.register_hook(torch.nan_to_num)
        return y

    def expect(sounds: Sequence[Tensor]) -> Tensor:
        found = torch.stack([model(dithered(x)[None]).reshape(()) for x in sounds]).clamp(1, 5)
        return found[:, None].expand(-1, len(DIMENSIONS))

    return expect


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a, b) / (a.norm() * b.norm()).clamp(min=1e-20))


def figures(found: dict[str, list[Tensor]]) -> list[dict[str, Any]]:
    """One row a teacher."""
    total = {name: torch.stack(found[name]).sum(0) for name in EXACT}
    rows = []
    for name, steps in found.items():
        pairs = [cosine(a, b) for k, a in enumerate(steps) for b in steps[:k]]
        row: dict[str, Any] = {
            "gradient": name,
            "norm": float(np.mean([g.norm() for g in steps])),
            "agree": float(np.mean(pairs)),
        }
        own = torch.stack(steps).sum(0)
        for other in EXACT:
            halves = torch.stack(steps[::2]).sum(0), torch.stack(steps[1::2]).sum(0)
            row[f"with {other}"] = cosine(*(halves if other == name else (own, total[other])))
        rows.append(row)
    return rows


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=Path, required=True, help="AVSEC layout")
    parser.add_argument("--cache", type=Path, help="for mouth crops; crops/ beside the result")
    parser.add_argument("--weights", help="enhancer; the shipped one by default")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rewards", nargs="*", default=["scores", "words"], help="sampled")
    parser.add_argument(
        "--cells", nargs="*", default=["1x1@0.05", "32x16@0.1", "513x25@0.2"], help="sampled"
    )
    parser.add_argument("--json", type=Path, required=True, dest="out")
    return parser.parse_args()


def main() -> None:
    """Take, compare, print, save."""
    args, start = parse(), time.perf_counter()
    recipe = Recipe()
    base = Enhancer.from_pretrained(args.weights).net.requires_grad_(False)
    tools = Tools.load("", "", "cpu", gradient=True)
    excerpts = Excerpts(args.scenes, args.cache or args.out.parent / "crops", seconds=2.0)
    order = np.random.default_rng(0).permutation(len(excerpts))[: 12 * args.steps]
    if args.steps < 2:
        raise SystemExit("--steps: at least two, to be compared")
    if len(order) < 12 * args.steps:
        raise SystemExit(f"{args.scenes} has {len(order)} scenes; {12 * args.steps} are needed")
    each = np.split(order, args.steps)
    steps = [
        tuple(collate([excerpts[int(i)] for i in some], torch.device("cpu"))
              for some in (one[:8], one[8:]))
        for one in each
    ]  # fmt: skip
    found = {}
    for name, exact in EXACT.items():
        judge = replace(tools, expect=by_distillmos()) if name == "DistillMOS" else tools
        found[name] = gradients(exact, base, judge, steps, name)
    for reward in args.rewards:
        for cell in args.cells:
            size, sigma = cell.split("@")
            bins, frames = map(int, size.split("x"))
            sampled = replace(recipe, reward=reward, epochs=1, cell_bins=bins, cell_frames=frames,
                              sigma=float(sigma))  # fmt: skip
            found[f"{reward}, {cell}"] = gradients(sampled, base, tools, steps, f"{reward} {cell}")
    rows = figures(found)
    facts, _ = provenance(0)
    about = {k: facts[k] for k in ("commit", "hardware", "versions", "command")}
    page = {**about, "wall_s": time.perf_counter() - start, "steps": args.steps, "rows": rows}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(page, indent=1) + "\n", encoding="utf-8")
    show([Table("Gradients", tuple(rows[0]), tuple(tuple(r.values()) for r in rows), (), 3)])


if __name__ == "__main__":
    main()
