from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from hearken.errors import CheckpointError, UsageError
from hearken.run.track import Run, track


@dataclass(frozen=True)
class Toy:
    seed: int = 7
    """The seed."""


def test_a_run_says_where_its_numbers_come_from(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", Toy(), resume=False) as run:
        run.log(0, {"loss/total": 1.5}, note="x")
        run.log(1, {"loss/total": float("nan")})
    assert (run.folder / "config.yaml").read_text() == "seed: 7\n"
    facts = json.loads((run.folder / "provenance.json").read_text())
    assert facts["seed"] == 7
    assert facts["versions"]["torch"].startswith("2.")
    assert run.history() == [
        {"step": 0, "loss/total": 1.5, "note": "x"},
        {"step": 1, "loss/total": None},
    ]


def test_an_existing_run_is_refused_without_resume(tmp_path: Path) -> None:
    Run.open(tmp_path, Toy(), resume=False).log(3, a=1)
    with pytest.raises(CheckpointError, match="--resume"):
        Run.open(tmp_path, Toy(), resume=False)
    again = Run.open(tmp_path, Toy(), resume=True)
    again.rewind(3)
    assert again.history() == []
    with pytest.raises(UsageError, match="--out"):
        Run.open(Path(), Toy(), resume=False)


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    Run.open(tmp_path / "run", Toy(), resume=False, main=False).log(0, a=1)
    assert not (tmp_path / "run").exists()


def test_one_ctrl_c_stops_after_the_step_and_two_at_once(tmp_path: Path) -> None:
    seen = []
    with Run.open(tmp_path, Toy(), resume=False) as run:
        for step in run.progress(10):
            seen.append(step)
            if step == 2:
                os.kill(os.getpid(), signal.SIGINT)
        assert seen == [0, 1, 2]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_track_is_silent_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(3), label="files")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
