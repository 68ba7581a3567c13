from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hearken.enhancer import onnx as graphs
from hearken.enhancer.model import Enhancer
from hearken.enhancer.net import EnhancerConfig, MaskNet
from hearken.errors import CheckpointError

pytest.importorskip("onnx")


@pytest.mark.parametrize("causal", [False, True], ids=["both ways", "causal"])
def test_graphs_are_the_network(tmp_path: Path, causal: bool) -> None:
    """Within 1e-4, at other lengths and batches than they were written with."""
    torch.manual_seed(0)
    shape = EnhancerConfig(channels=(4, 4, 4, 4), hidden=12, lip_width=16, causal=causal)
    net = MaskNet(shape).eval()
    for name, buffer in net.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    mix, crops = torch.randn(2, 20_321), torch.randint(0, 256, (2, 32, 88, 88), dtype=torch.uint8)
    found = torch.rand(2, 32) > 0.3
    with torch.inference_mode():
        spec = net.spectrum(mix)
        told, untold = net.mask(spec, crops, found), net.mask(spec)
        graphs.export(net, tmp_path)
        graphs.run_by_graphs(net, tmp_path)
        torch.testing.assert_close(net.mask(spec, crops, found), told, atol=1e-4, rtol=0)
        torch.testing.assert_close(net.mask(spec), untold, atol=1e-4, rtol=0)


def test_a_folder_with_graphs_is_run_by_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = Enhancer(MaskNet(EnhancerConfig(channels=(4, 4, 4, 4), hidden=8, lip_width=8)))
    made.save(tmp_path)
    assert not graphs.has_graphs(tmp_path)
    sound = torch.randn(16_000).numpy()
    plain = Enhancer.from_pretrained(tmp_path).enhance(sound)
    graphs.export(made.net, tmp_path)
    quick = Enhancer.from_pretrained(tmp_path)
    assert not any(True for _ in quick.net.listen.parameters())
    assert abs(quick.enhance(sound) - plain).max() < 1e-4
    (tmp_path / "lips.onnx").write_bytes(b"not a graph")
    with pytest.raises(CheckpointError, match=r"lips\.onnx"):
        Enhancer.from_pretrained(tmp_path)
