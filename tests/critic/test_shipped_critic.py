"""The critic that comes with the package: it loads, answers in its grammar, and is small."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hearken.critic import Critic, parse
from hearken.critic.loader import shipped
from hearken.nouns import DIMENSIONS, Description


@pytest.fixture(scope="module")
def critic() -> Critic:
    return Critic.from_pretrained()


def test_it_answers_in_its_grammar(critic: Critic, speechlike: NDArray[np.float32]) -> None:
    rng = np.random.default_rng(0)
    hiss = 0.05 * rng.standard_normal(len(speechlike)).astype(np.float32)
    said = critic.listen([speechlike, speechlike + hiss, hiss, np.zeros(16_000, np.float32)])
    for description in said:
        assert isinstance(description, Description)
        parse(description.raw)
        assert all(1 <= description.scores[d].value <= 5 for d in DIMENSIONS)
    clean, noisy = said[0], said[1]
    assert isinstance(clean, Description)
    assert isinstance(noisy, Description)
    assert noisy.scores["noise"].value < clean.scores["noise"].value


def test_ten_minutes_are_heard_in_bounded_batches(
    critic: Critic, speechlike: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    inputs = critic.inputs

    def counted(clips: list[NDArray[np.float32]]) -> dict[str, torch.Tensor]:
        sizes.append(len(clips))
        return inputs(clips)

    monkeypatch.setattr(critic, "inputs", counted)
    (said,) = critic.scores([np.tile(speechlike, 12)], batch_size=3)
    assert isinstance(said, dict)
    assert sizes == [3, 3, 1]


def test_it_is_small_and_says_where_it_came_from() -> None:
    files = list(shipped().iterdir())
    assert sum(f.stat().st_size for f in files) < 15e6
    assert not [f for f in files if f.suffix in (".bin", ".pt", ".pkl")]
    card = (shipped() / "README.md").read_text()
    assert "license: apache-2.0" in card
