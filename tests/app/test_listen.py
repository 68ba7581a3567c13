from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hearken import media
from hearken.app import listen
from hearken.app.cli import main
from hearken.app.record import Record
from hearken.errors import HearkenError
from hearken.nouns import DIMENSIONS, Audio


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def many(tmp_path: Path, speechlike: Audio) -> list[str]:
    """Seven good clips, in order of level, with three bad ones between."""
    names = []
    for i in range(7):
        path = tmp_path / f"clip{i}.wav"
        media.write_audio(path, speechlike[:16000] * np.float32(0.1 + 0.1 * i))
        names.append(str(path))
    (tmp_path / "text.wav").write_text("this is not sound")
    (tmp_path / "empty.wav").write_bytes(b"")
    names.insert(2, str(tmp_path / "text.wav"))
    names.insert(5, str(tmp_path / "empty.wav"))
    names.insert(0, str(tmp_path / "gone.wav"))
    return names


def test_one_row_for_each_input_in_order(
    ear: Any, many: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", *many, "--batch-size", "3"]) == 3
    found = rows(capsys)
    assert [r["path"] for r in found] == many
    assert [r["error"] is None for r in found] == [not Path(n).stem.isalpha() for n in many]
    assert ear.batches == [3, 3, 1]
    good = [r["scores"]["overall"]["value"] for r in found if r["error"] is None]
    assert good == sorted(good, reverse=True)  # louder is worse: each row has its own clip's score


@pytest.mark.parametrize("workers", ["0", "1", "5"])
def test_the_number_of_decoders_changes_nothing(
    ear: Any, many: list[str], capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    main(["listen", *many, "--num-workers", workers])
    assert [r["path"] for r in rows(capsys)] == many


def test_a_record_says_all_that_is_promised(
    ear: Any, wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", str(wav), "--seed", "4"]) == 0
    (row,) = rows(capsys)
    Record.model_validate(row)
    assert row["key"] == "a"
    assert row["duration"] == 3.0
    assert row["sr_in"] == 16000
    assert len(row["sha256"]) == 64
    assert tuple(row["scores"]) == DIMENSIONS
    assert row["scores"]["speed"]["higher_is_better"] is None
    overall = row["scores"]["overall"]
    assert 1 <= overall["lo"] <= overall["value"] <= overall["hi"] <= 5
    assert overall["scale"] == [1, 5]
    assert row["faults"][0] == {
        "start": 0.0,
        "end": 3.0,
        "type": "background_noise",
        "dimension": "noise",
        "severity": 4,
        "detail": "rain",
        "confidence": 0.9,
    }
    assert row["model"]["id"] == "fake-critic"
    assert row["decode"] == {"strategy": "greedy", "seed": 4, "window_s": 5.0}


def test_nothing_heavy_is_loaded_for_a_bad_file(tmp_path: Path) -> None:
    def load(options: listen.Options) -> Any:
        raise AssertionError("the critic was loaded for nothing")

    (tmp_path / "text.wav").write_text("not sound")
    options = listen.Options(inputs=(str(tmp_path / "text.wav"), str(tmp_path / "gone.wav")))
    assert listen.run(options, load) == 3


def test_an_answer_that_cannot_be_read_is_a_row(
    ear: Any, tmp_path: Path, speechlike: Audio, capsys: pytest.CaptureFixture[str]
) -> None:
    loud = speechlike.copy()
    loud[0] = 1.0
    media.write_audio(tmp_path / "loud.flac", loud)
    media.write_audio(tmp_path / "quiet.flac", speechlike)
    assert main(["listen", str(tmp_path)]) == 3
    bad, good = rows(capsys)
    assert "line 1" in bad["error"]
    assert bad["raw"] == "noise: seven"
    assert bad["duration"] == 3.0
    assert good["error"] is None


def test_a_batch_that_fails_is_asked_one_by_one(
    ear: Any, many: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = ear.listen

    def fails_together(clips: Any, **options: Any) -> Any:
        if len(clips) > 1:
            raise HearkenError("too many")
        return alone(clips)

    monkeypatch.setattr(ear, "listen", fails_together)
    main(["listen", *many])
    assert sum(r["error"] is None for r in rows(capsys)) == 7


def test_warnings_name_what_is_unsure(
    ear: Any, tmp_path: Path, speechlike: Audio, capsys: pytest.CaptureFixture[str]
) -> None:
    media.write_audio(tmp_path / "short.wav", speechlike[:8000])
    media.write_audio(tmp_path / "long.wav", np.tile(speechlike, 3))
    narrow = media.resample(speechlike, 16000, 8000)
    media.write_audio(tmp_path / "narrow.wav", narrow, 8000)
    main(["listen", str(tmp_path)])
    found = {r["key"]: " ".join(r["warnings"]) for r in rows(capsys)}
    assert "short" in found["short"]
    assert "windows of 5 s" in found["long"]
    assert "narrow band" in found["narrow"]
    assert "short" not in found["long"]


@pytest.fixture
def holed(tmp_path: Path, speechlike: Audio) -> str:
    """Half a second to 1.5 s of steady noise is silence; the fake critic names 0.5-2.1 s."""
    x = 0.05 * np.random.default_rng(0).standard_normal(48000).astype(np.float32)
    x[8000:32000] = 0.0
    media.write_audio(tmp_path / "holed.wav", x)
    return str(tmp_path / "holed.wav")


@pytest.mark.parametrize("flags", [["--verify"], ["--verify=full"], ["--verify", "signal"]])
def test_a_checked_record_says_what_bears_out_each_fault(
    ear: Any, holed: str, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    assert main(["listen", *flags, holed]) == 0
    (row,) = rows(capsys)
    Record.model_validate(row)
    assert row["decode"]["verify"] == ("full" if "=full" in flags[0] else "signal")
    assert {f["type"]: f["verified"] for f in row["faults"]} == {
        "background_noise": "signal",
        "dropout": "signal",
    }
    assert row["dropped"] == []


def test_what_is_dropped_is_not_lost(
    ear: Any, wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", str(wav), "--verify=signal"]) == 0
    (row,) = rows(capsys)
    found = Record.model_validate(row)
    assert [(f.type, f.verified) for f in found.faults] == [("background_noise", "abstained")]
    assert [(d["type"], d["start"], d["reason"]) for d in row["dropped"]] == [
        ("dropout", 0.5, "signal")
    ]
    assert ear.scored == 0
    main(["listen", str(wav), "--verify=signal", "-f", "text"])
    assert "dropped  0.5-2.1 s  dropout (severity 3): signal" in capsys.readouterr().out


def test_without_verify_a_record_says_nothing_of_it(
    ear: Any, holed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["listen", holed])
    (row,) = rows(capsys)
    assert "dropped" not in row
    assert all("verified" not in f for f in row["faults"])
    assert "verify" not in row["decode"]


def test_verify_leaves_bad_rows_in_their_place(
    ear: Any, many: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", "--verify", *many]) == 3
    found = rows(capsys)
    assert [r["path"] for r in found] == many
    assert ["dropped" in r for r in found] == [not Path(n).stem.isalpha() for n in many]


def test_verify_takes_no_other_depth(ear: Any, wav: Path) -> None:
    with pytest.raises(SystemExit) as error:
        main(["listen", str(wav), "--verify=deep"])
    assert error.value.code == 2
    assert ear.batches == []


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--min-overall", "1"], 0),
        (["--min-overall", "5"], 1),
        (["--min", "noise=5"], 1),
        (["--min", "tone=5"], 2),
    ],
)
def test_the_gate(
    ear: Any, wav: Path, flags: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", str(wav), *flags]) == code
    told = capsys.readouterr()
    if code == 1:
        assert str(wav) in told.err
        assert len(told.out.splitlines()) == 1


def test_all_formats_land_in_the_folder(ear: Any, many: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["listen", *many[1:4], "-f", "all", "-o", str(out)]) == 3
    names = {p.name for p in out.iterdir()}
    assert names == {
        "records.jsonl",
        "records.csv",
        "records.txt",
        *(f"clip{i}{s}" for i in (0, 1) for s in (".labels.txt", ".TextGrid", ".vtt", ".html")),
    }
    assert len(list(csv.DictReader((out / "records.csv").open()))) == 3


@pytest.mark.parametrize("name", ["csv", "text", "audacity", "textgrid", "vtt", "html"])
def test_one_format_fits_on_standard_output(
    ear: Any, wav: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", str(wav), "-f", name]) == 0
    assert "rain" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags",
    [["-f", "wav"], ["-f", "csv", "-f", "text"], ["--resume"], ["--batch-size", "0"]],
)
def test_wrong_calls_end_before_anything_is_heard(ear: Any, wav: Path, flags: list[str]) -> None:
    assert main(["listen", str(wav), *flags]) == 2
    assert ear.batches == []


def test_a_file_a_clip_needs_a_folder(ear: Any, many: list[str]) -> None:
    assert main(["listen", *many, "-f", "vtt"]) == 2


def test_resume_hears_only_what_is_missing(ear: Any, many: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["listen", *many[:6], "-o", str(out)]) == 3
    assert main(["listen", *many, "-o", str(out)]) == 2  # refused without a word about it
    ear.batches.clear()
    log = out / "records.jsonl"
    whole = log.read_text()
    log.write_text(whole + '{"schema_version": "1.0", "key": "cut by a cra')
    Path(many[1]).unlink()  # heard already: need not be there
    assert main(["listen", *many, "-o", str(out), "--resume"]) == 3
    assert ear.batches == [3]
    found = [json.loads(line) for line in log.read_text().splitlines()]
    assert [r["path"] for r in found] == many
    assert len({r["key"] for r in found}) == len(many)


def test_resume_refuses_another_critic(ear: Any, many: list[str], tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    main(["listen", many[1], "-o", out])
    ear.revision = "other"
    assert main(["listen", *many[1:3], many[4], "-o", out, "--resume"]) == 2


def test_the_same_call_gives_the_same_bytes(ear: Any, many: list[str], tmp_path: Path) -> None:
    for name in ("x", "y"):
        main(["listen", *many, "-f", "all", "-o", str(tmp_path / name)])
    for path in (tmp_path / "x").iterdir():
        assert path.read_bytes() == (tmp_path / "y" / path.name).read_bytes()


def test_bytes_through_standard_input(
    ear: Any, wav: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Pipe:
        buffer = wav.open("rb")

    monkeypatch.setattr(sys, "stdin", Pipe)
    assert main(["listen", "-"]) == 0
    (row,) = rows(capsys)
    assert (row["key"], row["path"], row["duration"]) == ("stdin", "-", 3.0)


def test_a_reference_adds_metrics(
    ear: Any, wav: Path, tmp_path: Path, speechlike: Audio, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(len(speechlike)).astype(np.float32)
    clean = tmp_path / "clean"
    clean.mkdir()
    media.write_audio(clean / "a.flac", np.clip(speechlike + 1e-3 * noise, -1, 1))
    assert main(["listen", str(wav), "--ref", str(clean)]) == 0
    (row,) = rows(capsys)
    assert row["metrics"]["si_sdr_db"] > 20
    assert main(["listen", str(wav), "--ref", str(tmp_path / "none")]) == 2


def test_a_limit_is_named_and_can_be_moved(
    ear: Any, wav: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["listen", str(wav), "--max-seconds", "0.5"]) == 3
    assert "--max-seconds" in rows(capsys)[0]["error"]
    assert main(["listen", str(wav), "--max-seconds", "60"]) == 0
