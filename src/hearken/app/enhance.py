"""`hearken enhance`: the talker one sees, cleaned.

Video in, the same video out; audio in, audio out; with `--face all`, one of them for each face.
One record for each input on standard output, as soon as its files are whole. No face in the
picture is said, and the sound alone is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearken.app.inputs import VIDEO_SUFFIXES, Input, expand, file_name
from hearken.app.sight import Hand, View, clean, see
from hearken.errors import HearkenError, UsageError

if TYPE_CHECKING:
    from hearken.app.record import Enhancement
    from hearken.media import Limits
    from hearken.nouns import Audio, Source

__all__ = ["Job", "Options", "load_enhancer", "run"]

_BLOCK_S = 4.0  # seconds of sound read at a time


@dataclass(frozen=True)
class Options:
    """What `hearken enhance` was asked; the defaults of the command line."""

    inputs: tuple[str, ...] = ()
    output_dir: Path | None = None
    scenes: Path | None = None
    audio: str | None = None
    video: str | None = None
    lips: bool = True
    face: str = "largest"
    detector: str = "haar"
    sheet: bool = False
    model: str | None = None
    device: str = "auto"
    seed: int = 0
    channel: str = "mix"
    limits: Limits | None = None
    root: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Job:
    """One input and where its result goes.

    Attributes:
        item: the sound; it may carry an error.
        video: where the face is; None for `item` itself, if it turns out to have a picture.
        name: of the outputs, relative to OUT, without suffix.
        mux: a video in gives a video out.
        ears: a recording of both ears gives both.
    """

    item: Input
    name: str
    video: str | None = None
    mux: bool = True
    ears: bool = False


def run(options: Options, load: Callable[[Options], Hand] | None = None) -> int:
    """Enhance all inputs; exit code 0 or 3 (some failed).

    Raises:
        UsageError: no output folder, nothing to do, or options that exclude each other.
    """
    from hearken.app.listen import progress

    jobs = _jobs(options)
    assert options.output_dir is not None
    worker = _Worker(options, load or load_enhancer)
    failed = 0
    rows = (worker.row(job) for job in jobs)
    for record in progress(rows, len(jobs), label="enhancing", quiet=sys.stdout.isatty()):
        sys.stdout.write(record.model_dump_json() + "\n")
        sys.stdout.flush()
        if record.error is not None:
            failed += 1
            print(f"hearken: {record.error}", file=sys.stderr)
        for warning in record.warnings:
            print(f"hearken: {record.path}: {warning}", file=sys.stderr)
    return 3 if failed else 0


def _jobs(options: Options) -> list[Job]:
    ways = [bool(options.inputs), options.scenes is not None, options.audio is not None]
    if sum(ways) != 1:
        raise UsageError(
            "name inputs, or --scenes DIR, or --audio FILE [--video FILE]: one of them"
        )
    if options.video is not None and options.audio is None:
        raise UsageError("--video goes with --audio; for a video with its own sound name it alone")
    if options.output_dir is None:
        raise UsageError("-o OUT is missing: the folder for the enhanced files")
    if options.output_dir.exists() and not options.output_dir.is_dir():
        raise UsageError(f"-o {options.output_dir}: exists and is not a folder")
    if options.scenes is not None:
        return list(_scene_jobs(options.scenes))
    if options.audio is not None:
        item = expand([options.audio])[0]
        if options.video is not None:
            bad = expand([options.video])[0].error
            item = item if bad is None or item.error else replace(item, error=bad)
        return [Job(item, file_name(item.stem), options.video, mux=False)]
    return _named(expand(options.inputs, root=options.root))


def _scene_jobs(root: Path) -> Iterator[Job]:
    from hearken.data import scenes

    if not root.is_dir():
        raise UsageError(f"--scenes {root}: no such folder")
    for scene in scenes.read(root):
        item = replace(expand([str(scene.mix)])[0], key=scene.scene)
        ears = scenes.is_binaural(scene)
        yield Job(item, file_name(scene.scene), scene.video, mux=False, ears=ears)


def _named(items: Sequence[Input]) -> list[Job]:
    """Output names: the stem, below the input's sub-folder; a stem that is taken gets its suffix.

    X.wav and X.mp4 would both write X.wav: the first keeps X, the other becomes X_mp4.
    """
    taken: set[str] = set()
    jobs = []
    for item in items:
        plain = "/".join(file_name(p) for p in (*Path(item.folder).parts, item.stem))
        kind = Path(item.path).suffix.lstrip(".").lower()
        tries = [plain, f"{plain}_{kind}"] if kind else [plain]
        name = next((t for t in tries if t.lower() not in taken), "")
        number = 2
        while not name:
            if f"{tries[-1]}_{number}".lower() not in taken:
                name = f"{tries[-1]}_{number}"
            number += 1
        taken.add(name.lower())  # lower: some file systems do not tell X from x
        jobs.append(Job(item, name))
    return jobs


class _Worker:
    """Does one job after another; the enhancer is loaded at the first sound that decoded."""

    def __init__(self, options: Options, load: Callable[[Options], Hand]) -> None:
        assert options.output_dir is not None
        self.options = options
        self.out = options.output_dir
        self.load = load
        self.hand: Hand | None = None
        self.model: Any = None

    def row(self, job: Job) -> Enhancement:
        """The record of one job: what was written, or the error; never half a file."""
        from hearken.app.failure import as_unicode
        from hearken.app.record import Enhancement

        known: dict[str, Any] = {"key": job.item.key, "path": as_unicode(job.item.path)}
        if job.item.error is not None:
            return Enhancement(**known, error=as_unicode(job.item.error))
        try:
            return Enhancement(**known, **self._do(job))
        except UsageError:
            raise
        except HearkenError as e:
            return Enhancement(**known, error=as_unicode(str(e)))
        except (OSError, MemoryError) as e:
            return Enhancement(**known, error=as_unicode(f"{job.item.path}: {e or 'no memory'}"))

    def _ears(self, job: Job, source: Source) -> bool:
        """Both ears go in and out: a binaural scene, and no one channel of it was asked for."""
        return job.ears and source.channel == "mix" and source.channels_in == 2

    def _heard(self, job: Job, source: Source) -> Iterator[Audio]:
        """Blocks of [T], or of [2, T] of a binaural scene: the sound is never held whole."""
        if not self._ears(job, source):
            yield from self._blocks(job, source.channel)
            return
        import numpy as np

        for both in zip(self._blocks(job, 0), self._blocks(job, 1), strict=True):
            yield np.stack(both)

    def _blocks(self, job: Job, channel: int | str) -> Iterator[Audio]:
        from hearken import media

        file = job.item.path if job.item.data is None else job.item.data
        return media.read_blocks(file, _BLOCK_S, channel=channel, limits=self.options.limits)

    def _do(self, job: Job) -> dict[str, Any]:
        from hearken import media
        from hearken.nouns import SAMPLE_RATE

        channel = self.options.channel
        source, length = media.scan(
            job.item.path if job.item.data is None else job.item.data,
            channel=int(channel) if channel.isdigit() else channel,
            limits=self.options.limits,
        )
        if self.options.face != "all":
            self._targets(job, source, job.name)  # before the work: is the place free?
        self._ready()
        views = self._look(job, source, length)
        warnings = [self._told(view) for view in views if view is not None and view.message]
        written = self._written(job, source, views)
        if source.effective_bandwidth_hz > 8500:
            warnings.append("the result is 16 kHz: what lay above 8 kHz is gone")
        seen = [view.share for view in views if view is not None]
        return {
            "outputs": [name for outputs, _ in written for name in outputs],
            "duration": round(length / SAMPLE_RATE, 4),
            "sr_in": source.sr_in,
            "sha256": source.sha256 or None,
            "channel": "both" if self._ears(job, source) else source.channel,
            "face_found": max(seen, default=None),
            "faces": [
                {"face": view.face, "found": view.share, "unseen": view.unseen, "outputs": outputs}
                for outputs, view in written
                if view is not None
            ],
            "model": self.model,
            "warnings": warnings,
        }

    def _told(self, view: View) -> str:
        """What is missing of a face; by its number, where there may be others."""
        several = isinstance(view.face, int)
        return f"face {view.face} from the left: {view.message}" if several else view.message

    def _written(
        self, job: Job, source: Source, views: Sequence[View | None]
    ) -> list[tuple[list[str], View | None]]:
        """Clean the sound for each view and write it: the outputs, video first, and the view."""
        from hearken import media

        assert self.hand is not None
        named = [(view, self._name(job, view)) for view in views]
        places = [(view, name, *self._targets(job, source, name)) for view, name in named]
        written = []
        for view, name, wav, video in places:
            blocks = clean(self.hand, self._heard(job, source), view)
            media.write_audio(wav, (block.T for block in blocks))
            outputs = [str(wav)]
            if video is not None:
                media.mux(job.item.path, wav, video, limits=self.options.limits)
                outputs.insert(0, str(video))
            if view is not None and self.options.sheet:
                outputs.append(str(_write_sheet(self.out / f"{name}.lips.png", view)))
            written.append((outputs, view))
        return written

    def _name(self, job: Job, view: View | None) -> str:
        """With --face all, the outputs of each face are told apart by its number."""
        all_faces = self.options.face == "all" and view is not None and isinstance(view.face, int)
        return f"{job.name}.face{view.face}" if view is not None and all_faces else job.name

    def _targets(self, job: Job, source: Source, name: str) -> tuple[Path, Path | None]:
        """OUT/name.wav and, for a video, OUT/name.mp4; refuses to write over what is there."""
        wav = self.out / f"{name}.wav"
        video = None
        if job.mux and source.has_video and job.item.data is None:
            suffix = Path(job.item.path).suffix.lower()
            video = self.out / f"{name}{suffix if suffix in VIDEO_SUFFIXES else '.mp4'}"
        item = Path(job.item.path)
        sheet = self.out / f"{name}.lips.png" if self.options.sheet else None
        for target in filter(None, (wav, video, sheet)):
            if not target.exists():
                continue
            if job.item.data is None and os.path.samefile(target, item):
                raise HearkenError(f"{item}: would be written over itself; use another -o")
            if not self.options.overwrite:
                raise HearkenError(f"{target} exists: use --overwrite, or another -o")
        return wav, video

    def _look(self, job: Job, source: Source, length: int) -> Sequence[View | None]:
        """The faces to enhance for; [None] where there is no picture to look at."""
        picture: Any = job.video
        if picture is None and source.has_video:
            picture = job.item.path if job.item.data is None else None
        if picture is None or not self.options.lips:
            return [None]
        assert self.hand is not None
        asked = self.options
        return see(
            self.hand,
            picture,
            length,
            face=asked.face,
            detector=asked.detector,
            limits=asked.limits,
        )

    def _ready(self) -> None:
        if self.hand is None:
            from hearken.app.record import ModelRecord
            from hearken.app.yardsticks import weights_sha256

            self.hand = self.load(self.options)
            name = self.options.model or "enhancer-small"
            self.model = ModelRecord(id=name, revision="", sha256=weights_sha256(name))


def _write_sheet(path: Path, view: View) -> Path:
    """The contact sheet of a face as PNG."""
    import cv2

    from hearken import media

    with media.atomic(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", view.sheet)[1].tobytes())
    return path


def load_enhancer(options: Options) -> Hand:
    """The enhancer by folder, on the device asked for, seeded."""
    from hearken.enhancer import Enhancer
    from hearken.run.device import pick, seed_all

    seed_all(options.seed)
    return Enhancer.from_pretrained(options.model, device=str(pick(options.device)))
