"""`hearken listen`: each input -> one record, in input order, as soon as it is known.

Nothing heavy is imported until a file is there to be heard: media decodes first, and only a clip
that decodes loads torch and the critic. A bad file is a row with its error.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from hearken.app.failure import Failure
from hearken.app.inputs import Input, expand
from hearken.errors import HearkenError, UsageError

if TYPE_CHECKING:
    from hearken.app.record import ModelRecord, Record
    from hearken.critic.verify import Checked
    from hearken.media import Limits
    from hearken.nouns import Audio, Clip, Description, Score

    Row = Record | Failure

__all__ = ["Ear", "Hearer", "Options", "ahead", "load_critic", "progress", "records", "run"]

A = TypeVar("A")
B = TypeVar("B")

SHORT_S = 1.0
NARROW_HZ = 6000.0
BATCH_SECONDS = 600.0  # a batch is cut here: the memory of a call does not grow with its files


@dataclass(frozen=True)
class Options:
    """What `hearken listen` was asked; the defaults of the command line."""

    inputs: tuple[str, ...] = ()
    output_dir: Path | None = None
    formats: tuple[str, ...] = ()
    model: str | None = None
    revision: str | None = None
    device: str = "auto"
    batch_size: int = 16
    num_workers: int = 2
    seed: int = 0
    channel: str = "mix"
    limits: Limits | None = None
    root: str | None = None
    ref: str | None = None
    resume: bool = False
    overwrite: bool = False
    verify: Literal["signal", "full"] | None = None
    at_least: dict[str, float] = field(default_factory=dict)


class Ear(Protocol):
    """What `listen` needs of a critic; `hearken.critic.Critic` has it."""

    id: str
    revision: str
    window_s: float

    def listen(
        self, clips: Sequence[Audio], *, batch_size: int = 16
    ) -> Sequence[Description | HearkenError]:
        """One description, or the error in its place, for each clip [T]."""
        ...

    def scores(
        self, clips: Sequence[Audio], *, batch_size: int = 16
    ) -> Sequence[dict[str, Score] | HearkenError]:
        """The scores alone, or the error in their place, for each clip [T]."""
        ...


def run(options: Options, load: Callable[[Options], Ear] | None = None) -> int:
    """Listen to all inputs; exit code 0, 1 (the gate failed) or 3 (some inputs failed).

    Raises:
        UsageError: formats or folders that cannot work, before anything is decoded.
    """
    from hearken.app.sinks import Wish, open_sink

    _check(options)
    inputs = expand(options.inputs, root=options.root)
    failed, below = 0, list[str]()
    wish = Wish(options.formats, options.output_dir, len(inputs), options.resume, options.overwrite)
    with open_sink(wish) as sink:
        todo = [item for item in inputs if not sink.has(item)]
        rows = records(todo, options, load or load_critic)
        for record, clip in progress(rows, len(todo), label="listening", quiet=sink.on_terminal):
            sink.write(record, clip)
            if record.error is not None:
                failed += 1
                print(f"hearken: {record.error}", file=sys.stderr)
            below += _misses(record, options)
        for record in (sink.done[i.key] for i in inputs if sink.has(i)):
            below += _misses(record, options)
        sink.finish([item.key for item in inputs])
    if below:
        print(f"hearken: gate failed on {len(below)} of {len(inputs)}: ", file=sys.stderr)
        for line in below[:20]:
            print(f"  {line}", file=sys.stderr)
    return 1 if below else 3 if failed else 0


def _check(options: Options) -> None:
    from hearken.app.exports import CSV_COLUMNS

    if options.batch_size < 1:
        raise UsageError(f"--batch-size {options.batch_size}: must be 1 or more")
    if options.num_workers < 0:
        raise UsageError(f"--num-workers {options.num_workers}: must be 0 or more")
    for name in options.at_least:
        if name not in CSV_COLUMNS or f"{name}_lo" not in CSV_COLUMNS:
            known = ", ".join(c[:-3] for c in CSV_COLUMNS if c.endswith("_lo"))
            raise UsageError(f"--min {name}: no such dimension; one of: {known}")


def _misses(record: Row, options: Options) -> list[str]:
    short = [
        f"{name} {record.scores[name].value:.2f} < {bar:g}"
        for name, bar in options.at_least.items()
        if name in record.scores and record.scores[name].value < bar
    ]
    return [f"{record.path}: {', '.join(short)}"] if short else []


def progress(rows: Iterable[A], total: int, *, label: str, quiet: bool = False) -> Iterable[A]:
    """`rows`, under a progress bar where standard error is a terminal."""
    if quiet or not sys.stderr.isatty():
        return rows
    from hearken.run.track import track

    return track(rows, total=total, label=label)


def records(
    inputs: Sequence[Input], options: Options, load: Callable[[Options], Ear]
) -> Iterator[tuple[Row, Clip | None]]:
    """One (record, clip) for each input, in order; clip is None where it failed."""
    hearer = Hearer(options, load)
    batch: list[tuple[Input, Clip | str]] = []
    for item, found in ahead(inputs, lambda i: _decode(i, options), options.num_workers):
        batch.append((item, found))
        clips = [c for _, c in batch if not isinstance(c, str)]
        seconds = sum(c.duration_s for c in clips)
        if not clips or len(clips) >= options.batch_size or seconds >= BATCH_SECONDS:
            yield from hearer.rows(batch)
            batch = []
    yield from hearer.rows(batch)


def _decode(item: Input, options: Options) -> Clip | str:
    """The clip, or why there is none: one bad file must stay one row."""
    if item.error is not None:
        return item.error
    from hearken import media

    try:
        source = item.data if item.data is not None else item.path
        return media.load(source, channel=_channel(options.channel), limits=options.limits)
    except HearkenError as e:
        return str(e)
    except MemoryError:
        return f"{item.path}: not enough memory to decode it"
    except Exception as e:  # the per-row wall: a decoder's own error must not end the batch
        return f"{item.path}: cannot be decoded ({type(e).__name__}: {e})"


def _channel(name: str) -> int | str:
    return int(name) if name.isdigit() else name


def ahead(items: Iterable[A], work: Callable[[A], B], workers: int) -> Iterator[tuple[A, B]]:
    """(item, work(item)) in order, with up to `workers` + 1 items worked on ahead."""
    if workers == 0:
        yield from ((item, work(item)) for item in items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[A, Future[B]]] = deque()
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


class Hearer:
    """The critic, loaded at the first clip that decoded; its rows are `exact` where asked."""

    def __init__(
        self, options: Options, load: Callable[[Options], Ear], *, exact: bool = False
    ) -> None:
        self.options = options
        self.load = load
        self.exact = exact
        self.ear: Ear | None = None
        self.model: ModelRecord | None = None

    def rows(self, batch: Sequence[tuple[Input, Clip | str]]) -> Iterator[tuple[Row, Clip | None]]:
        """The row of each input, and its clip; a clip that is words is why there is none."""
        clips = [c for _, c in batch if not isinstance(c, str)]
        answers = self.hear(clips) if clips else []
        said = iter(zip(answers, self.check(clips, answers), strict=True))
        for item, clip in batch:
            if isinstance(clip, str):
                yield self._failed(item, clip), None
            else:
                yield self._heard(item, clip, *next(said)), clip

    def hear(self, clips: Sequence[Clip]) -> Sequence[Description | HearkenError]:
        """What the critic says of each clip, or the error in its place."""
        ear = self.ready()
        try:
            return ear.listen([c.samples for c in clips], batch_size=self.options.batch_size)
        except HearkenError:  # one clip of the batch: ask for each alone, to learn which
            return [self._alone(ear, c) for c in clips]

    def check(
        self, clips: Sequence[Clip], answers: Sequence[Description | HearkenError]
    ) -> Sequence[Checked | None]:
        """What of each answer passed; None where nothing was asked, or nothing was said."""
        readable = [
            (c.samples, a)
            for c, a in zip(clips, answers, strict=True)
            if not isinstance(a, HearkenError)
        ]
        if self.options.verify is None or not readable:
            return [None] * len(answers)
        from hearken.critic.verify import verify

        heard, said = zip(*readable, strict=True)
        passed = iter(
            verify(
                self.ready(),
                heard,
                said,
                depth=self.options.verify,
                seed=self.options.seed,
                batch_size=self.options.batch_size,
            )
        )
        return [None if isinstance(a, HearkenError) else next(passed) for a in answers]

    def _alone(self, ear: Ear, clip: Clip) -> Description | HearkenError:
        try:
            return ear.listen([clip.samples])[0]
        except HearkenError as e:
            return e

    def ready(self) -> Ear:
        """The critic, loaded now if it was not."""
        if self.ear is None:
            self.ear = self.load(self.options)
            self.model = model_record(self.ear)
        return self.ear

    def _failed(self, item: Input, why: str) -> Failure:
        return Failure(item.key, item.path, why)

    def _heard(
        self, item: Input, clip: Clip, said: Description | HearkenError, checked: Checked | None
    ) -> Record:
        from hearken.app.record import about, failed, heard

        ear, model = self.ready(), self.model
        assert model is not None
        if isinstance(said, HearkenError):
            raw = getattr(said, "text", None)
            why = f"{item.path}: the critic's answer cannot be read: {said}"
            return failed(item.key, item.path, why, raw=raw, model=model, **about(clip))
        return heard(
            item.key,
            item.path,
            clip,
            said,
            checked=checked,
            model=model,
            decode=self._decode(ear),
            warnings=warnings_of(clip, ear.window_s),
            metrics=against_reference(item, clip, self.options.ref),
            exact=self.exact,
        )

    def _decode(self, ear: Ear) -> dict[str, float | int | str | bool | None]:
        asked = {} if self.options.verify is None else {"verify": self.options.verify}
        return {
            "strategy": "greedy",
            "seed": self.options.seed,
            "window_s": ear.window_s,
            **asked,
        }


def warnings_of(clip: Clip, window_s: float) -> list[str]:
    """What makes the scores of this clip less sure."""
    out = []
    bandwidth = clip.source.effective_bandwidth_hz
    if clip.duration_s < SHORT_S:
        out.append(f"short: {clip.duration_s:.2f} s; scores need {SHORT_S:g} s of speech")
    if bandwidth < NARROW_HZ:
        out.append(f"narrow band: nothing above {bandwidth / 1000:.1f} kHz")
    if clip.duration_s > window_s:
        out.append(f"long: heard in overlapping windows of {window_s:g} s, then merged")
    return out


def against_reference(item: Input, clip: Clip, ref: str | None) -> dict[str, float | None] | None:
    """Intrusive metrics against --ref: the file itself, or the file of the same stem in a folder.

    A metric that cannot be computed is None; a reference that is not there is all None.
    """
    if ref is None:
        return None
    from hearken.app.yardsticks import intrusive, reference_for

    path = reference_for(item, Path(ref))
    if path is None:
        return intrusive(None, clip.samples)
    from hearken import media

    try:
        return intrusive(media.load(path).samples, clip.samples)
    except HearkenError:
        return intrusive(None, clip.samples)


def load_critic(options: Options) -> Ear:
    """The critic by name or folder, on the device asked for, seeded."""
    from hearken.critic import Critic
    from hearken.run.device import pick, seed_all

    seed_all(options.seed)
    device = str(pick(options.device))
    return Critic.from_pretrained(options.model, revision=options.revision, device=device)


def model_record(ear: Ear) -> ModelRecord:
    """Who listened: id, revision and, for a local folder, the hash of the weight file."""
    from hearken.app.record import ModelRecord
    from hearken.app.yardsticks import weights_sha256

    return ModelRecord(id=ear.id, revision=ear.revision or "", sha256=weights_sha256(ear.id))
