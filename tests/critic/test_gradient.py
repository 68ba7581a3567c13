"""The critic as a function to differentiate: the same values, and a slope that is true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hearken.critic.answer import Written
from hearken.critic.gradient import ScoreGradient
from hearken.critic.model import Critic
from hearken.errors import CheckpointError, UsageError
from hearken.nouns import DIMENSIONS, SAMPLE_RATE

Sound = NDArray[np.float32]


@pytest.fixture(scope="module")
def critic() -> Critic:
    return Critic.from_pretrained()


@pytest.fixture(scope="module")
def ear(critic: Critic) -> ScoreGradient:
    return ScoreGradient(critic)


@pytest.fixture
def sounds(speechlike: Sound) -> list[Sound]:
    """Of several lengths, clean and noisy."""
    rng = np.random.default_rng(0)
    hiss = rng.standard_normal(len(speechlike)).astype(np.float32)
    return [speechlike, (speechlike + 0.02 * hiss)[: 2 * SAMPLE_RATE],
            (speechlike + 0.1 * hiss)[: SAMPLE_RATE + 7]]  # fmt: skip


def test_scores_are_those_that_the_critic_gives(
    critic: Critic, ear: ScoreGradient, sounds: list[Sound]
) -> None:
    with torch.no_grad():
        found = ear([torch.from_numpy(x) for x in sounds])
    for row, scores in zip(found.tolist(), critic.scores(sounds), strict=True):
        assert isinstance(scores, dict)
        assert row == pytest.approx([scores[d].value for d in DIMENSIONS], abs=1e-3)


def test_the_log_mel_is_the_processors(
    critic: Critic, ear: ScoreGradient, sounds: list[Sound]
) -> None:
    expected = critic.inputs(sounds)["input_features"][:, : critic.mel_bins]
    found = torch.stack([ear.log_mel(torch.from_numpy(x)) for x in sounds])
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    silent = ear.log_mel(torch.zeros(SAMPLE_RATE))
    assert silent.isfinite().all()


def test_a_step_along_the_gradient_pleases_the_critic(
    ear: ScoreGradient, sounds: list[Sound]
) -> None:
    x = torch.from_numpy(sounds[1]).requires_grad_()
    before = ear([x]).mean()
    before.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    step = 1e-3 * x.detach().norm() * x.grad / x.grad.norm()  # 60 dB below the sound
    with torch.no_grad():
        up, down = ear([x + step]).mean(), ear([x - step]).mean()
    assert down < before < up


def test_gain_changes_nothing_so_the_gradient_is_across_the_sound(
    ear: ScoreGradient, sounds: list[Sound]
) -> None:
    x = torch.from_numpy(sounds[1]).requires_grad_()
    ear([x]).sum().backward()
    assert x.grad is not None
    along = torch.dot(x.grad, x.detach()) / (x.grad.norm() * x.detach().norm())
    assert abs(along.item()) < 1e-3


def test_each_sound_has_its_own_gradient(ear: ScoreGradient, sounds: list[Sound]) -> None:
    a, b = (torch.from_numpy(x).requires_grad_() for x in sounds[1:])
    ear([a, b])[0].sum().backward()
    assert a.grad is not None
    assert a.grad.norm() > 0
    assert b.grad is None or b.grad.norm() < 1e-6 * a.grad.norm()


def test_an_answer_that_does_not_parse_is_a_row_of_nan(
    critic: Critic, ear: ScoreGradient, sounds: list[Sound], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = critic.write_scores

    def spoilt(batch: dict[str, torch.Tensor]) -> list[Written]:
        first, *rest = write(batch)
        return [replace(first, text="gibberish"), *rest]

    monkeypatch.setattr(critic, "write_scores", spoilt)
    x, y = (torch.from_numpy(s).requires_grad_() for s in sounds[:2])
    found = ear([x, y])
    assert found[0].isnan().all()
    assert found[1].isfinite().all()
    found[1].sum().backward()
    assert y.grad is not None
    assert y.grad.isfinite().all()


def test_too_long_and_other_features_are_refused(critic: Critic, ear: ScoreGradient) -> None:
    with pytest.raises(UsageError, match="window"):
        ear([torch.zeros(7 * SAMPLE_RATE)])
    with pytest.raises(UsageError, match="window"):
        ear.log_mel(torch.zeros(7 * SAMPLE_RATE))

    class Other:
        id, model = "other", critic.model
        processor = type("P", (), {"feature_extractor": object()})()

    with pytest.raises(CheckpointError, match="no gradient"):
        ScoreGradient(Other())  # type: ignore[arg-type]
