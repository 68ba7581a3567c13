"""Means, paired gains and shares made worse, by hand."""

from __future__ import annotations

import pytest

from hearken.metrics.systems import Comparison, face, interferer, snr_bucket


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


def test_a_clip_is_a_clip_of_its_talker():
    """GRID's talkers all say "bbaf2n": that is four clips, not one."""
    rows = [{**row("x", f"{i}", 0.1 * i, f"t{i % 4}"), "target": "bbaf2n"} for i in range(8)]
    assert Comparison(rows, ["stoi"]).means()["x"]["stoi"].clusters == 4


@pytest.mark.parametrize(
    ("snr_db", "bucket"),
    [
        (-12.0, "<= -5 dB"),
        (-5.0, "<= -5 dB"),
        (-4.99, "-5 to 0 dB"),
        (0.0, "-5 to 0 dB"),
        (5.0, "0 to 5 dB"),
        (5.01, "> 5 dB"),
        (None, None),
        (float("nan"), None),
    ],
)
def test_snr_buckets(snr_db, bucket):
    assert snr_bucket({"snr_db": snr_db}) == bucket


def test_names_of_groups():
    assert interferer({"kind": "speech", "same_voice": False}) == "speech"
    assert interferer({"kind": "speech", "same_voice": True}) == "same voice"
    assert face({"face": "unseen"}) == "face unseen"
    assert face({"face": "unknown"}) is None


def test_groups():
    about = {
        "a": {"kind": "noise", "same_voice": False, "snr_db": -7.0, "face": "known"},
        "b": {"kind": "speech", "same_voice": False, "snr_db": 2.0, "face": "known"},
        "c": {"kind": "speech", "same_voice": True, "snr_db": None, "face": "known"},
    }
    before, after = {"a": 0.2, "b": 0.4, "c": 0.6}, {"a": 0.5, "b": 0.3, "c": 0.8}
    rows = [{**row("unprocessed", s, v), **about[s]} for s, v in before.items()]
    rows += [{**row("ours", s, v), **about[s]} for s, v in after.items()]
    groups = Comparison(rows, ["stoi"], resamples=50).groups()
    # All faces are known: no groups of faces. Scene c's SNR is not stated: it is in no bucket.
    assert list(groups) == ["noise", "speech", "same voice", "<= -5 dB", "0 to 5 dB"]
    gains = {n: g.gains("unprocessed")["ours"]["stoi"].value for n, g in groups.items()}
    by_hand = {"noise": 0.3, "speech": -0.1, "same voice": 0.2, "<= -5 dB": 0.3, "0 to 5 dB": -0.1}
    assert gains == pytest.approx(by_hand)
    assert groups["speech"].worse("stoi", "ours") == 1.0
    assert groups["noise"].worse("stoi", "ours") == 0.0
    assert {n: g.scenes() for n, g in groups.items()} == dict.fromkeys(groups, 1)


def test_seconds_are_the_median_of_those_that_say():
    rows = [{**row("x", f"{i}", 0.5), "seconds": s} for i, s in enumerate((9.0, 1.0, 2.0, None))]
    assert Comparison(rows, ["stoi"]).seconds("x") == 2.0
    assert Comparison([row("x", "a", 0.5)], ["stoi"]).seconds("x") is None
