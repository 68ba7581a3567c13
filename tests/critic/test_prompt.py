"""Prompts are files; the one for strangers states exactly the grammar that is parsed."""

from __future__ import annotations

import pytest

from hearken.critic.grammar import LABELS
from hearken.critic.prompt import names, prompt
from hearken.errors import UsageError
from hearken.nouns import FAULT_TYPES


def test_the_long_prompt_states_the_whole_grammar() -> None:
    text = prompt("describe")
    for label in [*LABELS.values(), "faults", "words"]:
        assert f"\n{label}: " in text
    listed = text.split("The types are: ")[1].split(".")[0].split(", ")
    assert listed == [kind.words for kind in FAULT_TYPES.values()]
    assert "{" not in text


def test_an_unknown_prompt_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="describe, listen"):
        prompt("sing")
    assert names() == ["describe", "listen"]
