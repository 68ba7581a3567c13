"""Prompts are text files in `prompts/`, read by name; `{fault_types}` becomes the closed list.

`listen` is the short one that the shipped critic was trained with; `describe` states the whole
grammar, for a model that has never seen it.
"""

from __future__ import annotations

from importlib import resources

from hearken.errors import UsageError
from hearken.nouns import FAULT_TYPES

__all__ = ["SIDE_FILE", "names", "prompt"]

SIDE_FILE = "hearken.json"
"""Beside a model's config: the prompt it was trained with, and its temperatures."""


def names() -> list[str]:
    """The prompts there are."""
    folder = resources.files("hearken.critic") / "prompts"
    return sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".txt"))


def prompt(name: str) -> str:
    """The text of one prompt.

    Raises:
        UsageError: no prompt of that name; names those there are.

    >>> prompt("listen")
    'Listen.'
    """
    if name not in names():
        raise UsageError(f"no prompt {name!r}: choose one of {', '.join(names())}")
    text = (resources.files("hearken.critic") / "prompts" / f"{name}.txt").read_text("utf-8")
    types = ", ".join(kind.words for kind in FAULT_TYPES.values())
    return text.strip().replace("{fault_types}", types)
