from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hearken.app import cli
from hearken.enhancer import Enhancer, EnhancerConfig, MaskNet

pytest.importorskip("onnx")


def test_export_writes_a_folder_that_enhances(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    shape = EnhancerConfig(channels=(4, 4, 4, 4), hidden=8, lip_width=8)
    Enhancer(MaskNet(shape)).save(tmp_path / "w")
    call = ["export", "--model", str(tmp_path / "w"), "-o", str(tmp_path / "out")]
    assert cli.main(call) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "out" / name) for name in ("lips.onnx", "listener.onnx")
    ]
    sound = torch.randn(16_000).numpy()
    one, two = (Enhancer.from_pretrained(tmp_path / name).enhance(sound) for name in ("w", "out"))
    assert abs(one - two).max() < 1e-4
    assert cli.main(call) == 2  # nothing is written over
    assert "holds weights already" in capsys.readouterr().err
    assert cli.main(["export", "--model", str(tmp_path / "out"), "-o", str(tmp_path / "b")]) == 2
