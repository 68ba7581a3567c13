"""From a file of any kind to float32 blocks [T, C] at its own rate, streamed and capped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hearken.errors import MediaError
from hearken.media._files import Handle, reason
from hearken.media._intact import check_intact, is_pcm_container
from hearken.media._limits import Limits
from hearken.media._signal import check_rate

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["Sound", "decoded", "moving_picture", "open_av", "open_sound", "sound_start_s"]

_BLOCK_S = 1.0  # seconds per block that soundfile reads
_GAP_S = 0.04  # timestamps that jump ahead by more than this mean lost sound
_MAX_GAP_S = 60.0  # by more than this: broken timestamps, not lost sound
_MAX_DAMAGED = 0.1  # share of packets that may fail to decode


@dataclass
class Sound:
    """A sound that is being decoded.

    Attributes:
        sr: its own sample rate, Hz.
        channels: number of channels.
        blocks: float32 [T, C]; can be read once.
        has_video: True where the same file has a moving picture.
        length: samples that the file promises; 0 where it does not say.
    """

    sr: int
    channels: int
    blocks: Iterator[NDArray[np.float32]]
    has_video: bool = False
    length: int = 0


@contextmanager
def open_sound(handle: Handle, limits: Limits) -> Iterator[Sound]:
    """Open the first sound stream of `handle`, whatever its name says it is.

    WAV, AIFF, FLAC and the like go through soundfile, which keeps every bit (and NaN);
    all else, and whatever soundfile cannot read, through PyAV.

    Raises:
        MediaError: nothing decodes it, it holds no sound, it is cut short or damaged.
        LimitError: on opening, or while the blocks are read.
    """
    check_intact(handle)
    if is_pcm_container(handle):
        import soundfile

        try:
            file = soundfile.SoundFile(handle.file)
        except (soundfile.SoundFileError, RuntimeError):
            handle.file.seek(0)  # an unusual codec inside: PyAV may know it
        else:
            with file:
                yield _capped(_from_soundfile(file, handle), handle, limits)
            return
    with open_av(handle) as container:
        yield _capped(_from_av(container, handle, limits), handle, limits)


def _capped(sound: Sound, handle: Handle, limits: Limits) -> Sound:
    """The same sound, with the limits and its own promises held to as the blocks pass."""
    sound.sr = check_rate(sound.sr, handle.name)
    limits.check("max_channels", sound.channels, handle.name)
    sound.blocks = _capped_blocks(sound, sound.blocks, handle, limits)
    return sound


def _capped_blocks(
    sound: Sound, blocks: Iterator[NDArray[np.float32]], handle: Handle, limits: Limits
) -> Iterator[NDArray[np.float32]]:
    done = 0
    for block in blocks:
        limits.check("max_seconds", (done + len(block)) / sound.sr, handle.name)
        bad = ~np.isfinite(block)
        if bad.any():
            at_s = (done + int(np.flatnonzero(bad.any(axis=1))[0])) / sound.sr
            raise MediaError(
                f"{handle.name}: holds NaN or infinite samples, the first at {at_s:.3f} s; "
                "replace them and write the file again"
            )
        done += len(block)
        yield block
    if done == 0:
        raise MediaError(f"{handle.name}: holds no sound (zero samples)")
    if done < 0.998 * sound.length:
        raise MediaError(
            f"{handle.name}: is cut short: it promises {sound.length / sound.sr:.2f} s and "
            f"holds {done / sound.sr:.2f} s; copy or export it again"
        )


def _from_soundfile(file: Any, handle: Handle) -> Sound:
    def blocks() -> Iterator[NDArray[np.float32]]:
        import soundfile

        size = max(1, int(_BLOCK_S * file.samplerate))
        while True:
            try:
                block = file.read(size, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError) as error:
                raise MediaError(f"{handle.name}: is damaged: {reason(error)}") from error
            if not len(block):
                return
            yield block

    length = file.frames if file.format == "FLAC" and file.frames < 2**40 else 0
    return Sound(file.samplerate, file.channels, blocks(), length=length)


@contextmanager
def open_av(handle: Handle) -> Iterator[InputContainer]:
    """Open with PyAV, by content, with every nested file or address refused.

    Raises:
        MediaError: also where the block raises an FFmpeg error of its own.
    """
    import av

    try:
        # A playlist is "media" too: without the whitelist it could open other files.
        with av.open(handle.file, "r", options={"protocol_whitelist": "none"}) as container:
            yield container
    except (av.error.FFmpegError, UnicodeDecodeError) as error:
        raise MediaError(f"{handle.name}: cannot be read as sound or video: {_why(error)}") from (
            error
        )


def _why(error: BaseException) -> str:
    if isinstance(error, PermissionError):
        return "it refers to other files, which is not allowed"
    return reason(error).lower()


def moving_picture(container: InputContainer) -> VideoStream | None:
    """The first video stream that is not cover art."""
    from av.stream import Disposition

    for stream in container.streams.video:
        still = stream.disposition & (Disposition.attached_pic | Disposition.still_image)
        if not still and container.format.name not in _STILL_FORMATS:
            return stream
    return None


_STILL_FORMATS = frozenset({"png_pipe", "jpeg_pipe", "bmp_pipe", "webp_pipe", "image2", "tty"})


def first_sound(container: InputContainer, name: str) -> AudioStream:
    """The first sound stream.

    Raises:
        MediaError: there is none.
    """
    if not container.streams.audio:
        raise MediaError(f"{name}: holds no sound stream")
    return container.streams.audio[0]


def decoded(container: InputContainer, stream: Any, name: str) -> Iterator[Any]:
    """Decoded frames of one stream; a few damaged packets are passed over.

    Raises:
        MediaError: more than a tenth of the packets fail to decode.
    """
    import av

    good = bad = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
            good += 1
        except av.error.FFmpegError as error:
            bad += 1
            if bad > 10 + _MAX_DAMAGED * good:
                raise MediaError(f"{name}: is damaged: {_why(error)}") from error
            continue
        yield from frames
    if bad > _MAX_DAMAGED * (good + bad):
        raise MediaError(f"{name}: is damaged: {bad} of {good + bad} packets cannot be decoded")


def sound_start_s(handle: Handle) -> float | None:
    """When the first sound sample plays on the container's clock; None without sound."""
    handle.file.seek(0)
    with open_av(handle) as container:
        if not container.streams.audio:
            return None
        for frame in decoded(container, container.streams.audio[0], handle.name):
            return float(frame.time or 0.0)
    return None


def _from_av(container: InputContainer, handle: Handle, limits: Limits) -> Sound:
    stream = first_sound(container, handle.name)
    if stream.codec_context is None:
        raise MediaError(f"{handle.name}: its sound is damaged: no codec is named")
    limits.check("max_channels", stream.codec_context.channels, handle.name)
    frames = decoded(container, stream, handle.name)
    first = next(frames, None)  # only a decoded frame knows the true rate (HE-AAC doubles it)
    if first is None:
        raise MediaError(f"{handle.name}: holds no sound (zero samples)")
    sound = Sound(
        first.sample_rate,
        first.layout.nb_channels,
        iter(()),
        has_video=moving_picture(container) is not None,
    )
    sound.blocks = _av_blocks(sound, first, frames, handle.name)
    return sound


def _av_blocks(
    sound: Sound, first: AudioFrame, rest: Iterator[AudioFrame], name: str
) -> Iterator[NDArray[np.float32]]:
    """Frames as float blocks; where timestamps leave a gap, the lost sound is silence."""
    start_s = float(first.time or 0.0)
    done = 0
    yield _to_float(first)
    done += first.samples
    for frame in rest:
        if (frame.sample_rate, frame.layout.nb_channels) != (sound.sr, sound.channels):
            raise MediaError(
                f"{name}: changes its rate or channels at {done / sound.sr:.2f} s, from "
                f"{sound.sr} Hz x {sound.channels} to {frame.sample_rate} Hz x "
                f"{frame.layout.nb_channels}; convert it to one format first"
            )
        if frame.pts is not None:
            gap_s = float(frame.time or 0.0) - start_s - done / sound.sr
            if _GAP_S < gap_s < _MAX_GAP_S:
                lost = round(gap_s * sound.sr)
                done += lost
                yield np.zeros((lost, sound.channels), np.float32)
        done += frame.samples
        yield _to_float(frame)


_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}


def _to_float(frame: AudioFrame) -> NDArray[np.float32]:
    """[T, C] in [-1, 1] from any of FFmpeg's sample formats."""
    x = frame.to_ndarray()
    x = x.T if frame.format.is_planar else x.reshape(-1, frame.layout.nb_channels)
    kind = frame.format.name.removesuffix("p")
    if kind == "u8":
        x = x.astype(np.float32) - 128
    return np.asarray(x / np.float32(_FULL_SCALE.get(kind, 1.0)), dtype=np.float32)
