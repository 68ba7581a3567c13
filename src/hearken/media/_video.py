"""Pictures on the 25 fps clock of the sound, from any frame rate, streamed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hearken.errors import MediaError
from hearken.media._decode import decoded, moving_picture, open_av, sound_start_s
from hearken.media._files import Handle, opened
from hearken.media._intact import check_intact
from hearken.media._limits import Limits
from hearken.nouns import FPS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["VideoInfo", "has_video", "iter_frames", "video_info"]


_SMALL = 640 * 480  # pixels


@dataclass(frozen=True)
class VideoInfo:
    """What the picture of a file is like.

    Attributes:
        width: pixels, upright (a phone's rotation applied).
        height: pixels, upright.
        fps: the file's own average frame rate.
        frames_at_25: how many frames `iter_frames` gives.
        duration_s: from the first sound (or, without sound, the first frame) to the end of
            the last frame.
    """

    width: int
    height: int
    fps: float
    frames_at_25: int
    duration_s: float


def has_video(path: str | Path | bytes, *, limits: Limits | None = None) -> bool:
    """True where the file has a picture that moves: cover art and photos do not count.

    Raises:
        MediaError: missing, empty, or not a sound or video file at all.
    """
    with opened(path, limits or Limits()) as handle, open_av(handle) as container:
        return moving_picture(container) is not None


def video_info(path: str | Path | bytes, *, limits: Limits | None = None) -> VideoInfo:
    """Size, rate and length of the picture; reads every packet, decodes one frame.

    Raises:
        MediaError: no picture, or a damaged file. LimitError: beyond one of `limits`.
    """
    limits = limits or Limits()
    with opened(path, limits) as handle:
        check_intact(handle)
        start_s = sound_start_s(handle)
        end_s, first_s = _extent(handle, limits)
        with _picture(handle, limits) as (container, stream):
            frame = next(decoded(container, stream, handle.name), None)
            if frame is None:
                raise MediaError(f"{handle.name}: its picture stream holds no frames")
            height, width = _upright(frame, "gray").shape
            rate = float(stream.average_rate or stream.guessed_rate or FPS)
        length_s = end_s - (first_s if start_s is None else start_s)
        limits.check("max_seconds", length_s, handle.name)
        return VideoInfo(width, height, rate, _count(length_s), length_s)


def iter_frames(
    path: str | Path | bytes, *, limits: Limits | None = None, colour: bool = False
) -> Iterator[NDArray[np.uint8]]:
    """Frames at 25 a second on the clock of `load`: frame v is the picture at v / 25 s.

    Of the file's frames the nearest in time is taken, whatever their rate, also where it
    varies; a picture that starts after the sound is led in by its first frame. One frame is
    held at a time.

    Args:
        path: a file, or its bytes.
        limits: caps on the input; `Limits()` where None.
        colour: RGB [H, W, 3] instead of grey [H, W].

    Raises:
        MediaError: no picture, or a damaged file. LimitError: beyond one of `limits`.
    """
    limits = limits or Limits()
    with opened(path, limits) as handle:
        check_intact(handle)
        zero_s = sound_start_s(handle)
        with _picture(handle, limits) as (container, stream):
            timed = _timed(container, stream, handle.name, limits, zero_s)
            yield from _on_clock(timed, "rgb24" if colour else "gray", handle.name)


@contextmanager
def _picture(handle: Handle, limits: Limits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its picture stream, from the start of the file."""
    handle.file.seek(0)
    with open_av(handle) as container:
        stream = moving_picture(container)
        if stream is None:
            raise MediaError(f"{handle.name}: has no moving picture")
        size = stream.codec_context.width * stream.codec_context.height
        limits.check("max_pixels", size, handle.name)
        if size > _SMALL:
            stream.thread_type = "AUTO"
        else:  # threads cost more than they give
            stream.codec_context.thread_count = 1
        yield container, stream


def _frame_s(stream: VideoStream) -> float:
    """The usual length of one frame."""
    rate = float(stream.average_rate or stream.guessed_rate or FPS)
    return 1.0 / rate if 1.0 <= rate <= 1000.0 else 1.0 / FPS


def _timed(
    container: InputContainer,
    stream: VideoStream,
    name: str,
    limits: Limits,
    zero_s: float | None,
) -> Iterator[tuple[float, float, VideoFrame]]:
    """(start, length, frame) in seconds from `zero_s`, in order of time, within the limits."""
    usual_s = _frame_s(stream)
    at_s = None
    for count, frame in enumerate(decoded(container, stream, name), 1):
        limits.check("max_frames", count, name)
        limits.check("max_pixels", frame.width * frame.height, name)
        if frame.pts is not None:
            time_s = float(frame.pts * frame.time_base)
        else:
            time_s = 0.0 if at_s is None else at_s + usual_s
        zero_s = time_s if zero_s is None else zero_s
        if at_s is not None and time_s <= at_s:
            continue  # a repeated or backward time stamp: nothing to show there
        limits.check("max_seconds", time_s - zero_s, name)
        at_s = time_s
        yield time_s - zero_s, float(frame.duration * frame.time_base) or usual_s, frame


def _on_clock(
    timed: Iterator[tuple[float, float, VideoFrame]], format: str, name: str
) -> Iterator[NDArray[np.uint8]]:
    """The nearest frame to each instant v / 25 s, from 0 to the end of the last frame."""
    held: NDArray[np.uint8] | None = None
    held_s = end_s = 0.0
    v = 0
    for at_s, length_s, frame in timed:
        if held is not None:
            v_end = math.ceil((held_s + at_s) / 2 * FPS - 1e-6)  # halfway: the new one takes over
            for _ in range(v, v_end):
                yield held
            v = max(v, v_end)
        held, held_s, end_s = _upright(frame, format), at_s, at_s + length_s
    if held is None:
        raise MediaError(f"{name}: its picture stream holds no frames")
    for _ in range(v, _count(end_s)):
        yield held


def _count(length_s: float) -> int:
    return max(1, math.floor(length_s * FPS + 0.5))


def _upright(frame: VideoFrame, format: str) -> NDArray[np.uint8]:
    """The frame as an array, turned the way a player shows it (phones film sideways)."""
    x = frame.to_ndarray(format=format).astype(np.uint8, copy=False)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(x, turns)) if turns else x


def _extent(handle: Handle, limits: Limits) -> tuple[float, float]:
    """(end of the last frame, start of the first), seconds, from the packets alone."""
    last_s, end_s, first_s = -math.inf, 0.0, math.inf
    with _picture(handle, limits) as (container, stream):
        usual_s = _frame_s(stream)
        for count, packet in enumerate(container.demux(stream)):
            limits.check("max_frames", count, handle.name)
            stamp = packet.dts if packet.pts is None else packet.pts
            if not packet.size or packet.is_discard:
                continue
            at_s = count * usual_s if stamp is None else float(stamp * packet.time_base)
            first_s = min(first_s, at_s)
            if at_s > last_s:
                length_s = float((packet.duration or 0) * packet.time_base)
                last_s, end_s = at_s, at_s + (length_s or usual_s)
    if not math.isfinite(last_s):
        raise MediaError(f"{handle.name}: its picture stream holds no frames")
    return end_s, first_s
