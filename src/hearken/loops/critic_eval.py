"""How well the critic hears: its scores, faults, times and words against the truth.

    hearken eval critic --faults DIR | --qualispeech DIR | --rated FILE.csv  --out DIR

Truth is a folder of planted faults, QualiSpeech's ratings, or any csv with `path` and `score`
(the overall rating; columns named after other dimensions are read too, `speaker` is what
intervals draw, and within `group`, or `sentence`, clips are also ranked on their own).
What can be measured depends on it: scores and their intervals always; fault types, times,
confidence and words on planted faults; words also on QualiSpeech. An answer that does not follow
the grammar is a row with its error: it counts as nothing said in fault recall, is left out of
correlations, and lowers `share parsed`, which stands beside every number.

Controls: the same answers shuffled over the clips, and answers to silence of the same length;
a critic that listens loses its correlation in both. `--against dnsmos,distillmos` puts today's
tools beside its overall score. Writes metrics.jsonl (a line per clip), rows.csv, table.json,
table.md, plots/*.svg and report.html, which holds them all and asks the network for nothing.
Left out of the textbook: an LLM as judge of the words.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hearken import media
from hearken.critic.grade import grade
from hearken.critic.interval import interval
from hearken.data import corpus, qualispeech
from hearken.errors import GrammarError, HearkenError, ManifestError, UsageError
from hearken.metrics import heard, heard_page, spans, table, tabulate
from hearken.metrics.heard_faults import faults_text
from hearken.metrics.heard_tables import tables
from hearken.metrics.text import rouge_l
from hearken.metrics.tools import PREFIX
from hearken.nouns import DIMENSIONS, FAULT_TYPES, SAMPLE_RATE, Audio, Description, Fault
from hearken.run import config as configs
from hearken.run.track import Run, track

__all__ = ["Config", "Listens", "Trial", "main"]

_CHUNK = 64  # clips held in memory at a time


@dataclass(frozen=True)
class Config:
    """How to evaluate a critic. Name one of `faults`, `qualispeech`, `rated`."""

    faults: Path | None = None
    """Folder of planted faults, as `hearken data faults` makes."""
    qualispeech: Path | None = None
    """QualiSpeech csv, or the folder with test.csv (else val.csv, train.csv)."""
    rated: Path | None = None
    """A csv with the columns path and score; also speaker, and group or sentence."""
    audio_root: Path | None = None
    """Where the clips of a csv lie; the csv's own folder by default."""
    out: Path = Path("")
    """Folder for the tables; a new one, or an interrupted one with --resume."""
    critic: str = ""
    """Folder or hub name of a critic; empty for the shipped one."""
    revision: str | None = None
    """Revision of a critic from a hub."""
    against: str = ""
    """Comma list of tools without a reference, to stand beside the critic: dnsmos, distillmos."""
    limit: int = 0
    """Only the first so many clips; 0 for all."""
    batch_size: int = 16
    """Windows that the critic hears at once."""
    controls: bool = True
    """Also shuffle the answers, and let the critic hear silence."""
    silent_clips: int = 64
    """How many clips the silence control takes."""
    resamples: int = 1000
    """Bootstrap draws for each 95 % interval."""
    resume: bool = False
    """Keep the clips that an interrupted evaluation finished."""
    device: str = "cpu"
    """Where the critic runs: cpu, cuda, auto."""
    seed: int = 0
    """Of the bootstrap and the shuffle."""

    @classmethod
    def smoke(cls, **changes: object) -> Config:
        """A few clips: seconds."""
        return configs.smoke_of(cls, {"limit": 8, "silent_clips": 4, "resamples": 100}, changes)


class Listens(Protocol):
    """What is evaluated: `hearken.critic.Critic`, or anything with its one method."""

    def listen(
        self, clips: Sequence[Audio], *, batch_size: int = 16
    ) -> Sequence[Description | GrammarError]:
        """Clips [T] at 16 kHz to what is said of each."""
        ...


@dataclass(frozen=True)
class Trial:
    """One clip and what is known of it.

    Attributes:
        key: names its row.
        path: of the audio.
        scores: true values on 1-5 by dimension; only those that are known.
        speaker: the cluster of confidence intervals; the clip itself where unknown.
        group: clips to be ranked among themselves; "" for none.
        words: true words, None where unknown.
        truth: the whole true description, where faults are known.
    """

    key: str
    path: Path
    scores: Mapping[str, float]
    speaker: str
    group: str = ""
    words: str | None = None
    truth: Description | None = None


def main(config: Config, *, critic: Listens | None = None) -> dict[str, Any]:
    """Evaluate and print; see the module.

    Args:
        config: what to do.
        critic: used instead of the one that `config` names.

    Returns:
        `clips`, `parsed` (share), `pcc`, `srcc` and `coverage` by dimension (value, low, high),
        `mean_pcc`, `types` (recall, precision, f1; macro and micro, and of the commonest type),
        `spans`, `confidence`, `rouge_l`, `words`, `grade`, `intervals` (of the means), `controls`,
        `tools` and `folder`; None where the truth does not hold it.
    """
    configs.needs(config, "out")
    _tools(config)  # what is not installed is said before anything is heard
    trials = _trials(config)
    critic = critic or _load_critic(config)
    with Run.open(config.out, config, resume=config.resume) as run:
        done = {row["clip"] for row in run.history() if row["control"] == ""}
        todo = [(i, t) for i, t in enumerate(trials) if t.key not in done]
        for start in range(0, len(todo), _CHUNK):
            if run.stopping:
                break
            _hear(run, critic, config, todo[start : start + _CHUNK], control="")
        if config.controls and not run.stopping:
            known = {row["clip"] for row in run.history() if row["control"] == "silence"}
            few = [(i, t) for i, t in enumerate(trials[: config.silent_clips])]
            _hear(run, critic, config, [t for t in few if t[1].key not in known], "silence")
        rows = run.history()
    results = heard.results(rows, resamples=config.resamples, seed=config.seed)
    found = tables(results)
    tabulate.write(config.out, found, rows)
    heard_page.write(config.out, results, found, rows)
    tabulate.show(found)
    return {**results.summary(), "folder": str(config.out)}


def _load_critic(config: Config) -> Listens:
    from hearken.critic.model import Critic

    return Critic.from_pretrained(
        config.critic or None, revision=config.revision, device=config.device
    )


def _tools(config: Config) -> tuple[str, ...]:
    """The names in `against`.

    Raises:
        UsageError: one that is unknown, needs a reference, or is not installed.
    """
    names = table.choose(config.against) if config.against else ()
    for name in names:
        if table.METRICS[name].intrusive:
            raise UsageError(f"--against {name}: needs a clean reference; name dnsmos, distillmos")
    return names


def _hear(
    run: Run,
    critic: Listens,
    config: Config,
    chunk: Sequence[tuple[int, Trial]],
    control: str,
) -> None:
    """Let the critic hear some clips and log a row for each, in order."""
    sounds: dict[str, Audio] = {}
    problems: dict[str, str] = {}
    for _, trial in chunk:
        try:
            x = media.load_audio(trial.path)
            sounds[trial.key] = np.zeros_like(x) if control == "silence" else x
        except (HearkenError, OSError) as error:
            problems[trial.key] = str(error)
    keys = list(sounds)
    size = config.batch_size
    said: dict[str, Description | GrammarError] = {}
    batches = range(0, len(keys), size)
    for start in track(batches, total=len(batches), label=control or "listening"):
        part = keys[start : start + size]
        answers = critic.listen([sounds[k] for k in part], batch_size=size)
        said.update(zip(part, answers, strict=True))
    tools = () if control else _tools(config)
    for i, trial in chunk:
        answer, sound = said.get(trial.key), sounds.get(trial.key)
        about = {"clip": trial.key, "control": control, "speaker": trial.speaker}
        about |= {"group": trial.group}
        seconds = None if sound is None else len(sound) / SAMPLE_RATE
        others = _others(trial.key, sound, tools) if tools else {}
        row = _row(trial, answer, problems.get(trial.key, ""))
        run.log(i, {**about, "seconds": seconds, **others, **row})


def _others(key: str, sound: Audio | None, tools: Sequence[str]) -> dict[str, float | str | None]:
    """What other tools give one clip, and why one could not."""
    found = table.measure(table.Item(key, sound), tools)
    named = {PREFIX + t: found.values[table.METRICS[t].columns[0]] for t in tools}
    return {**named, "tool_errors": "; ".join(f"{t}: {e}" for t, e in found.errors.items())}


def _row(
    trial: Trial, said: Description | GrammarError | None, problem: str
) -> dict[str, float | str | bool | int | None]:
    """Everything about one answer that the tables need, as plain values."""
    row: dict[str, float | str | bool | int | None] = {}
    ok = isinstance(said, Description)
    for d in DIMENSIONS:
        row[f"true/{d}"] = trial.scores.get(d)
        score = said.scores[d] if isinstance(said, Description) else None
        row[f"said/{d}"] = score.value if score else None
        row[f"lo/{d}"], row[f"hi/{d}"] = interval(score.probs) if score else (None, None)
    row |= {"heard": not problem, "parsed": ok}
    faults = said.faults if isinstance(said, Description) else ()
    words = said.words if isinstance(said, Description) else ""
    row |= {"said/words": words if ok else None, "true/words": trial.words}
    row |= {"said/types": _types(faults), "said/faults": faults_text(faults)}
    row["rouge_l"] = None if trial.words is None else rouge_l(words, trial.words)
    if trial.truth is not None:
        row |= {"true/types": _types(trial.truth.faults)}
        row |= {"true/faults": faults_text(trial.truth.faults)}
        row |= _span_fields("all", faults, trial.truth.faults)
        row |= _span_fields("timed", _timed(faults), _timed(trial.truth.faults))
        row["grade"] = grade(said, trial.truth).total if said is not None else 0.0
    raw = said.raw if isinstance(said, Description) else getattr(said, "text", "")
    row["raw"] = raw
    row["error"] = problem or ("" if ok else str(said))
    return row


def _types(faults: Sequence[Fault]) -> str:
    return " ".join(sorted({f.type for f in faults}))


def _timed(faults: Sequence[Fault]) -> list[Fault]:
    """Faults with an onset and an end of their own: the others always cover the clip."""
    return [f for f in faults if FAULT_TYPES[f.type].localised]


def _span_fields(
    name: str, said: Sequence[Fault], truth: Sequence[Fault]
) -> dict[str, float | str | bool | int | None]:
    counts = spans.match(said, truth)
    return {
        f"{name}/hits": counts.hits,
        f"{name}/said": counts.said,
        f"{name}/true": counts.true,
        f"{name}/iou": spans.mean_iou(said, truth) if said or truth else None,
        f"{name}/onset_errors_s": " ".join(f"{e:.3f}" for e in counts.onset_errors_s),
    }


def _trials(config: Config) -> list[Trial]:
    named = [p for p in (config.faults, config.qualispeech, config.rated) if p is not None]
    if len(named) != 1:
        raise UsageError("name one of --faults, --qualispeech and --rated")
    if config.faults is not None:
        found = [_of_planting(p) for p in corpus.read_corpus(config.faults)]
    elif config.qualispeech is not None:
        found = list(_of_qualispeech(config.qualispeech, config.audio_root))
    else:
        found = list(_of_rated(named[0], config.audio_root))
    if not found:
        raise ManifestError(f"{named[0]}: lists no clips")
    return found[: config.limit] if config.limit else found


def _of_planting(p: corpus.Planting) -> Trial:
    values = {d: s.value for d, s in p.description.scores.items()}
    truth = p.description
    return Trial(p.key, p.path, values, p.speaker or p.key, words=truth.words, truth=truth)


def _of_qualispeech(path: Path, audio_root: Path | None) -> Iterator[Trial]:
    if path.is_dir():
        options = [path / name for name in ("test.csv", "val.csv", "train.csv")]
        listing = next((p for p in options if p.is_file()), None)
        if listing is None:
            raise ManifestError(f"{path}: no test.csv, val.csv or train.csv")
        path = listing
    for i, r in enumerate(qualispeech.read(path, audio_root or path.parent)):
        yield Trial(f"{i:06d} {r.path.stem}", r.path, r.scores, r.path.stem, words=r.words or None)


def _of_rated(path: Path, audio_root: Path | None) -> Iterator[Trial]:
    root = (audio_root or path.parent).resolve()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: not a readable csv: {error}") from error
    for n, row in enumerate(rows, start=2):
        cells = {str(k).strip().lower(): v for k, v in row.items() if isinstance(v, str)}
        where = f"{path} line {n}"
        if "path" not in cells or not {"score", *DIMENSIONS} & set(cells):
            raise ManifestError(f"{where}: the columns path and score are needed")
        file_path = (root / cells["path"]).resolve()
        if not file_path.is_relative_to(root):
            raise ManifestError(f"{where}: {cells['path']!r} is outside {root}: set --audio-root")
        names = {"score": "overall", **{d: d for d in DIMENSIONS}}
        scores = {d: _number(cells[c], where, c) for c, d in names.items() if cells.get(c)}
        yield Trial(
            f"{n - 1:06d} {cells['path']}",
            file_path,
            scores,
            cells.get("speaker", "") or cells["path"],
            cells.get("group", "") or cells.get("sentence", ""),
        )


def _number(text: str, where: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise ManifestError(f"{where}: {column} {text!r} is not a number") from error
    if not np.isfinite(value):
        raise ManifestError(f"{where}: {column} {text!r} is not a number")
    return value
