"""What the enhancer's tables hold, by hand."""

from __future__ import annotations

import pytest

from hearken.metrics.systems import Comparison
from hearken.metrics.systems_tables import judge, shown, tables
from hearken.metrics.tabulate import as_json, markdown

COLUMNS = ["stoi", "estoi", "si_sdr_db", "dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak"]


def row(system: str, scene: str, value: float | None, kind: str) -> dict[str, object]:
    about = {"kind": kind, "same_voice": False, "snr_db": 1.0, "face": "known", "seconds": 0.5}
    names = {"system": system, "scene": scene, "talker": "t", "target": scene}
    return {**names, **about, **dict.fromkeys(COLUMNS, value)}


@pytest.fixture
def made():
    values = {
        "unprocessed": (1.0, 3.0),
        "rnnoise": (2.0, 2.5),
        "audio-only twin": (2.0, 4.0),
        "video right": (4.0, 6.0),
        "video other": (1.5, None),
        "oracle mask": (9.0, 9.0),
    }
    rows = [row(s, "a", v[0], "noise") for s, v in values.items()]
    rows += [row(s, "b", v[1], "speech") for s, v in values.items()]
    compared = Comparison(rows, COLUMNS, resamples=50)
    bases = ("unprocessed", "video other", "audio-only twin", "nobody")
    return {t.title: as_json(t) for t in tables(compared, bases, ("a note",))}


def cells(table, column):
    return {r["system"]: r[column] for r in table["rows"]}


def test_which_tables(made):
    assert list(made) == [
        "All scenes",
        "Gain over unprocessed, scene by scene",
        "Gain over video other, scene by scene",
        "Gain over audio-only twin, scene by scene",
        "Gain in estoi over unprocessed, by group",
        "Gain in si_sdr_db over unprocessed, by group",
        "Gain in dnsmos_ovrl over unprocessed, by group",
        "Share of scenes made worse (si_sdr_db), by group",
    ]


def test_all_scenes(made):
    table = made["All scenes"]
    assert {k: v["value"] for k, v in cells(table, "si_sdr_db").items()} == {
        "unprocessed": 2.0,
        "rnnoise": 2.25,
        "audio-only twin": 3.0,
        "video right": 5.0,
        "video other": 1.5,
        "oracle mask": 9.0,
    }
    worse = cells(table, "share worse (si_sdr_db)")
    assert (worse["unprocessed"], worse["rnnoise"], worse["video right"]) == (None, 0.5, 0.0)
    assert cells(table, "s a scene")["rnnoise"] == 0.5
    assert "a note" in table["notes"]
    assert any("rows.csv only: dnsmos_sig, dnsmos_bak" in n for n in table["notes"])
    assert "dnsmos_sig" not in table["rows"][0]


def test_gains_over_the_controls_are_of_what_sees(made):
    twin = cells(made["Gain over audio-only twin, scene by scene"], "si_sdr_db")
    assert {k: v["value"] for k, v in twin.items()} == {"video right": 2.0, "video other": -0.5}
    assert list(cells(made["Gain over video other, scene by scene"], "stoi")) == ["video right"]


def test_by_group(made):
    table = made["Gain in si_sdr_db over unprocessed, by group"]
    assert list(table["rows"][0]) == ["system", "all (2)", "noise (1)", "speech (1)"]
    noise, speech = cells(table, "noise (1)"), cells(table, "speech (1)")
    assert noise["unprocessed (itself)"]["value"] == 1.0
    assert speech["unprocessed (itself)"]["value"] == 3.0
    assert (noise["rnnoise"]["value"], speech["rnnoise"]["value"]) == (1.0, -0.5)
    assert speech["video other"] is None
    worse = made["Share of scenes made worse (si_sdr_db), by group"]
    assert cells(worse, "speech (1)")["rnnoise"] == 1.0
    assert cells(worse, "speech (1)")["video other"] is None
    assert cells(worse, "all (2)")["rnnoise"] == 0.5


def test_one_group_is_no_table_of_groups():
    rows = [row("unprocessed", s, 1.0, "noise") for s in "ab"]
    found = tables(Comparison(rows, COLUMNS, resamples=50))
    assert [t.title for t in found] == ["All scenes"]
    assert len(markdown(found[0]).splitlines()) < 12


def test_columns():
    assert judge(["stoi", "si_sdr_db"]) == "si_sdr_db"
    assert judge(["stoi", "estoi"]) == "stoi"
    assert shown(["dnsmos_sig", "dnsmos_bak"]) == ["dnsmos_sig", "dnsmos_bak"]
