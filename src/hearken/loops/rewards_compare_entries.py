"""Who is in the table of rewards, and what is kept of each.

Doing nothing, the pretrained enhancer, then RUNS/<row>/<seed>/enhancer, row by row. Each keeps
its rows in a file of its own to which lines are only added; the newest of a scene counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearken import media
from hearken.data import scenes
from hearken.errors import HearkenError, UsageError
from hearken.loops.enhancer_systems import Made, Pictures, System, systems
from hearken.metrics.systems_tables import UNPROCESSED
from hearken.nouns import Scene

__all__ = ["PRETRAINED", "ROWS", "Entry", "entries_of"]

ROWS = (
    "none",
    "shuffled",
    "dnsmos",
    "words",
    "scores",
    "faults",
    "words_faults",
    "gradient",
    "critic",
)
"""The order of the table; other names follow. "critic" is what is shipped as enhancer-critic."""
PRETRAINED = "pretrained"


@dataclass(frozen=True, eq=False)
class Entry:
    """One system with one seed, and where its results are kept.

    Attributes:
        system: the row's name.
        seed: the name of its folder; "" for what was not trained.
        revision: of the weights; "" where they could not be loaded.
        make: what makes sound of a scene.
        file: where its rows are kept.
    """

    system: str
    seed: str
    revision: str
    make: System
    file: Path

    def kept(self) -> dict[str, dict[str, Any]]:
        """{scene: its newest row}; a line that a crash cut short is dropped from the file."""
        if not self.file.exists():
            return {}
        whole, end, torn = self.file.read_text(encoding="utf-8").rpartition("\n")
        if torn:
            with media.atomic(self.file) as part:
                part.write_text(whole + end, encoding="utf-8")
        rows = [json.loads(line) for line in whole.splitlines()]
        return {row["scene"]: row for row in rows}

    def keep(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")


def entries_of(
    runs: Path, kept: Path, pictures: Pictures, pretrained: str | None, device: str
) -> list[Entry]:
    """All that are compared, in the order of the table.

    Args:
        runs: folder with <row>/<seed>/enhancer.
        kept: folder for what is kept of each.
        pictures: of the scenes.
        pretrained: folder of weights; None for the shipped ones.
        device: where enhancers run.

    Raises:
        UsageError: no weights under `runs`.
    """
    folders = [f.parent for f in runs.glob("*/*/enhancer/config.json")]
    if not folders:
        raise UsageError(
            f"{runs}: no <row>/<seed>/enhancer with weights; make one with `hearken train "
            f"enhancer-finetune --reward words --out {runs}/words/0`"
        )
    nothing = systems(None, pictures, oracle=False)[UNPROCESSED]
    base = _enhancing(pretrained, device, pictures)
    result = [
        Entry(UNPROCESSED, "", "none", nothing, kept / f"{UNPROCESSED}.jsonl"),
        Entry(PRETRAINED, "", *base, kept / f"{PRETRAINED}.jsonl"),
    ]
    place = {row: i for i, row in enumerate(ROWS)}
    found = [(f.parents[1].name, f.parent.name, f) for f in folders]
    for row, seed, folder in sorted(found, key=lambda x: (place.get(x[0], len(ROWS)), x)):
        made = _enhancing(str(folder), device, pictures)
        result.append(Entry(row, seed, *made, kept / row / f"{seed}.jsonl"))
    return result


def _enhancing(folder: str | None, device: str, pictures: Pictures) -> tuple[str, System]:
    """Revision of the weights, and the enhancer with the right video; or what raises why not."""
    from hearken.enhancer.model import Enhancer

    try:
        enhancer = Enhancer.from_pretrained(folder, device=device)
    except HearkenError as error:
        return "", _failing(error)
    made = systems(enhancer, pictures, videos=("right",), oracle=False)
    return enhancer.revision, made["video right"]


def _failing(error: HearkenError) -> System:
    def make(scene: Scene, sound: scenes.SceneAudio) -> Made:
        raise error

    return make
