"""Loads any audio LLM that transformers knows, from a folder or by its hub name.

Weights are read from safetensors only, no code from a model's repository is run, and a
checkpoint that lacks weights of the model is refused rather than filled with random numbers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoProcessor, PreTrainedModel

from hearken.critic.locator import Locator
from hearken.critic.prompt import SIDE_FILE, prompt
from hearken.errors import CheckpointError
from hearken.nouns import DIMENSIONS

__all__ = ["Loaded", "load_critic", "shipped"]

_GENERATING_CLASS = {
    "Qwen2_5OmniModel": "Qwen2_5OmniThinkerForConditionalGeneration",
    "Qwen2_5OmniForConditionalGeneration": "Qwen2_5OmniThinkerForConditionalGeneration",
    "Qwen3OmniMoeForConditionalGeneration": "Qwen3OmniMoeThinkerForConditionalGeneration",
}
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_DEFAULT_WINDOW_S = 30.0


@dataclass(frozen=True)
class Loaded:
    """A model that can hear, and what is needed to ask it.

    Attributes:
        model: in eval mode.
        processor: its tokenizer and feature extractor.
        prompt: the question it is asked.
        window_s: the longest clip it hears at once, seconds.
        id: the name it was loaded by.
        revision: hub commit, or a hash of the local weights.
        temperature: of each dimension's digits (see `hearken.critic.temperature`).
        locator: what places its faults in time, where the folder has one.
    """

    model: PreTrainedModel
    processor: Any
    prompt: str
    window_s: float
    id: str
    revision: str
    temperature: Mapping[str, float] = field(default_factory=dict)
    locator: Locator | None = None


def shipped() -> Path:
    """The folder of the critic that comes with the package."""
    return Path(__file__).resolve().parent.parent / "weights" / "critic-tiny"


def load_critic(
    id_or_dir: str | Path | None = None, *, revision: str | None = None, device: str = "cpu"
) -> Loaded:
    """Loads model and processor.

    Args:
        id_or_dir: a folder, a hub name "owner/name", or None for the shipped critic.
        revision: hub commit to pin; refused for a folder.
        device: "cpu", "cuda", ...; on the CPU weights become float32.

    Raises:
        CheckpointError: no such folder, not a model, or weights that do not fit it.
    """
    where = shipped() if id_or_dir is None else Path(id_or_dir)
    name = "critic-tiny" if id_or_dir is None else str(id_or_dir)
    local = where.is_dir()
    _check(name, where, local, revision)
    source = str(where) if local else name
    dtype = torch.float32 if torch.device(device).type == "cpu" else "auto"
    try:
        config = AutoConfig.from_pretrained(source, revision=revision)
        model_class = _class_of(config, name)
        model, report = model_class.from_pretrained(
            source,
            config=config,
            revision=revision,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
        )
        processor = AutoProcessor.from_pretrained(source, revision=revision)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{name}: not a model that can be loaded: {error}") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(f"{name}: lacks {len(missing)} weights, first {missing[0]!r}")
    told = _side(where if local else None)
    locator = Locator.load(where) if local else None
    pinned = _local_revision(where) if local else str(getattr(config, "_commit_hash", "") or "")
    return Loaded(
        model=model.to(device).eval(),
        processor=processor,
        prompt=told[0],
        window_s=window_of(processor),
        id=name,
        revision=pinned,
        temperature=told[1],
        locator=locator.to(device) if locator is not None else None,
    )


def window_of(processor: Any) -> float:
    """Seconds of sound that the feature extractor takes at once."""
    extractor = getattr(processor, "feature_extractor", None)
    return float(getattr(extractor, "chunk_length", None) or _DEFAULT_WINDOW_S)


def _check(name: str, where: Path, local: bool, revision: str | None) -> None:
    if local:
        if not (where / "config.json").is_file():
            raise CheckpointError(f"{name}: not a model folder: it has no config.json")
        if revision is not None:
            raise CheckpointError(f"{name}: is a folder: a revision pins a hub name only")
    elif where.exists() or not _HUB_NAME.fullmatch(name):
        raise CheckpointError(
            f"{name}: neither a model folder nor a hub name; give a folder with config.json, "
            "or 'owner/name'"
        )


def _class_of(config: Any, name: str) -> Any:
    asked = (getattr(config, "architectures", None) or [""])[0]
    found = getattr(transformers, _GENERATING_CLASS.get(asked, asked), None) if asked else None
    if found is None or not hasattr(found, "generate"):
        raise CheckpointError(
            f"{name}: transformers {transformers.__version__} has no model {asked!r} that writes"
        )
    return found


def _side(folder: Path | None) -> tuple[str, dict[str, float]]:
    """The prompt that a critic was trained with, and its temperatures; a stranger has neither."""
    side = folder / SIDE_FILE if folder is not None else None
    if side is None or not side.is_file():
        return prompt("describe"), {}
    try:
        found = json.loads(side.read_text("utf-8"))
        heat = {str(k): float(v) for k, v in found.get("temperature", {}).items()}
        if set(heat) - set(DIMENSIONS) or not all(0 < t < 100 for t in heat.values()):
            raise ValueError(f"temperature {heat}")
        return prompt(found["prompt"]), heat
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{side}: expected {{'prompt': name, 'temperature': {{dimension: number}}}}: {error}"
        ) from error


def _local_revision(folder: Path) -> str:
    """Hash over name, size, and both ends of each weight file: cheap even for 16 GB."""
    end = 1 << 20
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        found.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            found.update(file.read(end))
            file.seek(max(0, size - end))
            found.update(file.read(end))
    return found.hexdigest()[:16]
