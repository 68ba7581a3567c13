"""The table of rewards: enhancers fine-tuned by each reward and seed, on the same held-out scenes.

    RUNS/<row>/<seed>/enhancer    weights, as enhancer-finetune --out RUNS/<row>/<seed> writes them
    OUT/rows/<row>/<seed>.jsonl   what each made of each scene, measured; kept for the next call

Beside the rows: doing nothing, and the pretrained enhancer that all of them started from. Each
sound is enhanced with its right video, measured, and heard by the critic. A line of the cache holds
the hash of the scene, of the weights and of the critic: it is used while they are the same, so a
new row, seed or scene costs its own time only. What could not be made is tried again.

Writes rows.csv, table.json, table.md; the statistics are those of `hearken.metrics.paired`.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hearken.data import scenes
from hearken.errors import HearkenError, MetricError
from hearken.feedback.guard import Listen, fingerprint, usable
from hearken.feedback.reward import Rate, rate_scores, rate_words
from hearken.loops.enhancer_systems import NO_FACE, Made, Pictures
from hearken.loops.rewards_compare_entries import PRETRAINED, ROWS, Entry, entries_of
from hearken.metrics import paired_tables, systems_tables, table, tabulate
from hearken.nouns import Crops, Description, Scene
from hearken.run import config as configs
from hearken.run.track import Run, track

__all__ = ["PAIRS", "Config", "Ears", "main"]

PAIRS = (
    ("words", "none"),
    ("words", "dnsmos"),
    ("words", "shuffled"),
    ("words", "scores"),
    ("faults", "words"),
    ("words_faults", "words"),
    ("gradient", "none"),
    ("gradient", "dnsmos"),
    ("gradient", "shuffled"),
    ("gradient", "words"),
)
"""Paired differences, beside each row less the pretrained enhancer."""

_JUDGED = ("words_rating", "critic_overall")
_BATCH = 16  # sounds that are measured, and heard, together


@dataclass(frozen=True)
class Config:
    """How to compare rewards."""

    scenes: Path = Path("")
    """Held-out scenes in AVSEC layout, with references."""
    runs: Path = Path("")
    """Folder of runs, RUNS/<row>/<seed>/enhancer."""
    out: Path = Path("")
    """Folder for the tables and the cache; used again where it is there."""
    pretrained: str = ""
    """Folder of the weights that the runs started from; empty for the shipped ones."""
    critic: str = ""
    """Folder or hub name of the critic that hears the results; empty for the shipped one."""
    rater: str = ""
    """Folder or hub name of the rater of its words; empty for the shipped one."""
    metrics: str = "all"
    """Comma list of pesq_wb, stoi, estoi, si_sdr_db, dnsmos, distillmos; or intrusive; or all."""
    limit: int = 0
    """Only the first so many scenes; 0 for all."""
    workers: int = 2
    """Processes that compute metrics."""
    resamples: int = 1000
    """Bootstrap draws for each 95 % interval."""
    permutations: int = 9999
    """Sign flips for each p-value."""
    device: str = "cpu"
    """Where enhancers and critic run: cpu, cuda, auto."""
    seed: int = 0
    """Of the draws."""


@dataclass(frozen=True)
class Ears:
    """Who hears the results: the critic, the rater of its words, and a name for both."""

    listen: Listen
    rate: Rate
    id: str

    @classmethod
    def load(cls, critic: str, rater: str, device: str) -> Ears:
        """By folder or hub name; "" for those that are shipped."""
        from hearken.critic.model import Critic
        from hearken.feedback.rating import Rater

        hears = Critic.from_pretrained(critic or None, device=device)
        rates = Rater.from_pretrained(rater or None)
        return cls(hears.listen, rates, f"{hears.revision} {rates.name}")


@dataclass(frozen=True, eq=False)
class _Result:
    """What one system made of one scene, ready to be measured and heard."""

    entry: Entry
    about: Mapping[str, Any]
    item: table.Item
    remark: str
    seconds: float | None


@dataclass(frozen=True)
class _Comparing:
    """What is open during a comparison."""

    config: Config
    run: Run
    pictures: Pictures
    ears: Ears
    entries: Sequence[Entry]
    columns: Sequence[str]


def main(
    config: Config,
    *,
    ears: Ears | None = None,
    crops_of: Callable[[str], Crops | None] | None = None,
) -> dict[str, Any]:
    """Compare and print; see the module.

    Args:
        config: what to do.
        ears: used instead of those that `config` names.
        crops_of: path of a video -> mouth crops; `crop_mouths` by default.

    Returns:
        `rows` and `made` (all, and those of this call), `failed` (numbers that could not be
        computed), `means` ({system: {column: interval}}), `differences` ({column: {"words - none":
        {..., p, p_holm, seed_std, seeds}}}).

    Raises:
        UsageError: no weights under `runs`.
    """
    configs.needs(config, "scenes", "runs", "out")
    names = table.choose(config.metrics)
    found = scenes.read(config.scenes)
    chosen = found[: config.limit or None]
    columns = [c for n in names for c in table.METRICS[n].columns]
    pictures = Pictures(found, crops_of or _crops_of)
    entries = entries_of(
        config.runs, config.out / "rows", pictures, config.pretrained or None, config.device
    )
    ears = ears or Ears.load(config.critic, config.rater, config.device)
    with Run.open(config.out, config, resume=True) as run:
        open_ = _Comparing(config, run, pictures, ears, entries, [*columns, *_JUDGED])
        rows, made = _compare(open_, chosen, names)
    rows = paired_tables.with_worse(rows, columns)
    seeded = paired_tables.Seeded(
        rows,
        [*open_.columns, paired_tables.WORSE],
        config.resamples,
        config.permutations,
        config.seed,
    )
    there = list(dict.fromkeys(e.system for e in entries))
    trained = [s for s in there if s not in (systems_tables.UNPROCESSED, PRETRAINED)]
    pairs = [*PAIRS, *((s, PRETRAINED) for s in trained)]
    tables = paired_tables.tables(seeded, pairs, PRETRAINED, list(_notes(open_, rows)))
    tabulate.write(config.out, tables, rows, systems_tables.BLIND_WARNING)
    tabulate.show([t for t in tables if t.title.startswith("Paired")])
    print(f"All tables: {config.out / 'table.md'}")
    return {
        "rows": len(rows),
        "made": made,
        "failed": sum(r[c] is None for r in rows for c in open_.columns),
        "means": {
            s: {c: tabulate.plain(i) for c, i in v.items()}
            for s, v in seeded.averaged().means().items()
        },
        "differences": {c: _plain(seeded.family(c, pairs)) for c in seeded.columns},
    }


def _crops_of(path: str) -> Crops | None:
    from hearken.enhancer.lips import crop_mouths

    lips = crop_mouths(Path(path))
    return lips.crops if lips.found.any() else None


# --- making, measuring, hearing ------------------------------------------------------------


def _compare(
    open_: _Comparing, chosen: Sequence[Scene], names: Sequence[str]
) -> tuple[list[dict[str, Any]], int]:
    """All rows in the order of systems and scenes, and how many of them are new."""
    rows: dict[Entry, list[dict[str, Any]]] = {e: [] for e in open_.entries}
    made = 0
    waiting: tuple[list[_Result], Iterator[table.Row]] | None = None

    def finish() -> None:
        for one, row in _judged(open_, *waiting) if waiting else ():
            one.entry.keep(row)
            rows[one.entry].append(row)

    with table.measuring(names, open_.config.workers) as rows_of:
        for batch in _batches(open_, chosen, rows):
            started = (batch, rows_of([r.item for r in batch]))
            finish()  # hear those before, while these are measured
            waiting, made = started, made + len(batch)
        finish()
    ordered = [sorted(rows[e], key=lambda row: str(row["scene"])) for e in open_.entries]
    return [row for some in ordered for row in some], made


def _batches(
    open_: _Comparing, chosen: Sequence[Scene], rows: Mapping[Entry, list[dict[str, Any]]]
) -> Iterator[list[_Result]]:
    """Results that are to be measured; rows that are kept from before go into `rows`."""
    kept = {e: e.kept() for e in open_.entries}
    batch: list[_Result] = []
    for scene in track(chosen, label="scenes"):
        if open_.run.stopping:
            break
        key, sound, problem = _loaded(open_.config, scene)
        for entry in open_.entries:
            about = _about(open_, entry, scene, key, sound)
            row = kept[entry].get(key)
            if row is not None and _is_current(row, about, open_.columns):
                rows[entry].append(row)
                continue
            batch.append(_made(open_, entry, scene, sound, about, problem))
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _loaded(config: Config, scene: Scene) -> tuple[str, scenes.SceneAudio | None, str]:
    """The scene's name under the root, its sound, and what is wrong with it."""
    folder = os.path.relpath(Path(scene.mix).parent, config.scenes)
    key = Path(folder, scene.scene).as_posix()
    try:
        return key, scenes.load_scene(scene), ""
    except (HearkenError, OSError) as error:
        return key, None, f"scene: {error}"


def _about(
    open_: _Comparing, entry: Entry, scene: Scene, key: str, sound: scenes.SceneAudio | None
) -> dict[str, Any]:
    """What is known of a row before anything is made: its groups, and what it depends on."""
    note = open_.pictures.note(scene)
    heard = [] if sound is None else [x for x in (sound.mix, sound.reference) if x is not None]
    return {
        "system": entry.system,
        "seed": entry.seed,
        "scene": key,
        "kind": note.kind,
        "face": note.face,
        "talker": note.talker,
        "target": scene.target or scene.scene,
        "snr_db": scene.snr_db if np.isfinite(scene.snr_db) else None,
        "same_voice": note.same_voice,
        "sound": fingerprint(np.concatenate(heard))[:12] if heard else "",
        "weights": entry.revision,
        "ears": open_.ears.id,
    }


def _is_current(row: Mapping[str, Any], about: Mapping[str, Any], columns: Sequence[str]) -> bool:
    """A kept row of these very sounds, weights and critic, with all that is asked for."""
    return bool(
        row.get("made")
        and all(row.get(k) == v for k, v in about.items())
        and all(c in row for c in columns)
    )


def _made(
    open_: _Comparing,
    entry: Entry,
    scene: Scene,
    sound: scenes.SceneAudio | None,
    about: Mapping[str, Any],
    problem: str,
) -> _Result:
    """One system's result on one scene; a failure is a result too."""
    key = f"{about['scene']} {entry.system} {entry.seed}"
    if sound is None:
        return _Result(entry, about, table.Item(key, None, None, problem), "", None)
    start, before = time.perf_counter(), open_.pictures.seconds
    made = Made(None)
    try:
        made = entry.make(scene, sound)
        if made.samples is None or not np.isfinite(made.samples).all():
            raise MetricError("the sound is not finite")
    # The per-row wall: one scene on which an enhancer breaks must not end the table.
    except Exception as error:
        problem = f"{entry.system}: {error or type(error).__name__}"
    # Mouths are cropped for whichever system comes first: that is not its time.
    taken = time.perf_counter() - start - (open_.pictures.seconds - before)
    item = table.Item(key, None if problem else made.samples, sound.reference, problem)
    return _Result(entry, about, item, made.remark, None if problem else taken)


def _judged(
    open_: _Comparing, made: Sequence[_Result], measured: Iterator[table.Row]
) -> Iterator[tuple[_Result, dict[str, Any]]]:
    """The rows of some results: heard together here while the workers measure."""
    start = time.perf_counter()
    sounds = [r.item.estimate for r in made if isinstance(r.item.estimate, np.ndarray)]
    answers = iter(open_.ears.listen(sounds) if sounds else [])
    heard_s = (time.perf_counter() - start) / max(1, len(sounds))
    for one, row in zip(made, list(measured), strict=True):
        there = one.item.estimate is not None
        said = next(answers) if there else None
        description, why = _usable(said)
        errors = {**row.errors, **({"critic": why} if there and why else {})}
        judged = {
            "words_rating": rate_words([description], open_.ears.rate)[0],
            "critic_overall": rate_scores([description])[0],
        }
        yield (
            one,
            {
                **one.about,
                **{k: tabulate.plain(v) for k, v in row.values.items()},
                **{k: tabulate.plain(float(v)) for k, v in judged.items()},
                "words": "" if description is None else description.words,
                "remark": one.remark,
                "errors": "; ".join(f"{k}: {v}" for k, v in errors.items()),
                "made": there,
                "seconds": one.seconds,
                "metrics_s": row.seconds,
                "heard_s": heard_s if there else None,
            },
        )


def _usable(said: Description | HearkenError | None) -> tuple[Description | None, str]:
    """An answer that can be rated, or why there is none."""
    if said is None or isinstance(said, HearkenError):
        return None, str(said or "")
    why = usable(said)
    return (None, why) if why else (said, "")


# --- what is said --------------------------------------------------------------------------


def _notes(open_: _Comparing, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    absent = [row for row in ROWS if row not in {e.system for e in open_.entries}]
    if absent:
        yield f"No weights yet for {', '.join(absent)}."
    blind = sum(r["remark"] == NO_FACE for r in rows)
    if blind:
        yield f"No face was found for {blind} rows: those were enhanced by sound alone."
    for name, what in (
        ("seconds", "Enhancing"),
        ("metrics_s", "Measuring"),
        ("heard_s", "Hearing"),
    ):
        taken = [r[name] for r in rows if r[name] and r["system"] != systems_tables.UNPROCESSED]
        if taken:
            yield f"{what} took {statistics.median(taken):.2f} s a scene and system (median)."
    failures: dict[str, list[str]] = {}
    for column in open_.columns:
        failed = [r for r in rows if r[column] is None]
        if failed:
            first = f"{failed[0]['system']}, {failed[0]['scene']}: {failed[0]['errors']}"
            failures.setdefault(f"{len(failed)} of {len(rows)} rows; {first}", []).append(column)
    for what, columns in failures.items():
        yield f"{', '.join(columns)} failed on {what}"


def _plain(family: Sequence[paired_tables.Compared]) -> dict[str, Any]:
    return {
        f"{one.ours} - {one.base}": {
            **tabulate.plain(one.difference.mean),
            "p": one.difference.p,
            "p_holm": one.p_holm,
            "seed_std": tabulate.plain(one.difference.seed_std),
            "seeds": one.difference.seeds,
        }
        for one in family
    }
