"""The critic: an audio LLM that says what is wrong with speech, and the grammar it says it in."""

from hearken.critic.grade import grade
from hearken.critic.grammar import parse, quantise, render
from hearken.critic.model import Critic

__all__ = ["Critic", "grade", "parse", "quantise", "render"]
