"""Pictures of the table of rewards for docs/reward.md.

    python benchmarks/rewards_figure.py --table TABLE/table.json --runs RUNS --folder docs/img

rewards.svg     Gain of each row over the pretrained enhancer, with 95 % intervals: what the critic
                says, what PESQ-WB says, what DistillMOS says.
learning.svg    The reward of each step (mean over seeds, running mean over five steps) for rewards
                that ask the critic about the same thing in two ways.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hearken.metrics import charts

PANELS = {
    "words_rating": "the critic's words, 1-5",
    "pesq_wb": "PESQ-WB",
    "distillmos": "DistillMOS (never a reward)",
}
LEARNING = {"words": "words, sampled", "scores": "overall, sampled", "gradient": "scores, gradient"}
_RUNNING = 5


def gains(tables: Sequence[Any], column: str) -> list[tuple[str, float, float, float]]:
    """(row, gain over pretrained, low, high)."""
    (table,) = [t for t in tables if t["title"] == f"Paired differences in {column}"]
    end = " - pretrained"
    return [
        (row["pair"].removesuffix(end).replace("_", "+"), *[row["difference"][k] for k in _ENDS])
        for row in table["rows"]
        if row["pair"].endswith(end)
    ]


_ENDS = ("value", "low", "high")


def beside(pictures: Sequence[str]) -> str:
    """SVGs in a row, as one."""
    sizes = [tuple(map(int, re.findall(r'(?:width|height)="(\d+)" ', p)[:2])) for p in pictures]
    parts, x = [], 0
    for picture, (width, _) in zip(pictures, sizes, strict=True):
        parts.append(picture.replace("<svg ", f'<svg x="{x}" ', 1))
        x += width
    high = max(h for _, h in sizes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{x}" height="{high}" '
        f'viewBox="0 0 {x} {high}">{"".join(parts)}</svg>\n'
    )


def learnt(runs: Path, row: str) -> list[tuple[float, float]]:
    """(step, reward) of a row, mean over its seeds, running mean."""
    each = []
    for file in sorted(runs.glob(f"{row}/*/metrics.jsonl")):
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        each.append([line["reward/mean"] for line in lines if "reward/mean" in line])
    mean = np.mean([e[: min(map(len, each))] for e in each], axis=0)
    smooth = np.convolve(mean, np.ones(_RUNNING) / _RUNNING, "valid")
    return [(float(k + _RUNNING // 2), float(v)) for k, v in enumerate(smooth)]


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True, help="table.json of rewards_table.py")
    parser.add_argument("--runs", type=Path, required=True, help="RUNS/<row>/<seed>")
    parser.add_argument("--folder", type=Path, required=True, help="of the pictures")
    args = parser.parse_args()
    tables = json.loads(args.table.read_text(encoding="utf-8"))
    panels = []
    for column, name in PANELS.items():
        rows = gains(tables, column)
        span = min(0.0, *(r[2] for r in rows)), max(0.0, *(r[3] for r in rows))
        panels.append(charts.intervals(rows, name, goal=0.0, x_name="gain", span=span))
    args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder / "rewards.svg").write_text(beside(panels), encoding="utf-8")
    traces = [
        charts.trace(learnt(args.runs, row), f"reward: {name}", headed=True)
        for row, name in LEARNING.items()
        if any(args.runs.glob(f"{row}/*/metrics.jsonl"))
    ]
    (args.folder / "learning.svg").write_text(beside(traces), encoding="utf-8")


if __name__ == "__main__":
    main()
