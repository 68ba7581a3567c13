"""The held-out evaluation of fine-tuning: the enhancer as it is used, against the frozen base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hearken.enhancer.net import MaskNet
from hearken.errors import MetricError
from hearken.feedback.guard import Judge
from hearken.feedback.reward import rate_scores, rate_words
from hearken.loops.enhancer_finetune_judge import Tools, heard
from hearken.loops.enhancer_finetune_scenes import Excerpt, Excerpts, collate
from hearken.loops.processes import Processes
from hearken.metrics.agreement import bootstrap_ci
from hearken.metrics.finetune_examples import Example
from hearken.metrics.intrusive import estoi, pesq_wb, si_sdr_db
from hearken.nouns import Audio, Description

__all__ = ["MEASURES", "HeldOut"]

MEASURES = ("words", "scores", "si_sdr_db", "estoi", "pesq_wb", "dnsmos", "distillmos")
"""What is compared, in the order of the log."""

_BATCH = 16
_NAMES = {"si_sdr_db": "SI-SDR, dB:", "pesq_wb": "PESQ-WB", "distillmos": "DistillMOS"}


@dataclass(frozen=True, eq=False)
class _Heard:
    """One enhancer's version of a clip."""

    sound: Audio | None
    said: Description | None
    measures: dict[str, float]


class HeldOut:
    """One window of each held-out scene, and what the base makes of it (found once).

    Args:
        base: the frozen enhancer.
        valid: held-out excerpts.
        judge: hears them.
        tools: the rater and the blind metrics.
        team: processes that share the clips.
    """

    def __init__(
        self, base: MaskNet, valid: Excerpts, judge: Judge, tools: Tools, team: Processes
    ) -> None:
        self._base = base
        self._valid = valid
        self._judge = judge
        self._tools = tools
        self._team = team
        self._mine = range(team.rank, len(valid), team.count)
        self._before: list[_Heard] = []
        self._now: list[_Heard] = []
        self._ends: dict[int, list[Description | None]] = {}

    def evaluate(self, net: MaskNet) -> dict[str, float]:
        """`net` with its mean mask against the base: gains over clips of this evaluation.

        For each of `MEASURES` the mean difference to the base with a 95 % bootstrap interval over
        clips. Clips on which the judge or a metric failed leave the mean of that number alone,
        and are counted.
        """
        self._before = self._before or self._heard(self._base, self._mine)
        self._now = self._heard(net, self._mine)
        rows = self._team.gather(
            [
                {name: n.measures[name] - b.measures[name] for name in MEASURES}
                for n, b in zip(self._now, self._before, strict=True)
            ]
        )
        numbers = {"valid/clips": float(len(rows))}
        for name in MEASURES:
            found = [row[name] for row in rows if np.isfinite(row[name])]
            numbers[f"valid/{name}_failed"] = float(len(rows) - len(found))
            if found:
                mean = bootstrap_ci(found)
                numbers[f"valid/{name}"] = mean.value
                numbers |= {f"valid/{name}_low": mean.low, f"valid/{name}_high": mean.high}
        return numbers

    def examples(self, count: int) -> list[Example]:
        """The first clips of the last evaluation in full, to see and to hear."""
        shown = zip(self._mine[:count], self._before, self._now, strict=False)
        return [self._example(*x) for x in shown]

    def _example(self, index: int, before: _Heard, now: _Heard) -> Example:
        excerpt = self._valid[index]
        sounds = {"noisy": excerpt.mix, "base": before.sound, "now": now.sound,
                  "clean": excerpt.reference}  # fmt: skip
        whole = {k: x[: excerpt.length] for k, x in sounds.items() if x is not None}
        if index not in self._ends:
            self._ends[index] = self._judge.hear([whole["noisy"], whole["clean"]])
        ends = self._ends[index]
        said = {"noisy": ends[0], "base": before.said, "now": now.said, "clean": ends[1]}
        words = {k: d.words for k, d in said.items() if d is not None}
        ratings = dict(zip(words, self._tools.rate(list(words.values())), strict=True))
        notes = [
            f"{_NAMES[name]} {now.measures[name] - before.measures[name]:+.2f} over the base"
            for name in _NAMES
            if np.isfinite(now.measures[name] - before.measures[name])
        ]
        return Example(excerpt.name, whole, words, ratings, notes)

    def _heard(self, net: MaskNet, indices: Sequence[int]) -> list[_Heard]:
        """In fixed batches, so that what is said of a clip is the same at every evaluation."""
        out: list[_Heard] = []
        for first in range(0, len(indices), _BATCH):
            some = [self._valid[i] for i in indices[first : first + _BATCH]]
            sounds = [self._made(net, excerpt) for excerpt in some]
            said = self._judge.hear(sounds)
            measured = map(self._measures, some, sounds, said)
            out += [_Heard(*x) for x in zip(sounds, said, measured, strict=True)]
        return out

    def _made(self, net: MaskNet, excerpt: Excerpt) -> Audio | None:
        batch = collate([excerpt], next(net.parameters()).device)
        with torch.no_grad():
            made = net(batch.mix_BT, batch.crops_BV, batch.seen_BV)
        return heard(made, excerpt.length)[0]

    def _measures(
        self, excerpt: Excerpt, sound: Audio | None, said: Description | None
    ) -> dict[str, float]:
        """NaN where one cannot be had."""
        row = dict.fromkeys(MEASURES, float("nan"))
        if sound is None:
            return row
        row["words"] = float(rate_words([said], self._tools.rate)[0])
        row["scores"] = float(rate_scores([said])[0])
        reference = excerpt.reference[: excerpt.length]
        measures: dict[str, Callable[[], float]] = {
            "si_sdr_db": lambda: si_sdr_db(reference, sound),
            "estoi": lambda: estoi(reference, sound),
            "pesq_wb": lambda: pesq_wb(reference, sound),
            "dnsmos": lambda: self._tools.dnsmos(sound),
            "distillmos": lambda: self._tools.distillmos(sound),
        }
        for name, measure in measures.items():
            try:
                row[name] = measure()
            except MetricError:  # silence, or a clip too short: counted by the caller
                continue
        return row
