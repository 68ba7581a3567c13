"""`hearken train STAGE` and `hearken eval STAGE`: a loop's own Config as the command line.

Smallest wins last: the defaults of the Config (or its smoke form), then --config FILE, then flags.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from hearken.app.flags import STAGES
from hearken.errors import UsageError, require

__all__ = ["configure", "run"]

_EXTRAS = {
    "trl": "train",
    "peft": "train",
    "accelerate": "train",
    "datasets": "train",
    "pesq": "metrics",
    "pystoi": "metrics",
    "speechmos": "metrics",
    "distillmos": "metrics",
}


def run(group: str, name: str, argv: Sequence[str]) -> int:
    """Run one stage. `train` prints its result as one JSON line; `eval` prints its own tables.

    Raises:
        UsageError: an option that the stage does not have, or an extra that is not installed.
    """
    module = _load(group, name)
    config = configure(module.Config, argv, prog=f"hearken {group} {name}", about=module.__doc__)
    result = module.main(config)
    if isinstance(result, int) and not isinstance(result, bool):
        return result
    if group == "train" and result is not None:
        print(json.dumps(result, default=_plain))
    sys.stdout.flush()
    return 0


def _load(group: str, name: str) -> ModuleType:
    try:
        return import_module(f"hearken.loops.{STAGES[group][name].module}")
    except ModuleNotFoundError as error:
        if error.name in _EXTRAS:
            raise require(error.name, _EXTRAS[error.name]) from None
        raise


def configure(cls: type[Any], argv: Sequence[str], *, prog: str, about: str | None = None) -> Any:
    """The Config that the flags ask for; `--help` and wrong flags end the process, as usual."""
    import tyro

    from hearken.run.config import load

    first = argparse.ArgumentParser(prog=prog, add_help=False, allow_abbrev=False)
    first.add_argument("--config", type=Path)
    first.add_argument("--smoke", action="store_true")
    ours, rest = first.parse_known_args(list(argv))
    base = load(cls, ours.config)
    if ours.smoke:
        if not hasattr(cls, "smoke"):
            raise UsageError(f"{prog} has no --smoke form")
        plain = cls()
        changed = {
            f.name: getattr(base, f.name)
            for f in dataclasses.fields(cls)
            if getattr(base, f.name) != getattr(plain, f.name)
        }
        base = cls.smoke(**changed)
    words = (about or "").strip().split("\n\n")[0]
    more = "Also: --config FILE.yaml (only what differs), --smoke (tiny, for a first look)."
    return tyro.cli(cls, args=rest, default=base, prog=prog, description=f"{words}\n\n{more}")


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    for convert in ("item", "tolist"):
        if hasattr(value, convert):
            return getattr(value, convert)()
    return str(value)
