"""Sound files and small videos, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from hearken.errors import MediaError, UsageError
from hearken.media._files import atomic, reason
from hearken.media._signal import Resampler
from hearken.nouns import FPS, SAMPLE_RATE, Audio

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

__all__ = ["SoundEncoder", "write_audio", "write_video"]

_BLOCK = 2**18  # samples converted at a time


def write_audio(
    path: str | Path,
    samples: NDArray[np.floating[Any]] | Iterator[NDArray[np.floating[Any]]],
    sr: int = SAMPLE_RATE,
    *,
    subtype: str = "PCM_16",
) -> None:
    """Write sound [T] or [T, C] in [-1, 1] as WAV or FLAC, by the suffix of `path`.

    Args:
        path: .wav or .flac; replaced only once the new file is complete.
        samples: all of the sound, or an iterator of its blocks. What lies outside [-1, 1] is
            clipped, except in a float subtype.
        sr: Hz.
        subtype: of soundfile, e.g. PCM_16, PCM_24, FLOAT (WAV only).

    Raises:
        MediaError: NaN in the samples, or the file cannot be written.
        UsageError: another suffix, or a subtype that the format does not have.
    """
    import soundfile

    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path}: is a directory; give the name of a file to write")
    kind = {".wav": "WAV", ".flac": "FLAC"}.get(path.suffix.lower())
    if kind is None or not soundfile.check_format(kind, subtype):
        raise UsageError(f"{path}: cannot write {subtype} there; use .wav or .flac with PCM_16")
    if not isinstance(samples, Iterator):
        whole = np.asarray(samples)
        samples = (whole[at : at + _BLOCK] for at in range(0, max(len(whole), 1), _BLOCK))
    most = np.inf if subtype.startswith(("FLOAT", "DOUBLE")) else 1.0
    with atomic(path) as temporary:
        try:
            first = np.asarray(next(samples, np.zeros(0, np.float32)))
            channels = 1 if first.ndim == 1 else first.shape[1]
            with soundfile.SoundFile(temporary, "w", sr, channels, subtype, format=kind) as file:
                for block in chain([first], samples):
                    if not np.isfinite(block).all():
                        raise MediaError(
                            f"{path}: not written: the samples hold NaN or infinite values"
                        )
                    file.write(np.clip(block, -most, most))
        except (OSError, soundfile.SoundFileError) as error:
            raise MediaError(f"{path}: cannot be written: {reason(error)}") from error


class SoundEncoder:
    """Mono 16 kHz sound, in pieces, into one stream of an open container.

    Args:
        container: open for writing.
        codec: an FFmpeg encoder name.
        start_s: when the first sample plays, seconds on the container's clock.
    """

    def __init__(self, container: OutputContainer, codec: str, start_s: float = 0.0) -> None:
        import av

        # AAC, Opus and MP3 players expect 48 kHz; what keeps every bit keeps the rate too.
        self.rate = SAMPLE_RATE if codec in ("flac", "pcm_s16le") else 48_000
        self._container = container
        self.stream = cast("AudioStream", container.add_stream(codec, rate=self.rate))
        self.stream.layout = "mono"
        if codec not in ("flac", "pcm_s16le"):
            self.stream.bit_rate = 128_000
        formats = {f.name for f in self.stream.codec_context.codec.audio_formats or ()}
        wanted = next((f for f in ("fltp", "flt", "s16", "s16p") if f in formats), "s16")
        self._change = Resampler(SAMPLE_RATE, self.rate)
        self._format = av.AudioResampler(format=wanted, layout="mono", rate=self.rate)
        self.stream.codec_context.format = wanted
        self._at = round(start_s * self.rate)

    @property
    def at_s(self) -> float:
        """The end of the sound taken in so far, on the container's clock."""
        return self._at / self.rate

    def push(self, samples: Audio, *, last: bool = False) -> None:
        """Encode [T] more samples; with `last`, flush what the encoder holds back."""
        import av

        x = np.clip(self._change.push(samples, last=last), -1.0, 1.0)
        if len(x):
            frame = av.AudioFrame.from_ndarray(x[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = self.rate, self._at, self._tick
            self._at += len(x)
            for ready in self._format.resample(frame):
                self._container.mux(self.stream.encode(ready))
        if last:
            for ready in self._format.resample(None):
                self._container.mux(self.stream.encode(ready))
            self._container.mux(self.stream.encode(None))

    @property
    def _tick(self) -> Fraction:
        return Fraction(1, self.rate)


def write_video(
    path: str | Path,
    frames: Iterable[NDArray[np.uint8]],
    samples: Audio | None = None,
    fps: float = FPS,
    *,
    sound_codec: str = "aac",
    crf: int = 18,
) -> None:
    """Write an H.264 mp4 from RGB frames and, if given, sound.

    Args:
        path: .mp4, .mov or .mkv; replaced only once the new file is complete.
        frames: RGB [H, W, 3], all of one size, with even height and width.
        samples: mono 16 kHz [T], starting with the first frame.
        fps: frames a second.
        sound_codec: "aac", or "flac" to keep every bit of the sound.
        crf: x264's quality, 0 (lossless) to 51; 18 looks like the original.

    Raises:
        MediaError: no frames, odd sizes, or the file cannot be written.
    """
    import av

    path = Path(path)
    rate = Fraction(fps).limit_denominator(1001)
    with atomic(path) as temporary:
        try:
            with av.open(f"file:{temporary}", "w") as container:
                _encode_video(container, iter(frames), samples, rate, sound_codec, crf, path)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise MediaError(f"{path}: cannot be written: {reason(error)}") from error


def _encode_video(
    container: OutputContainer,
    frames: Iterator[NDArray[np.uint8]],
    samples: Audio | None,
    rate: Fraction,
    sound_codec: str,
    crf: int,
    path: Path,
) -> None:
    import av

    first = next(frames, None)
    if first is None:
        raise MediaError(f"{path}: not written: there are no frames")
    height, width = first.shape[:2]
    options = {"crf": str(crf), "preset": "veryfast"}
    picture = container.add_stream("libx264", rate=rate, options=options)
    picture.codec_context.thread_count = 1  # the same bytes on any machine
    picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
    sound = None if samples is None else SoundEncoder(container, sound_codec)
    for v, rgb in enumerate(chain([first], frames)):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame.pts, frame.time_base = v, 1 / rate
        container.mux(picture.encode(frame))
        if sound is not None and samples is not None:  # in step: the muxer need not hold it back
            start, end = (round(n / rate * SAMPLE_RATE) for n in (v, v + 1))
            sound.push(samples[start:end])
            done = end
    container.mux(picture.encode(None))
    if sound is not None and samples is not None:
        sound.push(samples[done:], last=True)
