from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from hearken import __version__
from hearken.app import cli, docs, stages
from hearken.app.flags import STAGES, parser
from hearken.errors import CheckpointError, InputError, JudgeError, UsageError

ROOT = Path(__file__).parents[2]


def hearken(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "hearken.app.cli", *args]
    return subprocess.run(call, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("args", "code"),
    [(["--help"], 0), (["--version"], 0), (["listen", "missing.wav"], 3), (["listen"], 2)],
)
def test_answers_in_half_a_second(args: list[str], code: int) -> None:
    walls = []
    for _ in range(5):
        start = time.perf_counter()
        done = hearken(*args)
        walls.append(time.perf_counter() - start)
        assert done.returncode == code
    assert min(walls) < 0.5, f"wall {walls}"


@pytest.mark.parametrize(
    "args",
    [["--help"], ["listen", "missing.wav"], ["enhance", "x", "-o", "o"], ["serve", "--help"]],
)
def test_no_heavy_import_before_a_file_is_there(args: list[str]) -> None:
    code = (
        "import sys; from hearken.app.cli import main\n"
        f"try: main({args})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'scipy', 'cv2', 'av', 'numpy', 'tyro', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"


def test_weights_by_name() -> None:
    def chosen(*flags: str) -> object:
        return parser().parse_args(["enhance", "x.wav", *flags]).enhancer

    assert chosen() is None
    assert chosen("--weights", "pretrained") == "enhancer-small"
    assert chosen("--weights", "critic") == "enhancer-critic"
    assert chosen("--model", "mine") == "mine"
    told = hearken("enhance", "x.wav", "--weights", "words")
    assert told.returncode == 2
    assert "nothing that was worth shipping" in told.stderr
    assert "pretrained or critic" in hearken("enhance", "x.wav", "--weights", "loud").stderr
    assert hearken("enhance", "x.wav", "--weights", "critic", "--model", "x").returncode == 2


def test_data_and_talk_go_apart(tmp_path: Path) -> None:
    done = hearken("listen", str(tmp_path / "x\ny.wav"))
    assert len(done.stdout.splitlines()) == 1
    assert "no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_version() -> None:
    assert hearken("--version").stdout == f"hearken {__version__}\n"


@pytest.mark.parametrize(
    "args",
    [[], ["sing"], ["train"], ["train", "nobody"], ["data"], ["listen", "a", "--frmat", "b"]],
)
def test_wrong_calls_are_two(args: list[str]) -> None:
    assert hearken(*args).returncode == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("a"), 2),
        (CheckpointError("a"), 2),
        (InputError("a"), 3),
        (JudgeError("a"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
    ],
)
def test_errors_become_codes_and_one_line(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(argv: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_dispatch", fail)
    monkeypatch.setattr(os, "dup2", lambda a, b: b)
    assert cli.main([]) == code
    assert len(capfd.readouterr().err.splitlines()) == (0 if code == 0 else 1)


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m hearken.app.cli listen {'gone.wav ' * 3000} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_ctrl_c_leaves_no_traceback() -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "hearken.app.cli", "listen", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(1.0)  # it waits for its list by now
    waiting.send_signal(signal.SIGINT)
    _, told = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert told == b"hearken: interrupted\n"


@dataclass(frozen=True)
class Config:
    """A loop's options."""

    out: Path = Path("")
    """Where to."""
    steps: int = 100
    """How many."""
    rate: float = 0.1
    """How fast."""

    @classmethod
    def smoke(cls, **changes: object) -> Config:
        return cls(**({"steps": 2, "rate": 0.2} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "steps", "rate"),
    [
        ([], 100, 0.1),
        (["--steps", "7"], 7, 0.1),
        (["--smoke"], 2, 0.2),
        (["--config", "f.yaml"], 100, 0.5),
        (["--smoke", "--config", "f.yaml"], 2, 0.5),
        (["--config", "f.yaml", "--smoke", "--rate", "3", "--steps", "9"], 9, 3.0),
    ],
)
def test_flags_win_over_the_file_and_the_file_over_smoke(
    flags: list[str], steps: int, rate: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text("rate: 0.5\n")
    config = stages.configure(Config, flags, prog="hearken train x")
    assert (config.steps, config.rate) == (steps, rate)


def test_an_unknown_field_in_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("ratte: 0.5\n")
    with pytest.raises(UsageError, match="ratte"):
        stages.configure(Config, ["--config", str(tmp_path / "f.yaml")], prog="x")


def test_stages_have_their_loops() -> None:
    for group in STAGES.values():
        for stage in group.values():
            assert (ROOT / "src" / "hearken" / "loops" / f"{stage.module}.py").is_file()


def test_data_needs_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEARKEN_DATA", raising=False)
    assert cli.main(["data", "faults", "-o", str(tmp_path / "x")]) == 2
    assert cli.main(["data", "scenes", "-o", str(tmp_path / "x"), "--data", str(tmp_path)]) == 2
    assert cli.main(["data", "check", str(tmp_path / "gone")]) == 2
    assert not (tmp_path / "x").exists()


def test_every_flag_has_its_words() -> None:
    for _, command in docs.commands(parser()):
        for action in command._actions:
            assert action.help, f"{command.prog} {action.dest}"


@pytest.mark.parametrize("name", ["cli.md", "loops.md", "record.schema.json"])
def test_generated_docs_are_fresh(name: str) -> None:
    made = docs.pages()[name]
    stored = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert stored == made, f"docs/{name} is stale: python -m hearken.app.docs"
