"""From a folder in the shape of AVSEC-4 to the challenge's output, as a team would do it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hearken.app import enhance
from hearken.app.cli import main
from hearken.errors import UsageError
from hearken.loops import enhancer_eval, enhancer_pretrain, enhancer_pretrain_data
from small_scenes import SAMPLES, crops_of, write_avsec4

TINY = {
    "steps": 2, "batch": 3, "frames": 10, "hidden": 8, "warmup": 1, "save_every": 1,
    "valid_every": 2, "valid_count": 1, "clips": 0, "filmed": 0.7,
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_avsec4(tmp_path / "avsec4")


def train(root: Path, out: Path, **changes: object) -> dict[str, float]:
    plain = {"scenes": root, "out": out, "cache": root.parent / "cache"}
    return enhancer_pretrain.main(enhancer_pretrain.Config.smoke(**{**plain, **TINY, **changes}))


def losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row["loss/total"] for row in rows if "loss/total" in row]


def test_the_folder_passes_its_check(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(root)]) == 0
    assert "error" not in capsys.readouterr().out


def test_training_resumes_and_its_weights_are_judged(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enhancer_pretrain_data, "crop", crops_of)
    whole = train(root, tmp_path / "whole")
    assert whole["step"] == 2
    assert {"noise/unseen/right", "talker/unseen/wrong", "talker/unseen/blank"} <= set(whole)
    assert whole["best"] > -np.inf
    real = enhancer_pretrain._step
    steps: list[None] = []

    def cut(*args: object) -> dict[str, float]:
        steps.append(None)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(enhancer_pretrain, "_step", cut)
        with pytest.raises(KeyboardInterrupt):
            train(root, tmp_path / "halves")
    train(root, tmp_path / "halves", resume=True)
    assert losses(tmp_path / "halves") == losses(tmp_path / "whole")

    out = tmp_path / "judged"
    config = enhancer_eval.Config.smoke(
        scenes=root / "dev", out=out, enhancer=str(tmp_path / "whole" / "best"), metrics="si_sdr_db"
    )
    result = enhancer_eval.main(
        config, crops_of=lambda path: crops_of(Path(path))[0][:, 4:92, 4:92]
    )
    assert result["failed"] == 0
    assert result["systems"]["video right"]["si_sdr_db"]["count"] == 3


def test_data_and_scenes_exclude_each_other(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--scenes"):
        train(root, tmp_path / "run", data=root)
    with pytest.raises(UsageError, match="--data"):
        train(Path(""), tmp_path / "run")


def test_every_scene_gives_one_file_of_its_length(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["enhance", "--scenes", str(root / "dev"), "-o", str(out), "--device", "cpu"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert sorted(p.name for p in out.iterdir()) == [f"S0000{i}.wav" for i in (1, 2, 3)]
    for path in out.iterdir():
        info = soundfile.info(path)
        assert (info.frames, info.channels, info.samplerate) == (SAMPLES, 1, 16_000)


class Halving:
    """Stands for the enhancer: blocks of [T] or [2, T] in, the same shapes out."""

    def look(self, mouths: Iterable[object]) -> int:
        return len(list(mouths))

    def stream(self, samples: Iterator[np.ndarray], sight: object = None) -> Iterator[np.ndarray]:
        return (block / 2 for block in samples)


def test_a_binaural_folder_gives_both_ears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dev = write_avsec4(tmp_path / "avsec4", mono=False) / "dev"
    monkeypatch.setattr(enhance, "load_enhancer", lambda options: Halving())
    out = tmp_path / "out"
    assert main(["data", "check", str(dev.parent)]) == 0
    assert main(["enhance", "--scenes", str(dev), "-o", str(out)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["channel"] for row in rows] == ["both"] * 3
    for name in ("S00001", "S00002", "S00003"):
        made, _ = soundfile.read(out / f"{name}.wav")
        mix, _ = soundfile.read(dev / "scenes" / f"{name}_mix.wav")
        assert made.shape == mix.shape == (SAMPLES, 2)
        np.testing.assert_allclose(made, mix / 2, atol=1e-4)
    call = ["enhance", "--scenes", str(dev), "-o", str(tmp_path / "left"), "--channel", "left"]
    assert main(call) == 0
    assert soundfile.info(tmp_path / "left" / "S00001.wav").channels == 1
