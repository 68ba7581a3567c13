"""A corpus of seconds and a critic of kilobytes, for tests of the training loops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from hearken.critic.tiny import TinyConfig
from hearken.nouns import DIMENSIONS, Description, Fault, Score

__all__ = ["SIZES", "description", "write_corpus"]

SIZES = TinyConfig(
    window_s=2, mel_bins=16, audio_width=16, audio_layers=1, audio_ffn=16, text_width=16,
    text_layers=1, text_ffn=16, heads=2, vocab=420,
)  # fmt: skip


def description(value: float, *faults: Fault) -> Description:
    """Every score is `value`, between two digits."""
    low = int(value)
    probs = [0.0] * 6
    probs[low - 1], probs[low] = low + 1 - value, value - low
    return Description({d: Score.of(probs[:5]) for d in DIMENSIONS}, faults, "It is noisy.")


def write_corpus(folder: Path, count: int) -> None:
    """`count` clips of noise, up to 2 s long, each said to hum."""
    (folder / "audio").mkdir(parents=True)
    rng = np.random.default_rng(count)
    rows = []
    for k in range(1, count + 1):
        seconds = float(rng.uniform(0.5, 2.0))
        path = f"audio/{k:06d}.flac"
        sound = rng.standard_normal(int(16_000 * seconds)) * 0.1 * k / count
        soundfile.write(folder / path, sound, 16_000)
        rows.append(
            {
                "key": f"{k:06d}",
                "path": path,
                "seconds": seconds,
                "scores": {d: 1 + 4 * k / (count + 1) for d in DIMENSIONS},
                "faults": [{"type": "hum", "start": 0.0, "end": 0.4, "severity": 2, "detail": ""}],
                "words": "A hum from start to end.",
                "physics": {},
                "intrusive": {"pesq_wb": None, "estoi": None, "si_sdr_db": None},
                "speaker": "someone",
                "noise": "",
            }
        )
    (folder / "truth.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
