"""`hearken export`: a folder of weights with the network as ONNX graphs beside them."""

from __future__ import annotations

import sys
from pathlib import Path

from hearken.errors import UsageError

__all__ = ["export"]


def export(model: str | None, out: Path) -> int:
    """Write config.json, model.safetensors, lips.onnx and listener.onnx to `out`.

    Args:
        model: folder of weights; None for the shipped ones.
        out: a new folder; `--model OUT` then runs the graphs.

    Raises:
        UsageError: `out` holds weights already, or the package `onnx` is missing.
        CheckpointError: `model` is no folder of weights.
    """
    from hearken.enhancer import Enhancer
    from hearken.enhancer.onnx import export as write_graphs
    from hearken.enhancer.onnx import has_graphs

    if (out / "model.safetensors").exists() or (out.exists() and not out.is_dir()):
        raise UsageError(f"-o {out}: holds weights already, or is no folder; name a new one")
    if model is not None and has_graphs(Path(model)):
        raise UsageError(f"--model {model}: has its graphs already")
    made = Enhancer.from_pretrained(model)
    for path in write_graphs(made.net, out):
        print(path)
    made.save(out)
    print(f"hearken: next: hearken enhance --model {out} ...", file=sys.stderr)
    return 0
