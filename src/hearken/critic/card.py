"""Model cards: what a critic was trained on, by which command, and what it scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hearken.nouns import DIMENSIONS

__all__ = ["card", "flags"]

_MEANT_HERE_ONLY = ("out", "data", "valid", "init", "cache", "resume", "data_note")


def card(facts: Mapping[str, object], numbers: Mapping[str, float | None]) -> str:
    """README.md of a critic's folder.

    Args:
        facts: what was done; keys become the left column.
        numbers: what was measured on the validation corpus.
    """
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: transformers",
        "tags: [audio-quality, speech, audio-language-model]",
        "---",
        "",
        "# critic-tiny",
        "",
        "A tiny Audio Flamingo 3 that hears up to 6 s of 16 kHz speech, as 80 log-mel bands and 8",
        "channels of the waveform (`hearken.critic.waveform`), and answers in hearken's",
        f"grammar: scores 1-5 for {', '.join(d.replace('_', ' ') for d in DIMENSIONS)}; timed",
        "faults from a closed list; one or two sentences. Trained from nothing on planted faults:",
        "its scores are the planting rule's, not listeners'. Not for judging people, nor the",
        "content of speech.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in facts.items()),
        "",
        "| measured on the validation corpus, greedy | |",
        "|---|---|",
        *(f"| {key} | {value:.3f} |" for key, value in numbers.items() if value is not None),
    ]
    return "\n".join(lines) + "\n"


def flags(config: Any) -> str:
    """The command line's flags that make this configuration out of the defaults.

    Folders are left out: they mean nothing elsewhere. `--steps` is always there.
    """
    changed = {f.name: getattr(config, f.name) for f in fields(config)}
    for f in fields(config):
        if f.name in _MEANT_HERE_ONLY or (changed[f.name] == f.default and f.name != "steps"):
            del changed[f.name]
    return " ".join(_flag(name.replace("_", "-"), value) for name, value in changed.items())


def _flag(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    if isinstance(value, tuple):
        return " ".join([f"--{name}", *map(str, value)])
    return f"--{name} {value}"
