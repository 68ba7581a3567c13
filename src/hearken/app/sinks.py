"""Where records go: one format to standard output, or files in a folder that can be resumed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

from hearken.app import exports
from hearken.app.failure import Failure
from hearken.app.inputs import Input, file_name
from hearken.errors import UsageError

if TYPE_CHECKING:
    from hearken.app.record import Record
    from hearken.nouns import Clip

    Row = Record | Failure

__all__ = ["FORMATS", "Sink", "Wish", "open_sink"]

FORMATS = ("jsonl", "csv", "text", "audacity", "textgrid", "vtt", "html")
_SUFFIX = {"audacity": ".labels.txt", "textgrid": ".TextGrid", "vtt": ".vtt", "html": ".html"}
_TABLES: dict[str, Callable[[Row], str]] = {"csv": exports.csv_row, "text": exports.text}
_TABLE_FILE = {"csv": "records.csv", "text": "records.txt"}


class Sink(AbstractContextManager["Sink"]):
    """Takes records in order.

    Attributes:
        done: records of an earlier call that need not be made again, by key.
        on_terminal: True where the data itself scrolls on a terminal (no bar then).
    """

    done: MappingProxyType[str, Record] | dict[str, Record] = MappingProxyType({})
    on_terminal = False

    def has(self, item: Input) -> bool:
        """True where an earlier call has heard this very input."""
        return item.key in self.done and self.done[item.key].path == item.path

    def write(self, record: Row, clip: Clip | None) -> None:
        """Take one record; `clip` is None where the input failed."""
        raise NotImplementedError

    def finish(self, keys: Sequence[str]) -> None:
        """All inputs are done: put the files in the order of `keys`."""

    def __exit__(self, *exc: object) -> None:
        """Close what is open."""


@dataclass(frozen=True)
class Wish:
    """Where the records of `count` inputs should go, in which formats."""

    formats: tuple[str, ...]
    output_dir: Path | None
    count: int
    resume: bool = False
    overwrite: bool = False


def open_sink(options: Wish) -> Sink:
    """The sink that is wished for.

    Raises:
        UsageError: unknown format, a format that needs -o, or a folder already in use.
    """
    names = _formats(options.formats)
    if options.output_dir is not None:
        return _Folder(options.output_dir, names, options)
    if options.resume:
        raise UsageError("--resume needs -o OUT: it goes on from OUT/records.jsonl")
    if len(names) > 1:
        raise UsageError(f"{len(names)} formats need -o OUT: only one fits on standard output")
    if names[0] in _SUFFIX and options.count > 1:
        raise UsageError(
            f"-f {names[0]} of {options.count} inputs needs -o OUT: it is one file a clip"
        )
    return _Stdout(names[0])


def _formats(asked: Sequence[str]) -> tuple[str, ...]:
    names = FORMATS if "all" in asked else tuple(dict.fromkeys(asked)) or ("jsonl",)
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"-f {name}: no such format; one of: {', '.join(FORMATS)}, all")
    return names


def _page(name: str, record: Row, clip: Clip | None) -> str:
    """One of the formats that are a file for each clip."""
    if name == "audacity":
        return exports.audacity(record)
    if name == "textgrid":
        return exports.textgrid(record)
    if name == "vtt":
        return exports.vtt(record)
    from hearken.app.report import listen_page

    assert not isinstance(record, Failure)  # only what was heard gets a page
    return listen_page(record, clip)


class _Stdout(Sink):
    def __init__(self, name: str) -> None:
        self.name = name
        self.on_terminal = sys.stdout.isatty()
        if name == "csv":
            self._put(exports.csv_header())

    def write(self, record: Row, clip: Clip | None) -> None:
        if self.name == "jsonl":
            self._put(record.line() + "\n")
        elif self.name in _TABLES:
            self._put(_TABLES[self.name](record))
        elif record.error is None:
            self._put(_page(self.name, record, clip))

    def _put(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class _Folder(Sink):
    """OUT/records.jsonl always; the other tables at the end; one file a clip as it comes."""

    def __init__(self, out: Path, names: Sequence[str], options: Wish) -> None:
        self.out = out
        self.names = names
        self.path = out / "records.jsonl"
        self.done = {}
        self.made = 0
        if self.path.exists() and not (options.resume or options.overwrite):
            raise UsageError(f"{self.path} exists: go on with --resume, or redo with --overwrite")
        try:
            out.mkdir(parents=True, exist_ok=True)
            if options.resume and self.path.exists():
                self.done = _read_done(self.path)
            self.stream = self._rewrite(list(self.done.values()))
        except OSError as e:
            raise UsageError(f"-o {out}: {e.strerror or e}") from None

    def _rewrite(self, records: Sequence[Record]) -> IO[str]:
        _replace(self.path, "".join(r.line() + "\n" for r in records))
        return self.path.open("a", encoding="utf-8")

    def write(self, record: Row, clip: Clip | None) -> None:
        self._same_critic(record)
        self.stream.write(record.line() + "\n")
        self.stream.flush()
        self.made += 1
        if record.error is None:
            for name in self.names:
                if name in _SUFFIX:
                    target = self.out / (file_name(record.key) + _SUFFIX[name])
                    _replace(target, _page(name, record, clip))

    def _same_critic(self, record: Row) -> None:
        """Rows of two critics in one table would compare what cannot be compared."""
        for old in self.done.values():
            if old.model and record.model and old.model != record.model:
                raise UsageError(
                    f"{self.path} was made by {old.model.id}, not {record.model.id} "
                    "(or by other weights): use another -o, or --overwrite"
                )

    def finish(self, keys: Sequence[str]) -> None:
        self.stream.close()
        rows = list({r.key: r for r in _read_all(self.path)}.values())
        order = {key: i for i, key in enumerate(keys)}
        rows.sort(key=lambda r: order.get(r.key, len(order)))
        self._rewrite(rows).close()
        for name in self.names:
            if name in _TABLES:
                head = exports.csv_header() if name == "csv" else ""
                _replace(self.out / _TABLE_FILE[name], head + "".join(map(_TABLES[name], rows)))
        kept = f", {len(self.done)} kept" if self.done else ""
        print(f"hearken: {self.made} new rows{kept}: {self.path}", file=sys.stderr)

    def __exit__(self, *exc: object) -> None:
        self.stream.close()


def _read_all(path: Path) -> list[Record]:
    from pydantic import ValidationError

    from hearken.app.record import Record

    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(Record.model_validate_json(line))
        except ValidationError:  # a line cut by a crash: its clip is heard again
            continue
    return rows


def _read_done(path: Path) -> dict[str, Record]:
    """The rows that need no second hearing; those with an error are tried again."""
    return {r.key: r for r in _read_all(path) if r.error is None}


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
