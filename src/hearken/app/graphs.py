"""`hearken export`: a folder of weights with the network as ONNX graphs beside them."""

from __future__ import annotations

import sys
from pathlib import Path

from hearken.errors import UsageError

__all__ = ["export"]


def export(enhancer: str | None, out: Path) -> int:
    """Write config.json, model.safetensors, lips.onnx and listener.onnx to `out`.

    Args:
        enhancer: folder of weights; None for the shipped ones.
        out: a new folder; `--enhancer OUT` then runs the graphs.

    Raises:
        UsageError: `out` holds weights already, or the package `onnx` is missing.
        CheckpointError: `enhancer` is no folder of weights.
    """
    from hearken.enhancer import Enhancer
    from hearken.enhancer.onnx import export as write_graphs
    from hearken.enhancer.onnx import has_graphs

    if (out / "model.safetensors").exists() or (out.exists() and not out.is_dir()):
        raise UsageError(f"-o {out}: holds weights already, or is no folder; name a new one")
    if enhancer is not None and has_graphs(Path(enhancer)):
        raise UsageError(f"--enhancer {enhancer}: has its graphs already")
    made = Enhancer.from_pretrained(enhancer)
    for path in write_graphs(made.net, out):
        print(path)
    made.save(out)
    print(f"hearken: next: hearken enhance --enhancer {out} ...", file=sys.stderr)
    return 0
