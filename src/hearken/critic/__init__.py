"""The critic: an audio LLM that says what is wrong with speech, and the grammar it says it in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearken.critic.grade import grade
from hearken.critic.grammar import parse, quantise, render
from hearken.critic.interval import interval

if TYPE_CHECKING:
    from hearken.critic.model import Critic as Critic

__all__ = ["Critic", "grade", "interval", "parse", "quantise", "render"]


def __getattr__(name: str) -> Any:
    """Import the model on first use: grammar, grade and interval need no torch."""
    if name == "Critic":
        from hearken.critic.model import Critic

        return Critic
    raise AttributeError(f"module 'hearken.critic' has no attribute {name!r}")
