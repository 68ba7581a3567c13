"""Rate, channels and bandwidth of sound: the arithmetic between a file and a `Clip`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearken.errors import MediaError, UsageError
from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["Bandwidth", "Resampler", "effective_bandwidth_hz", "pick_channel", "resample"]

_MIN_RATE, _MAX_RATE = 2_000, 768_000  # Hz; outside it is not a rate that sound is kept at
_SPAN_DB = 65.0  # a band this far under the loudest carries no speech
_FLOOR_DB = -110.0  # full-scale level of one band: below is dither and rounding


def check_rate(sr: float, name: str) -> int:
    """`sr` as an int, or the error that it is no sample rate."""
    if not _MIN_RATE <= sr <= _MAX_RATE:
        raise MediaError(
            f"{name}: sample rate {sr:g} Hz is outside {_MIN_RATE}-{_MAX_RATE} Hz; "
            "is the file damaged, or are the array and its rate swapped?"
        )
    return int(sr)


def resample(x: NDArray[Any], sr_in: int, sr_out: int) -> Audio:
    """Change the sample rate with soxr (high quality, linear phase, no delay).

    Args:
        x: [T] or [T, C], any float type.
        sr_in: Hz.
        sr_out: Hz.

    Returns:
        float32, round(T * sr_out / sr_in) samples.
    """
    import soxr

    x = np.ascontiguousarray(x, dtype=np.float32)
    if sr_in == sr_out:
        return x
    return np.asarray(soxr.resample(x, sr_in, sr_out, quality="HQ"), dtype=np.float32)


class Resampler:
    """Mono `resample` in pieces: the same samples, with bounded memory."""

    def __init__(self, sr_in: int, sr_out: int = SAMPLE_RATE) -> None:
        import soxr

        same = sr_in == sr_out
        self._stream = None if same else soxr.ResampleStream(sr_in, sr_out, 1, quality="HQ")

    def push(self, x: Audio, *, last: bool = False) -> Audio:
        """Samples that are ready once `x` has come in; the rest too when it is the last."""
        if self._stream is None:
            return x
        return np.asarray(self._stream.resample_chunk(x, last=last), dtype=np.float32)


def pick_channel(x: NDArray[np.float32], channel: int | str, name: str) -> Audio:
    """One channel, or the mean of all, of [T, C].

    Args:
        x: samples [T, C].
        channel: "mix", "left", "right", or a number from 0 (as int or text).
        name: what errors call the file.

    Raises:
        UsageError: `channel` is none of these words.
        MediaError: the file has no channel of that number.
    """
    if channel == "mix":
        return x[:, 0] if x.shape[1] == 1 else x.mean(axis=1, dtype=np.float32)
    number = {"left": 0, "right": 1}.get(str(channel), channel)
    try:
        index = int(number)
    except ValueError:
        raise UsageError(
            f"channel {channel!r} is not known: give mix, left, right or a number from 0"
        ) from None
    if not 0 <= index < x.shape[1]:
        raise MediaError(
            f"{name}: has no channel {channel}: it has {x.shape[1]}, numbered from 0; "
            "choose another or 'mix'"
        )
    return np.ascontiguousarray(x[:, index])


class Bandwidth:
    """Collects the long-term spectrum of a sound in pieces and tells how far up it reaches."""

    def __init__(self, sr: int) -> None:
        self._sr = sr
        self._size = 2 ** max(8, round(np.log2(sr / 25)))  # about 40 ms
        self._window = np.hanning(self._size).astype(np.float32)
        self._rest = np.zeros(0, np.float32)
        self._power_K = np.zeros(self._size // 2 + 1)
        self._frames = 0

    def push(self, x: Audio) -> None:
        """Take in the next samples [T]."""
        x = np.concatenate([self._rest, x])
        whole = len(x) // self._size * self._size
        self._rest = x[whole:]
        for at in range(0, whole, self._size * 256):
            self._add(x[at : min(at + self._size * 256, whole)].reshape(-1, self._size))

    def _add(self, frames_FN: NDArray[np.float32]) -> None:
        power_FK = np.abs(np.fft.rfft(frames_FN * self._window, axis=1)) ** 2
        self._power_K += power_FK.sum(axis=0)
        self._frames += len(frames_FN)

    def hz(self) -> float:
        """The upper edge of the highest 100 Hz band that is within 65 dB of the loudest."""
        if self._frames == 0 and len(self._rest):
            self._add(np.pad(self._rest, (0, self._size - len(self._rest)))[None])
        scale = 2.0 / (self._window.sum() ** 2 * max(self._frames, 1))
        width = max(1, round(100 * self._size / self._sr))
        usable = (len(self._power_K) - 1) // width * width
        bands = self._power_K[1 : 1 + usable].reshape(-1, width).sum(axis=1) * scale
        bands_db = 10 * np.log10(bands + 1e-20)
        heard = np.flatnonzero(bands_db > max(bands_db.max() - _SPAN_DB, _FLOOR_DB))
        if not len(heard):
            return 0.0
        top_hz = (1 + (int(heard[-1]) + 1) * width) * self._sr / self._size
        return float(min(top_hz, self._sr / 2))


def effective_bandwidth_hz(samples: Audio, sr: int) -> float:
    """The highest frequency at which mono `samples` [T] still carry energy, Hz.

    Taken from the long-term power spectrum in bands of 100 Hz: the upper edge of the highest
    band within 65 dB of the loudest and above -110 dB of full scale. A telephone call stored
    at 48 kHz so gives about 3,700 and not 24,000. Silence gives 0.
    """
    meter = Bandwidth(sr)
    meter.push(np.asarray(samples, dtype=np.float32))
    return meter.hz()
