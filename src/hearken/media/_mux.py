"""New sound into an old video: the picture and all else are copied, not encoded again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hearken.errors import MediaError
from hearken.media._decode import moving_picture, open_av, sound_start_s
from hearken.media._files import Handle, atomic, opened, reason
from hearken.media._intact import check_intact
from hearken.media._limits import Limits
from hearken.media._load import read_blocks
from hearken.media._write import SoundEncoder
from hearken.nouns import SAMPLE_RATE, Audio

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

__all__ = ["mux"]

_STEP = SAMPLE_RATE // 2  # samples encoded at a time


def mux(
    source: str | Path,
    samples: Audio | str | Path,
    out: str | Path,
    *,
    limits: Limits | None = None,
) -> None:
    """Write `source` again with `samples` in place of its first sound.

    The container stays the same kind; picture, subtitles, further sound, chapters and
    metadata are copied packet by packet. The new sound starts when the old one did (with
    the picture, where there was none), and is encoded as the old one was where that is
    possible, otherwise as the container's players expect.

    Args:
        source: a video in mp4, mov, mkv, webm, avi or another container FFmpeg writes.
        samples: [T] float32 at 16 kHz, or the path of a sound file.
        out: the file to write; may be `source` itself.
        limits: caps on the inputs; `Limits()` where None.

    Raises:
        MediaError: no picture in `source`, a damaged file, or `out` cannot be written; then
            an older file at `out` is as it was.
    """
    import av

    limits = limits or Limits()
    out = Path(out)
    with opened(source, limits) as handle:
        check_intact(handle)
        start_s = sound_start_s(handle)
        handle.file.seek(0)
        with open_av(handle) as old, atomic(out) as temporary:
            kind = _container_kind(old, out)
            try:
                with av.open(f"file:{temporary}", "w", format=kind, options=_OPTIONS) as new:
                    _copy(old, new, kind, _pieces(samples, limits), start_s, handle)
            except (av.error.FFmpegError, OSError, ValueError) as error:
                raise MediaError(f"{out}: cannot be written: {reason(error)}") from error


_OPTIONS = {"movflags": "+faststart"}


def _pieces(samples: Audio | str | Path, limits: Limits) -> Iterator[Audio]:
    if isinstance(samples, str | Path):
        yield from read_blocks(samples, _STEP / SAMPLE_RATE, limits=limits)
        return
    x = np.asarray(samples, dtype=np.float32)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise MediaError(f"new sound must be finite samples [T] at 16 kHz, not shape {x.shape}")
    for at in range(0, len(x), _STEP):
        yield x[at : at + _STEP]


def _container_kind(old: InputContainer, out: Path) -> str:
    """The muxer for what `old` really is; the suffix only chooses within the family."""
    names = old.format.name.split(",")
    suffix = out.suffix.lower()
    if "mp4" in names:
        brand = old.metadata.get("major_brand", "").strip()
        return {".mov": "mov", ".3gp": "3gp"}.get(suffix, "mov" if brand == "qt" else "mp4")
    if "matroska" in names:
        return "webm" if suffix == ".webm" else "matroska"
    return names[0]


_CODECS = {  # container: (encoders it takes, best first)
    "mp4": ("aac", "flac", "opus", "mp3"),
    "mov": ("aac", "pcm_s16le"),
    "3gp": ("aac",),
    "webm": ("opus",),
    "matroska": ("opus", "aac", "flac", "mp3", "pcm_s16le"),
    "avi": ("pcm_s16le",),  # AVI has no place for an encoder's delay
    "mpegts": ("aac", "mp3"),
    "flv": ("aac",),
    "asf": ("mp3",),
    "ogg": ("opus", "flac"),
}
_ENCODERS = {"opus": "libopus", "mp3": "libmp3lame"}


def _codec(kind: str, old: InputContainer) -> str:
    taken = _CODECS.get(kind, ("aac",))
    had = old.streams.audio[0].codec_context.name if old.streams.audio else ""
    had = "pcm_s16le" if had.startswith("pcm_") else had
    had = had.removesuffix("float")
    chosen = had if had in taken else taken[0]
    return _ENCODERS.get(chosen, chosen)


def _copy(
    old: InputContainer,
    new: OutputContainer,
    kind: str,
    pieces: Iterator[Audio],
    start_s: float | None,
    handle: Handle,
) -> None:
    picture = moving_picture(old)
    if picture is None:
        raise MediaError(f"{handle.name}: has no moving picture to put the sound to")
    if start_s is None:
        start_s = float((picture.start_time or 0) * (picture.time_base or 0))
    replaced = old.streams.audio[0] if old.streams.audio else None
    sound, targets = _streams(old, new, kind, replaced, start_s)
    new.metadata.update(old.metadata)
    new.set_chapters(old.chapters())
    for packet in old.demux(*[s for s in old.streams if s.index in targets]):
        if packet.dts is None and packet.pts is None:
            continue  # the flush packet at the end
        stamp = packet.pts if packet.dts is None else packet.dts
        _keep_up(sound, pieces, float((stamp or 0) * packet.time_base))
        packet.stream = targets[packet.stream_index]
        new.mux(packet)
    for piece in pieces:
        sound.push(piece)
    sound.push(np.zeros(0, np.float32), last=True)


def _keep_up(sound: SoundEncoder, pieces: Iterator[Audio], to_s: float) -> None:
    """Encode the new sound up to the packet being copied, so that little waits in the muxer."""
    while sound.at_s < to_s:
        piece = next(pieces, None)
        if piece is None:
            return
        sound.push(piece)


def _streams(
    old: InputContainer, new: OutputContainer, kind: str, replaced: Any, start_s: float
) -> tuple[SoundEncoder, dict[int, Stream]]:
    """The streams of `new`, in the order of `old`, the sound at the place of the old one."""
    targets: dict[int, Stream] = {}
    sound = None
    for stream in old.streams:
        if replaced is not None and stream.index == replaced.index:
            sound = SoundEncoder(new, _codec(kind, old), start_s)
            sound.stream.metadata.update(stream.metadata)
            sound.stream.disposition = stream.disposition
            continue
        copy = _same_stream(new, stream)
        if copy is not None:
            targets[stream.index] = copy
    return sound or SoundEncoder(new, _codec(kind, old), start_s), targets


def _same_stream(new: OutputContainer, stream: Stream) -> Stream | None:
    """A stream like `stream` in `new`; None where FFmpeg has no way to copy that kind."""
    try:
        copy = new.add_stream_from_template(stream, opaque=True)
    except ValueError:  # attachments and unknown data
        return None
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    return copy
