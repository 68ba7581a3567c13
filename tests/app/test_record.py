from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from hearken.app import exports
from hearken.app.failure import Failure
from hearken.app.record import (
    FaultRecord,
    ModelRecord,
    Record,
    ScoreRecord,
    failed,
    schema,
)
from hearken.nouns import DIMENSIONS

PUBLISHED = Path(__file__).parents[2] / "docs" / "record.schema.json"


def record(**changes: object) -> Record:
    score = ScoreRecord(value=2.5, lo=1.5, hi=3.5)
    faults = [
        FaultRecord(start=0.5, end=1.25, type="dropout", dimension="continuity", severity=3),
        FaultRecord(
            start=1.0, end=2.0, type="dropout", dimension="continuity", severity=2, detail='a "b"'
        ),
        FaultRecord(
            start=0, end=3, type="hum", dimension="noise", severity=5, detail="<b>\t50 Hz\n-->"
        ),
    ]
    plain: dict[str, object] = {
        "key": "=cmd|' /C calc'!A0",
        "path": "@evil.wav",
        "duration": 3.0,
        "sr_in": 48000,
        "scores": {d: score for d in DIMENSIONS},
        "text": '+words, "quoted"\nand a second line --> here',
        "faults": faults,
        "model": ModelRecord(id="m"),
        "warnings": ["narrow band"],
    }
    return Record.model_validate(plain | changes)


def test_the_published_schema_is_the_models_own() -> None:
    assert json.loads(PUBLISHED.read_text()) == schema()


def test_probabilities_stand_in_a_line_only_where_there_are_some() -> None:
    assert "probs" not in record().line()
    probs = (0.1, 0.2, 0.3, 0.25, 0.15)
    exact = record(scores={"noise": ScoreRecord(value=3.15, lo=1, hi=5, probs=probs)})
    assert Record.model_validate_json(exact.line()) == exact


def test_a_record_survives_its_line() -> None:
    line = record().line()
    assert "\n" not in line
    assert Record.model_validate_json(line) == record()
    with pytest.raises(ValidationError):
        Record.model_validate({"key": "k", "path": "p", "surprise": 1})


def test_a_name_that_is_not_utf8_still_gives_a_line() -> None:
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    assert json.loads(failed("k", name, f"{name}: no such file").line())["path"] == "caf\ufffd.wav"


def test_the_light_row_is_the_same_row() -> None:
    light = Failure("k\u00e9", "b\udce9.wav", 'no "such" file')
    full = failed(light.key, light.path, light.error)
    assert light.line() == full.line()
    for name in Record.model_fields:
        if name != "path":
            assert getattr(light, name) == getattr(full, name)


def test_csv_has_no_formula_and_one_row() -> None:
    text = exports.csv_header() + exports.csv_row(record())
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 1
    assert rows[0]["key"].startswith("'=")
    assert rows[0]["path"] == "'@evil.wav"
    assert rows[0]["text"].startswith("'+")
    assert rows[0]["overall"] == "2.5"
    assert rows[0]["noise_hi"] == "3.5"
    assert rows[0]["error"] == ""


def test_csv_columns_follow_the_dimensions() -> None:
    assert tuple(c[:-3] for c in exports.CSV_COLUMNS if c.endswith("_lo")) == DIMENSIONS


def test_audacity_is_three_columns_a_line() -> None:
    lines = exports.audacity(record()).splitlines()
    assert len(lines) == 3
    assert lines[0] == "0.500000\t1.250000\tdropout (severity 3)"
    assert all(line.count("\t") == 2 for line in lines)


def test_vtt_cues_are_escaped() -> None:
    text = exports.vtt(record())
    assert text.startswith("WEBVTT\n\n")
    assert "00:00:00.500 --> 00:00:01.250\ndropout (severity 3)\n" in text
    assert "<b>" not in text
    assert text.count("-->") == 3  # one a cue: none from words or details


def test_textgrid_tiles_every_tier() -> None:
    text = exports.textgrid(record())
    assert 'name = "dropout"' in text
    assert 'text = "dropout: a ""b"" (severity 2)"' in text
    tier = text.split('name = "dropout"')[1].split("item [")[0]
    numbers = [float(x.split("=")[1]) for x in tier.splitlines() if "xm" in x][2:]
    assert numbers == [0, 0.5, 0.5, 1.0, 1.0, 2.0, 2.0, 3.0]  # the first dropout is cut at 1.0


def test_textgrid_of_a_clean_clip_is_still_whole() -> None:
    text = exports.textgrid(record(faults=[], text=None))
    assert "size = 1\n" in text
    assert "xmax = 3.000000" in text


def test_text_shows_what_a_person_asks() -> None:
    text = exports.text(record())
    for wanted in ("overall", "2.5", "dropout (severity 3)", "0.5-1.2 s", "narrow band"):
        assert wanted in text
    assert "no such file" in exports.text(failed("k", "x.wav", "x.wav: no such file"))
    assert "\x1b" not in exports.text(record(path="a\x1b[2Jb.wav"))
