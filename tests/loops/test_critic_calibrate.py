"""Calibration: it runs, resumes to the bit, refuses what it should, and measures rightly."""

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
from hearken.critic.tiny import new_tiny
from hearken.errors import CheckpointError, UsageError
from hearken.loops import critic_calibrate
from hearken.loops.critic_calibrate import Config, _rows, main
from hearken.run import checkpoint
from small_corpus import SIZES, description, write_corpus


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpora")
    write_corpus(folder / "train", 10)
    write_corpus(folder / "valid", 4)
    new_tiny(folder / "init", [render(description(2.5))] * 3, config=SIZES)
    return folder


@pytest.fixture
def config(corpora: Path, tmp_path: Path) -> Config:
    return Config.smoke(
        out=tmp_path / "run",
        data=(corpora / "train",),
        valid=corpora / "valid",
        init=corpora / "init",
        threads=1,
    )


def weights(config: Config) -> dict[str, torch.Tensor]:
    return checkpoint.load(config.out / "checkpoint.safetensors")["pupil"]


def lines(config: Config) -> list[dict[str, Any]]:
    rows = [json.loads(r) for r in (config.out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if not k.startswith("time/")} for r in rows]


def test_a_run_leaves_a_critic_a_log_and_a_card(config: Config) -> None:
    numbers = main(config)
    assert set(numbers) >= {"valid/score_pcc", "valid/parsed", "valid/fault_recall"}
    rows = lines(config)
    assert [r["step"] for r in rows] == list(range(6))
    assert all(np.isfinite(r["loss/score"]) and r["loss/probe"] for r in rows)
    assert "valid/score_pcc" in rows[2]
    critic = Critic.from_pretrained(config.out / "critic")
    assert not any("probe" in name for name, _ in critic.model.named_parameters())
    assert len(critic.listen([np.zeros(16_000, np.float32)])) == 1
    card = (config.out / "critic" / "README.md").read_text()
    assert "hearken train critic-calibrate" in card
    assert "--steps 6" in card
    assert "valid/score_pcc" in card


def test_resuming_equals_an_uninterrupted_run_to_the_bit(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(config)
    broken = replace(config, out=tmp_path / "broken")
    step: Callable[..., Any] = critic_calibrate._step
    calls = []

    def dying(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:  # after the checkpoint at 3, with one more step logged
            raise KeyboardInterrupt
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(critic_calibrate, "_step", dying)
        with pytest.raises(KeyboardInterrupt):
            main(broken)
    torch.manual_seed(99)  # nothing may depend on what is left in the global generators
    main(replace(broken, resume=True))
    assert lines(broken) == lines(config)
    whole = weights(config)
    for name, value in weights(broken).items():
        assert torch.equal(value, whole[name]), name


def test_a_run_folder_is_not_overwritten(config: Config) -> None:
    main(replace(config, steps=1))
    with pytest.raises(CheckpointError, match="--resume"):
        main(config)


def test_a_missing_path_names_its_flag(config: Config) -> None:
    with pytest.raises(UsageError, match="--valid"):
        main(replace(config, valid=Path()))


def test_a_frozen_encoder_stays_and_pure_scores_leave_the_probe_out(config: Config) -> None:
    main(replace(config, freeze_encoder=True, score_only=True, steps=2))
    before = Critic.from_pretrained(config.init).model.state_dict()
    after = weights(config)
    assert not any(k.startswith("probe") for k in after)
    moved = {k for k, v in before.items() if not torch.equal(v, after[f"model.{k}"])}
    assert moved
    assert not any("audio_tower" in k for k in moved)


def test_an_epoch_hears_every_clip_once_in_a_new_order() -> None:
    lengths = np.random.default_rng(0).integers(50, 90, 64)
    epochs = [[_rows(lengths, 4, 7, e * 16 + k) for k in range(16)] for e in range(2)]
    for epoch in epochs:
        assert sorted(i for rows in epoch for i in rows) == list(range(64))
        assert all(np.ptp(lengths[rows]) <= 12 for rows in epoch)
    assert epochs[0] != epochs[1]


def test_the_encoder_can_learn_to_hear_first(config: Config) -> None:
    main(replace(config, hear_first=2, steps=3, eval_every=9))
    rows = lines(config)
    assert "loss/text" not in rows[1]
    assert "loss/text" in rows[2]
