"""QualiSpeech's csv layout, under the headers that are in use."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from hearken.data.qualispeech import read
from hearken.errors import ManifestError
from hearken.nouns import DIMENSIONS

FEATURES = ("Naturalness", "Background noise", "Distortion", "Listening effort", "Continuity")
TEXTS = ("Feeling of voice", "Noise description", "Distortion description", "Unnatural pause")
PUBLISHED = ["id", "Speed", *FEATURES, "Overall quality", *TEXTS, "Natural language description"]
SNAKE = [header.lower().replace(" ", "_") for header in PUBLISHED]
ROW = ["clip one", "3", "4", "2", "5", "3", "4", "3.5", "warm", "rain, 0-2 s", "", "none", "Wet."]


def written(folder: Path, head: list[str], *rows: list[str]) -> Path:
    path = folder / "val.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([head, *rows])
    return path


@pytest.mark.parametrize("head", [PUBLISHED, SNAKE, [h.upper() for h in PUBLISHED]])
def test_headers_of_both_kinds(tmp_path: Path, head: list[str]) -> None:
    (tmp_path / "clip one.wav").touch()
    (rated,) = read(written(tmp_path, head, ROW), tmp_path)
    assert set(rated.scores) == set(DIMENSIONS)
    assert rated.scores["noise"] == 2.0
    assert rated.scores["overall"] == 3.5
    assert rated.path == tmp_path / "clip one.wav"
    assert (rated.voice, rated.noise_text, rated.words) == ("warm", "rain, 0-2 s", "Wet.")


def test_column_order_does_not_matter(tmp_path: Path) -> None:
    pairs = sorted(zip(SNAKE, ROW, strict=True), reverse=True)
    path = written(tmp_path, [a for a, _ in pairs], [b for _, b in pairs])
    assert read(path, tmp_path)[0].scores["noise"] == 2.0


@pytest.mark.parametrize("lost", ["Background noise", "Listening effort", "id"])
def test_a_missing_column_is_named(tmp_path: Path, lost: str) -> None:
    k = PUBLISHED.index(lost)
    head, row = PUBLISHED[:k] + PUBLISHED[k + 1 :], ROW[:k] + ROW[k + 1 :]
    name = {"Background noise": "noise", "Listening effort": "listening_effort"}.get(lost, lost)
    with pytest.raises(ManifestError, match=f"no column for {name};"):
        read(written(tmp_path, head, row), tmp_path)


@pytest.mark.parametrize("value", ["", "6", "0", "good", "nan"])
def test_a_score_off_the_scale_names_its_line(tmp_path: Path, value: str) -> None:
    bad = [*ROW]
    bad[3] = value
    with pytest.raises(ManifestError, match="line 3: Background noise"):
        read(written(tmp_path, PUBLISHED, ROW, bad), tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", ""])
def test_an_id_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ManifestError, match="not inside"):
        read(written(tmp_path, PUBLISHED, [name, *ROW[1:]]), tmp_path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"none\.csv"):
        read(tmp_path / "none.csv", tmp_path)
