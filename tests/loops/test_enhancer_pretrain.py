from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hearken.data.online import Mixer
from hearken.enhancer import Enhancer, EnhancerConfig, MaskNet
from hearken.errors import CheckpointError, UsageError
from hearken.loops import enhancer_pretrain as loop
from hearken.loops import enhancer_pretrain_data as pretrain_data
from hearken.run import checkpoint
from hearken.run.optimizer import Optimizer

TINY = {"batch": 3, "frames": 10, "hidden": 8, "valid_count": 1, "warmup": 2}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of noise, with pictures that stand for faces."""
    rng = np.random.default_rng(0)
    root, rows = tmp_path / "data", ["path,kind,speaker_or_class,source,seconds"]
    root.mkdir()
    names = [("av", "GRID-s1", 14), ("av", "GRID-s9", 1), ("speech", "LS-1", 1)]
    names += [("speech", "LJ", 1), ("noise", "Rain", 14), ("rir", "house-1", 1)]
    for kind, group, count in names:
        for i in range(count):
            seconds = 3.2 if kind == "speech" else 1.0
            sound = rng.standard_normal(int(seconds * 16_000)) * np.repeat(
                rng.uniform(0.01, 0.2, int(seconds * 10)), 1_600
            )
            soundfile.write(root / f"{group}_{i}.wav", sound, 16_000)
            rows.append(f"{group}_{i}.wav,{kind},{group},test,{seconds}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setattr(pretrain_data, "crop", _picture)
    return root


def _picture(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(len(path.stem))
    return rng.integers(0, 256, (25, 96, 96)).astype(np.uint8), np.ones(25, bool)


def _config(out: Path, data: Path, **changes: object) -> loop.Config:
    cache = {"cache": data / "cache"}
    return loop.Config.smoke(out=out, data=data, **{**TINY, **cache, "clips": 0, **changes})


def _metrics(out: Path) -> list[dict[str, float]]:
    rows = [json.loads(x) for x in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if k != "time/step_s"} for r in rows]


def test_it_trains_validates_and_ships(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = loop.main(_config(out, data, steps=3, valid_every=3))
    assert result["step"] == 3
    assert result["skipped"] == 0
    kinds = {k.rsplit("/", 1)[0] for k in result if "/" in k}
    assert {"noise/known", "noise/unseen", "talker/unseen"} <= kinds
    shipped = Enhancer.from_pretrained(out / "best")
    assert shipped.enhance(np.ones(3_000, np.float32) * 0.1).shape == (3_000,)
    rows = _metrics(out)
    assert [r["step"] for r in rows] == [0, 1, 2, 2]
    assert {"loss/total", "loss/si_snr_db", "loss/lips", "optimizer/grad_norm"} <= set(rows[0])


def test_resume_equals_an_uninterrupted_run(data: Path, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    settings = {"steps": 4, "save_every": 2, "valid_every": 4}
    loop.main(_config(whole, data, **settings))

    class Cut(Exception):
        pass

    real, count = loop._step, 0

    def until_third(*args: object) -> dict[str, float]:
        nonlocal count
        count += 1
        if count == 4:
            raise Cut
        return real(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_step", until_third)
        with pytest.raises(Cut):
            loop.main(_config(halves, data, **settings))
    assert len(_metrics(halves)) == 3  # one step past the checkpoint; it is done again
    loop.main(_config(halves, data, **settings, resume=True))
    assert _metrics(halves) == _metrics(whole)
    one, two = (checkpoint.load(x / "checkpoint.safetensors") for x in (whole, halves))
    assert all(torch.equal(one["net"][k], two["net"][k]) for k in one["net"])
    assert one["best"] == two["best"]


def test_an_existing_run_is_refused_without_resume(data: Path, tmp_path: Path) -> None:
    loop.main(_config(tmp_path / "run", data, steps=1))
    with pytest.raises(CheckpointError, match="--resume"):
        loop.main(_config(tmp_path / "run", data, steps=1))


@pytest.mark.parametrize("flag", ["out", "data"])
def test_missing_flags_are_named(data: Path, tmp_path: Path, flag: str) -> None:
    config = dataclasses.replace(_config(tmp_path / "run", data), **{flag: Path("")})
    with pytest.raises(UsageError, match=flag):
        loop.main(config)


def test_a_stop_signal_saves_and_returns(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop._step

    def stop_after(*args: object) -> dict[str, float]:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_step", stop_after)
    result = loop.main(_config(tmp_path / "run", data, steps=50))
    assert result["step"] == 1
    assert checkpoint.load(tmp_path / "run" / "checkpoint.safetensors")["step"] == 1


def _mixed(config: loop.Config) -> Mixer:
    return loop._mixer(config, loop._data(config)[0])


def test_a_step_that_is_not_finite_is_skipped(data: Path, tmp_path: Path) -> None:
    mixer = _mixed(_config(tmp_path / "run", data))
    batch = mixer(0)
    net = MaskNet(EnhancerConfig(channels=(4, 4, 4, 4), hidden=8))
    task = loop.Objective(net, 1.0, 1.0)
    optimizer = Optimizer(net, lr=1e-3)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    bad = dataclasses.replace(batch, mix=np.full_like(batch.mix, np.nan))
    row = loop._step(task, bad, torch.device("cpu"), optimizer, loop.Config())
    assert row["skipped"] == 1
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    row = loop._step(task, batch, torch.device("cpu"), optimizer, loop.Config())
    assert row["skipped"] == 0
    assert any(not torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_mixing_ahead_gives_the_same_batches(data: Path, tmp_path: Path) -> None:
    config = _config(tmp_path / "run", data)
    mixer = _mixed(config)
    plain = list(pretrain_data.stream(mixer, range(2, 4), 0))
    ahead = list(pretrain_data.stream(mixer, range(2, 4), 1))
    for a, b in zip(plain, ahead, strict=True):
        np.testing.assert_array_equal(a.mix, b.mix)
        np.testing.assert_array_equal(a.crops, b.crops)


def test_si_snr_by_hand() -> None:
    clean = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    noise = torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    got = loop.si_snr_db(3 * (clean + 0.1 * noise), clean, ceiling_db=60.0)
    assert float(got) == pytest.approx(20.0, abs=0.01)
    assert float(loop.si_snr_db(clean, clean)) == pytest.approx(30.0, abs=0.01)


def test_the_loss_of_the_truth_is_the_least(data: Path, tmp_path: Path) -> None:
    """With a network that passes everything, a clean mixture costs less than a noisy one."""
    mixer = _mixed(_config(tmp_path / "run", data))
    batch = mixer(1)
    net = MaskNet(EnhancerConfig(channels=(4, 4, 4, 4), hidden=8))
    net.listen_with = lambda spec, sight: torch.ones(spec.shape)  # type: ignore[method-assign]
    task = loop.Objective(net, 5.0, 0.0)
    fields = [torch.from_numpy(x) for x in (batch.crops, batch.drawn, batch.told, batch.seen)]
    mix, clean = torch.from_numpy(batch.mix), torch.from_numpy(batch.clean)
    with torch.no_grad():
        noisy, ideal = task(mix, clean, *fields), task(clean, clean, *fields)
    assert float(ideal["total"]) < float(noisy["total"])
    assert float(ideal["magnitude"]) < 1e-6
    assert float(ideal["si_snr_db"]) == pytest.approx(30.0, abs=0.2)


def test_films_join_the_training_side_only(data: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "ann-1.mp4").write_bytes((data / "GRID-s1_0.wav").read_bytes())
    train, held_out = loop._data(_config(tmp_path / "run", data, films=films))
    assert "ann" in {face.group for face in train.faces}
    assert not any("ann" in scene.kind for scene in held_out)
