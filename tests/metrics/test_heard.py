"""What rows of answers amount to, by hand."""

from __future__ import annotations

import json

import pytest

from hearken.metrics import heard
from hearken.metrics.heard_faults import faults_of, faults_text
from hearken.metrics.heard_tables import tables
from hearken.nouns import DIMENSIONS, Fault


@pytest.fixture
def rows(heard_row, clicks):
    return [
        heard_row(1, [clicks(0, 1, 0.9)], [clicks(0.2, 1)], value=2.0, known=1.5),
        heard_row(2, [clicks(0, 1, 0.4)], [clicks(2, 3)], value=3.0, known=2.5),
        heard_row(
            3, [Fault("hum", 0, 4, 2, confidence=0.8)], [Fault("dropout", 1, 2, 2)], known=3.5
        ),
    ]


def test_faults_by_type_and_in_time(rows):
    found = heard.results(rows, resamples=20).summary()
    each = found["types"]["each"]
    # Clicks: two said, two true, one at IoU 0.8 with an onset 0.2 s late.
    assert each["clicks"]["f1"] == 1.0
    assert each["clicks"]["spans"]["F1 at IoU 0.5"] == 0.5
    assert each["clicks"]["spans"]["mean IoU"] == pytest.approx(0.4)
    assert each["clicks"]["spans"]["median onset error of hits, s"] == pytest.approx(0.2)
    assert each["hum"]["spans"] is None  # always the whole clip
    assert each["dropout"]["spans"]["recall at IoU 0.5"] == 0.0
    # Two types occur: clicks 1, dropout 0. Two said and three true timed faults, one hit.
    assert found["intervals"]["macro_f1"]["value"] == found["types"]["macro_f1"] == 0.5
    assert found["intervals"]["timed_f1"]["value"] == pytest.approx(2 / 5)
    assert found["intervals"]["mean_iou"]["value"] == pytest.approx(0.8 / 3)
    assert found["intervals"]["timed_f1"]["low"] <= 0.4 <= found["intervals"]["timed_f1"]["high"]


def test_intervals_and_confidence(rows):
    found = heard.results(rows, resamples=20).summary()
    # [1, 2], [2, 3], [2, 3] against 1.5, 2.5, 3.5
    assert found["coverage"]["noise"]["value"] == pytest.approx(2 / 3)
    assert found["coverage"]["noise"]["width"] == pytest.approx(1.0)
    types = found["confidence"]["types"]
    assert (types["claims"], types["wanted"]) == (3, 3)
    assert types["average_precision"] == pytest.approx((1 + 2 / 3) / 3)  # true, false, true
    timed = found["confidence"]["timed"]
    assert (timed["claims"], timed["wanted"]) == (2, 3)
    assert timed["average_precision"] == pytest.approx(1 / 3)


def test_a_rating_on_another_scale_has_no_coverage(heard_row):
    rows = [heard_row(i, [], [], known=20.0 * i) for i in (1, 2, 3)]
    assert heard.results(rows, resamples=2).coverage["overall"] is None


def test_mean_pcc_is_over_the_dimensions_that_have_one(heard_row):
    rows = [heard_row(i, [], [], value=float(i), known=float(i)) for i in (1, 2, 3)]
    for r in rows:
        r["true/noise"] = -r["true/noise"]
        r["true/speed"] = 3.0
    rows.append({**heard_row(4, [], []), **{f"said/{d}": None for d in DIMENSIONS}})
    found = heard.results(rows, resamples=20)
    assert found.pcc["speed"] is None
    assert found.mean_pcc.value == pytest.approx((5 - 1) / 6)
    assert found.summary()["mean_pcc"] == found.mean_pcc.value


def test_words_of_critic_and_truth(rows):
    words = heard.results(rows, resamples=2).summary()["words"]
    assert words["said"] == {
        "texts": 3,
        "distinct": pytest.approx(1 / 3),
        "sentences": 2,
        "type_token_ratio": pytest.approx(1 / 3),
    }
    assert words["true"]["distinct"] == 1.0


def test_a_critic_that_states_no_confidence_has_none(heard_row, clicks):
    found = heard.results([heard_row(1, [clicks(0, 1)], [clicks(0, 1)])], resamples=2)
    assert found.claims is None
    assert found.summary()["confidence"] is None


def test_faults_survive_their_field():
    faults = [Fault("hum", 0.0, 2.5, 3, 'a "b"', 0.75), Fault("clicks", 1.0, 2.0, 1)]
    assert faults_of({"said/faults": faults_text(faults)}, "said") == faults


def test_tables_show_what_there_is_and_no_more(rows):
    full = {t.title: t for t in tables(heard.results(rows, resamples=20))}
    assert "Precision by confidence" in full
    by_bin = {r[0]: r[1:] for r in full["Precision by confidence"].rows}
    assert by_bin["0.9-1.0"] == (1, 1.0, 1, 1.0)
    assert by_bin["0.8-0.9"] == (1, 0.0, 0, None)
    types = {r[0]: r for r in full["Fault types, by clip"].rows}
    assert types["hum"][-3:] == (None, None, None)
    assert types["clicks"][-3:] == (0.5, pytest.approx(0.4), pytest.approx(0.2))
    bare = {**rows[0]}
    for name in list(bare):
        if "faults" in name or "types" in name or name.startswith(("lo/", "all/", "timed/")):
            del bare[name]
    titles = [t.title for t in tables(heard.results([bare], resamples=2))]
    assert titles == ["The critic against the truth", "Words"]
    json.dumps(heard.results([bare], resamples=2).summary())
