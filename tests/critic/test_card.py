"""Model cards say how to make the model again, and nothing of the machine's folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hearken.critic.card import card, flags


@dataclass(frozen=True)
class Config:
    out: Path = Path()
    steps: int = 5
    lr: float = 0.1
    bf16: bool = False
    gain_db: tuple[float, float] = (0.0, 1.0)


def test_only_what_differs_is_told() -> None:
    assert flags(Config(out=Path("/secret"))) == "--steps 5"
    config = Config(bf16=True, gain_db=(-3.0, 2.0), lr=0.2)
    assert flags(config) == "--steps 5 --lr 0.2 --bf16 --gain-db -3.0 2.0"


def test_the_card_has_facts_and_numbers() -> None:
    text = card({"hours": 1}, {"valid/noise_pcc": 0.7, "valid/none": None})
    assert text.startswith("---\nlicense: apache-2.0\n")
    assert "| hours | 1 |" in text
    assert "| valid/noise_pcc | 0.700 |" in text
    assert "None" not in text
