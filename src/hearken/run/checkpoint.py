"""Checkpoints: any tree of tensors and plain values in one safetensors file, written whole.

No pickle anywhere: tensors go to safetensors, the tree around them to JSON in its header.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hearken.errors import CheckpointError

__all__ = [
    "generator_from",
    "generator_state",
    "load",
    "rng_state",
    "save",
    "set_rng_state",
]

_FORMAT = "hearken-1"


def save(path: Path, state: Mapping[str, object]) -> None:
    """Write `state` to `path`: to a temporary name first, flushed, then renamed.

    Args:
        path: the file to (over)write; its folder is made.
        state: nested dict, list and tuple of tensors, arrays, str, int, float, bool, None.
            Dict keys may be str or int.

    Raises:
        CheckpointError: a value of another type; names its place.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = _fold(state, "", tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, part, metadata={"format": _FORMAT, "tree": json.dumps(tree)})
        part.chmod(0o644)  # safetensors makes it private
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, on the CPU.

    Raises:
        CheckpointError: missing, truncated or foreign file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            if meta.get("format") != _FORMAT:
                raise CheckpointError(f"{path}: not a hearken checkpoint")
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read as a checkpoint: {error}") from error
    state = _unfold(json.loads(meta["tree"]), tensors)
    assert isinstance(state, dict)
    return state


def rng_state() -> dict[str, object]:
    """State of the global generators: torch (CPU and CUDA), python, numpy."""
    kind, keys, pos, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    version, internal, gauss = random.getstate()
    state: dict[str, object] = {
        "torch": torch.get_rng_state(),
        "python": [version, list(internal), gauss],
        "numpy": [kind, np.asarray(keys), int(pos), int(has_gauss), float(cached)],
    }
    if torch.cuda.is_available():
        state["cuda"] = list(torch.cuda.get_rng_state_all())
    return state


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Restore what `rng_state` returned."""
    torch.set_rng_state(state["torch"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.asarray(keys), *rest))  # noqa: NPY002
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def generator_state(generator: np.random.Generator) -> dict[str, object]:
    """State of a numpy generator as a plain tree."""
    return {"numpy_bit_generator": json.dumps(generator.bit_generator.state, default=_listed)}


def generator_from(state: Mapping[str, Any]) -> np.random.Generator:
    """The generator that `generator_state` described.

    >>> g = np.random.default_rng(3)
    >>> h = generator_from(generator_state(g))
    >>> bool(g.random() == h.random())
    True
    """
    generator = np.random.default_rng()
    generator.bit_generator.state = json.loads(state["numpy_bit_generator"])
    return generator


def _listed(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(type(value).__name__)


def _fold(value: object, place: str, tensors: dict[str, torch.Tensor]) -> object:
    """`value` as JSON, its tensors moved to `tensors` under their place in the tree."""
    if isinstance(value, torch.Tensor):
        # A copy each: safetensors refuses tensors that share storage (tied weights).
        tensors[place] = value.detach().cpu().clone().contiguous()
        return {"!tensor": place}
    if isinstance(value, np.ndarray):
        tensors[place] = torch.from_numpy(np.ascontiguousarray(value).copy())
        return {"!array": place}
    if isinstance(value, Mapping):
        return {"!dict": [[k, _fold(v, f"{place}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"!tuple": [_fold(v, f"{place}/{i}", tensors) for i, v in enumerate(value)]}
    if isinstance(value, list):
        return [_fold(v, f"{place}/{i}", tensors) for i, v in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise CheckpointError(f"checkpoint{place}: cannot store a {type(value).__name__}")


def _unfold(tree: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unfold(v, tensors) for v in tree]
    if not isinstance(tree, dict):
        return tree
    ((tag, body),) = tree.items()
    if tag == "!tensor":
        return tensors[body]
    if tag == "!array":
        return tensors[body].numpy()
    if tag == "!tuple":
        return tuple(_unfold(v, tensors) for v in body)
    return {k: _unfold(v, tensors) for k, v in body}
