"""Seeds averaged, paired and tabled, by hand."""

from __future__ import annotations

import pytest

from hearken.metrics.paired_tables import Seeded, tables, with_worse
from hearken.metrics.tabulate import as_json

VALUES = {
    ("unprocessed", ""): (1.0, 3.0, 2.0),
    ("pretrained", ""): (2.0, 3.0, 4.0),
    ("none", "0"): (2.0, 4.0, 4.0),
    ("none", "1"): (4.0, 2.0, 5.0),
    ("words", "0"): (5.0, 5.0, None),
    ("words", "1"): (4.0, 3.0, 6.0),
    ("words", "2"): (9.0, 9.0, 9.0),
}


def rows():
    made = []
    for (system, seed), values in VALUES.items():
        for k, value in enumerate(values):
            names = {"system": system, "seed": seed, "scene": "abc"[k], "talker": f"t{k}"}
            about = {"target": "abc"[k], "kind": ("noise", "speech")[k % 2], "snr_db": 6.0}
            made.append({**names, **about, "si_sdr_db": value, "seconds": 0.5})
    return made


@pytest.fixture
def seeded() -> Seeded:
    return Seeded(with_worse(rows(), ["si_sdr_db"]), ["si_sdr_db", "worse"], resamples=50)


def test_a_scene_counts_once(seeded):
    averaged = seeded.averaged()
    assert len(averaged.rows) == 4 * 3
    means = {s: m["si_sdr_db"] for s, m in averaged.means().items()}
    assert means["none"].value == pytest.approx((3 + 3 + 4.5) / 3)
    # Scene c lacks words with seed 0: the mean of the other two.
    assert means["words"].value == pytest.approx((18 / 3 + 17 / 3 + 15 / 2) / 3)
    assert means["words"].count == 3


def test_worse_is_taken_seed_by_seed(seeded):
    worse = {s: m.get("worse") for s, m in seeded.averaged().means().items()}
    assert worse["unprocessed"] is None
    # none: of six, scene b with seed 1 alone is below the unprocessed 3.
    assert worse["none"].value == pytest.approx((0 + 0.5 + 0) / 3)
    assert worse["words"].value == 0.0


def test_pairs_share_their_seeds(seeded):
    found = seeded.difference("si_sdr_db", "words", "none")
    # Seed 2 of words has no partner. a: 3, 0; b: 1, 1; c: -, 1.
    assert found.mean.value == pytest.approx((1.5 + 1 + 1) / 3)
    assert found.seeds == 2
    assert found.seed_std == pytest.approx((2 - 2 / 3) / 2**0.5)


def test_a_system_without_seeds_stands_for_all(seeded):
    found = seeded.difference("si_sdr_db", "none", "pretrained")
    assert found.mean.value == pytest.approx((1 + 0 + 0.5) / 3)
    assert found.seeds == 2


def test_pairs_that_are_not_there(seeded):
    assert seeded.difference("si_sdr_db", "faults", "words") is None
    assert seeded.difference("worse", "words", "unprocessed") is None
    strangers = [r | {"seed": r["seed"] and f"x{r['seed']}"} for r in rows()]
    mixed = [r for r in rows() if r["system"] == "none"]
    mixed += [r for r in strangers if r["system"] == "words"]
    assert Seeded(mixed, ["si_sdr_db"]).difference("si_sdr_db", "words", "none") is None


def test_holm_is_over_the_pairs_that_are_there(seeded):
    pairs = [("words", "none"), ("faults", "words"), ("none", "pretrained")]
    family = seeded.family("si_sdr_db", pairs)
    assert [(c.ours, c.base) for c in family] == [pairs[0], pairs[2]]
    # Signs +++ of three: 2/8. +, 0, +: 4/8 of eight. Times two, and times one, at least 0.5.
    assert [c.difference.p for c in family] == [0.25, 0.5]
    assert [c.p_holm for c in family] == [0.5, 0.5]


def test_spread_of_seeds(seeded):
    assert seeded.spread("none", "si_sdr_db") == pytest.approx((11 / 3 - 10 / 3) / 2**0.5)
    assert seeded.spread("pretrained", "si_sdr_db") is None


def test_tables(seeded):
    made = {t.title: as_json(t) for t in tables(seeded, [("words", "none")], "pretrained", ["x"])}
    assert list(made) == [
        "All scenes",
        "Spread between seeds",
        "Paired differences in si_sdr_db",
        "Paired differences in worse",
        "Gain in si_sdr_db over pretrained, by group",
        "Gain in worse over pretrained, by group",
    ]
    first = made["All scenes"]["rows"]
    assert [r["system"] for r in first] == ["unprocessed", "pretrained", "none", "words"]
    assert [(r["seeds"], r["scenes"]) for r in first] == [(1, 3), (1, 3), (2, 3), (3, 3)]
    assert made["All scenes"]["notes"][-1] == "x"
    pair = made["Paired differences in si_sdr_db"]["rows"][0]
    assert pair["pair"] == "words - none"
    assert (pair["p"], pair["p (Holm)"], pair["scenes"]) == (0.25, 0.25, 3)
    group = made["Gain in si_sdr_db over pretrained, by group"]["rows"]
    by_kind = {r["system"]: (r["noise (2)"]["value"], r["speech (1)"]["value"]) for r in group}
    assert by_kind["none"] == pytest.approx(((1 + 0.5) / 2, 0.0))
    assert [r["system"] for r in made["Spread between seeds"]["rows"]] == ["none", "words"]
