from __future__ import annotations

import math

import pytest
import torch

from hearken.enhancer.net import EnhancerConfig, MaskNet
from hearken.enhancer.policy import GaussianMaskPolicy
from hearken.errors import UsageError


def test_log_prob_by_hand() -> None:
    got = GaussianMaskPolicy(0.1).log_prob(torch.tensor([[0.6]]), torch.tensor([[0.5]]))
    assert float(got) == pytest.approx(-0.5 - math.log(0.1 * math.sqrt(2 * math.pi)))


def test_log_prob_is_per_bin_and_equals_torchs_normal() -> None:
    mean, actions = torch.rand(2, 1, 5, 7), torch.rand(2, 3, 5, 7)
    got = GaussianMaskPolicy(0.05).log_prob(actions, mean)
    assert got.shape == (2, 3, 5, 7)
    want = torch.distributions.Normal(mean, 0.05).log_prob(actions)
    torch.testing.assert_close(got, want)


def test_samples_have_the_mean_and_spread_asked_for() -> None:
    mean = torch.full((2, 40, 50), 0.7, requires_grad=True)
    drawn = GaussianMaskPolicy(0.05).sample(mean, 4, torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 4, 40, 50)
    assert not drawn.requires_grad
    assert float(drawn.mean()) == pytest.approx(0.7, abs=2e-3)
    assert float(drawn.std()) == pytest.approx(0.05, rel=0.03)


def test_same_generator_same_samples() -> None:
    mean = torch.rand(1, 4, 5)
    one, two = (
        GaussianMaskPolicy(0.1).sample(mean, 2, torch.Generator().manual_seed(4)) for _ in range(2)
    )
    assert torch.equal(one, two)


def test_gradient_pulls_the_mean_to_the_action() -> None:
    mean = torch.tensor([0.5], requires_grad=True)
    GaussianMaskPolicy(0.1).log_prob(torch.tensor([0.8]), mean).sum().backward()
    assert mean.grad is not None
    assert float(mean.grad) == pytest.approx(0.3 / 0.01, rel=1e-5)


def test_sound_is_made_of_legal_gains_only() -> None:
    net = MaskNet(EnhancerConfig(channels=(4, 4, 4, 4), hidden=8))
    spec = net.spectrum(torch.randn(1, 3200))
    wild = torch.full(spec.shape, 9.0)
    wild[:, ::2] = -3.0
    legal = wild.clamp(0, net.config.mask_max)
    torch.testing.assert_close(net.synthesise(wild, spec, 3200), net.synthesise(legal, spec, 3200))


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_sigma_must_be_a_width(sigma: float) -> None:
    with pytest.raises(UsageError, match="sigma"):
        GaussianMaskPolicy(sigma)


def test_a_cell_must_hold_something() -> None:
    with pytest.raises(UsageError, match="0 x 1"):
        GaussianMaskPolicy(0.1, cell_bins=0)


def test_a_cell_is_moved_as_one_and_cells_at_the_end_are_smaller() -> None:
    policy = GaussianMaskPolicy(0.2, cell_bins=2, cell_frames=3)
    offset = policy.sample(torch.zeros(1, 5, 7), 1, torch.Generator().manual_seed(0))[0, 0]
    assert offset.shape == (5, 7)
    assert len(offset[:2, :3].unique()) == 1
    assert len(offset[4:, 6:].unique()) == 1
    assert len(offset.unique()) == 3 * 3


def test_log_prob_of_a_cell_by_hand() -> None:
    """Two bins of a cell, offsets 0.1 and 0.3: their mean is one sigma away."""
    got = GaussianMaskPolicy(0.2, cell_bins=2).log_prob(
        torch.tensor([[0.6], [0.8]]), torch.tensor([[0.5], [0.5]])
    )
    assert got.shape == (1, 1)
    assert float(got) == pytest.approx(-0.5 - math.log(0.2 * math.sqrt(2 * math.pi)))


def test_the_density_of_what_was_sampled_does_not_depend_on_the_size_of_a_cell() -> None:
    mean = torch.rand(1, 8, 12)
    for cell in ((1, 1), (4, 3), (8, 12)):
        policy = GaussianMaskPolicy(0.1, *cell)
        drawn = policy.sample(mean, 200, torch.Generator().manual_seed(1))
        z = (policy.log_prob(drawn, mean[:, None]) + math.log(0.1 * math.sqrt(2 * math.pi))) * -2
        assert float(z.mean()) == pytest.approx(1, abs=0.2)


def test_antithetic_samples_come_in_pairs_around_the_mean() -> None:
    mean = torch.rand(2, 6, 7)
    drawn = GaussianMaskPolicy(0.1, antithetic=True).sample(
        mean, 5, torch.Generator().manual_seed(2)
    )
    offset = drawn - mean[:, None]
    torch.testing.assert_close(offset[:, 0], -offset[:, 1])
    torch.testing.assert_close(offset[:, 2], -offset[:, 3])
    assert drawn.shape == (2, 5, 6, 7)
    assert float(offset.std()) == pytest.approx(0.1, rel=0.15)
