"""What an enhancer does to scenes: one table, with doing nothing and the deaf-to-lips controls.

    hearken eval enhancer --scenes DIR --out DIR [--enhanced FOLDER] [--metrics all]

Every scene is heard as it is, through the enhancer with the right video, with someone else's,
with the rival talker's (where the folder has it) and with none, and through an oracle ratio mask.
If the four videos agree, the enhancer is deaf to lips. With `enhanced`, a folder of finished
files (OUT/S00001.wav) takes the place of the enhancer.

Left out of the textbook: listening tests; loudness alignment before blind metrics.
Writes metrics.jsonl (a line per scene and system), rows.csv, table.json and table.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hearken import media
from hearken.data import scenes
from hearken.errors import HearkenError, InputError, MetricError, UsageError
from hearken.metrics import table, tabulate
from hearken.metrics.agreement import Interval
from hearken.metrics.systems import FEW_TALKERS, Comparison
from hearken.nouns import SAMPLE_RATE, SAMPLES_PER_FRAME, Audio, Crops, Scene
from hearken.run import config as configs
from hearken.run.track import Run, track

__all__ = ["Config", "Enhances", "main", "oracle_ratio_mask"]

VIDEOS = ("right", "other", "rival", "none")
_NO_FACE = "no face found"
_CHUNK = 32  # scenes held in memory at a time


@dataclass(frozen=True)
class Config:
    """How to evaluate an enhancer."""

    scenes: Path = Path("")
    """Folder of scenes in AVSEC layout, with targets for the intrusive metrics."""
    out: Path = Path("")
    """Folder for the tables; a new one, or an interrupted one with --resume."""
    enhancer: str = ""
    """Folder of enhancer weights; empty for the shipped ones."""
    enhanced: Path | None = None
    """Folder of finished files, OUT/<scene>.wav: judged instead of running an enhancer."""
    metrics: str = "intrusive"
    """Comma list of pesq_wb, stoi, estoi, si_sdr_db, dnsmos, distillmos; or intrusive; or all."""
    videos: tuple[str, ...] = VIDEOS
    """Which pictures the enhancer sees: right, other (someone else's), rival, none."""
    oracle: bool = True
    """Add the oracle ratio mask, the ceiling of magnitude masking."""
    limit: int = 0
    """Only the first so many scenes; 0 for all."""
    workers: int = 1
    """Processes that compute metrics."""
    resamples: int = 1000
    """Bootstrap draws for each 95 % interval."""
    keep_audio: bool = False
    """Write what each system made to OUT/audio/<system>/<scene>.wav."""
    resume: bool = False
    """Keep the scenes that an interrupted evaluation finished."""
    device: str = "cpu"
    """Where the enhancer runs: cpu, cuda, auto."""
    seed: int = 0
    """Of the bootstrap."""

    @classmethod
    def smoke(cls, **changes: object) -> Config:
        """A few scenes and cheap metrics: seconds."""
        return configs.smoke_of(
            cls, {"limit": 4, "metrics": "stoi,si_sdr_db", "resamples": 100}, changes
        )


class Enhances(Protocol):
    """What is evaluated: `hearken.enhancer.Enhancer`, or anything with its one method."""

    def enhance(self, samples: Audio, crops: Crops | None) -> Audio:
        """[T] and [V, 88, 88] or None to [T]."""
        ...


@dataclass
class _State:
    """What is open during an evaluation."""

    config: Config
    run: Run
    all: list[Scene]
    enhancer: Enhances | None
    crops_of: Callable[[str], Crops | None]
    notes: dict[str, scenes.Note] = field(default_factory=dict)

    def note(self, scene: Scene) -> scenes.Note:
        return self.notes.setdefault(scene.mix, scenes.note(scene))


def main(
    config: Config,
    *,
    enhancer: Enhances | None = None,
    crops_of: Callable[[str], Crops | None] | None = None,
) -> dict[str, Any]:
    """Evaluate and print; see the module.

    Args:
        config: what to do.
        enhancer: used instead of the one that `config` names.
        crops_of: path of a video -> mouth crops; `crop_mouths` by default.

    Returns:
        `rows`, `failed` (metric values that could not be computed), `systems` and `gains`
        ({system: {metric: {value, low, high, count, clusters}}}), `worse` and `folder`.
    """
    configs.needs(config, "scenes", "out")
    unknown = sorted(set(config.videos) - set(VIDEOS))
    if unknown:
        raise UsageError(f"videos {', '.join(unknown)}: choose of {', '.join(VIDEOS)}")
    names = table.choose(config.metrics)
    found = scenes.read(config.scenes)
    chosen = found[: config.limit] if config.limit else found
    if config.enhanced is None:
        enhancer = enhancer or _load_enhancer(config)
    with Run.open(config.out, config, resume=config.resume) as run:
        crops = lru_cache(maxsize=64)(crops_of or _crops_of)
        state = _State(config, run, found, enhancer, crops)
        done = {row["scene"] for row in run.history()}
        todo = [(i, s) for i, s in enumerate(chosen) if _key(state, s) not in done]
        for start in range(0, len(todo), _CHUNK):
            if run.stopping:
                break
            _evaluate(state, todo[start : start + _CHUNK], names)
        rows = run.history()
    columns = [c for n in names for c in table.METRICS[n].columns]
    compared = Comparison(rows, columns, config.resamples, config.seed)
    tables = _tables(compared)
    tabulate.write(config.out, tables, rows)
    tabulate.show(tables)
    return _summary(compared, config)


def oracle_ratio_mask(mix: Audio, reference: Audio) -> Audio:
    """The mix [T] through |S| / (|S| + |N|), S the reference, N the rest (STFT 512, hop 128)."""
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    stft = ShortTimeFFT(hann(512, sym=False), hop=128, fs=SAMPLE_RATE)
    target, rest = np.abs(stft.stft(reference)), np.abs(stft.stft(mix - reference))
    mask = target / np.maximum(target + rest, 1e-9)
    return np.asarray(stft.istft(stft.stft(mix) * mask, k1=len(mix)), np.float32)


def _load_enhancer(config: Config) -> Enhances:
    from hearken.enhancer.model import Enhancer

    enhancer: Enhances = Enhancer.from_pretrained(config.enhancer or None, device=config.device)
    return enhancer


def _crops_of(path: str) -> Crops | None:
    from hearken.enhancer.lips import crop_mouths

    lips = crop_mouths(Path(path))
    return lips.crops if lips.found.any() else None


@dataclass(frozen=True, eq=False)
class _Made:
    """What one system made of one scene, ready to be measured."""

    index: int
    scene: Scene
    system: str
    item: table.Item
    remark: str = ""


def _key(state: _State, scene: Scene) -> str:
    """As "scenes/S00001": a name that is one of its kind under the root."""
    folder = os.path.relpath(Path(scene.mix).parent, state.config.scenes)
    return Path(folder, scene.scene).as_posix()


def _evaluate(state: _State, chunk: Sequence[tuple[int, Scene]], names: Sequence[str]) -> None:
    """Make, measure and log all systems of some scenes; a scene is logged whole."""
    made: list[_Made] = []
    for i, scene in track(chunk, total=len(chunk), label="scenes"):
        made += _systems(state, i, scene)
    measured = table.measure_all([m.item for m in made], names, state.config.workers)
    for one, row in zip(made, measured, strict=True):
        about = state.note(one.scene)
        state.run.log(
            one.index,
            {
                "scene": row.key,
                "system": one.system,
                "kind": about.kind,
                "face": about.face,
                "talker": about.talker,
                "target": one.scene.target or one.scene.scene,
                "snr_db": one.scene.snr_db,
                "same_voice": about.same_voice,
                **row.values,
                "remark": one.remark,
                "errors": "; ".join(f"{k}: {v}" for k, v in row.errors.items()),
            },
        )


def _systems(state: _State, index: int, scene: Scene) -> Iterator[_Made]:
    """Every system's result on one scene; a failure is a result too."""
    key = _key(state, scene)
    try:
        sound = scenes.load_scene(scene)
    except (HearkenError, OSError) as error:
        for system in _names(state.config):
            yield _Made(index, scene, system, table.Item(key, None, None, f"scene: {error}"))
        return
    for system in _names(state.config):
        problem, remark = "", ""
        made: Audio | None = None
        try:
            made, remark = _make(state, scene, sound, system)
        # The per-row wall: one scene on which an enhancer breaks must not end the table.
        except Exception as error:
            problem = f"{system}: {error or type(error).__name__}"
        if made is None and not problem:
            continue  # does not apply: no rival's picture, no reference for an oracle
        if made is not None and state.config.keep_audio and system != "unprocessed":
            folder = state.config.out / "audio" / system.replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            media.write_audio(folder / f"{scene.scene}.wav", made)
        item = table.Item(key, made, sound.reference, problem)
        yield _Made(index, scene, system, item, remark)


def _names(config: Config) -> list[str]:
    names = ["unprocessed"]
    if config.enhanced is not None:
        names.append("enhanced")
    else:
        names += [f"video {v}" for v in config.videos]
    return [*names, "oracle mask"] if config.oracle else names


def _make(
    state: _State, scene: Scene, sound: scenes.SceneAudio, system: str
) -> tuple[Audio | None, str]:
    """What one system makes of a scene, and a remark; None where it does not apply."""
    if system == "unprocessed":
        return sound.mix, ""
    if system == "oracle mask":
        if sound.reference is None:
            return None, ""
        return oracle_ratio_mask(sound.mix, sound.reference), ""
    if system == "enhanced":
        return _finished(state.config.enhanced or Path(), scene, len(sound.mix)), ""
    if state.enhancer is None:
        raise UsageError("no enhancer was loaded")
    if system == "video none":
        return state.enhancer.enhance(sound.mix, None), ""
    path = _video(state, scene, system)
    if path is None:
        if system == "video rival":
            return None, ""
        raise InputError("the folder has no such video")
    crops = state.crops_of(path)
    if crops is None:  # as the product does: by sound alone, and told
        return state.enhancer.enhance(sound.mix, None), _NO_FACE
    return state.enhancer.enhance(sound.mix, _fit(crops, len(sound.mix))), ""


def _finished(folder: Path, scene: Scene, n: int) -> Audio:
    path = next(
        (p for end in (".wav", ".flac") if (p := folder / f"{scene.scene}{end}").is_file()), None
    )
    if path is None:
        raise InputError(f"{folder} has no {scene.scene}.wav")
    x = media.load_audio(path)
    if abs(len(x) - n) > SAMPLES_PER_FRAME:
        raise MetricError(f"{path}: {len(x)} samples, but the mix has {n}")
    return np.pad(x[:n], (0, max(0, n - len(x))))


def _video(state: _State, scene: Scene, system: str) -> str | None:
    if system == "video right":
        return scene.video
    if system == "video rival":
        return scenes.rival_video(scene)
    return _someone_else(state, scene)


def _someone_else(state: _State, scene: Scene) -> str | None:
    """The video of the next scene of another talker; failing that, of another clip."""
    at = state.all.index(scene)
    later = [s for s in state.all[at + 1 :] + state.all[:at] if s.video is not None]
    talker = state.note(scene).talker
    stranger = next((s for s in later if state.note(s).talker != talker), None)
    other = stranger or next((s for s in later if s.target != scene.target), None)
    return other.video if other else None


def _fit(crops: Crops, samples: int) -> Crops:
    """Crops cut, or repeated from their start, to cover [samples]."""
    frames = -(-samples // SAMPLES_PER_FRAME)
    index = np.arange(frames) % len(crops)
    # The own video may end a frame early: hold its last frame rather than jump to the first.
    return crops[
        np.minimum(index if frames > len(crops) + 2 else np.arange(frames), len(crops) - 1)
    ]


def _tables(compared: Comparison) -> list[tabulate.Table]:
    """All scenes; then each group of interferer kind and face; then paired gains."""
    result = [_table("All scenes", compared, tuple(_notes(compared)))]
    groups = sorted({(r["kind"], r["face"]) for r in compared.rows})
    if len(groups) > 1:
        for kind, face in groups:
            part = compared.where(kind=kind, face=face)
            result.append(_table(f"Interferer {kind}, face {face}", part))
    for base in ("unprocessed", "video other"):
        gains = {
            s: g
            for s, g in compared.gains(base).items()
            if base == "unprocessed" or s.startswith("video")
        }
        if gains:
            body = tuple((s, *[g.get(c) for c in compared.columns]) for s, g in gains.items())
            title = f"Gain over {base}, scene by scene"
            result.append(tabulate.Table(title, ("system", *compared.columns), body))
    return result


def _table(title: str, compared: Comparison, notes: tuple[str, ...] = ()) -> tabulate.Table:
    judge = _judge(compared.columns)
    body = []
    for system, values in compared.means().items():
        worse = compared.worse(judge, system) if system != "unprocessed" else None
        cells = [values.get(c) for c in compared.columns]
        body.append((system, compared.count(system), *cells, worse))
    header = ("system", "scenes", *compared.columns, f"share worse ({judge})")
    return tabulate.Table(title, header, tuple(body), notes)


def _judge(columns: Sequence[str]) -> str:
    return "si_sdr_db" if "si_sdr_db" in columns else columns[0]


def _notes(compared: Comparison) -> Iterator[str]:
    yield (
        "95 % intervals: percentile bootstrap over talkers, over target clips where there are "
        f"fewer than {FEW_TALKERS} talkers."
    )
    blind = sum(r["remark"] == _NO_FACE for r in compared.rows)
    if blind:
        yield f"No face was found for {blind} rows: those were enhanced by sound alone."
    for column in compared.columns:
        failed = [r for r in compared.rows if r[column] is None]
        if failed:
            first = failed[0]["errors"]
            yield f"{column} failed on {len(failed)} of {len(compared.rows)} rows: {first}"


def _summary(compared: Comparison, config: Config) -> dict[str, Any]:
    judge = _judge(compared.columns)
    return {
        "rows": len(compared.rows),
        "failed": sum(r[c] is None for r in compared.rows for c in compared.columns),
        "systems": _plain(compared.means()),
        "gains": _plain(compared.gains("unprocessed")),
        "gains_over_other": _plain(compared.gains("video other")),
        "worse": {s: compared.worse(judge, s) for s in compared.systems},
        "folder": str(config.out),
    }


def _plain(values: Mapping[str, Mapping[str, Interval]]) -> dict[str, Any]:
    return {s: {c: tabulate.plain(i) for c, i in v.items()} for s, v in values.items()}
