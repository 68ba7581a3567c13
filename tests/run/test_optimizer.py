"""Two optimisers that step as one: who gets what, and a resume that changes nothing."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from hearken.run.optimizer import Optimizer, trapezoid


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(5, 4)
        self.hidden = nn.Linear(4, 4)
        self.lm_head = nn.Linear(4, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.lm_head(self.hidden(self.embed(ids)).relu())
        return out


def _steps(net: _Net, optimizer: Optimizer, count: int) -> None:
    ids = torch.arange(5)
    for _ in range(count):
        nn.functional.cross_entropy(net(ids), ids).backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_hidden_matrix_takes_an_orthogonal_step() -> None:
    net = _Net()
    before = net.hidden.weight.detach().clone()
    _steps(net, Optimizer(net, lr=0.1), 1)
    step = net.hidden.weight.detach() - before
    size = torch.linalg.svdvals(step)
    assert size.min() > 0.5 * size.max()  # five Newton-Schulz iterations: 0.7 to 1.2 of one size


def test_the_edges_are_left_to_adamw() -> None:
    with_muon, without = _Net(), _Net()
    _steps(with_muon, Optimizer(with_muon, lr=0.1), 1)
    _steps(without, Optimizer(without, lr=0.1, muon=False), 1)
    torch.testing.assert_close(with_muon.lm_head.weight, without.lm_head.weight)
    torch.testing.assert_close(with_muon.embed.weight, without.embed.weight)
    assert not torch.equal(with_muon.hidden.weight, without.hidden.weight)


def test_a_rate_of_zero_moves_nothing() -> None:
    net = _Net()
    before = copy.deepcopy(net.state_dict())
    optimizer = Optimizer(net, lr=0.1)
    optimizer.rate(0.0)
    _steps(net, optimizer, 1)
    torch.testing.assert_close(net.state_dict(), before)


def test_resumed_equals_uninterrupted() -> None:
    whole = _Net()
    _steps(whole, Optimizer(whole, lr=0.05), 4)
    net = _Net()
    first = Optimizer(net, lr=0.05)
    _steps(net, first, 2)
    second = Optimizer(net, lr=0.05)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    _steps(net, second, 2)
    torch.testing.assert_close(net.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_kernels_of_convolutions_take_orthogonal_steps_where_asked() -> None:
    def stepped(kernels: bool, count: int = 1) -> tuple[nn.Conv2d, torch.Tensor]:
        torch.manual_seed(1)
        net = nn.Conv2d(2, 4, (3, 2))
        before = net.weight.detach().clone()
        optimizer = Optimizer(net, lr=0.1, kernels=kernels)
        for k in range(count):
            generator = torch.Generator().manual_seed(k)
            net(torch.randn(1, 2, 5, 5, generator=generator)).square().sum().backward()
            if k == 1:  # a resume in between
                state = copy.deepcopy(optimizer.state_dict())
                optimizer = Optimizer(net, lr=0.1, kernels=kernels)
                optimizer.load_state_dict(state)
            optimizer.step()
            optimizer.zero_grad()
        return net, net.weight.detach() - before

    size = torch.linalg.svdvals(stepped(True)[1].flatten(1))
    assert size.min() > 0.5 * size.max()
    size = torch.linalg.svdvals(stepped(False)[1].flatten(1))
    assert size.min() < 0.5 * size.max()
    net, moved = stepped(True, 3)
    assert net.weight.grad is None
    assert float(moved.abs().max()) > 0.01


@dataclass(frozen=True)
class _Config:
    lr: float = 2.0
    steps: int = 100
    warmup: int = 10
    cooldown: int = 20


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = _Config()
    assert trapezoid(config, 0) == pytest.approx(0.2)
    assert trapezoid(config, 9) == trapezoid(config, 50) == trapezoid(config, 80) == 2
    assert trapezoid(config, 90) == pytest.approx(1.0)
    assert trapezoid(config, 100) == pytest.approx(0.02)  # never to nothing
    assert trapezoid(replace(config, steps=200), 90) == 2
    assert trapezoid(replace(config, warmup=0, cooldown=0), 99) == 2
