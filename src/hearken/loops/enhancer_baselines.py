"""Other people's audio-only enhancers, as rows of the enhancer's table.

    spectral-gate         a gate in each band, noise taken as steady (noisereduce; Sainburg 2020)
    adaptive-gate         the same over a noise floor that follows the sound (noisereduce)
    spectral-subtraction  Berouti et al. 1979 (pyroomacoustics)
    speex                 the noise suppressor of Speex, 15 dB at most (speexdsp-ns)
    webrtc                the Wiener filter of WebRTC calls, level "high" (webrtc-noise-gain)
    rnnoise               a small recurrent network on band gains, Valin 2018 (pyrnnoise)

`pip install 'hearken[baselines]'` brings all; none downloads anything at run time. All run at
their authors' settings, with their delay taken out: what they give is aligned with what they got.
WebRTC's chain also cuts the lowest octaves with a filter that turns phases, and cannot be told not
to: clean speech comes back with a PESQ above 4 and an SI-SDR of -3 to 7 dB. RNNoise hears 48 kHz,
so sound goes up and down again.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearken.errors import UsageError, require
from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["BASELINES", "Baseline", "missing"]

_BLOCK = SAMPLE_RATE // 100  # 10 ms
_STFT = 512
_SPEEX_DELAY = _BLOCK  # its frames overlap by one
_WEBRTC_DELAY = 96  # its window of 256 less a block
_WEBRTC_HIGH = 3
_RNNOISE_RATE = 48_000
_RNNOISE_DELAY = 960  # at 48 kHz: a frame of overlap and one of look-ahead for the pitch

Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class Baseline:
    """An enhancer that hears and does not see.

    Attributes:
        package: the module that it needs.
        run: [T] at 16 kHz to [T], aligned with it to the sample.
        caution: how its numbers are to be read; "" for as they stand.
    """

    package: str
    run: Callable[[Audio], Audio]
    caution: str = ""


def missing(names: Sequence[str]) -> dict[str, str]:
    """Of these baselines, those that cannot run here, and what to do about it.

    Raises:
        UsageError: a name that is none of `BASELINES`.
    """
    unknown = sorted(set(names) - set(BASELINES))
    if unknown:
        raise UsageError(f"baselines {', '.join(unknown)}: choose of {', '.join(BASELINES)}")
    packages = {name: BASELINES[name].package for name in names}
    absent = {n: p for n, p in packages.items() if importlib.util.find_spec(p) is None}
    return {name: str(require(package, "baselines")) for name, package in absent.items()}


def _gate(samples: Audio, *, steady: bool) -> Audio:
    import noisereduce

    # The package advises a window of 32 ms for speech; everything else is its default.
    made = noisereduce.reduce_noise(_dithered(samples), SAMPLE_RATE, stationary=steady, n_fft=_STFT)
    return np.asarray(made, np.float32)


def _subtraction(samples: Audio) -> Audio:
    from pyroomacoustics.denoise import apply_spectral_sub

    delay = _STFT // 2  # it works on half-overlapping windows and gives what is complete
    made = apply_spectral_sub(_dithered(_padded(samples, delay, delay)), nfft=_STFT)
    return np.asarray(made[delay : delay + len(samples)], np.float32)


def _speex(samples: Audio) -> Audio:
    from speexdsp_ns import NoiseSuppression

    suppressor = NoiseSuppression.create(_BLOCK, SAMPLE_RATE)
    return _streamed(
        samples,
        _BLOCK,
        _SPEEX_DELAY,
        lambda block: np.frombuffer(suppressor.process(block.tobytes()), np.int16),
    )


def _webrtc(samples: Audio) -> Audio:
    from webrtc_noise_gain import AudioProcessor

    processor = AudioProcessor(0, _WEBRTC_HIGH)  # no gain control
    return _streamed(
        samples,
        _BLOCK,
        _WEBRTC_DELAY,
        lambda block: np.frombuffer(processor.Process10ms(block.tobytes()).audio, np.int16),
    )


def _rnnoise(samples: Audio) -> Audio:
    import soxr

    library: Any = _library("pyrnnoise", "rnnoise.py")

    def process(block: Pcm) -> NDArray[np.float32]:
        # Not `process_mono_frame`: that wraps around where the result is above full scale.
        frame = block.astype(np.float32)
        at = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        library.lib.rnnoise_process_frame(state, at, at)
        return frame

    state = library.create()
    try:
        wide = soxr.resample(samples, SAMPLE_RATE, _RNNOISE_RATE)
        made = _streamed(wide, library.FRAME_SIZE, _RNNOISE_DELAY, process)
    finally:
        library.destroy(state)
    return _padded(soxr.resample(made, _RNNOISE_RATE, SAMPLE_RATE), 1)[: len(samples)]


def _library(package: str, file: str) -> ModuleType:
    """One file of a package, without the package's own imports (here: a media framework)."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise require(package, "baselines")
    path = Path(found.submodule_search_locations[0], file)
    spec = importlib.util.spec_from_file_location(f"_{package}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _streamed(
    samples: Audio, block: int, delay: int, process: Callable[[Pcm], NDArray[Any]]
) -> Audio:
    """Sound through a processor of 16-bit blocks, its `delay` in samples taken out."""
    pcm = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    blocks = _padded(pcm, delay, block).reshape(-1, block)
    made = np.concatenate([process(b) for b in blocks])
    return made[delay : delay + len(samples)].astype(np.float32) / np.float32(32768.0)


def _dithered(samples: Audio) -> Audio:
    """With noise at -120 dB: these two divide by the power of a frame, which may be 0."""
    noise = np.random.default_rng(0).standard_normal(len(samples))
    return samples + (1e-6 * noise).astype(np.float32)


def _padded(samples: NDArray[Any], more: int, block: int = 1) -> NDArray[Any]:
    """With `more` zeros, or as many above it as make whole blocks."""
    return np.pad(samples, (0, more + -(len(samples) + more) % block))


BASELINES: dict[str, Baseline] = {
    "spectral-gate": Baseline("noisereduce", lambda x: _gate(x, steady=True)),
    "adaptive-gate": Baseline("noisereduce", lambda x: _gate(x, steady=False)),
    "spectral-subtraction": Baseline("pyroomacoustics", _subtraction),
    "speex": Baseline("speexdsp_ns", _speex),
    "webrtc": Baseline(
        "webrtc_noise_gain",
        _webrtc,
        "its high-pass filter turns phases, so SI-SDR is low even on clean speech; PESQ is not.",
    ),
    "rnnoise": Baseline("pyrnnoise", _rnnoise),
}
