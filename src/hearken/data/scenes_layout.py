"""The file layout of scene folders: which folders, which json, which names. Used by `scenes`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hearken.errors import ManifestError
from hearken.nouns import Interferer, Scene

__all__ = ["GENERATIONS", "Finding", "Found", "extras", "names_in", "to_scene", "walk"]

GENERATIONS = (
    ("_mono_mix.wav", "_target_mono.wav", "_interferer_mono.wav"),
    ("_mix.wav", "_target.wav", "_interferer.wav"),
    ("_mixed.wav", "_target.wav", "_interferer.wav"),
)
"""Endings of (mix, target, interferer): AVSEC-4 mono, AVSEC-4 binaural, AVSEC-1 to 3."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Finding:
    """One thing `check` found. `level` is "error" (unusable) or "warning" (look at it)."""

    level: str
    where: str
    message: str


@dataclass(frozen=True)
class Found:
    """A scene folder, the json that lists it (None where there is none) and its entries."""

    folder: Path
    listing: Path | None
    entries: list[Any]


def walk(root: Path, findings: list[Finding] | None = None) -> list[Found]:
    """Scene folders of a root, each with its listing. Bad json: raise, or a finding if asked."""
    if not root.is_dir():
        raise ManifestError(f"{root}: not a folder")
    folders = [root, root / "scenes", *sorted(p / "scenes" for p in root.iterdir() if p.is_dir())]
    result: list[Found] = []
    for folder in dict.fromkeys(folders):
        if not folder.is_dir():
            continue
        listing = _listing(folder)
        if listing is None and not names_in(folder):
            continue
        try:
            entries = _load_json(listing) if listing else []
        except ManifestError as error:
            if findings is None:
                raise
            findings.append(Finding("error", str(listing), str(error)))
            entries = []
        result.append(Found(folder, listing, entries))
    return result


def _listing(folder: Path) -> Path | None:
    """The json of a scene folder: scenes.json beside it, or scenes.<split>.json above that."""
    if folder.name != "scenes":
        beside = folder / "scenes.json"
        return beside if beside.is_file() and not (folder / "scenes").is_dir() else None
    split, above = folder.parent.name, folder.parent.parent
    options = [folder.parent / "scenes.json", folder.parent / f"scenes.{split}.json"]
    options += [d / f"scenes.{split}.json" for d in (above, above / "metadata")]
    options += sorted(folder.parent.glob("scenes.*.json"))  # ROOT/scenes + ROOT/scenes.dev.json
    return next((p for p in options if p.is_file()), None)


def _load_json(path: Path) -> list[Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ManifestError(f"{path}: not readable as json: {error}") from error
    if not isinstance(data, list):
        raise ManifestError(f"{path}: a list of scenes is expected, found {type(data).__name__}")
    return data


def names_in(folder: Path) -> set[str]:
    """Names of the scenes that have a mix in `folder`, of any generation."""
    endings = tuple(dict.fromkeys(g[0] for g in GENERATIONS))
    names = {
        p.name.removesuffix(end)
        for p in folder.iterdir()
        for end in endings
        if p.name.endswith(end)
    }
    # "S00001_mono_mix.wav" also ends in "_mix.wav": S00001_mono is not a scene.
    return {n for n in names if not (n.endswith("_mono") and n.removesuffix("_mono") in names)}


def to_scene(folder: Path, entry: Any, where: str) -> Scene:
    """A json entry, or {"scene": name}, as a Scene with the files that are there.

    Raises:
        ManifestError: a field of another type, or a scene name that is not one plain file name
            (it could leave its folder).
    """
    if not isinstance(entry, dict) or "scene" not in entry:
        raise ManifestError(f"{where}: no field 'scene'")
    name = entry["scene"]
    if not isinstance(name, str) or not _SAFE_NAME.fullmatch(name):
        raise ManifestError(f"{where}: scene {name!r} is not a plain name: it leaves its folder")
    generation = next(
        (g for g in GENERATIONS if (folder / f"{name}{g[0]}").is_file()), GENERATIONS[0]
    )
    paths = [(folder / f"{name}{end}").absolute() for end in (*generation, "_silent.mp4")]
    there = [str(p) if p.is_file() else None for p in paths]
    target = entry.get("target")
    try:
        return Scene(
            scene=name,
            dataset=str(entry.get("dataset", "")),
            duration=int(entry.get("duration", 0)),
            snr_db=float(entry.get("SNR", "nan")),
            target=str(target.get("name", "")) if isinstance(target, dict) else "",
            interferers=tuple(_interferer(i) for i in entry.get("interferers") or ()),
            mix=str(paths[0]),
            reference=there[1],
            interferer_audio=there[2],
            video=there[3],
            room=str(entry.get("room", "")),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"{where}: scene {name}: {error}") from error


def _interferer(fields: Mapping[str, Any]) -> Interferer:
    return Interferer(
        type=str(fields.get("type", "noise")),
        name=str(fields.get("name", "")),
        time_start=int(fields.get("time_start", 0)),
        time_end=int(fields.get("time_end", 0)),
        offset=int(fields.get("offset", 0) or 0),
        position=int(fields.get("position", 0) or 0),
    )


def extras(folder: Path) -> dict[str, dict[str, Any]]:
    """The json entries of a scene folder by name; read once for each state of the file."""
    listing = _listing(folder)
    return _extras_of(listing, listing.stat().st_mtime_ns) if listing else {}


@lru_cache(maxsize=8)
def _extras_of(listing: Path, mtime_ns: int) -> dict[str, dict[str, Any]]:
    try:
        rows = _load_json(listing)
    except ManifestError:
        return {}
    return {r["scene"]: r for r in rows if isinstance(r, dict) and "scene" in r}
