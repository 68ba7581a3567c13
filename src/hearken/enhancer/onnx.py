"""The network as two ONNX graphs, for ONNX Runtime here or anywhere else.

    lips.onnx      crops [B, V, 88, 88] float32 0-255  -> envelope [B, V, 24]
    listener.onnx  loudness [B, F, K], envelope and seen [B, F, 24 + 1]  -> logits [B, F, K]

STFT, levels and the clock between video and sound stay outside, as `hearken.enhancer.net` has
them; B, V and F are free. A folder of weights that holds both graphs is run by them.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hearken.enhancer.envelope import BANDS
from hearken.enhancer.net import MaskNet
from hearken.errors import CheckpointError, UsageError
from hearken.nouns import CROP_SIZE

__all__ = ["export", "has_graphs", "run_by_graphs"]

_LIPS, _LISTENER = "lips.onnx", "listener.onnx"
_OPSET = 17


def export(net: MaskNet, folder: Path) -> tuple[Path, Path]:
    """Write lips.onnx and listener.onnx; each is whole or absent at any time.

    Raises:
        UsageError: the package `onnx`, which writes the files, is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "writing ONNX needs the package onnx: pip install hearken[onnx]"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    crops = torch.zeros(1, 50, CROP_SIZE, CROP_SIZE)
    heard = (torch.zeros(1, 101, net.config.bins), torch.zeros(1, 101, BANDS + 1))
    lips, listener = folder / _LIPS, folder / _LISTENER
    _write(net.lips, (crops,), {"crops": "V"}, ("envelope", "V"), lips)
    _write(net.listen, heard, {"loudness": "F", "told": "F"}, ("logits", "F"), listener)
    return lips, listener


def has_graphs(folder: Path) -> bool:
    """True where a folder holds both graphs."""
    return (folder / _LIPS).is_file() and (folder / _LISTENER).is_file()


def run_by_graphs(net: MaskNet, folder: Path) -> MaskNet:
    """The same network, whose lip-reader and listener are the graphs of a folder (CPU).

    Raises:
        CheckpointError: a graph that cannot be read.
    """
    net.lips = _Graph(folder / _LIPS)  # type: ignore[assignment]
    net.listen = _Graph(folder / _LISTENER)  # type: ignore[assignment]
    return net


def _write(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    clocks: dict[str, str],
    output: tuple[str, str],
    path: Path,
) -> None:
    part = path.with_name(f".{os.getpid()}.{path.name}")
    free = {name: {0: "B", 1: clock} for name, clock in (*clocks.items(), output)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a batch that LSTMs are said to be bound to: tested
        torch.onnx.export(
            module.eval(),
            inputs,
            str(part),
            input_names=list(clocks),
            output_names=[output[0]],
            dynamic_axes=free,
            opset_version=_OPSET,
            dynamo=False,
        )
    os.replace(part, path)


class _Graph(nn.Module):
    """An ONNX graph that is called like the module it was made of."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no common base
            raise CheckpointError(f"{path}: not a graph that can be run ({error})") from error
        self._names = [i.name for i in self._session.get_inputs()]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Float32 tensors in, one out."""
        fed = {k: x.detach().float().numpy() for k, x in zip(self._names, inputs, strict=True)}
        return torch.from_numpy(self._session.run(None, fed)[0])
