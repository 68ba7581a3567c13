"""The locating loop: it runs, resumes to the bit, and hands on a critic with a locator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hearken.critic import Critic
from hearken.critic.grammar import render
from hearken.critic.locator import LOCATOR_FILE
from hearken.critic.tiny import new_tiny
from hearken.errors import CheckpointError, UsageError
from hearken.loops import critic_locate
from hearken.loops.critic_locate import Config, main
from hearken.run import checkpoint
from small_corpus import SIZES, description, write_corpus


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpus(folder / "train", 10)
    write_corpus(folder / "valid", 4)
    new_tiny(folder / "critic", [render(description(2.5))] * 3, config=SIZES)
    return folder


@pytest.fixture
def config(corpora: Path, tmp_path: Path) -> Config:
    return Config.smoke(
        out=tmp_path / "run",
        data=(corpora / "train",),
        valid=corpora / "valid",
        critic=corpora / "critic",
        threads=1,
    )


def lines(config: Config) -> list[dict[str, Any]]:
    rows = [json.loads(r) for r in (config.out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if not k.startswith("time/")} for r in rows]


def test_a_run_leaves_a_log_and_a_critic_that_places(config: Config, corpora: Path) -> None:
    numbers = main(config)
    assert set(numbers) >= {"valid/time_f1", "valid/loss", "valid/onset_error_s"}
    assert [r["step"] for r in lines(config)] == list(range(6))
    critic = Critic.from_pretrained(config.out / "critic")
    assert critic.locator is not None
    assert critic.locator.settings["width"] == config.width
    assert len(critic.listen([np.zeros(16_000, np.float32)])) == 1
    assert Critic.from_pretrained(corpora / "critic").locator is None  # the source is left alone
    names = {p.name for p in (corpora / "critic").iterdir()} | {LOCATOR_FILE}
    assert {p.name for p in (config.out / "critic").iterdir()} == names


def test_resuming_equals_an_uninterrupted_run_to_the_bit(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(config)
    broken = replace(config, out=tmp_path / "broken")
    step: Callable[..., Any] = critic_locate._step
    calls = []

    def dying(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:  # after the checkpoint at 3, with one more step logged
            raise KeyboardInterrupt
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(critic_locate, "_step", dying)
        with pytest.raises(KeyboardInterrupt):
            main(broken)
    torch.manual_seed(99)
    main(replace(broken, resume=True))
    assert lines(broken) == lines(config)
    whole = checkpoint.load(config.out / "checkpoint.safetensors")["locator"]
    for name, value in checkpoint.load(broken.out / "checkpoint.safetensors")["locator"].items():
        assert torch.equal(value, whole[name]), name


def test_it_refuses_what_it_cannot_do(config: Config) -> None:
    with pytest.raises(UsageError, match="valid"):
        main(replace(config, valid=Path("")))
    with pytest.raises(CheckpointError):
        main(replace(config, critic=config.valid))
    main(replace(config, steps=1))
    with pytest.raises(CheckpointError, match="--resume"):
        main(config)
