"""A corpus of clips with known faults: build it from a data folder, and read it back.

OUT/audio/000001.flac (16 kHz), OUT/truth.jsonl (one line a clip, in order) and
OUT/corpus.json (what it was built from). Clip k depends on the seed, the split and k alone:
a build that was stopped goes on where it was, and gives the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hearken.data import manifest
from hearken.data.recipe import Drawn, Material, draw
from hearken.data.repaired import Machine
from hearken.data.scores import Intrusive, scores, soft
from hearken.data.words import describe
from hearken.errors import InputError, ManifestError, MetricError, UsageError
from hearken.nouns import (
    DIMENSIONS,
    FAULT_TYPES,
    SAMPLE_RATE,
    Audio,
    Description,
    Fault,
    Score,
)
from hearken.run.track import track

__all__ = ["Measure", "Planting", "build", "read_corpus"]

Measure = Callable[[Audio, Audio], Intrusive]
"""(reference, degraded) -> metrics. With several workers it must be picklable."""

_TRIES = 30


@dataclass(frozen=True)
class Planting:
    """One clip of a corpus, with its truth.

    Attributes:
        key: "000001".
        path: absolute path of the audio.
        description: the true scores (with soft probabilities), faults and words.
        physics: what was set or measured while planting.
        intrusive: PESQ-WB, ESTOI and SI-SDR against the time-aligned clean speech.
        speaker: talker's name; noise: recordings that were added, "" for none.
    """

    key: str
    path: Path
    description: Description
    physics: Mapping[str, float]
    intrusive: Intrusive
    speaker: str
    noise: str = ""
    seconds: float = 0.0


def build(
    data_dir: Path,
    out: Path,
    count: int,
    *,
    seed: int,
    split: str,
    measure: Measure,
    seconds: tuple[float, float] = (2.0, 6.0),
    repairs: float = 0.2,
    machines: Sequence[Machine] = (),
    workers: int = 1,
) -> None:
    """Make clips 000001 .. `count` in `out`; those that are there already are kept.

    Args:
        data_dir: folder with manifest.csv (docs/data.md).
        out: corpus folder; made if missing.
        count: how many clips in all; a larger count later extends the corpus.
        seed: of everything random.
        split: "train" or "valid": whose talkers, noises and rooms are used; no talker is in both.
        measure: the intrusive metrics.
        seconds: shortest and longest clip.
        repairs: share of clips that a machine has worked on (see `hearken.data.repaired`).
        machines: beside the classic ones. With several workers they must be picklable.
        workers: processes; 1 works in this one.

    Raises:
        UsageError: a wrong argument, or `out` was built from other settings.
        ManifestError: `data_dir` has no usable manifest.
    """
    if split not in ("train", "valid"):
        raise UsageError(f"split {split!r} is neither 'train' nor 'valid'")
    if not 0.5 <= seconds[0] <= seconds[1]:
        raise UsageError(f"seconds {seconds}: want 0.5 <= shortest <= longest")
    parts = manifest.split(manifest.read(data_dir))
    material = Material.of(parts.train if split == "train" else parts.strangers)
    settings = {"seed": seed, "split": split, "seconds": list(seconds), "repairs": repairs}
    _same_settings(out, {**settings, "machines": [str(m) for m in machines]})
    (out / "audio").mkdir(parents=True, exist_ok=True)
    done = _finished(out)
    todo = [k for k in range(1, count + 1) if f"{k:06d}" not in done]
    seeds = (seed, int(split == "valid"))
    drawing = partial(draw, material, seconds=seconds, repairs=repairs, machines=machines)
    make = partial(_make, out=out, drawing=drawing, seeds=seeds, measure=measure)
    with (out / "truth.jsonl").open("a", encoding="ascii") as file:
        rows = _rows(make, todo, workers)
        for row in track(rows, total=count, start=len(done), label=f"{split} clips"):
            file.write(json.dumps(row) + "\n")
            file.flush()


def read_corpus(folder: Path) -> list[Planting]:
    """Every clip of a corpus, in the order of its truth.jsonl.

    Raises:
        ManifestError: no truth.jsonl, or a line that is not as `build` writes it.
    """
    path = Path(folder) / "truth.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}; is {folder} a corpus?") from error
    plantings = []
    for number, line in enumerate(lines, 1):
        try:
            plantings.append(_planting(json.loads(line), Path(folder)))
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(f"{path}, line {number}: not a truth record ({error})") from error
    return plantings


def _make(
    index: int,
    *,
    out: Path,
    drawing: Callable[..., Drawn],
    seeds: tuple[int, int],
    measure: Measure,
) -> dict[str, Any]:
    """Clip number `index`: draw, plant, measure, score, describe, write."""
    import soundfile

    for attempt in range(_TRIES):
        rng = np.random.default_rng([*seeds, index, attempt])
        try:
            drawn = drawing(rng=rng)
            break
        except InputError:
            continue
    else:
        raise InputError(f"clip {index}: no usable speech in {_TRIES} tries; check the data folder")
    planted = drawn.planted
    try:
        intrusive = measure(planted.reference, planted.audio)
    except MetricError:
        intrusive = Intrusive(None, None, None)
    value = scores(planted, intrusive)
    key = f"{index:06d}"
    path = out / "audio" / f"{key}.flac"
    temporary = path.with_name(f".{key}.tmp.flac")
    soundfile.write(temporary, planted.audio, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    os.replace(temporary, path)
    return {
        "key": key,
        "path": f"audio/{key}.flac",
        "seconds": round(planted.seconds, 4),
        "scores": {name: round(v, 4) for name, v in value.items()},
        "faults": [_fault_row(f) for f in planted.faults],
        "words": describe(value, planted.faults, rng, seconds=planted.seconds),
        "physics": {name: round(float(v), 5) for name, v in planted.physics.items()},
        "intrusive": {
            name: None if v is None else round(float(v), 4) for name, v in asdict(intrusive).items()
        },
        "speaker": drawn.speaker,
        "noise": drawn.noise,
    }


def _rows(
    make: Callable[[int], dict[str, Any]], todo: list[int], workers: int
) -> Iterator[dict[str, Any]]:
    if workers <= 1 or len(todo) < 2:
        yield from map(make, todo)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(make, todo, chunksize=2)
        except BrokenProcessPool as error:
            raise UsageError(
                "a worker process died: give fewer workers more memory, and a `measure` that "
                "a fresh process can import"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _fault_row(fault: Fault) -> dict[str, Any]:
    return {
        "type": fault.type,
        "start": round(fault.start_s, 5),
        "end": round(fault.end_s, 5),
        "severity": fault.severity,
        "detail": fault.detail,
    }


def _planting(row: Mapping[str, Any], folder: Path) -> Planting:
    faults = tuple(
        Fault(f["type"], float(f["start"]), float(f["end"]), int(f["severity"]), f["detail"])
        for f in row["faults"]
    )
    unknown = [f.type for f in faults if f.type not in FAULT_TYPES]
    if unknown:
        raise ValueError(f"unknown fault {unknown[0]!r}")
    path = (folder / row["path"]).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"path {row['path']!r} leads out of the corpus")
    value = {name: float(row["scores"][name]) for name in DIMENSIONS}
    truth = {name: Score(v, soft(v)) for name, v in value.items()}
    metrics = row["intrusive"]
    return Planting(
        key=str(row["key"]),
        path=path,
        description=Description(truth, faults, str(row["words"])),
        physics=dict(row["physics"]),
        intrusive=Intrusive(metrics["pesq_wb"], metrics["estoi"], metrics["si_sdr_db"]),
        speaker=str(row["speaker"]),
        noise=str(row["noise"]),
        seconds=float(row["seconds"]),
    )


def _same_settings(out: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to mix two corpora in one folder."""
    path = out / "corpus.json"
    if path.exists():
        found = json.loads(path.read_text())
        if found != settings:
            raise UsageError(f"{out} was built with {found}, not {settings}; choose another folder")
        return
    out.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".corpus.tmp.json")
    temporary.write_text(json.dumps(settings))
    os.replace(temporary, path)


def _finished(out: Path) -> set[str]:
    """Keys of the clips that are whole; a last line that was cut off is taken out."""
    path = out / "truth.jsonl"
    if not path.exists():
        return set()
    text = path.read_text(encoding="ascii")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        temporary = path.with_name(".truth.tmp.jsonl")
        temporary.write_text(whole, encoding="ascii")
        os.replace(temporary, path)
    return {json.loads(line)["key"] for line in whole.splitlines()}
