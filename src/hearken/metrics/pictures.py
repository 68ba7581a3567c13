"""What a page carries inside itself: spectrograms, sound and picture as data addresses.

Memory is bounded by blocks, and the size of the page by the number of columns and by Opus for
long sound.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["level_db", "sound_uri", "spectrogram_db", "spectrogram_uri", "video_uri"]

WINDOW, HOP = 512, 128  # 32 ms, 8 ms: harmonics of a low voice apart, onsets still sharp
COLUMNS_MAX = 1400
RANGE_DB = 75.0
FLAC_SECONDS_MAX = 45.0
SOUND_SECONDS_MAX = 3600.0
VIDEO_BYTES_MAX = 24 * 2**20
_WEBP_QUALITY = 85  # no visible difference, a sixth of a PNG


def spectrogram_db(samples: Audio, columns_max: int = COLUMNS_MAX) -> NDArray[np.float32]:
    """Power in dB re full scale, [257, columns]; long clips keep the maximum of each column."""
    padded = np.pad(samples, (WINDOW // 2, WINDOW))
    frames = max(1, 1 + len(samples) // HOP)
    group = -(-frames // columns_max)
    hann = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    columns = []
    step = group * max(1, 2048 // group)
    for first in range(0, frames, step):
        index = np.arange(first, min(first + step, frames))
        cut = np.stack([padded[i * HOP : i * HOP + WINDOW] for i in index]) * hann
        power = np.square(np.abs(np.fft.rfft(cut, axis=1)) / (WINDOW / 4)).astype(np.float32)
        edges = np.arange(0, len(index), group)
        columns.append(np.maximum.reduceat(power, edges, axis=0))
    return (10 * np.log10(np.concatenate(columns).T + 1e-12)).astype(np.float32)


def level_db(*spectrograms: NDArray[np.float32]) -> float:
    """The level drawn brightest, so that several pictures share one scale."""
    return max(float(np.percentile(s, 99.9)) for s in spectrograms)


def spectrogram_uri(decibels: NDArray[np.float32], top_db: float) -> str:
    """A WebP in cv2's magma (perceptually even), low frequencies at the bottom."""
    import cv2

    shade = np.clip((decibels - top_db + RANGE_DB) / RANGE_DB, 0, 1)
    grey = np.round(shade * 255).astype(np.uint8)[::-1]
    picture = cv2.applyColorMap(np.ascontiguousarray(grey), cv2.COLORMAP_MAGMA)
    _, data = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY])
    return _uri("image/webp", data.tobytes())


def sound_uri(samples: Audio) -> str | None:
    """FLAC for short clips, Opus for long ones, None for those that no page should carry."""
    seconds = len(samples) / SAMPLE_RATE
    if seconds > SOUND_SECONDS_MAX:
        return None
    if seconds > FLAC_SECONDS_MAX:
        return _uri("audio/ogg", _opus(samples))
    import soundfile

    out = io.BytesIO()
    soundfile.write(out, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return _uri("audio/flac", out.getvalue())


def _opus(samples: Audio, bit_rate: int = 32_000) -> bytes:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = bit_rate
        for at in range(0, len(samples), SAMPLE_RATE):
            block = np.ascontiguousarray(samples[None, at : at + SAMPLE_RATE])
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def video_uri(path: Path) -> str | None:
    """An mp4, m4v or webm file as it is; None for containers that browsers do not play."""
    kind = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}.get(
        path.suffix.lower()
    )
    if kind is None or not path.is_file() or path.stat().st_size > VIDEO_BYTES_MAX:
        return None
    return _uri(kind, path.read_bytes())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
