from __future__ import annotations

import math

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss

from hearken.rl.loss import clipped_surrogate, gaussian_kl

YES = torch.ones(1, 1, dtype=torch.bool)


def one_bin(ratio: float, advantage: float) -> tuple[float, float]:
    """Loss and gradient with respect to the log-prob of a single bin."""
    log_prob = torch.full((1, 1, 1, 1), math.log(ratio), requires_grad=True)
    out = clipped_surrogate(
        log_prob, torch.zeros(1, 1, 1, 1), torch.tensor([[advantage]]), YES, eps=0.1
    )
    out.loss.backward()
    assert log_prob.grad is not None
    return out.loss.item(), log_prob.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),  # on policy: the plain policy gradient
        (1.05, 2.0, -2.1, -2.1),  # inside the interval
        (1.3, 2.0, -2.2, 0.0),  # a good action already made likely enough: stop
        (0.8, 2.0, -1.6, -1.6),  # a good action made unlikely: still pulled back
        (1.3, -2.0, 2.6, 2.6),  # a bad action made likely: pushed down in full
        (0.8, -2.0, 1.8, 0.0),  # a bad action already unlikely enough: stop
    ],
)
def test_hand_numbers(ratio: float, advantage: float, loss: float, gradient: float) -> None:
    got_loss, got_gradient = one_bin(ratio, advantage)
    assert got_loss == pytest.approx(loss, abs=1e-5)
    assert got_gradient == pytest.approx(gradient, abs=1e-5)


def test_mean_over_bins_then_rollouts_and_the_counts() -> None:
    # Rollout 0: ratios 1.0 and 1.5 with A = 1: (1.0 + 1.1) / 2. Rollout 1: 1.0, 1.0, A = -3.
    log_prob = torch.tensor([[[[1.0, 1.5]], [[1.0, 1.0]]]]).log()
    out = clipped_surrogate(
        log_prob,
        torch.zeros_like(log_prob),
        torch.tensor([[1.0, -3.0]]),
        torch.ones(1, 2, dtype=torch.bool),
    )
    assert out.loss.item() == pytest.approx(-(1.05 - 3.0) / 2)
    assert out.clip_fraction == pytest.approx(0.25)
    assert out.ratio_mean == pytest.approx(4.5 / 4)
    assert out.ratio_max == pytest.approx(0.5)


def test_masked_rollout_may_be_nan() -> None:
    log_prob = torch.zeros(1, 2, 1, 2)
    log_prob[0, 1] = float("nan")
    log_prob.requires_grad_(True)
    valid = torch.tensor([[True, False]])
    out = clipped_surrogate(log_prob, torch.zeros(1, 2, 1, 2), torch.tensor([[2.0, 9.0]]), valid)
    out.loss.backward()
    assert out.loss.item() == pytest.approx(-2.0)
    assert out.clip_fraction == 0.0
    assert log_prob.grad is not None
    assert log_prob.grad.isfinite().all()
    assert log_prob.grad[0, 1].abs().max() == 0


def test_nothing_valid_is_a_zero_with_a_zero_gradient() -> None:
    log_prob = torch.zeros(1, 2, 1, 2, requires_grad=True)
    none = torch.zeros(1, 2, dtype=torch.bool)
    out = clipped_surrogate(log_prob, torch.zeros(1, 2, 1, 2), torch.ones(1, 2), none)
    out.loss.backward()
    assert out.loss.item() == 0.0
    assert log_prob.grad is not None
    assert log_prob.grad.abs().max() == 0


def test_credit_in_time_reaches_only_its_frames() -> None:
    log_prob = torch.zeros(1, 1, 3, 2, requires_grad=True)
    advantages_PGF = torch.tensor([[[1.0, 0.0]]])
    clipped_surrogate(log_prob, torch.zeros(1, 1, 3, 2), advantages_PGF, YES).loss.backward()
    assert log_prob.grad is not None
    assert (log_prob.grad[..., 0] < 0).all()
    assert (log_prob.grad[..., 1] == 0).all()


def test_kl_by_hand_and_against_torch() -> None:
    assert float(gaussian_kl(torch.tensor(0.2), torch.tensor(0.1), 0.05)) == pytest.approx(2.0)
    general = gaussian_kl(torch.tensor(1.0), torch.tensor(0.0), 1.0, 2.0)
    assert float(general) == pytest.approx(math.log(2) + 2 / 8 - 0.5)
    torch.manual_seed(0)
    m1, m0, s1, s0 = torch.randn(7), torch.randn(7), torch.rand(7) + 0.1, torch.rand(7) + 0.1
    oracle = kl_divergence(Normal(m1, s1), Normal(m0, s0))
    torch.testing.assert_close(gaussian_kl(m1, m0, s1, s0), oracle)
    torch.testing.assert_close(gaussian_kl(m1, m0, s1, s1), gaussian_kl(m1, m0, s1))


class Given(nn.Module):
    """A policy whose means are a parameter: what torchrl sees is what we see."""

    def __init__(self, mean: Tensor, sigma: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(mean)
        self.sigma = sigma

    def forward(self, _: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean, torch.full_like(self.mean, self.sigma)


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.05])
def test_same_loss_and_gradient_as_torchrl(shift: float) -> None:
    torch.manual_seed(0)
    P, G, K, F, sigma = 2, 3, 4, 5, 0.05
    old_mean = torch.rand(P, G, K, F)
    action = old_mean + sigma * torch.randn(P, G, K, F)
    mean = old_mean + shift * torch.randn(P, G, K, F)
    advantages_PG = torch.randn(P, G)
    old_log_prob = Normal(old_mean, sigma).log_prob(action)

    ours_mean = mean.clone().requires_grad_(True)
    ours = clipped_surrogate(
        Normal(ours_mean, sigma).log_prob(action),
        old_log_prob,
        advantages_PG,
        torch.ones(P, G, dtype=torch.bool),
    )
    ours.loss.backward()

    rows = P * G * K * F  # torchrl: every bin is a sample of its own, with a 1-d action
    given = Given(mean.reshape(rows, 1), sigma)
    actor = ProbabilisticActor(
        TensorDictModule(given, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        distribution_class=_IndependentNormal,
        return_log_prob=True,
    )
    oracle = ClipPPOLoss(
        actor, ValueOperator(nn.Linear(1, 1)), clip_epsilon=0.1, entropy_bonus=False
    )
    batch = TensorDict(
        {
            "observation": torch.zeros(rows, 1),
            "action": action.reshape(rows, 1),
            "action_log_prob": old_log_prob.reshape(rows),
            "advantage": advantages_PG[:, :, None, None].expand(P, G, K, F).reshape(rows, 1),
            "value_target": torch.zeros(rows, 1),
        },
        batch_size=[rows],
    )
    theirs = oracle(batch)
    theirs["loss_objective"].backward()
    torch.testing.assert_close(ours.loss, theirs["loss_objective"], rtol=1e-4, atol=1e-6)
    assert ours.clip_fraction == pytest.approx(float(theirs["clip_fraction"]), abs=1e-6)
    theirs_grad = next(p.grad for p in oracle.actor_network_params.flatten_keys().values())
    torch.testing.assert_close(
        ours_mean.grad, theirs_grad.reshape(P, G, K, F), rtol=1e-3, atol=1e-6
    )


class _IndependentNormal(torch.distributions.Independent):
    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__(Normal(loc, scale), 1)
