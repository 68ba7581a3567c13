"""The run folder: what was asked, on what, and every number that came of it.

out/config.yaml             the resolved configuration
out/provenance.json         versions, git commit, seed, hardware, command
out/uncommitted.diff        what the commit does not hold, where there is any
out/metrics.jsonl           one line a step: the truth about the run
out/checkpoint.safetensors  the newest state
"""

from __future__ import annotations

import json
import math
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TypeVar

from hearken.errors import CheckpointError, UsageError
from hearken.run import config as configs

__all__ = ["Run", "provenance", "track"]

T = TypeVar("T")
_PACKAGES = (
    "hearken",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "numpy",
    "scipy",
    "av",
)


class Run:
    """One run folder, open for writing. Use as a context manager.

    Ctrl-C (or SIGTERM) once sets `stopping`: the loop saves its checkpoint and returns.
    Twice interrupts at once.
    """

    def __init__(self, folder: Path, *, main: bool = True) -> None:
        self.folder = folder
        self.main = main
        self.stopping = False
        self._handlers: dict[int, Any] = {}

    @classmethod
    def open(cls, folder: Path, config: object, *, resume: bool, main: bool = True) -> Run:
        """Make (or, with `resume`, reopen) the folder and write down what is being run.

        Args:
            folder: the run's folder.
            config: a dataclass, written to config.yaml.
            resume: continue an existing run.
            main: False on all but the first of several processes: nothing is written.

        Raises:
            CheckpointError: the folder holds a run and `resume` is False.
            UsageError: no folder was named.
        """
        if str(folder) in ("", "."):
            raise UsageError("--out is required: name a folder for this run")
        run = cls(folder, main=main)
        if not main:
            return run
        if (folder / "config.yaml").exists() and not resume:
            raise CheckpointError(
                f"{folder}: holds a run already; continue it with --resume or name another --out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "provenance.json").exists():
            _write(folder / "config.yaml", configs.dump(config))
            facts, diff = provenance(getattr(config, "seed", None))
            _write(folder / "provenance.json", json.dumps(facts, indent=2) + "\n")
            if diff:
                _write(folder / "uncommitted.diff", diff)
        return run

    @property
    def checkpoint(self) -> Path:
        """The file that holds the newest state."""
        return self.folder / "checkpoint.safetensors"

    @property
    def metrics(self) -> Path:
        """The file that holds one JSON line a step."""
        return self.folder / "metrics.jsonl"

    def log(self, step: int, values: Mapping[str, object] | None = None, **more: object) -> None:
        """Append one line to metrics.jsonl. Numbers that are not finite become null."""
        if self.main:
            row = {"step": step, **{k: _finite(v) for k, v in {**(values or {}), **more}.items()}}
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """All logged lines, oldest first."""
        if not self.metrics.exists():
            return []
        return [json.loads(line) for line in self.metrics.read_text(encoding="utf-8").splitlines()]

    def rewind(self, step: int) -> None:
        """Drop logged lines at or after `step`: a resumed run writes them again."""
        if self.main and self.metrics.exists():
            kept = [row for row in self.history() if row["step"] < step]
            _write(self.metrics, "".join(json.dumps(row) + "\n" for row in kept))

    def progress(self, total: int, start: int = 0, label: str = "") -> Iterator[int]:
        """Steps `start`..`total` - 1, with a bar on a terminal; ends early when `stopping`."""
        for step in track(
            range(start, total), total=total, start=start, label=label, quiet=not self.main
        ):
            if self.stopping:
                return
            yield step

    def __enter__(self) -> Run:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping = True
        print("stopping after this step; press Ctrl-C again to stop at once", file=sys.stderr)


def track(
    items: Iterable[T],
    *,
    total: int | None = None,
    start: int = 0,
    label: str = "",
    quiet: bool = False,
) -> Iterator[T]:
    """`items`, with a progress bar and time left on a terminal; silent when piped."""
    if quiet or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    if total is None:
        try:
            total = len(items)  # type: ignore[arg-type]
        except TypeError:
            total = None
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label or "working", total=total, completed=start)
        for item in items:
            yield item
            bar.advance(task)


def provenance(seed: int | None = None) -> tuple[dict[str, object], str]:
    """Facts that tell where a number came from, and the diff that the commit does not hold."""
    from hearken.run.device import hardware

    facts: dict[str, object] = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "seed": seed,
        "commit": _git("rev-parse", "HEAD"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hardware": hardware(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }
    return facts, _git("diff", "HEAD")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str:
    """Output of git in the source checkout; "" where hearken is installed without one."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _finite(value: object) -> object:
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    number = float(value)  # type: ignore[arg-type]
    return number if math.isfinite(number) else None


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
