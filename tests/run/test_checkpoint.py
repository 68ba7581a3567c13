from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from hearken.errors import CheckpointError
from hearken.run import checkpoint


def test_a_tree_comes_back_as_it_went(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    state = {
        "model": {"a": shared, "tied": shared, "half": torch.ones(2, dtype=torch.bfloat16)},
        "by_number": {0: {"step": torch.tensor(3)}, 1: None},
        "betas": (0.9, 0.99),
        "list": [1, "two", True, np.arange(3, dtype=np.uint32)],
    }
    checkpoint.save(tmp_path / "deep" / "c.safetensors", state)
    back = checkpoint.load(tmp_path / "deep" / "c.safetensors")
    assert torch.equal(back["model"]["tied"], shared)
    assert back["model"]["half"].dtype == torch.bfloat16
    assert back["by_number"][0]["step"].item() == 3
    assert back["by_number"][1] is None
    assert back["betas"] == (0.9, 0.99)
    assert back["list"][:3] == [1, "two", True]
    assert back["list"][3].dtype == np.uint32


def test_an_optimizer_goes_on_where_it_was(tmp_path: Path) -> None:
    def steps(net: torch.nn.Linear, adam: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            adam.zero_grad()
            net(torch.randn(4, 3)).square().mean().backward()
            adam.step()

    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2)
    adam = torch.optim.AdamW(net.parameters(), lr=0.1)
    steps(net, adam, 3)
    state = {"net": net.state_dict(), "adam": adam.state_dict(), "rng": checkpoint.rng_state()}
    checkpoint.save(tmp_path / "c.safetensors", state)
    steps(net, adam, 3)

    torch.manual_seed(99)
    other = torch.nn.Linear(3, 2)
    again = torch.optim.AdamW(other.parameters(), lr=0.1)
    back = checkpoint.load(tmp_path / "c.safetensors")
    other.load_state_dict(back["net"])
    again.load_state_dict(back["adam"])
    checkpoint.set_rng_state(back["rng"])
    steps(other, again, 3)
    assert torch.equal(net.weight, other.weight)


def test_generators_go_on_where_they_were(tmp_path: Path) -> None:
    own = np.random.default_rng(5)
    own.random(3)
    state = {"own": checkpoint.generator_state(own), "all": checkpoint.rng_state()}
    checkpoint.save(tmp_path / "c.safetensors", state)
    ahead = (own.random(), torch.rand(()).item(), random.random())
    back = checkpoint.load(tmp_path / "c.safetensors")
    checkpoint.set_rng_state(back["all"])
    resumed = checkpoint.generator_from(back["own"])
    assert (resumed.random(), torch.rand(()).item(), random.random()) == ahead


def test_what_is_not_a_checkpoint_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.safetensors"
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load(file)
    checkpoint.save(file, {"a": torch.zeros(1000)})
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load(file)
    with pytest.raises(CheckpointError, match="/a: cannot store a set"):
        checkpoint.save(file, {"a": {1, 2}})
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
