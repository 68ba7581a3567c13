"""The enhancer that users hold: weights on disk, any length of sound in, the same length out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as tf

from hearken.enhancer.envelope import BANDS
from hearken.enhancer.net import EnhancerConfig, LipReader, MaskNet, Sight
from hearken.enhancer.onnx import has_graphs, run_by_graphs
from hearken.errors import CheckpointError, UsageError
from hearken.nouns import CROP_SIZE, SAMPLE_RATE, SAMPLES_PER_FRAME, Audio, Crops

__all__ = ["Enhancer", "EnhancerConfig", "LipReader", "MaskNet", "Sight"]

_SHIPPED = "enhancer-small"
_ALL_SHIPPED = (_SHIPPED, "enhancer-causal", "enhancer-critic")
_WEIGHTS, _CHANGES = "model.safetensors", "changes.safetensors"
_CHUNK_FRAMES = 300  # 12 s
_OVERLAP_FRAMES = 50  # 2 s, of which the middle second is cross-faded
_WHOLE_FRAMES = 400  # up to 16 s in one piece
_LOOK_FRAMES = 200  # that the lip-reader is given at a time
_REACH_FRAMES = 40  # before and after them: it sees 38 either way
_CAUSAL_REACH_FRAMES = 80  # ... or 76 back


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
            folder: None for the weights that come with the package; by name, others of
                them: "enhancer-causal", which do not look ahead, and "enhancer-critic", which
                were fine-tuned to please the critic. A folder that `save_changes` wrote is
                loaded on top of the weights that it changes.
            device: where to run.

        Raises:
            CheckpointError: no such folder, or files that do not fit each other.
        """
        name = str(folder) if folder is not None else _SHIPPED
        path = _folder_of(name)
        net, revision = _net_in(path)
        if has_graphs(path) and torch.device(device).type == "cpu":
            net = run_by_graphs(net, path)
        return cls(net.to(device), id=name, revision=revision)

    def save(self, folder: Path, *, half: bool = False) -> None:
        """Write config.json and model.safetensors; `half` stores 16-bit floats.

        Each file is whole or absent at any time.
        """
        kind = torch.float16 if half else torch.float32
        state = {
            k: (v.to(kind) if v.is_floating_point() else v)
            for k, v in self.net.state_dict().items()
        }
        _write(folder, _WEIGHTS, state, dataclasses.asdict(self.config))

    def save_changes(self, folder: Path, base: Enhancer) -> None:
        """Write only the tensors that differ from those of `base`, and its name and revision.

        The folder is loaded like any other as long as `base` is found under its name.
        """
        before = base.net.state_dict()
        changed = {k: v for k, v in self.net.state_dict().items() if not torch.equal(v, before[k])}
        _write(folder, _CHANGES, changed, {"of": base.id, "revision": base.revision})

    def look(self, mouths: Iterable[tuple[NDArray[np.uint8], bool]]) -> Sight:
        """Read lips as the crops come in; 25 numbers a frame are all that is kept.

        The crops go through the lip-reader in pieces of 8 s with as much of what is before
        and after as it can see, so the result is that of all crops at once.

        Args:
            mouths: for each video frame a crop [88, 88] uint8, and whether a face is in it.

        Returns:
            envelope [1, V, 24] and where it counts [1, V], on the CPU.

        Raises:
            UsageError: a crop of another shape.
        """
        reach = _CAUSAL_REACH_FRAMES if self.config.causal else _REACH_FRAMES
        most = _LOOK_FRAMES + 2 * reach
        held = np.zeros((most, CROP_SIZE, CROP_SIZE), np.uint8)
        found = np.zeros(most, bool)
        done: list[Tensor] = []
        seen: list[bool] = []
        count = before = 0  # frames held; of them, those that are read already
        for crop, face in mouths:
            if crop.shape != (CROP_SIZE, CROP_SIZE):
                raise UsageError(f"a crop must be [{CROP_SIZE}, {CROP_SIZE}], got {crop.shape}")
            held[count], found[count] = crop, face
            seen.append(bool(face))
            count += 1
            if count == before + _LOOK_FRAMES + reach:
                end = before + _LOOK_FRAMES
                done.append(self._envelope(held[:count], found[:count], before, end))
                drop = max(0, end - reach)
                held[: count - drop], found[: count - drop] = held[drop:count], found[drop:count]
                count, before = count - drop, end - drop
        done.append(self._envelope(held[:count], found[:count], before, count))
        return Sight(torch.cat(done)[None], torch.tensor(seen, dtype=torch.float32)[None])

    def _envelope(self, crops: Crops, found: NDArray[np.bool_], start: int, end: int) -> Tensor:
        """[end - start, 24] of the frames from `start` to `end`; zero if no face is there."""
        if not found[start:end].any():
            return torch.zeros(end - start, BANDS)
        with torch.inference_mode():
            shown = torch.from_numpy(crops)[None].to(self.device)
            return self.net.look(shown).envelope[0, start:end].cpu()

    def enhance(
        self,
        samples: Audio,
        crops: Crops | None = None,
        found: NDArray[np.bool_] | None = None,
        *,
        sight: Sight | None = None,
    ) -> Audio:
        """Clean one recording.

        Sound longer than 16 s goes through in overlapping pieces of 12 s that are
        cross-faded, so memory does not grow with length. Nothing is re-levelled: the talker
        keeps the loudness that he had in the mixture.

        Of two ears, each gives a mask, and that of the better ear is put on both: the one whose
        mask lets through more, relative to what it takes away. The same real gain in each bin of
        both ears leaves the level and time differences between them, and so the place of all
        that is heard, as they were. The better ear is chosen anew for each piece.

        Args:
            samples: [T] at 16 kHz, or [2, T], the left and the right ear.
            crops: [V, 88, 88] mouth crops at 25 fps, or None for sound alone. A video that
                ends before the sound counts as unseen from there on.
            found: [V] bool; where False, the sound alone is used.
            sight: what `look` made of the crops, in their place.

        Returns:
            The shape of the input, aligned with it to the sample.

        Raises:
            UsageError: shapes that cannot be what they are said to be.
        """
        _check(samples)
        _check_crops(crops, found, sight)
        if crops is not None:
            faces = np.ones(len(crops), bool) if found is None else found
            sight = self.look(zip(crops, faces, strict=True))
        out, at = np.zeros(samples.shape, np.float32), 0
        for block in self.stream(samples, sight):
            out[..., at : at + block.shape[-1]] = block
            at += block.shape[-1]
        return out

    def stream(
        self, samples: Audio | Iterator[Audio], sight: Sight | None = None
    ) -> Iterator[Audio]:
        """The result of `enhance` in blocks, one after the other.

        Args:
            samples: all of the sound, [T] or [2, T], or an iterator of its blocks, of any
                length; no more than 16 s and one of them are held.
            sight: as in `enhance`.

        Raises:
            UsageError: as `enhance`; of an iterator's block, when it comes.
        """
        if isinstance(samples, np.ndarray):
            _check(samples)
            return self._blocks(iter([samples]), sight)
        return self._blocks(_checked(samples), sight)

    def _blocks(self, samples: Iterator[Audio], sight: Sight | None) -> Iterator[Audio]:
        held: Audio | None = None
        for start, sound, last in _pieces(samples):
            piece = self._piece(sound, sight, start)
            if held is not None:
                _fade_in(piece, held)
            ready = piece.shape[-1]
            if not last:
                ready -= _OVERLAP_FRAMES * SAMPLES_PER_FRAME
            yield piece[..., :ready]
            held = piece[..., ready:]

    def _piece(self, sound: Audio, sight: Sight | None, start: int) -> Audio:
        """Enhanced sound, of which the first sample belongs to the video frame `start`."""
        end = start + _frames(sound)
        if not sound.size:
            return np.zeros(sound.shape, np.float32)
        mix = torch.from_numpy(np.array(sound, np.float32)).to(self.device)
        with torch.inference_mode():
            spec = self.net.spectrum(mix.reshape(-1, mix.shape[-1]))
            shown = None if sight is None else self._shown(sight, start, end, len(spec))
            mask = self.net.listen_with(spec, shown)
            if len(spec) == 2:
                mask = mask[_better_ear(mask, spec)][None]
            clean = self.net.synthesise(mask, spec, mix.shape[-1])
        result: Audio = clean.reshape(mix.shape).cpu().numpy()
        return result

    def _shown(self, sight: Sight, start: int, end: int, ears: int) -> Sight | None:
        """A span of the sight, once for each ear; None if nobody is seen in it."""
        envelope, seen = sight.envelope[:, start:end], sight.seen[:, start:end]
        if not bool(seen.any()):
            return None
        short = end - start - seen.shape[1]
        envelope, seen = tf.pad(envelope, (0, 0, 0, short)), tf.pad(seen, (0, short))
        return Sight(
            envelope.expand(ears, -1, -1).to(self.device), seen.expand(ears, -1).to(self.device)
        )


def _better_ear(mask_BKF: Tensor, spec_BKF: Tensor) -> int:
    """The ear with the larger share of its energy let through."""
    power = spec_BKF.abs().square()
    share = (mask_BKF.clamp(max=1.0).square() * power).sum((1, 2)) / (power.sum((1, 2)) + 1e-9)
    return int(share.argmax())


def _check(samples: Audio) -> None:
    if samples.ndim != 1 and (samples.ndim != 2 or len(samples) != 2):
        raise UsageError(
            f"enhance takes mono [T] or two ears [2, T] at {SAMPLE_RATE} Hz, got {samples.shape}"
        )
    if not np.isfinite([samples.min(initial=0.0), samples.max(initial=0.0)]).all():
        raise UsageError("enhance takes finite samples; some are NaN or infinite")


def _checked(blocks: Iterator[Audio]) -> Iterator[Audio]:
    for block in blocks:
        _check(block)
        yield block


def _check_crops(crops: Crops | None, found: NDArray[np.bool_] | None, sight: Sight | None) -> None:
    if crops is not None and sight is not None:
        raise UsageError("enhance takes crops or the sight that was made of them, not both")
    if crops is not None and (crops.ndim != 3 or crops.shape[1:] != (CROP_SIZE, CROP_SIZE)):
        raise UsageError(f"crops must be [V, {CROP_SIZE}, {CROP_SIZE}], got {crops.shape}")
    if found is not None and (crops is None or found.shape != (len(crops),)):
        raise UsageError("found must say, for each of the crops, whether a face is in it")


def _frames(sound: Audio) -> int:
    """Video frames that a sound [T] or [2, T] takes up, the last one perhaps in part."""
    return -(-int(sound.shape[-1]) // SAMPLES_PER_FRAME)


def _pieces(blocks: Iterator[Audio]) -> Iterator[tuple[int, Audio, bool]]:
    """Pieces that overlap by `_OVERLAP_FRAMES`: the first video frame, the sound, is it the last.

    >>> sound = np.zeros(500 * SAMPLES_PER_FRAME, np.float32)
    >>> [(start, _frames(piece), last) for start, piece, last in _pieces(iter([sound]))]
    [(0, 300, False), (250, 250, True)]
    """
    held = next(blocks, np.zeros(0, np.float32))
    start, most = 0, _WHOLE_FRAMES
    while _frames(held := _filled(held, blocks, most)) > most:
        yield start, held[..., : _CHUNK_FRAMES * SAMPLES_PER_FRAME], False
        held = held[..., (_CHUNK_FRAMES - _OVERLAP_FRAMES) * SAMPLES_PER_FRAME :]
        start += _CHUNK_FRAMES - _OVERLAP_FRAMES
        most = _CHUNK_FRAMES + _OVERLAP_FRAMES - 1  # no crumb of a last piece
    yield start, held, True


def _filled(held: Audio, blocks: Iterator[Audio], most: int) -> Audio:
    """`held` and as many blocks as make it more than `most` video frames, or all there are."""
    parts, count = [held], held.shape[-1]
    while count <= most * SAMPLES_PER_FRAME and (block := next(blocks, None)) is not None:
        parts.append(block)
        count += block.shape[-1]
    return np.concatenate(parts, axis=-1) if len(parts) > 1 else held


def _fade_in(piece: Audio, held: Audio) -> None:
    """Join `piece` to what was `held` back of the one before: its last two seconds, or nothing.

    The first half second of a piece lacks its past: the old sound stays; then one second of
    linear cross-fade (both are the same voice, in phase); then the new sound.
    """
    n = held.shape[-1]
    quarter = n // 4
    ramp = np.clip((np.arange(n, dtype=np.float32) - quarter) / max(2 * quarter, 1), 0.0, 1.0)
    piece[..., :n] = held + (piece[..., :n] - held) * ramp


def _folder_of(name: str) -> Path:
    shipped = name in _ALL_SHIPPED and not Path(name).exists()
    return Path(str(resources.files("hearken") / "weights" / name)) if shipped else Path(name)


def _net_in(path: Path) -> tuple[MaskNet, str]:
    """The network of a folder and the revision of its weights.

    Raises:
        CheckpointError: no such folder, or files that do not fit each other.
    """
    try:
        held = json.loads((path / "config.json").read_text("utf-8"))
        if "of" in held:
            file = path / _CHANGES
            net, revision = _net_in(_folder_of(held["of"]))
            if revision != held["revision"]:
                raise CheckpointError(
                    f"{path}: changes weights {held['of']} of revision {held['revision']}, but "
                    f"those found are of {revision}; load the folder that it was made from"
                )
            _, unknown = net.load_state_dict(load_file(file), strict=False)
            if unknown:
                raise KeyError(unknown[0])
        else:
            file = path / _WEIGHTS
            config = EnhancerConfig(**held | {"channels": tuple(held["channels"])})
            net = MaskNet(config)
            net.load_state_dict(load_file(file))
        return net, hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    except (OSError, ValueError, TypeError, KeyError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: no enhancer weights can be loaded from here ({error}); it takes a folder "
            "with config.json and model.safetensors, as enhancer-pretrain writes to best/"
        ) from error


def _write(folder: Path, name: str, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Tensors and config.json, each whole or absent at any time."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{os.getpid()}.part"
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part)
    part.chmod(0o644)  # safetensors makes it private
    os.replace(part, folder / name)
    part.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    os.replace(part, folder / "config.json")
