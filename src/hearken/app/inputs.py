"""What the user named on the command line -> one `Input` for each clip, in order.

Files, folders (walked), globs, lists (.scp, .jsonl, .csv) and `-` (a list, or the bytes of one
clip, on standard input). Nothing is dropped: a name that leads nowhere is an `Input` with an
`error`, so that N inputs give N rows. Only the standard library is imported here: a wrong name
is answered at once.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from hearken.errors import ManifestError, UsageError

__all__ = ["LIST_SUFFIXES", "MEDIA_SUFFIXES", "Input", "expand", "file_name"]

AUDIO_SUFFIXES = frozenset(
    (
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".m4a",
        ".aac",
        ".aif",
        ".aiff",
        ".au",
        ".caf",
        ".wma",
        ".amr",
        ".gsm",
        ".w64",
    )
)
VIDEO_SUFFIXES = frozenset(
    (
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".flv",
        ".wmv",
        ".ts",
        ".3gp",
    )
)
MEDIA_SUFFIXES = AUDIO_SUFFIXES | VIDEO_SUFFIXES
LIST_SUFFIXES = frozenset({".scp", ".jsonl", ".csv"})

_PATH_NAMES = ("path", "file", "audio", "wav", "filepath", "audio_filepath", "filename")
_KEY_NAMES = ("key", "id", "utt", "utt_id")
_LIST_BYTES_MAX = 256 * 2**20  # a list, not a recording: 256 MiB holds millions of lines


@dataclass(frozen=True)
class Input:
    """One thing to hear or to clean.

    Attributes:
        key: names the row; unique within one call.
        path: as the user wrote it, for the record.
        folder: the sub-folder below a folder input, "" otherwise; outputs mirror it.
        data: the clip's own bytes, where it came through standard input.
        error: why there is nothing to open; None where the file is there.
    """

    key: str
    path: str
    folder: str = ""
    data: bytes | None = None
    error: str | None = None

    @property
    def stem(self) -> str:
        """The file's name without its suffix; "stdin" for bytes."""
        return Path(self.path).stem if self.data is None else "stdin"


def expand(
    names: Sequence[str], *, root: str | None = None, stdin: BinaryIO | None = None
) -> list[Input]:
    """Every clip that `names` lead to, in order, with unique keys.

    Args:
        names: files, folders, globs, lists, "-".
        root: paths inside a list must lie under this folder; None for the list's own folder.
        stdin: where "-" is read from; `sys.stdin.buffer` by default.

    Raises:
        UsageError: there is no name at all, or "-" comes twice.
        ManifestError: a list that cannot be read as one.
    """
    if not names:
        raise UsageError("no input: name a file, a folder, a glob, a list, or - for standard input")
    if list(names).count("-") > 1:
        raise UsageError("'-' was given twice: standard input can be read only once")
    found: list[Input] = []
    for name in names:
        found.extend(_expand_one(name, root, stdin))
    return _unique([_proved(item) for item in found])


def _expand_one(name: str, root: str | None, stdin: BinaryIO | None) -> Iterator[Input]:
    if name == "-":
        yield from _from_stdin(stdin or sys.stdin.buffer, root)
        return
    path = Path(name)  # os.path below: it takes names that no file can have, and says no
    if os.path.isdir(name):
        yield from _walk(path)
    elif path.suffix.lower() in LIST_SUFFIXES and os.path.isfile(name):
        yield from _from_list(path, root)
    elif not os.path.exists(name) and any(c in name for c in "*?[") and "\0" not in name:
        hits = sorted(h for h in glob.glob(name, recursive=True) if os.path.isfile(h))
        yield from (Input("", hit) for hit in hits)
        if not hits:
            yield Input("", name, error=f"{name}: no file matches this pattern")
    else:
        yield Input("", name)


def _walk(folder: Path) -> Iterator[Input]:
    """The audio and video files under a folder, sorted; hidden files are left out."""
    count = 0
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(files):
            if Path(file).suffix.lower() in MEDIA_SUFFIXES and not file.startswith("."):
                count += 1
                below = os.path.relpath(here, folder)
                yield Input("", os.path.join(here, file), folder="" if below == "." else below)
    if not count:
        yield Input("", str(folder), error=f"{folder}: no audio or video file in this folder")


def _from_stdin(stream: BinaryIO, root: str | None) -> Iterator[Input]:
    data = stream.read()
    if not data:
        yield Input("stdin", "-", error="standard input is empty: pipe a list of files or one clip")
        return
    if b"\0" in data[:4096]:  # no text file holds NUL; every sound container does at its start
        yield Input("stdin", "-", data=data)
        return
    lines = _decoded(data, "standard input").splitlines()
    looks_json = next((x for x in lines if x.strip()), "").lstrip().startswith("{")
    base = Path(root) if root is not None else None
    if looks_json:
        yield from _rooted(_json_rows(lines, "standard input"), Path("."), base)
    else:
        yield from _rooted((("", x.strip()) for x in lines if x.strip()), Path("."), base)


def _from_list(path: Path, root: str | None) -> Iterator[Input]:
    if path.stat().st_size > _LIST_BYTES_MAX:
        raise ManifestError(f"{path}: a list over {_LIST_BYTES_MAX >> 20} MiB: split it")
    text = _decoded(path.read_bytes(), str(path))
    lines = text.splitlines()
    rows: Iterable[tuple[str, str]]
    if path.suffix.lower() == ".jsonl":
        rows = _json_rows(lines, str(path))
    elif path.suffix.lower() == ".csv":
        rows = _csv_rows(text, str(path))
    else:
        rows = _scp_rows(lines, str(path))
    found = list(_rooted(rows, path.parent, Path(root) if root is not None else path.parent))
    if not found:
        found = [Input("", str(path), error=f"{path}: the list has no entries")]
    yield from found


def _json_rows(lines: Sequence[str], where: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as e:
            raise ManifestError(f"{where}, line {number}: not JSON ({e})") from None
        if isinstance(row, str):
            row = {"path": row}
        name = _pick(row, _PATH_NAMES) if isinstance(row, dict) else None
        if not name:
            wanted = ", ".join(_PATH_NAMES)
            raise ManifestError(f"{where}, line {number}: no path; one of these keys: {wanted}")
        yield _pick(row, _KEY_NAMES) or "", name


def _csv_rows(text: str, where: str) -> Iterator[tuple[str, str]]:
    reader = csv.DictReader(io.StringIO(text))
    reader.fieldnames = [f.strip().lower() for f in reader.fieldnames or []]
    if not set(reader.fieldnames) & set(_PATH_NAMES):
        wanted = ", ".join(_PATH_NAMES)
        raise ManifestError(f"{where}: no column with the path; name it one of: {wanted}")
    for row in reader:
        yield _pick(row, _KEY_NAMES) or "", _pick(row, _PATH_NAMES) or ""


def _scp_rows(lines: Sequence[str], where: str) -> Iterator[tuple[str, str]]:
    """Kaldi's `key path` lines. A path that is a command (ends in |) is refused: no shell here."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        key, _, name = line.strip().partition(" ")
        name = name.strip()
        if not name:
            raise ManifestError(f"{where}, line {number}: expected 'key path', found {line!r}")
        if name.endswith("|"):
            raise ManifestError(f"{where}, line {number}: commands are never run; write a path")
        yield key, name


def _rooted(rows: Iterable[tuple[str, str]], base: Path, root: Path | None) -> Iterator[Input]:
    """Resolve listed paths from `base`; one that leaves `root` becomes an error row."""
    for key, name in rows:
        full = base / name
        if root is not None and not full.resolve().is_relative_to(root.resolve()):
            why = f"{name}: outside {root.resolve()}; allow it with --root {full.resolve().parent}"
            yield Input(key, str(full), error=why)
        elif not name:
            yield Input(key, "", error="a row without a path")
        else:
            yield Input(key, str(full))


def _pick(row: dict[str, object], names: Sequence[str]) -> str | None:
    return next((str(row[n]) for n in names if row.get(n) not in (None, "")), None)


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise ManifestError(f"{where}: not UTF-8 text (byte {e.start})") from None


def _proved(item: Input) -> Input:
    """What can be known of a file with no decoder: it is there, it is a file, it is not empty."""
    if item.error is not None or item.data is not None:
        return item
    try:
        path = Path(item.path)
        if path.is_dir():
            why = f"{item.path}: a folder, not a file"
        elif not path.exists():
            why = f"{item.path}: no such file"
        elif not path.is_file():
            why = f"{item.path}: not a regular file"
        elif path.stat().st_size == 0:
            why = f"{item.path}: the file is empty"
        elif not os.access(path, os.R_OK):
            why = f"{item.path}: no permission to read it"
        else:
            return item
    except (OSError, ValueError) as e:  # a name too long, or with a NUL in it
        why = f"{item.path[:200]!r}: {getattr(e, 'strerror', None) or e}"
    return replace(item, error=why)


def _unique(items: list[Input]) -> list[Input]:
    """Keys: the list's own, else the stem, else (two of a stem) the path, then path#2, ..."""
    stems: dict[str, int] = {}
    for item in items:
        if not item.key:
            stems[item.stem] = stems.get(item.stem, 0) + 1
    taken: set[str] = set()
    out: list[Input] = []
    for item in items:
        plain = item.key or (item.stem if stems[item.stem] == 1 else Path(item.path).as_posix())
        plain = plain.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        key, n = plain, 1
        while key in taken:
            n += 1
            key = f"{plain}#{n}"
        taken.add(key)
        out.append(replace(item, key=key))
    return out


def file_name(key: str) -> str:
    """A key as a file name that is legal everywhere and cannot leave its folder.

    A key that had to be changed ends with a short hash, so that two keys never share a file.

    >>> file_name("b c.2"), file_name("../a/b:c")
    ('b c.2', 'a_b_c-e92747')
    """
    safe = "".join(c if c.isalnum() or c in " ._-#+()" else "_" for c in key)
    safe = safe.lstrip("._ ").rstrip(". ")[:180]
    if safe == key and key:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{safe or 'clip'}-{digest}"
