"""The table of `runs/ablation.sh`: each way of training, over its seeds.

    python benchmarks/ablation.py OUT [--json PAGE.json]

OUT/SEED/NAME/eval/metrics.jsonl holds the answers to the same held-out clips. A cell is the mean
over seeds; with one seed, its interval is a bootstrap over talkers, with more the range of the
seeds stands in brackets. The row "argmax" is "both" again, each score the digit that was written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hearken.critic import parse
from hearken.errors import GrammarError
from hearken.metrics import heard
from hearken.metrics.agreement import bootstrap_ci
from hearken.nouns import DIMENSIONS
from reason_heldout import f1

ROWS = {
    "base": "neither stage",
    "calibrated": "calibration only",
    "frozen": "calibration, encoder frozen",
    "reasoned": "reasoning only",
    "both": "both",
    "unified": "both, one unified reward",
    "argmax": "both, argmax for expectation",
}
COLUMNS: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{f"PCC {d.replace('_', ' ')}": (lambda s, d=d: s["pcc"][d]) for d in DIMENSIONS},
    "mean PCC": lambda s: s["intervals"]["mean_pcc"],
    "MOS SRCC": lambda s: s["srcc"]["overall"],
    "type macro F1": lambda s: s["intervals"]["macro_f1"],
    "timed F1": lambda s: s["intervals"]["timed_f1"],
    "mean IoU": lambda s: s["intervals"]["mean_iou"],
    "ROUGE-L": lambda s: s["rouge_l"],
    "parsed": lambda s: {"value": s["parsed"]},
}


def digits(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same answers, each score as the digit that was written."""
    out = []
    for row in rows:
        try:
            said = parse(row["raw"])
            out.append({**row, **{f"said/{d}": said.scores[d].value for d in DIMENSIONS}})
        except GrammarError:
            out.append(row)
    return out


def cell(found: Sequence[dict[str, Any] | None]) -> str:
    """One number a seed -> "0.71 [0.69, 0.73]"."""
    known = [f for f in found if f is not None and f.get("value") is not None]
    if not known:
        return "-"
    values = [float(f["value"]) for f in known]
    ends = (min(values), max(values))
    if len(known) == 1:
        ends = (known[0].get("low"), known[0].get("high"))
    mean = sum(values) / len(values)
    return f"{mean:.2f}" + (f" [{ends[0]:.2f}, {ends[1]:.2f}]" if ends[0] is not None else "")


def paired(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Change of text agreement, type F1 and timed F1 on the same clips; 95 % over talkers."""

    def counts(row: dict[str, Any]) -> list[float]:
        said, true = set(row["said/types"].split()), set(row["true/types"].split())
        timed = [row[f"timed/{k}"] or 0 for k in ("hits", "said", "true")]
        return [row["rouge_l"] or 0.0, len(said & true), len(said), len(true), *timed]

    figures = {
        "text agreement": lambda r: float(r[:, 0].mean()),
        "type F1": lambda r: f1(r, 1),
        "timed F1": lambda r: f1(r, 4),
    }
    later = {row["clip"]: row for row in after}
    both = np.array([counts(row) + counts(later[row["clip"]]) for row in before])
    talkers = [row["speaker"] for row in before]
    found = {}
    for name, figure in figures.items():
        ci = bootstrap_ci(both, talkers, statistic=lambda r, f=figure: f(r[:, 7:]) - f(r[:, :7]))
        found[name] = f"{ci.value:+.3f} [{ci.low:+.3f}, {ci.high:+.3f}]"
    return found


def answers(path: Path) -> list[dict[str, Any]]:
    """The rows of one evaluation that are answers to clips as they are."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [r for r in rows if "control" in r]


def main() -> None:
    """Reads, prints, saves."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("out", type=Path)
    flags.add_argument("--json", type=Path)
    args = flags.parse_args()
    summaries: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(args.out.glob("*/*/eval/metrics.jsonl")):
        name = path.parent.parent.name
        rows = answers(path)
        summaries.setdefault(name, []).append(heard.results(rows, resamples=300).summary())
        if name == "both":
            argmax = heard.results(digits(rows), resamples=300).summary()
            summaries.setdefault("argmax", []).append(argmax)
    names = [n for n in ROWS if n in summaries]
    print("| | " + " | ".join(COLUMNS) + " |\n|---|" + "---|" * len(COLUMNS))
    for name in names:
        cells = [cell([pick(s) for s in summaries[name]]) for pick in COLUMNS.values()]
        print(f"| {ROWS[name]} | " + " | ".join(cells) + " |")
    for folder in sorted(args.out.glob("*/both/eval/metrics.jsonl")):
        seed = folder.parents[2]
        for start in ("calibrated", "reasoned", "unified"):
            other = seed / start / "eval" / "metrics.jsonl"
            if other.exists():
                change = paired(answers(other), answers(folder))
                print(f"\nseed {seed.name}, both - {ROWS[start]}: {change}")
    if args.json:
        args.json.write_text(json.dumps({n: summaries[n] for n in names}, indent=1) + "\n")


if __name__ == "__main__":
    main()
