"""Means, paired gains and shares made worse, by hand."""

from __future__ import annotations

import pytest

from hearken.metrics.systems import Comparison


def row(system: str, scene: str, value: float | None, talker: str = "t") -> dict[str, object]:
    return {"system": system, "scene": scene, "talker": talker, "target": scene, "stoi": value}


@pytest.fixture
def compared() -> Comparison:
    rows = [row("unprocessed", s, v) for s, v in (("a", 0.5), ("b", 0.6), ("c", 0.7))]
    rows += [row("ours", s, v) for s, v in (("a", 0.7), ("b", 0.5), ("c", None))]
    return Comparison(rows, ["stoi"], resamples=200)


def test_means_take_what_could_be_computed(compared):
    means = compared.means()
    assert means["unprocessed"]["stoi"].value == pytest.approx(0.6)
    assert means["ours"]["stoi"].value == pytest.approx(0.6)
    assert means["ours"]["stoi"].count == 2
    assert compared.count("ours") == 3  # the failed row is still a row


def test_gains_are_paired(compared):
    gain = compared.gains("unprocessed")["ours"]["stoi"]
    assert gain.value == pytest.approx((0.2 - 0.1) / 2)  # scene c is in neither side
    assert compared.worse("stoi", "ours") == 0.5
    assert compared.worse("stoi", "absent") is None


def test_clusters_are_talkers_only_where_there_are_five():
    few = [row("x", f"{i}", 0.1 * i, f"t{i % 4}") for i in range(8)]
    many = [row("x", f"{i}", 0.1 * i, f"t{i % 5}") for i in range(10)]
    assert Comparison(few, ["stoi"]).means()["x"]["stoi"].clusters == 8
    assert Comparison(many, ["stoi"]).means()["x"]["stoi"].clusters == 5
