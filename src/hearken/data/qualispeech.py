"""QualiSpeech's csv files: human scores and words for each clip (arXiv 2503.20290).

The published files have an `id` column and headers for people ("Listening effort"); copies
have them in snake case. Headers are therefore read without regard to case, spaces,
underscores and hyphens. A missing column is an error, never a guess.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hearken.errors import ManifestError
from hearken.nouns import DIMENSIONS

__all__ = ["COLUMNS", "Rated", "read"]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "file", "filename", "wav"),
    "noise": ("backgroundnoise", "noise"),
    "distortion": ("distortion",),
    "speed": ("speed", "speakingspeed"),
    "continuity": ("continuity",),
    "naturalness": ("naturalness",),
    "listening_effort": ("listeningeffort",),
    "overall": ("overallquality", "overall", "mos"),
    "voice": ("feelingofvoice", "voicefeeling", "feelingofthevoice"),
    "noise_text": ("noisedescription", "noisedescriptionandtime", "descriptionofnoise"),
    "distortion_text": ("distortiondescription", "descriptionofdistortion"),
    "pause_text": ("unnaturalpause", "unnaturalpauses", "pausedescription"),
    "words": ("naturallanguagedescription", "description", "naturallanguage"),
}
"""What we call it -> its headers, lower case, letters and digits only."""

_SUFFIXES = ("", ".wav", ".flac")


@dataclass(frozen=True)
class Rated:
    """One clip as people rated it.

    Attributes:
        path: absolute path of the audio.
        scores: the seven dimensions, 1-5.
        words: the description in natural language.
        voice, noise_text, distortion_text, pause_text: the free answers, "" for none.
    """

    path: Path
    scores: Mapping[str, float]
    words: str
    voice: str = ""
    noise_text: str = ""
    distortion_text: str = ""
    pause_text: str = ""


def read(csv_path: Path, audio_root: Path) -> list[Rated]:
    """Every row of a QualiSpeech csv file.

    Args:
        csv_path: train.csv, val.csv or test.csv.
        audio_root: folder that the ids are relative to. An id may lack its suffix; a clip
            that is not there is listed all the same, as the wav that it should be.

    Raises:
        ManifestError: an unreadable file, a missing column, a score that is not 1-5, or an
            id that leads out of `audio_root`; names the line.
    """
    try:
        with Path(csv_path).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            names = _headers(list(rows.fieldnames or []), csv_path)
            root = Path(audio_root).resolve()
            return [_rated(row, names, root, csv_path, n) for n, row in enumerate(rows, 2)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{csv_path}: not a readable csv file ({error})") from error


def _headers(found: list[str], path: Path) -> dict[str, str]:
    """Our name -> the header that the file has for it."""
    plain = {re.sub(r"[^a-z0-9]", "", header.lower()): header for header in found}
    names, missing = {}, []
    for name, spellings in COLUMNS.items():
        hits = [plain[s] for s in spellings if s in plain]
        if hits:
            names[name] = hits[0]
        else:
            missing.append(name)
    if missing:
        raise ManifestError(f"{path}: no column for {', '.join(missing)}; it has {found}")
    return names


def _rated(
    row: Mapping[str, str | None], names: Mapping[str, str], root: Path, path: Path, line: int
) -> Rated:
    cell = {name: (row.get(header) or "").strip() for name, header in names.items()}
    scores = {}
    for name in DIMENSIONS:
        try:
            scores[name] = float(cell[name])
        except ValueError:
            scores[name] = float("nan")
        if not 1.0 <= scores[name] <= 5.0:
            raise ManifestError(f"{path}, line {line}: {names[name]} is {cell[name]!r}, not 1-5")
    places = [(root / (cell["id"] + suffix)).resolve() for suffix in _SUFFIXES]
    if not cell["id"] or not places[0].is_relative_to(root) or places[0] == root:
        raise ManifestError(f"{path}, line {line}: id {cell['id']!r} is not inside {root}")
    fallback = places[0] if places[0].suffix else places[1]
    audio = next((p for p in places if p.is_file()), fallback)
    return Rated(
        audio,
        scores,
        cell["words"],
        cell["voice"],
        cell["noise_text"],
        cell["distortion_text"],
        cell["pause_text"],
    )
