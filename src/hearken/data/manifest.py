"""The list of a data folder, and which of its recordings are for training.

`manifest.csv` in the root: path, kind (speech | noise | rir | av), speaker_or_class, source,
seconds. The split is by talker, noise recording and room, by a hash of their names, so it is
the same everywhere and for ever, and no clip made later can leak across it.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hearken.errors import ManifestError

__all__ = ["KINDS", "Entry", "Split", "films", "read", "split", "unit_hash"]

KINDS = ("speech", "noise", "rir", "av")

COLUMNS = ("path", "kind", "speaker_or_class", "source", "seconds")

_VOICES = ("speech", "av")
_NO_TALKER_IDS = "PV-"  # many talkers under one name: could be anyone, so training only
_HELD_OUT_TALKERS = ("LJ", "VCTK-")
_KNOWN_FACE = "GRID-s1"
_KNOWN_FACE_HELD_OUT = 0.08
_NOISE_HELD_OUT = 0.2
_TAKE = re.compile(r"-[A-Z]$")  # ESC-10: takes A, B, C are cut from one recording
_ROOM_VARIANT = re.compile(r"(-true-stereo|-leveled)+$")  # one measurement, stored twice


@dataclass(frozen=True)
class Entry:
    """One file.

    Attributes:
        path: absolute, inside the data folder.
        kind: one of `KINDS`.
        group: the talker, noise class or room.
        source: the collection that it comes from.
        seconds: its length.
    """

    path: Path
    kind: str
    group: str
    source: str
    seconds: float


@dataclass(frozen=True)
class Split:
    """Training and validation entries; no noise recording or room is in both.

    One talker is: the known face, other clips of whom validate.
    """

    train: tuple[Entry, ...]
    valid: tuple[Entry, ...]

    @property
    def strangers(self) -> tuple[Entry, ...]:
        """`valid` without the voices that are heard in `train`."""
        known = {e.group for e in self.train if e.kind in _VOICES}
        return tuple(e for e in self.valid if e.kind not in _VOICES or e.group not in known)


def read(path: Path) -> list[Entry]:
    """The entries of a manifest (or of the folder that it lies in), in its own order.

    Raises:
        ManifestError: no such file, a missing column, an unknown kind, a length that is no
            number, or a path that leads out of the folder; names file and line.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [c for c in COLUMNS if c not in (rows.fieldnames or [])]
            if missing:
                raise ManifestError(f"{path}: no column {', '.join(missing)} in the header")
            root = path.parent.resolve()
            return [_entry(row, root, f"{path}, line {n}") for n, row in enumerate(rows, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: not a readable manifest ({error})") from error


def films(folder: Path) -> tuple[Entry, ...]:
    """The videos of a folder without a manifest, each of one clean talker, in order of name.

    A talker's name is the file name up to its last hyphen. Their length is not looked at.

    Raises:
        ManifestError: no .mp4 in it.
    """
    found = sorted(folder.glob("*.mp4"))
    if not found:
        raise ManifestError(f"{folder}: no .mp4 in it")
    return tuple(
        Entry(path.resolve(), "av", path.stem.rpartition("-")[0] or path.stem, folder.name, 0.0)
        for path in found
    )


def _entry(row: dict[str, str | None], root: Path, where: str) -> Entry:
    cells = {c: (row.get(c) or "").strip() for c in COLUMNS}
    file = (root / cells["path"]).resolve()
    if not cells["path"] or not file.is_relative_to(root) or file == root:
        raise ManifestError(f"{where}: path {cells['path']!r} is not inside {root}")
    if cells["kind"] not in KINDS:
        raise ManifestError(f"{where}: kind {cells['kind']!r} is none of {', '.join(KINDS)}")
    if not cells["speaker_or_class"]:
        raise ManifestError(f"{where}: speaker_or_class is empty")
    try:
        seconds = float(cells["seconds"])
    except ValueError:
        raise ManifestError(f"{where}: seconds {cells['seconds']!r} is no number") from None
    if not 0.0 < seconds < float("inf"):
        raise ManifestError(f"{where}: seconds {cells['seconds']!r} is no length of time")
    return Entry(file, cells["kind"], cells["speaker_or_class"], cells["source"], seconds)


def split(entries: Iterable[Entry], *, seed: int = 0, held_out: float = 0.1) -> Split:
    """Training and validation parts, by a fixed rule.

    Talkers go by their name, noise by the recording, rooms by theirs; `held_out` is the
    share of LibriSpeech-like talkers. Commands without talker ids always train; LJ and VCTK
    always validate. Of the one talker with many videos 8 % of the clips validate (a known
    face), of every other face all (unseen faces).
    """
    train: list[Entry] = []
    valid: list[Entry] = []
    for entry in entries:
        (valid if _held_out(entry, seed, held_out) else train).append(entry)
    return Split(tuple(train), tuple(valid))


def _held_out(entry: Entry, seed: int, share: float) -> bool:
    if entry.kind == "speech":
        if entry.group.startswith(_NO_TALKER_IDS):
            return False
        if entry.group.startswith(_HELD_OUT_TALKERS):
            return True
        return unit_hash(entry.group, seed) < share
    if entry.kind == "noise":
        recording = _TAKE.sub("", entry.path.stem)
        return unit_hash(f"{entry.group}/{recording}", seed) < _NOISE_HELD_OUT
    if entry.kind == "rir":
        return unit_hash(_ROOM_VARIANT.sub("", entry.group), seed) < _NOISE_HELD_OUT
    return entry.group != _KNOWN_FACE or unit_hash(entry.path.stem, seed) < _KNOWN_FACE_HELD_OUT


def unit_hash(name: str, seed: int = 0) -> float:
    """A number in [0, 1) that depends on the name and the seed only, on every machine.

    >>> 0.0 <= unit_hash("LS-103") < 1.0
    True
    """
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
