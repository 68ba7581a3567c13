"""`hearken demo`: the main job on one clip. Enhance, listen before and after, one page to look at.

With no clip it makes a noisy talking face of its own (`hearken.app.puppet`), and then knows the
clean speech too, so that the result can be measured and not only heard.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hearken.app import enhance, listen
from hearken.app.failure import Failure
from hearken.app.inputs import VIDEO_SUFFIXES, expand, file_name
from hearken.app.sight import Hand, clean, see
from hearken.errors import HearkenError, InputError, UsageError

if TYPE_CHECKING:
    from hearken.app.record import ModelRecord, Record
    from hearken.nouns import Audio, Clip

__all__ = ["Options", "Result", "run", "summary"]


@dataclass(frozen=True)
class Options:
    """What `hearken demo` was asked; the defaults of the command line."""

    clip: str | None = None
    output_dir: Path = Path("hearken-demo")
    text: str | None = None
    critic: str | None = None
    revision: str | None = None
    enhancer: str | None = None
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Source:
    """The clip to work on: its file, decoded sound, and the clean speech where it is known."""

    path: Path
    clip: Clip
    clean: Audio | None = None


@dataclass(frozen=True)
class Result:
    """What came of it: a record of each hearing, the metrics, and the files.

    `metrics` maps a name to its value before and after.
    """

    before: Record
    after: Record
    metrics: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run(
    options: Options,
    load_hand: Callable[[enhance.Options], Hand] | None = None,
    load_ear: Callable[[listen.Options], listen.Ear] | None = None,
) -> int:
    """Run the demo and print its summary; exit code 0.

    Raises:
        HearkenError: the clip cannot be read, enhanced or heard.
    """
    out = options.output_dir
    if out.exists() and not out.is_dir():
        raise UsageError(f"-o {out}: exists and is not a folder")
    source = _given(options.clip) if options.clip else _made(options)
    out.mkdir(parents=True, exist_ok=True)
    samples, files, notes, model = _enhance(source, options, load_hand or enhance.load_enhancer)
    _say("listening before and after")
    before, after = _listen(source, samples, files["sound"], options, load_ear)
    metrics = _measure(source, samples)
    result = Result(before, after, metrics, files, notes)
    files["page"] = _page(result, source, samples, model)
    sys.stdout.write(summary(result, source.path))
    return 0


def _say(words: str) -> None:
    print(f"hearken: {words}", file=sys.stderr)


def _given(name: str) -> _Source:
    found = [] if name == "-" else expand([name])
    if len(found) != 1:
        raise UsageError(f"{name}: the demo takes one file; for more: hearken enhance, listen")
    if found[0].error is not None:
        raise InputError(found[0].error)
    from hearken import media

    return _Source(Path(found[0].path), media.load(found[0].path))


def _made(options: Options) -> _Source:
    from hearken import media
    from hearken.app import puppet

    _say("making a noisy talking face")
    options.output_dir.mkdir(parents=True, exist_ok=True)
    path = options.output_dir / "noisy.mp4"
    made = puppet.make_clip(path, seed=options.seed, text=options.text or puppet.TEXT)
    return _Source(Path(made.path), media.load(made.path), made.clean)


def _enhance(
    source: _Source, options: Options, load: Callable[[enhance.Options], Hand]
) -> tuple[Audio, dict[str, Path], tuple[str, ...], ModelRecord]:
    import numpy as np

    from hearken import media
    from hearken.app.record import ModelRecord
    from hearken.app.yardsticks import weights_sha256

    clip = source.clip
    view, notes = None, ["no picture: the sound alone was used"]
    hand = load(enhance.Options(model=options.enhancer, device=options.device, seed=options.seed))
    if clip.source.has_video:
        _say("looking for the mouth")
        (view,) = see(hand, source.path, len(clip.samples))
        notes = [view.message] if view.message else []
    _say("enhancing")
    samples = np.concatenate(list(clean(hand, clip.samples, view)))
    stem = options.output_dir / f"{file_name(source.path.stem)}_enhanced"
    files = {"sound": stem.with_name(f"{stem.name}.wav")}
    media.write_audio(files["sound"], samples)
    if clip.source.has_video:
        suffix = source.path.suffix.lower()
        suffix = suffix if suffix in VIDEO_SUFFIXES else ".mp4"
        files["video"] = stem.with_name(f"{stem.name}{suffix}")
        media.mux(source.path, samples, files["video"])
    name = options.enhancer or "enhancer-small"
    model = ModelRecord(id=name, revision="", sha256=weights_sha256(name))
    return samples, files, tuple(notes), model


def _listen(
    source: _Source,
    samples: Audio,
    sound: Path,
    options: Options,
    load: Callable[[listen.Options], listen.Ear] | None,
) -> tuple[Record, Record]:
    """Both hearings in one batch: the same critic, the same settings."""
    asked = listen.Options(
        inputs=(str(source.path), str(sound)),
        model=options.critic,
        revision=options.revision,
        device=options.device,
        seed=options.seed,
    )
    rows = listen.records(expand(asked.inputs), asked, load or listen.load_critic)
    heard: list[Record] = []
    for record, _ in rows:
        if record.error is not None or isinstance(record, Failure):
            raise HearkenError(record.error)
        heard.append(record)
    before, after = heard
    return before, after


def _measure(source: _Source, samples: Audio) -> dict[str, tuple[float | None, float | None]]:
    if source.clean is None:
        return {}
    from hearken.app.yardsticks import intrusive

    before = intrusive(source.clean, source.clip.samples)
    after = intrusive(source.clean, samples)
    return {name: (before[name], after.get(name)) for name in before}


def _page(result: Result, source: _Source, samples: Audio, model: ModelRecord) -> Path:
    from hearken import media
    from hearken.app import report

    facts = report.provenance(result.before) | {"enhancer": model.id}
    if model.sha256:
        facts["enhancer SHA-256"] = model.sha256
    page = report.Page(
        title=source.path.name,
        sides=[
            report.Side("Before", source.clip.samples, result.before),
            report.Side("After", samples, result.after),
        ],
        metrics=result.metrics,
        video=source.path if source.clip.source.has_video else None,
        notes=(*result.notes, *result.before.warnings),
        provenance=facts,
    )
    path = result.files["sound"].with_name("report.html")
    with media.atomic(path) as temporary:
        temporary.write_text(report.build(page), encoding="utf-8")
    return path


def summary(result: Result, source: Path) -> str:
    """What a person wants to know first: scores, words, metrics, and where to look."""
    from hearken.app.exports import plain

    before, after = result.before, result.after
    lines = ["", f"{plain(source.name)}", "", f"  {'':<18}{'before':>7}{'after':>8}"]
    for name, was in before.scores.items():
        now = after.scores[name]
        mark = "  (3 is normal)" if name == "speed" else ""
        lines.append(f"  {name.replace('_', ' '):<18}{was.value:>7.1f}{now.value:>8.1f}{mark}")
    for name, values in result.metrics.items():
        cells = ["failed" if v is None else f"{v:.2f}" for v in values]
        lines.append(f"  {_METRICS.get(name, name):<18}{cells[0]:>7}{cells[1]:>8}")
    lines += [
        "",
        f"  before  {plain(before.text or '')}",
        f"  after   {plain(after.text or '')}",
        "",
    ]
    lines += [f"  note    {plain(note)}" for note in result.notes]
    for name in ("video", "sound", "page"):
        if name in result.files:
            lines.append(f"  {name:<8}{result.files[name]}")
    return "\n".join([*lines, ""])


_METRICS = {"si_sdr_db": "SI-SDR, dB", "pesq_wb": "PESQ-WB", "estoi": "ESTOI"}
