from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from hearken.errors import UsageError
from hearken.run import config


@dataclass(frozen=True)
class Toy:
    out: Path = Path()
    """Where."""
    lr: float = 1e-3
    """How fast."""
    steps: int = 10
    """How long."""
    warm: bool = False
    """Whether."""
    betas: tuple[float, ...] = (0.9, 0.99)
    """Adam's."""
    valid: Path | None = None
    """Held-out folder."""


def test_yaml_holds_only_differences(tmp_path: Path) -> None:
    file = tmp_path / "slow.yaml"
    file.write_text("lr: 1e-5\nbetas: [0.5, 1]\nvalid: clips\n")
    assert config.load(Toy, file) == Toy(lr=1e-5, betas=(0.5, 1.0), valid=Path("clips"))


def test_overrides_win_and_dump_round_trips(tmp_path: Path) -> None:
    toy = config.load(Toy, None, {"steps": 3, "out": "run"})
    file = tmp_path / "dumped.yaml"
    file.write_text(config.dump(toy))
    assert config.load(Toy, file) == toy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed: 3", "no field 'speed'; it has: out, lr"),
        ("steps: many", "Toy.steps: 'many'"),
        ("steps: true", "Toy.steps: True"),
        ("warm: 1", "Toy.warm: 1"),
        ("- a list", "expected a mapping"),
        ("a: [", "not readable as YAML"),
    ],
)
def test_a_bad_file_names_the_field(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        config.load(Toy, file)


def test_a_missing_file_or_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such configuration"):
        config.load(Toy, tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="--out is required"):
        config.needs(Toy(), "out")
