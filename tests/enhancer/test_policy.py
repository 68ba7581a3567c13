from __future__ import annotations

import math

import pytest
import torch

from hearken.enhancer.net import EnhancerConfig, MaskNet
from hearken.enhancer.policy import GaussianMaskPolicy
from hearken.errors import UsageError


def test_log_prob_by_hand() -> None:
    got = GaussianMaskPolicy.log_prob(torch.tensor([0.6]), torch.tensor([0.5]), 0.1)
    assert float(got) == pytest.approx(-0.5 - math.log(0.1 * math.sqrt(2 * math.pi)))


def test_log_prob_is_per_bin_and_equals_torchs_normal() -> None:
    mean, actions = torch.rand(2, 1, 5, 7), torch.rand(2, 3, 5, 7)
    got = GaussianMaskPolicy.log_prob(actions, mean, 0.05)
    assert got.shape == (2, 3, 5, 7)
    want = torch.distributions.Normal(mean, 0.05).log_prob(actions)
    torch.testing.assert_close(got, want)


def test_samples_have_the_mean_and_spread_asked_for() -> None:
    mean = torch.full((2, 40, 50), 0.7, requires_grad=True)
    drawn = GaussianMaskPolicy.sample(mean, 0.05, 4, torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 4, 40, 50)
    assert not drawn.requires_grad
    assert float(drawn.mean()) == pytest.approx(0.7, abs=2e-3)
    assert float(drawn.std()) == pytest.approx(0.05, rel=0.03)


def test_same_generator_same_samples() -> None:
    mean = torch.rand(1, 4, 5)
    one, two = (
        GaussianMaskPolicy.sample(mean, 0.1, 2, torch.Generator().manual_seed(4)) for _ in range(2)
    )
    assert torch.equal(one, two)


def test_gradient_pulls_the_mean_to_the_action() -> None:
    mean = torch.tensor([0.5], requires_grad=True)
    GaussianMaskPolicy.log_prob(torch.tensor([0.8]), mean, 0.1).sum().backward()
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
        GaussianMaskPolicy.log_prob(torch.zeros(1), torch.zeros(1), sigma)
