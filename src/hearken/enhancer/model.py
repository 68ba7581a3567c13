"""The enhancer that users hold: weights on disk, any length of sound in, the same length out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hearken.enhancer.net import EnhancerConfig, LipReader, MaskNet, Sight
from hearken.enhancer.onnx import has_graphs, run_by_graphs
from hearken.errors import CheckpointError, UsageError
from hearken.nouns import CROP_SIZE, SAMPLE_RATE, SAMPLES_PER_FRAME, Audio, Crops

__all__ = ["Enhancer", "EnhancerConfig", "LipReader", "MaskNet", "Sight"]

_SHIPPED = "enhancer-small"
_CHUNK_FRAMES = 300  # 12 s
_OVERLAP_FRAMES = 50  # 2 s, of which the middle second is cross-faded
_WHOLE_FRAMES = 400  # up to 16 s in one piece


class Enhancer:
    """Cleans the talker one sees; without a video, the talker one hears best.

    Attributes:
        net: the mask network, in eval mode.
        id: name or folder that the weights came from.
        revision: first 12 hex digits of the weight file's sha256; "" for fresh weights.
    """

    def __init__(self, net: MaskNet, *, id: str = "", revision: str = "") -> None:
        self.net = net.eval()
        self.id = id
        self.revision = revision

    @property
    def config(self) -> EnhancerConfig:
        """The shape of the network."""
        return self.net.config

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.net.window.device

    @classmethod
    def from_pretrained(
        cls, folder: str | Path | None = None, *, device: str | torch.device = "cpu"
    ) -> Enhancer:
        """Load weights from a folder with config.json and model.safetensors.

        Where the folder also holds the graphs that `hearken export` writes, and `device` is
        the CPU, ONNX Runtime runs the network.

        Args:
            folder: None for the weights that come with the package.
            device: where to run.

        Raises:
            CheckpointError: no such folder, or files that do not fit each other.
        """
        path = Path(str(resources.files("hearken") / "weights" / _SHIPPED))
        path = Path(folder) if folder is not None else path
        weights = path / "model.safetensors"
        try:
            held = json.loads((path / "config.json").read_text("utf-8"))
            config = EnhancerConfig(**held | {"channels": tuple(held["channels"])})
            net = MaskNet(config)
            net.load_state_dict(load_file(weights))
            if has_graphs(path) and torch.device(device).type == "cpu":
                net = run_by_graphs(net, path)
            revision = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
        except (OSError, ValueError, TypeError, KeyError, SafetensorError, RuntimeError) as error:
            raise CheckpointError(
                f"{path}: no enhancer weights can be loaded from here ({error}); it takes a folder "
                "with config.json and model.safetensors, as enhancer-pretrain writes to best/"
            ) from error
        name = str(folder) if folder is not None else _SHIPPED
        return cls(net.to(device), id=name, revision=revision)

    def save(self, folder: Path, *, half: bool = False) -> None:
        """Write config.json and model.safetensors; `half` stores 16-bit floats.

        Each file is whole or absent at any time.
        """
        folder.mkdir(parents=True, exist_ok=True)
        kind = torch.float16 if half else torch.float32
        held = self.net.state_dict().items()
        state = {k: v.detach().cpu() for k, v in held}
        state = {
            k: (v.to(kind) if v.is_floating_point() else v).contiguous() for k, v in state.items()
        }
        part = folder / f".{os.getpid()}.part"
        save_file(state, part)
        part.chmod(0o644)  # safetensors makes it private
        os.replace(part, folder / "model.safetensors")
        text = json.dumps(dataclasses.asdict(self.config), indent=2) + "\n"
        part.write_text(text, encoding="utf-8")
        os.replace(part, folder / "config.json")

    def enhance(
        self,
        samples: Audio,
        crops: Crops | None = None,
        found: NDArray[np.bool_] | None = None,
    ) -> Audio:
        """Clean one recording.

        Sound longer than 16 s goes through in overlapping pieces of 12 s that are
        cross-faded, so memory does not grow with length. Nothing is re-levelled: the talker
        keeps the loudness that he had in the mixture.

        Args:
            samples: [T] at 16 kHz.
            crops: [V, 88, 88] mouth crops at 25 fps, or None for sound alone. A video that
                ends before the sound counts as unseen from there on.
            found: [V] bool; where False, the sound alone is used.

        Returns:
            [T], exactly as long as the input and aligned with it to the sample.

        Raises:
            UsageError: shapes that cannot be what they are said to be.
        """
        _check(samples, crops, found)
        total = -(-len(samples) // SAMPLES_PER_FRAME)
        if total <= _WHOLE_FRAMES:
            return self._piece(samples, crops, found, 0, total)
        out = np.zeros(len(samples), np.float32)
        for start, end in _chunks(total):
            piece = self._piece(samples, crops, found, start, end)
            at = start * SAMPLES_PER_FRAME
            if start:
                _fade_in(piece, out[at : at + len(piece)])
            else:
                out[: len(piece)] = piece
        return out

    def _piece(
        self,
        samples: Audio,
        crops: Crops | None,
        found: NDArray[np.bool_] | None,
        start: int,
        end: int,
    ) -> Audio:
        """Enhanced sound of the video frames `start` to `end`."""
        sound = samples[start * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]
        if not len(sound):
            return np.zeros(0, np.float32)
        mix_BT = torch.from_numpy(np.ascontiguousarray(sound, np.float32))[None].to(self.device)
        with torch.inference_mode():
            clean = self.net(mix_BT, *self._lips(crops, found, start, end))
        result: Audio = clean[0].cpu().numpy()
        return result

    def _lips(
        self, crops: Crops | None, found: NDArray[np.bool_] | None, start: int, end: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """The crops of a span, filled up where there are none; (None, None) if nobody is seen."""
        if crops is None:
            return None, None
        shown = crops[start:end]
        seen = np.zeros(end - start, bool)
        seen[: len(shown)] = True if found is None else found[start : start + len(shown)]
        if not seen.any():
            return None, None
        full = np.zeros((end - start, CROP_SIZE, CROP_SIZE), np.uint8)
        full[: len(shown)] = shown
        return (
            torch.from_numpy(full)[None].to(self.device),
            torch.from_numpy(seen)[None].to(self.device),
        )


def _check(samples: Audio, crops: Crops | None, found: NDArray[np.bool_] | None) -> None:
    if samples.ndim != 1:
        raise UsageError(f"enhance takes mono sound [T] at {SAMPLE_RATE} Hz, got {samples.shape}")
    if not np.isfinite(samples).all():
        raise UsageError("enhance takes finite samples; some are NaN or infinite")
    if crops is not None and (crops.ndim != 3 or crops.shape[1:] != (CROP_SIZE, CROP_SIZE)):
        raise UsageError(f"crops must be [V, {CROP_SIZE}, {CROP_SIZE}], got {crops.shape}")
    if found is not None and (crops is None or found.shape != (len(crops),)):
        raise UsageError("found must say, for each of the crops, whether a face is in it")


def _chunks(total: int) -> Iterator[tuple[int, int]]:
    """Spans of video frames that overlap by `_OVERLAP_FRAMES` and cover 0..total.

    >>> list(_chunks(500))
    [(0, 300), (250, 500)]
    """
    start = 0
    while True:
        end = min(start + _CHUNK_FRAMES, total)
        if end == total:
            yield start, end
            return
        if total - end < _OVERLAP_FRAMES:  # no crumb of a last piece
            yield start, total
            return
        yield start, end
        start = end - _OVERLAP_FRAMES


def _fade_in(piece: Audio, out: Audio) -> None:
    """Join `piece` to `out`, whose first two seconds are there already.

    The first half second of a piece lacks its past: the old sound stays; then one second of
    linear cross-fade (both are the same voice, in phase); then the new sound.
    """
    overlap = _OVERLAP_FRAMES * SAMPLES_PER_FRAME
    quarter = overlap // 4
    n = min(overlap, len(piece))
    ramp = np.clip((np.arange(n, dtype=np.float32) - quarter) / (2 * quarter), 0.0, 1.0)
    out[:n] += (piece[:n] - out[:n]) * ramp
    out[n:] = piece[n:]
