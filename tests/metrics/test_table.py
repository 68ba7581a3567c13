"""N items give N rows in order; a failed metric is a reason in its row."""

from __future__ import annotations

import importlib.util
from concurrent.futures import CancelledError
from contextlib import suppress

import numpy as np
import pytest

from hearken.errors import UsageError
from hearken.metrics import table
from hearken.metrics.agreement import Interval
from hearken.metrics.table import Item, choose, measure_all, measuring
from hearken.metrics.tabulate import Table, as_json, cell, markdown, rows_csv, show, write


def test_failures_are_rows(speechlike):
    items = [
        Item("good", speechlike, speechlike),
        Item("silent", np.zeros_like(speechlike), speechlike),
        Item("blind", speechlike, None),
        Item("bad file", "/nowhere/x.wav", speechlike),
        Item("broken", None, None, "the enhancer fell over"),
    ]
    rows = measure_all(items, "stoi,si_sdr_db")
    assert [r.key for r in rows] == [i.key for i in items]
    assert rows[0].values == {"stoi": pytest.approx(1.0), "si_sdr_db": 100.0}
    assert rows[0].errors == {}
    for row in rows[1:]:
        assert row.values == {"stoi": None, "si_sdr_db": None}
    assert "silent" in rows[1].errors["stoi"]
    assert "no reference" in rows[2].errors["si_sdr_db"]
    assert "/nowhere/x.wav" in rows[3].errors["input"]
    assert rows[4].errors == {"input": "the enhancer fell over"}


def test_one_metric_fails_alone(speechlike):
    short = speechlike[4000:6000]  # too short for STOI, not for SI-SDR
    row = measure_all([Item("short", short, short)], "stoi,si_sdr_db")[0]
    assert row.values["stoi"] is None
    assert row.values["si_sdr_db"] == 100.0
    assert set(row.errors) == {"stoi"}


def test_an_unforeseen_exception_is_a_row_too(speechlike, monkeypatch):
    def explode(reference, estimate):
        raise RuntimeError("boom")

    broken = table.Metric(("stoi",), None, True, explode)
    monkeypatch.setitem(table.METRICS, "stoi", broken)
    row = measure_all([Item("a", speechlike, speechlike)], "stoi")[0]
    assert row.errors == {"stoi": "boom"}


@pytest.mark.slow
def test_workers_give_the_same_rows(speechlike, rng):
    items = [
        Item(str(i), speechlike + 0.01 * i * rng.standard_normal(len(speechlike)), speechlike)
        for i in range(1, 5)
    ]
    here = measure_all(items, "estoi,si_sdr_db")
    with measuring("estoi,si_sdr_db", workers=2) as rows_of:
        for some in (items, items[:1]):  # the processes serve many calls
            there = list(rows_of(some))
            assert [r.key for r in there] == [r.key for r in here[: len(some)]]
            for a, b in zip(there, here, strict=False):
                assert a.values == pytest.approx(b.values)  # sums may differ in the last bit
                assert a.errors == {}
                assert a.seconds > 0


@pytest.mark.slow
def test_an_interrupt_does_not_wait_for_the_rest(speechlike):
    items = [Item(str(i), speechlike, speechlike) for i in range(50)]
    with suppress(KeyboardInterrupt), measuring("si_sdr_db", workers=2) as rows_of:
        rows = rows_of(items)
        raise KeyboardInterrupt
    with pytest.raises(CancelledError):
        list(rows)


def test_choose():
    assert choose("intrusive") == ("pesq_wb", "stoi", "estoi", "si_sdr_db")
    assert choose("stoi, all")[0] == "stoi"
    assert set(choose("all")) == set(table.METRICS)
    with pytest.raises(UsageError, match="'nisqa' is none of pesq_wb"):
        choose("nisqa")
    with pytest.raises(UsageError, match="no metric"):
        choose(" ")


def test_a_missing_extra_names_its_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'hearken\[metrics\]'"):
        choose("pesq_wb")


def test_a_head_stands_above_the_tables(tmp_path, capsys):
    small = Table("small", ("a",), ((1,),))
    write(tmp_path, [small], [{"a": 1}], "Read [this] first.")
    assert (tmp_path / "table.md").read_text().startswith("Read [this] first.\n\n## small\n")
    show([small], "Read [this] first.")
    assert capsys.readouterr().out.startswith("Read [this] first.\n")
    write(tmp_path, [small], [{"a": 1}])
    assert (tmp_path / "table.md").read_text().startswith("## small\n")


def test_cells():
    assert cell(None) == cell(float("nan")) == "-"
    assert cell(-0.001) == "0.00"
    assert cell(7) == "7"
    assert cell(Interval(1.0, float("nan"), float("nan"), 3, 1)) == "1.00"


def test_markdown_and_json():
    rows = (("a|b", Interval(1.0, 0.5, 1.5, 4, 2)), ("c", float("nan")))
    made = Table("T", ("system", "stoi"), rows, ("a note",))
    assert "| a\\|b | 1.00 [0.50, 1.50] |" in markdown(made)
    assert "- a note" in markdown(made)
    assert as_json(made)["rows"] == [
        {
            "system": "a|b",
            "stoi": {"value": 1.0, "low": 0.5, "high": 1.5, "count": 4, "clusters": 2},
        },
        {"system": "c", "stoi": None},
    ]


def test_csv_disarms_formulas():
    text = rows_csv([{"name": "=HYPERLINK(1)", "x": -1.5}, {"name": "ok", "x": None, "more": 1}])
    assert text == "name,x,more\n'=HYPERLINK(1),-1.5,\nok,,1\n"
