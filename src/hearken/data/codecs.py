"""Real speech codecs, in memory: encode, decode, and put the result back in time.

Opus, MP3, AMR-NB and G.722 run through the encoders in PyAV, GSM 06.10 through libsndfile;
packet loss runs through libopus itself, whose decoder conceals a lost packet when it is given
none. A codec delays its input by a constant number of samples that depends on the codec and
the bit rate and on nothing else; it is measured once, on a vowel-like sound, and removed.
"""

from __future__ import annotations

import ctypes
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hearken.errors import UsageError
from hearken.nouns import SAMPLE_RATE, Audio

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

__all__ = ["CODECS", "OPUS_FRAME", "chain", "delay", "opus_with_losses", "round_trip"]

CODECS: dict[str, tuple[float, ...]] = {
    "opus": (6, 8, 9, 12, 16, 24, 32),
    "mp3": (8, 16, 24, 32),
    "amr": (4.75, 5.15, 5.9, 6.7, 7.4, 7.95, 10.2, 12.2),
    "gsm": (13,),
    "g722": (64,),
}
"""Codec -> the bit rates, kbit/s, that it is used at here."""

OPUS_FRAME = 320
"""Samples in one 20 ms Opus packet at 16 kHz."""

_ENCODERS = {"opus": "libopus", "mp3": "libmp3lame", "amr": "libopencore_amrnb", "g722": "g722"}
_DECODERS = {"opus": "libopus", "mp3": "mp3", "amr": "libopencore_amrnb", "g722": "g722"}
_RATES = {"opus": 16_000, "mp3": 16_000, "amr": 8_000, "gsm": 8_000, "g722": 16_000}
_FORMATS = {"opus": "s16", "mp3": "s16p", "amr": "s16", "g722": "s16"}
_TAIL = 6_000  # samples of silence after the clip, so that the delayed end is not lost
_OPUS_APPLICATION_VOIP = 2048
_OPUS_SET_BITRATE = 4002
_OPUS_GET_LOOKAHEAD = 4027


def round_trip(x: Audio, codec: str, kbps: float) -> Audio:
    """`x` [T] encoded and decoded, same length, time-aligned with the input.

    Raises:
        UsageError: an unknown codec, or a bit rate that it does not have.
    """
    if codec not in CODECS or kbps not in CODECS[codec]:
        known = "; ".join(f"{name} at {rates}" for name, rates in CODECS.items())
        raise UsageError(f"no codec {codec!r} at {kbps} kbit/s; there are {known}")
    y = _code(np.concatenate([x, np.zeros(_TAIL, np.float32)]), codec, kbps)
    return _shift(y, delay(codec, kbps), len(x))


def chain(x: Audio, steps: Sequence[tuple[str, float]]) -> Audio:
    """`x` through several codecs one after another (a tandem, as in a call that is bridged)."""
    for codec, kbps in steps:
        x = round_trip(x, codec, kbps)
    return x


@lru_cache(maxsize=64)
def delay(codec: str, kbps: float) -> int:
    """Constant delay of a codec, samples at 16 kHz, found with a vowel-like probe."""
    from scipy.signal import lfilter

    rng, n = np.random.default_rng(0), 2 * SAMPLE_RATE
    cycles = np.cumsum((120 + 40 * np.sin(np.arange(n) / 3_000)) / SAMPLE_RATE)
    probe = np.diff(np.floor(cycles), prepend=0.0) + 0.01 * rng.standard_normal(n)
    for hz, width_hz in ((500, 80), (1_400, 120), (2_500, 200)):  # one vowel's resonances
        r, angle = np.exp(-np.pi * width_hz / SAMPLE_RATE), 2 * np.pi * hz / SAMPLE_RATE
        probe = lfilter([1.0], [1.0, -2 * r * np.cos(angle), r * r], probe)
    probe = 0.5 * probe * np.hanning(n) / np.abs(probe).max()
    x = np.concatenate([probe, np.zeros(_TAIL)]).astype(np.float32)
    y = _code(x, codec, kbps)
    return lag(x, y, limit=_TAIL)


def lag(x: Audio, y: Audio, *, limit: int = 4_000) -> int:
    """Samples by which `y` comes after `x`: where their cross-correlation has its peak."""
    n = 1 << (len(x) + len(y) - 1).bit_length()
    cross = np.fft.irfft(np.conj(np.fft.rfft(x, n)) * np.fft.rfft(y, n), n)
    lags = np.concatenate([np.arange(limit + 1), np.arange(-limit, 0)])
    return int(lags[np.argmax(cross[lags])])


def opus_with_losses(
    x: Audio, lost: NDArray[np.bool_], *, kbps: float = 40.0
) -> tuple[Audio, int] | None:
    """`x` [T] through libopus with the packets marked in `lost` never arriving.

    Each packet is `OPUS_FRAME` samples; a lost one is made up by the decoder's own
    concealment. Returns the aligned sound and the encoder's look-ahead in samples: packet k
    fills the samples [k * OPUS_FRAME - lookahead, (k + 1) * OPUS_FRAME - lookahead). Returns
    None where no libopus can be loaded.
    """
    lib = _libopus()
    if lib is None:
        return None
    error = ctypes.c_int(0)
    encoder = ctypes.c_void_p(
        lib.opus_encoder_create(SAMPLE_RATE, 1, _OPUS_APPLICATION_VOIP, ctypes.byref(error))
    )
    decoder = ctypes.c_void_p(lib.opus_decoder_create(SAMPLE_RATE, 1, ctypes.byref(error)))
    try:
        lib.opus_encoder_ctl(encoder, _OPUS_SET_BITRATE, ctypes.c_int(round(kbps * 1000)))
        ahead = ctypes.c_int(0)
        lib.opus_encoder_ctl(encoder, _OPUS_GET_LOOKAHEAD, ctypes.byref(ahead))
        y = _packets(lib, encoder, decoder, x, lost)
    finally:
        lib.opus_encoder_destroy(encoder)
        lib.opus_decoder_destroy(decoder)
    return _shift(y, ahead.value, len(x)), ahead.value


def _packets(
    lib: ctypes.CDLL,
    encoder: ctypes.c_void_p,
    decoder: ctypes.c_void_p,
    x: Audio,
    lost: NDArray[np.bool_],
) -> Audio:
    """Encode and decode 20 ms packets one by one; a lost packet is decoded from nothing."""
    packets = len(x) // OPUS_FRAME + 2
    pcm = np.zeros(packets * OPUS_FRAME, np.int16)
    pcm[: len(x)] = _int16(x)
    out = np.zeros_like(pcm)
    data = ctypes.create_string_buffer(1500)
    for k in range(packets):
        part = slice(k * OPUS_FRAME, (k + 1) * OPUS_FRAME)
        frame, heard = np.ascontiguousarray(pcm[part]), np.zeros(OPUS_FRAME, np.int16)
        size = lib.opus_encode(
            encoder, frame.ctypes.data_as(ctypes.c_void_p), OPUS_FRAME, data, len(data)
        )
        gone = k < len(lost) and bool(lost[k])
        lib.opus_decode(
            decoder,
            None if gone else data,
            0 if gone else size,
            heard.ctypes.data_as(ctypes.c_void_p),
            OPUS_FRAME,
            0,
        )
        out[part] = heard
    return (out / np.float32(32768)).astype(np.float32)


@lru_cache(maxsize=1)
def _libopus() -> ctypes.CDLL | None:
    """The libopus that PyAV's wheel brings along, or None."""
    import av

    package = Path(av.__file__).parent
    folders = (package.parent / "av.libs", package / ".dylibs", package)
    for path in (p for folder in folders for p in sorted(folder.glob("*opus*"))):
        if path.suffix not in {".pyd", ".py", ".pyx"}:
            try:
                lib = ctypes.CDLL(str(path))
                lib.opus_encoder_create.restype = ctypes.c_void_p
                lib.opus_decoder_create.restype = ctypes.c_void_p
            except (OSError, AttributeError):
                continue
            return lib
    return None


def _code(x: Audio, codec: str, kbps: float) -> Audio:
    """Encode and decode; the result is at 16 kHz and carries the codec's delay."""
    import soxr

    rate = _RATES[codec]
    pcm = _int16(soxr.resample(x, SAMPLE_RATE, rate) if rate != SAMPLE_RATE else x)
    y, rate_out = _gsm(pcm) if codec == "gsm" else _av(pcm, codec, kbps)
    if rate_out != SAMPLE_RATE:
        y = soxr.resample(y, rate_out, SAMPLE_RATE)
    return np.asarray(y, np.float32)


def _gsm(pcm: NDArray[np.int16]) -> tuple[Audio, int]:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, 8_000, format="WAV", subtype="GSM610")
    buffer.seek(0)
    y, rate = soundfile.read(buffer, dtype="float32")
    return y, rate


def _av(pcm: NDArray[np.int16], codec: str, kbps: float) -> tuple[Audio, int]:
    from av.audio.frame import AudioFrame
    from av.codec import CodecContext

    encoder = CodecContext.create(_ENCODERS[codec], "w")
    encoder.sample_rate, encoder.layout = _RATES[codec], "mono"  # type: ignore[attr-defined]
    encoder.format = _FORMATS[codec]  # type: ignore[attr-defined]
    encoder.bit_rate = round(kbps * 1000)
    encoder.open()
    decoder = CodecContext.create(_DECODERS[codec], "r")
    if codec != "mp3":
        decoder.sample_rate, decoder.layout = _RATES[codec], "mono"  # type: ignore[attr-defined]
    size = encoder.frame_size or 320  # type: ignore[attr-defined]
    heard: list[AudioFrame] = []
    for start in range(0, len(pcm), size):
        part = np.zeros(size, np.int16)
        part[: len(pcm) - start] = pcm[start : start + size]
        frame = AudioFrame.from_ndarray(part[None], format=_FORMATS[codec], layout="mono")
        frame.sample_rate, frame.pts = _RATES[codec], start
        for packet in encoder.encode(frame):  # type: ignore[attr-defined]
            heard += decoder.decode(packet)  # type: ignore[attr-defined]
    for packet in encoder.encode(None):  # type: ignore[attr-defined]
        heard += decoder.decode(packet)  # type: ignore[attr-defined]
    heard += decoder.decode(None)  # type: ignore[attr-defined]
    return np.concatenate([_float(f) for f in heard]), heard[0].sample_rate


def _float(frame: AudioFrame) -> Audio:
    """One decoded frame as float32 mono; MP3 decodes mono as it was encoded."""
    y = frame.to_ndarray()
    channels = len(frame.layout.channels)
    y = y.reshape(-1, channels)[:, 0] if not frame.format.is_planar else y[0]
    if y.dtype.kind == "i":
        return (y / np.float32(np.iinfo(y.dtype).max + 1)).astype(np.float32)
    return y.astype(np.float32)


def _int16(x: Audio) -> NDArray[np.int16]:
    return np.clip(np.round(x * 32767.0), -32768, 32767).astype(np.int16)


def _shift(y: Audio, by: int, length: int) -> Audio:
    """`y` moved `by` samples earlier and cut or padded to `length`."""
    y = y[by:] if by >= 0 else np.concatenate([np.zeros(-by, np.float32), y])
    out = np.zeros(length, np.float32)
    out[: min(length, len(y))] = y[:length]
    return out
