from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hearken.errors import UsageError
from hearken.feedback.rating import Rater
from hearken.loops.rating_fit import Config, described, main, verdict


def test_smoke_writes_a_rater_and_its_numbers(tmp_path: Path) -> None:
    extra = tmp_path / "extra.csv"
    extra.write_text("text,rating\nMagnificent.,5\n", encoding="utf-8")
    numbers = main(Config.smoke(out=tmp_path / "rater", data=extra))
    assert 1 <= Rater.from_pretrained(tmp_path / "rater")(["Fine."])[0] <= 5
    report = json.loads((tmp_path / "rater" / "fit.json").read_text(encoding="utf-8"))
    assert report["numbers"] == numbers
    assert numbers["audit/best"] > numbers["audit/worst"]
    assert report["provenance"]["seed"] == 0


def test_pairs_are_bounded_and_deterministic() -> None:
    a = [described(np.random.default_rng(7)) for _ in range(1)]
    rng = np.random.default_rng(7)
    assert a[0] == described(rng)
    made = [described(rng) for _ in range(200)] + [verdict(rng) for _ in range(200)]
    assert all(1 <= rating <= 5 and text.endswith(".") for text, rating in made)
    assert len({text for text, _ in made}) > 200


def test_a_folder_must_be_named() -> None:
    with pytest.raises(UsageError, match="--out"):
        main(Config.smoke())
