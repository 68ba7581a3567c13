"""From a file, bytes or an array to a `Clip`: mono, 16 kHz, with its source on record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearken.errors import MediaError, UsageError
from hearken.media._decode import Sound, open_sound
from hearken.media._files import Handle, opened
from hearken.media._limits import Limits
from hearken.media._signal import Bandwidth, Resampler, check_rate, pick_channel
from hearken.nouns import SAMPLE_RATE, Audio, Clip, Source

__all__ = ["load", "load_audio", "read_blocks", "scan"]

_SILENT = 2.0**-15  # peaks up to one 16-bit step are digital silence
_GROWTH = 240 * SAMPLE_RATE  # samples by which the array of a sound that is being read grows
_MAX_PEAK = 4.0  # +12 dB over full scale; beyond it the scale is wrong, not the level


def load(
    source: str | Path | bytes | tuple[NDArray[Any], int],
    *,
    channel: int | str = "mix",
    limits: Limits | None = None,
    allow_silent: bool = False,
) -> Clip:
    """Read a sound, or the first sound of a video, as 16 kHz mono.

    Args:
        source: a path, the bytes of a file, or (array, sample rate) with an array [T] or
            [T, C] (the longer axis is time) of floats in [-1, 1] or of integers.
        channel: "mix" (the mean of all), "left", "right", or a number from 0.
        limits: caps on the input; `Limits()` where None.
        allow_silent: take a clip that has no sound in it but zeros.

    Returns:
        the clip. Float sound up to 12 dB over full scale is clipped to [-1, 1], as a player
        would. Its first sample is the file's first sound, also where the picture starts
        earlier or later; `iter_frames` keeps to the same clock.

    Raises:
        MediaError: missing, empty, cut short, damaged, NaN, silent, no sound in it.
        LimitError: beyond one of `limits`.
        UsageError: an array without a rate; an unknown channel word.
    """
    limits = limits or Limits()
    if isinstance(source, tuple):
        samples, sr = _array(source)
        sound = Sound(sr, samples.shape[1], iter([samples]))
        limits.check("max_channels", sound.channels, "<array>")
        limits.check("max_seconds", len(samples) / sr, "<array>")
        return _clip(sound, channel, "", "", allow_silent)
    if not isinstance(source, str | Path | bytes):
        raise UsageError(
            f"cannot load a {type(source).__name__}: give a path, bytes, or (array, sample_rate); "
            "an array alone has no rate, and none is guessed"
        )
    with opened(source, limits) as handle:
        sha256 = handle.sha256()
        with open_sound(handle, limits) as sound:
            return _clip(sound, channel, handle.name, sha256, allow_silent)


def scan(
    source: str | Path | bytes, *, channel: int | str = "mix", limits: Limits | None = None
) -> tuple[Source, int]:
    """What `load` tells of a sound, in bounded memory: it is read to its end and not kept.

    What passes `scan` can be read with `read_blocks`, for as many samples.

    Args:
        source: a path, or the bytes of a file.
        channel: "mix" (the mean of all), "left", "right", or a number from 0.
        limits: caps on the input; `Limits()` where None.

    Returns:
        the record, and the number of samples at 16 kHz.

    Raises:
        MediaError, LimitError, UsageError: as `load`.
    """
    limits = limits or Limits()
    with opened(source, limits) as handle:
        sha256 = handle.sha256()
        with open_sound(handle, limits) as sound:
            return _read(sound, channel, handle.name, sha256, False, lambda piece: None)


def load_audio(path: str | Path | bytes, **options: Any) -> Audio:
    """`load(path, ...)` for the samples alone: [T] float32, 16 kHz."""
    return load(path, **options).samples


def _array(source: tuple[NDArray[Any], int]) -> tuple[NDArray[np.float32], int]:
    """[T, C] float32 and the rate, checked."""
    if len(source) != 2 or not isinstance(source[1], int | float | np.integer | np.floating):
        raise UsageError("an array needs its sample rate: load((array, sample_rate))")
    x, sr = np.asarray(source[0]), check_rate(float(source[1]), "<array>")
    if x.ndim not in (1, 2) or x.dtype.kind not in "iuf":
        raise UsageError(f"sound is real numbers [T] or [T, C], not {x.dtype} {list(x.shape)}")
    if x.size == 0:
        raise MediaError("<array>: holds no sound (zero samples)")
    if x.dtype.kind in "iu":
        half = np.float32(2.0 ** (8 * x.dtype.itemsize - 1))
        x = x.astype(np.float32) / half - (1 if x.dtype.kind == "u" else 0)
    with np.errstate(over="ignore"):  # a double too large becomes inf, and is refused
        x = x.astype(np.float32)
    if not np.isfinite(x).all():
        raise MediaError("<array>: holds NaN or infinite samples; replace them first")
    if x.ndim == 1:
        return x[:, None], sr
    return (x if x.shape[0] >= x.shape[1] else np.ascontiguousarray(x.T)), sr


def _clip(sound: Sound, channel: int | str, path: str, sha256: str, allow_silent: bool) -> Clip:
    kept = _Kept()
    record, count = _read(sound, channel, path, sha256, allow_silent, kept.add)
    return Clip(kept.cut(count), record)


def _read(
    sound: Sound,
    channel: int | str,
    path: str,
    sha256: str,
    allow_silent: bool,
    take: Callable[[Audio], None],
) -> tuple[Source, int]:
    """Read all of a sound, give each piece at 16 kHz away, and tell what it was and how long."""
    name = path or "<array>"
    meter, counted = Bandwidth(sound.sr), [0]
    count, peak = 0, 0.0
    for piece in _mono_16k(sound, channel, name, meter, counted):
        take(piece)
        count += len(piece)
        peak = max(peak, float(piece.max(initial=0.0)), -float(piece.min(initial=0.0)))
    if not count:
        raise MediaError(f"{name}: holds no sound (under one sample at {SAMPLE_RATE} Hz)")
    if not allow_silent and peak <= _SILENT:
        raise MediaError(_silent_message(name, channel, sound.channels))
    record = Source(
        path=path,
        sha256=sha256,
        sr_in=sound.sr,
        channels_in=sound.channels,
        channel=channel,
        duration_s=counted[0] / sound.sr,
        effective_bandwidth_hz=meter.hz(),
        has_video=sound.has_video,
    )
    return record, count


class _Kept:
    """Pieces end to end, in an array that grows in place: they are never held twice."""

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self._count = 0

    def add(self, piece: Audio) -> None:
        end = self._count + len(piece)
        if end > len(self._samples):
            room = max(_GROWTH, len(piece))
            self._samples.resize(len(self._samples) + room, refcheck=False)
        self._samples[self._count : end] = piece
        self._count = end

    def cut(self, count: int) -> Audio:
        """The first `count` samples; nothing can be added after."""
        self._samples.resize(count, refcheck=False)
        return self._samples


def _mono_16k(
    sound: Sound, channel: int | str, name: str, meter: Bandwidth | None, counted: list[int]
) -> Iterator[Audio]:
    """Mono pieces at 16 kHz; `counted[0]` grows by the samples read at the file's rate."""
    change = Resampler(sound.sr)
    for block in sound.blocks:
        mono = pick_channel(block, channel, name)
        if (peak := float(np.abs(mono).max(initial=0.0))) > _MAX_PEAK:
            raise MediaError(
                f"{name}: samples reach {peak:.4g}, but float sound lies in [-1, 1]; "
                "divide by its full scale first"
            )
        counted[0] += len(mono)
        if meter is not None:
            meter.push(mono)
        yield np.clip(change.push(mono), -1.0, 1.0)
    yield np.clip(change.push(np.zeros(0, np.float32), last=True), -1.0, 1.0)


def _silent_message(name: str, channel: int | str, channels: int) -> str:
    hint = "; another channel may carry it" if channels > 1 else ""
    return f"{name}: contains only digital silence (channel {channel} of {channels}){hint}"


def read_blocks(
    path: str | Path | bytes,
    seconds: float = 30.0,
    *,
    channel: int | str = "mix",
    limits: Limits | None = None,
) -> Iterator[Audio]:
    """The samples of `load` in blocks of `seconds`, the last one shorter: bounded memory.

    Silence is passed on as it is. Joined together the blocks equal `load(path).samples`.

    Raises:
        MediaError, LimitError, UsageError: as `load`, when the place in the file is reached.
    """
    limits = limits or Limits()
    size = max(1, round(seconds * SAMPLE_RATE))
    with opened(path, limits) as handle:
        yield from _blocks(handle, size, channel, limits)


def _blocks(handle: Handle, size: int, channel: int | str, limits: Limits) -> Iterator[Audio]:
    held: list[Audio] = []
    count = 0
    with open_sound(handle, limits) as sound:
        for piece in _mono_16k(sound, channel, handle.name, None, [0]):
            held.append(piece)
            count += len(piece)
            if count < size:
                continue
            joined = np.concatenate(held)
            whole = count // size * size
            for at in range(0, whole, size):
                yield joined[at : at + size]
            held, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(held)
