"""What an enhancer does to scenes: one table, with doing nothing and the deaf-to-lips controls.

    hearken eval enhancer --scenes DIR --out DIR [--twin FOLDER] [--enhanced FOLDER] [--metrics all]

Every scene is heard as it is, through other people's audio-only enhancers, through an audio-only
twin, through the enhancer with the right video, with someone else's, with the rival talker's
(where the folder has it), with none and with the right one out of time, and through two oracle
masks. If the videos agree, the enhancer is deaf to lips. With `enhanced`, a folder of finished
files (OUT/S00001.wav) takes the place of the enhancer. docs/metrics.md explains every row.

Left out of the textbook: listening tests; loudness alignment before blind metrics.
Writes metrics.jsonl (a line per scene and system), rows.csv, table.json and table.md.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearken import media
from hearken.data import scenes
from hearken.errors import HearkenError, UsageError
from hearken.loops.enhancer_baselines import BASELINES, missing
from hearken.loops.enhancer_systems import (
    NO_FACE,
    TWIN,
    VIDEOS,
    Enhances,
    Made,
    Pictures,
    System,
    systems,
)
from hearken.metrics import systems_tables, table, tabulate
from hearken.metrics.agreement import Interval
from hearken.metrics.systems import Comparison
from hearken.nouns import Audio, Crops, Scene
from hearken.run import config as configs
from hearken.run.track import Run, track

__all__ = ["Config", "main"]

_BASES = (systems_tables.UNPROCESSED, "video other", TWIN)
_CHUNK = 8  # scenes held in memory at a time


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
    shifts_s: tuple[float, ...] = (0.1, 0.2, 0.5)
    """Seconds by which the right picture comes late, as it does from cameras; negative: early."""
    twin: str = ""
    """Folder of weights of an audio-only enhancer of the same size; it is shown no picture."""
    baselines: tuple[str, ...] = tuple(BASELINES)
    """Other people's enhancers, where installed (extra `baselines`): spectral-gate, adaptive-gate,
    spectral-subtraction, speex, webrtc, rnnoise; nothing after the flag for none."""
    oracle: bool = True
    """Add the oracle ratio mask and the oracle phase-sensitive mask, ceilings of masking."""
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


@dataclass(frozen=True)
class _Evaluation:
    """What is open during an evaluation."""

    config: Config
    run: Run
    pictures: Pictures
    systems: Mapping[str, System]


def main(
    config: Config,
    *,
    enhancer: Enhances | None = None,
    twin: Enhances | None = None,
    crops_of: Callable[[str], Crops | None] | None = None,
) -> dict[str, Any]:
    """Evaluate and print; see the module.

    Args:
        config: what to do.
        enhancer: used instead of the one that `config` names.
        twin: used instead of the one that `config` names.
        crops_of: path of a video -> mouth crops; `crop_mouths` by default.

    Returns:
        `rows`, `failed` (metric values that could not be computed), `systems` and `gains`
        ({system: {metric: {value, low, high, count, clusters}}}), `gains_over_other`,
        `gains_over_twin`, `worse`, `absent` (baselines, with what would bring them) and `folder`.
    """
    configs.needs(config, "scenes", "out")
    unknown = sorted(set(config.videos) - set(VIDEOS))
    if unknown:
        raise UsageError(f"videos {', '.join(unknown)}: choose of {', '.join(VIDEOS)}")
    names = table.choose(config.metrics)
    absent = missing(config.baselines)
    found = scenes.read(config.scenes)
    chosen = found[: config.limit] if config.limit else found
    if config.enhanced is None:
        enhancer = enhancer or _load(config.enhancer or None, config.device)
    if config.twin:
        twin = twin or _load(config.twin, config.device)
    pictures = Pictures(found, crops_of or _crops_of)
    rows_of = systems(
        None if config.enhanced else enhancer,
        pictures,
        videos=config.videos,
        shifts_s=config.shifts_s,
        twin=twin,
        baselines=[b for b in config.baselines if b not in absent],
        finished_in=config.enhanced,
        oracle=config.oracle,
    )
    with Run.open(config.out, config, resume=config.resume) as run:
        done = {row["scene"] for row in run.history()}
        todo = [(i, s) for i, s in enumerate(chosen) if _key(config, s) not in done]
        _evaluate(_Evaluation(config, run, pictures, rows_of), todo, names)
        rows = run.history()
    columns = [c for n in names for c in table.METRICS[n].columns]
    place = {system: i for i, system in enumerate(rows_of)}
    in_order = sorted(rows, key=lambda row: place.get(row["system"], len(place)))
    compared = Comparison(in_order, columns, config.resamples, config.seed)
    notes = list(_notes(compared, absent, pictures))
    tables = systems_tables.tables(compared, _BASES, notes)
    tabulate.write(config.out, tables, rows, systems_tables.BLIND_WARNING)
    tabulate.show(tables, systems_tables.BLIND_WARNING)
    return _summary(compared, config, absent)


def _load(folder: str | None, device: str) -> Enhances:
    from hearken.enhancer.model import Enhancer

    enhancer: Enhances = Enhancer.from_pretrained(folder, device=device)
    return enhancer


def _crops_of(path: str) -> Crops | None:
    from hearken.enhancer.lips import crop_mouths

    lips = crop_mouths(Path(path))
    return lips.crops if lips.found.any() else None


@dataclass(frozen=True, eq=False)
class _Result:
    """What one system made of one scene, ready to be measured."""

    index: int
    scene: Scene
    system: str
    item: table.Item
    remark: str = ""
    seconds: float | None = None


def _key(config: Config, scene: Scene) -> str:
    """As "scenes/S00001": a name that is one of its kind under the root."""
    folder = os.path.relpath(Path(scene.mix).parent, config.scenes)
    return Path(folder, scene.scene).as_posix()


def _evaluate(open_: _Evaluation, todo: Sequence[tuple[int, Scene]], names: Sequence[str]) -> None:
    """Make, measure and log; with workers, some scenes are measured while the next are made."""
    waiting: tuple[list[_Result], Iterator[table.Row]] | None = None
    with table.measuring(names, open_.config.workers) as rows_of:
        made: list[_Result] = []
        for at, (i, scene) in enumerate(track(todo, total=len(todo), label="scenes"), 1):
            if open_.run.stopping:
                break
            made += _results(open_, i, scene)
            if at % _CHUNK == 0 or at == len(todo):
                started = (made, rows_of([m.item for m in made]))
                if waiting is not None:
                    _log(open_, *waiting)
                waiting, made = started, []
        if waiting is not None:
            _log(open_, *waiting)


def _log(open_: _Evaluation, made: Sequence[_Result], measured: Iterator[table.Row]) -> None:
    """Write the rows of some scenes, each scene whole."""
    for one, row in zip(made, list(measured), strict=True):
        about = open_.pictures.note(one.scene)
        open_.run.log(
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
                "seconds": one.seconds,
                "metrics_s": row.seconds,
            },
        )


def _results(open_: _Evaluation, index: int, scene: Scene) -> Iterator[_Result]:
    """Every system's result on one scene; a failure is a result too."""
    key = _key(open_.config, scene)
    try:
        sound = scenes.load_scene(scene)
    except (HearkenError, OSError) as error:
        for system in open_.systems:
            yield _Result(index, scene, system, table.Item(key, None, None, f"scene: {error}"))
        return
    for system, make in open_.systems.items():
        problem, made = "", Made(None)
        start, before = time.perf_counter(), open_.pictures.seconds
        try:
            made = make(scene, sound)
        # The per-row wall: one scene on which an enhancer breaks must not end the table.
        except Exception as error:
            problem = f"{system}: {error or type(error).__name__}"
        # Mouths are cropped for whichever system comes first: that is not its time.
        taken = time.perf_counter() - start - (open_.pictures.seconds - before)
        if made.samples is None and not problem:
            continue  # does not apply: no rival's picture, no reference for an oracle
        if made.samples is not None:
            _keep(open_.config, scene, system, made.samples)
        item = table.Item(key, made.samples, sound.reference, problem)
        yield _Result(index, scene, system, item, made.remark, None if problem else taken)


def _keep(config: Config, scene: Scene, system: str, made: Audio) -> None:
    if config.keep_audio and system != systems_tables.UNPROCESSED:
        folder = config.out / "audio" / system.replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        media.write_audio(folder / f"{scene.scene}.wav", made)


def _notes(compared: Comparison, absent: Mapping[str, str], pictures: Pictures) -> Iterator[str]:
    for name, reason in absent.items():
        yield f"No row {name}: {reason}"
    for name, baseline in BASELINES.items():
        if baseline.caution and name in compared.systems:
            yield f"{name}: {baseline.caution}"
    blind = sum(r["remark"] == NO_FACE for r in compared.rows)
    if blind:
        yield f"No face was found for {blind} rows: those were enhanced by sound alone."
    measured = [r["metrics_s"] for r in compared.rows if r.get("metrics_s")]
    if measured:
        yield f"Measuring took {statistics.median(measured):.2f} s a scene and system (median)."
    if pictures.made:
        yield f"Mouths were cropped in {pictures.seconds / pictures.made:.2f} s a video."
    for column in compared.columns:
        failed = [r for r in compared.rows if r[column] is None]
        if failed:
            first = failed[0]["errors"]
            yield f"{column} failed on {len(failed)} of {len(compared.rows)} rows: {first}"


def _summary(compared: Comparison, config: Config, absent: Mapping[str, str]) -> dict[str, Any]:
    judge = systems_tables.judge(compared.columns)
    return {
        "rows": len(compared.rows),
        "failed": sum(r[c] is None for r in compared.rows for c in compared.columns),
        "systems": _plain(compared.means()),
        "gains": _plain(compared.gains(systems_tables.UNPROCESSED)),
        "gains_over_other": _plain(compared.gains("video other")),
        "gains_over_twin": _plain(compared.gains(TWIN)),
        "worse": {s: compared.worse(judge, s) for s in compared.systems},
        "absent": dict(absent),
        "folder": str(config.out),
    }


def _plain(values: Mapping[str, Mapping[str, Interval]]) -> dict[str, Any]:
    return {s: {c: tabulate.plain(i) for c, i in v.items()} for s, v in values.items()}
