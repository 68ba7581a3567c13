"""Model cards: what a critic was trained on, by which command, and what it scored."""

from __future__ import annotations

from collections.abc import Mapping

from hearken.nouns import DIMENSIONS

__all__ = ["card"]


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
        "A tiny Audio Flamingo 3 that hears up to 6 s of 16 kHz speech and answers in hearken's",
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
