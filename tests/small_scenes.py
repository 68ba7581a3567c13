"""A folder in the shape of AVSEC-4 that is made in a second, for tests from folder to output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hearken import media

__all__ = ["crops_of", "write_avsec4"]

SAMPLES = 16_000
KINDS = (("noise",), ("speech",), ("noise", "speech"))
MONO = ("_mono_mix", "_target_mono", "_interferer_mono", "_target_mono_anechoic")
BINAURAL = ("_mix", "_target", "_interferer", "_target_anechoic")


def write_avsec4(root: Path, train: int = 4, dev: int = 3, *, mono: bool = True) -> Path:
    """train/ and dev/ with mono (if asked) and binaural files, films, and both jsons."""
    for split, count in (("train", train), ("dev", dev)):
        folder = root / split / "scenes"
        folder.mkdir(parents=True)
        rows = [_write(folder, f"S{i + 1:05d}", i, split, mono) for i in range(count)]
        (root / f"scenes.{split}.json").write_text(json.dumps(rows))
    return root


def crops_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Stands for `crop_mouths`: crops that depend on the scene's name, a face in each frame."""
    rng = np.random.default_rng(sum(path.stem.encode()))
    return rng.integers(0, 256, (25, 96, 96)).astype(np.uint8), np.ones(25, bool)


def _write(folder: Path, name: str, index: int, split: str, mono: bool) -> dict[str, object]:
    rng = np.random.default_rng([index, split == "dev"])
    target, other = (_sound(rng) for _ in range(2))
    near, far = np.array([1.0, 0.7]), np.array([0.6, 1.0])
    ears = [np.outer(target, near), np.outer(other, far)]
    for endings, stems in ((MONO if mono else (), (target, other)), (BINAURAL, ears)):
        for end, x in zip(endings, (stems[0] + stems[1], *stems, stems[0]), strict=False):
            media.write_audio(folder / f"{name}{end}.wav", x.astype(np.float32))
    grey = rng.integers(0, 256, (25, 32, 32, 3)).astype(np.uint8)
    media.write_video(folder / f"{name}_silent.mp4", grey)
    span = {"time_start": 0, "time_end": SAMPLES}
    return {
        "dataset": "lrs3",
        "room": "R0001",
        "scene": name,
        "duration": SAMPLES,
        "SNR": 0.0,
        "target": {"name": f"talker{split}{index}_00001", **span},
        "interferers": [
            {"position": p, "type": kind, "name": f"n{p}", "offset": 0, **span}
            for p, kind in enumerate(KINDS[index % 3])
        ],
        "listener": {"rotation": [0.0] * 7, "hrir_filename": ["BuK-ED"]},
    }


def _sound(rng: np.random.Generator) -> np.ndarray:
    steps = np.repeat(rng.uniform(0.02, 0.08, 10), SAMPLES // 10)
    return np.clip(rng.standard_normal(SAMPLES), -3, 3) * steps
