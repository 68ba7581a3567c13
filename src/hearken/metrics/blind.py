"""Measures without a reference: DNSMOS P.835 (OVRL, SIG, BAK) and DistillMOS.

Both are models trained on people's ratings; neither is ever a reward here, and neither is to be
believed alone: they reward a clean sound, also of the wrong talker. `docs/metrics.md` says more.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import types
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearken.errors import MetricError, require
from hearken.nouns import SAMPLE_RATE

__all__ = ["distillmos", "distillmos_model", "dnsmos"]

_WINDOW_S = 9.01
_WINDOW = int(_WINDOW_S * SAMPLE_RATE)  # 144160 samples: the only input length of the network
_MIN_S = 0.1

# Raw outputs -> the P.835 scale: the polynomials of the reference script, highest power first.
_SIG = (-0.08397278, 1.22083953, 0.0052439)
_BAK = (-0.13166888, 1.60915514, -0.39604546)
_OVRL = (-0.06766283, 1.11546468, 0.04602535)


def dnsmos(x: NDArray[Any], *, windows: int = 0) -> dict[str, float]:
    """DNSMOS P.835 of [T] at 16 kHz: {"ovrl", "sig", "bak"}, about 1-5, higher is better.

    Reddy et al. 2022, with the weights that the `speechmos` package carries, and its rules:
    a clip shorter than 9.01 s is repeated, a longer one is the mean over windows 1 s apart.
    Samples beyond +-1 are clipped, as writing a file would.

    Args:
        x: the sound.
        windows: only the first so many windows, for a reward that must be quick; 0 for all.

    Raises:
        MetricError: silence, NaN, or shorter than 0.1 s.
        UsageError: the `metrics` extra is not installed.
    """
    x = np.clip(_checked("DNSMOS", x), -1.0, 1.0)
    session, period = _dnsmos_session(), len(x)
    while len(x) < _WINDOW:
        x = np.concatenate([x, x])
    hops = int(len(x) // SAMPLE_RATE - _WINDOW_S) + 1
    # The reference script cuts at int((i + 9.01) * 16000), which rounding makes one sample short
    # for some i, and skips those windows: so do we, or our numbers would differ from everyone's.
    kept = [
        i for i in range(hops) if int((i + _WINDOW_S) * SAMPLE_RATE) - i * SAMPLE_RATE == _WINDOW
    ]
    starts = [i * SAMPLE_RATE for i in kept if i * SAMPLE_RATE + _WINDOW <= len(x)]
    starts = starts[: windows or None]
    # In a clip that was repeated, windows come again after its length: each is heard once.
    heard = {
        s: session.run(None, {"input_1": x[None, s : s + _WINDOW]})[0][0]
        for s in {s % period for s in starts}
    }
    raw = np.array([heard[s % period] for s in starts])
    names = {"sig": (0, _SIG), "bak": (1, _BAK), "ovrl": (2, _OVRL)}
    return {k: float(np.polyval(p, raw[:, i]).mean()) for k, (i, p) in names.items()}


def distillmos(x: NDArray[Any]) -> float:
    """DistillMOS of [T] at 16 kHz, 1-5, higher is better (Stahl and Gamper 2025).

    Raises:
        MetricError: silence, NaN, or shorter than 0.1 s.
        UsageError: the `metrics` extra is not installed.
    """
    x = _checked("DistillMOS", x)
    model = distillmos_model()
    import torch

    with torch.inference_mode():
        return float(model(torch.from_numpy(x)[None]).item())


def _checked(name: str, x: NDArray[Any]) -> NDArray[np.float32]:
    array = np.array(x, dtype=np.float32)
    if array.ndim != 1:
        raise MetricError(f"{name}: shape {array.shape}; it must be [T]")
    if len(array) < _MIN_S * SAMPLE_RATE:
        raise MetricError(f"{name}: {len(array)} samples are shorter than {_MIN_S} s")
    if not np.isfinite(array).all():
        raise MetricError(f"{name}: NaN or infinite samples")
    if not array.any():
        raise MetricError(f"{name}: the clip is silent")
    return array


@lru_cache(maxsize=1)
def _dnsmos_session() -> Any:
    """The bundled P.835 network, found without importing `speechmos` (which pulls librosa)."""
    spec = importlib.util.find_spec("speechmos")
    if spec is None or not spec.submodule_search_locations:
        raise require("speechmos", "metrics")
    import onnxruntime

    path = Path(spec.submodule_search_locations[0]) / "dnsmos_models" / "sig_bak_ovr.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a process per core is faster than a thread per core
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )


@lru_cache(maxsize=1)
def distillmos_model() -> Any:
    """The network of `distillmos`: a torch module, sounds [B, T] at 16 kHz -> [B, 1].

    Raises:
        UsageError: the `metrics` extra is not installed.
    """
    if importlib.util.find_spec("distillmos") is None:
        raise require("distillmos", "metrics")
    with _torchaudio_not_needed(), contextlib.redirect_stdout(io.StringIO()):
        from distillmos import ConvTransformerSQAModel

        model = ConvTransformerSQAModel()  # prints where its weights are: stdout is for data
    return model.eval()


@contextlib.contextmanager
def _torchaudio_not_needed() -> Iterator[None]:
    """Distillmos imports torchaudio for its own command line only: an empty module will do."""
    if importlib.util.find_spec("torchaudio") is not None:
        yield
        return
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    try:
        yield
    finally:
        del sys.modules["torchaudio"]
