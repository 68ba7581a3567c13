"""The critic beside other tools: by hand."""

from __future__ import annotations

import pytest

from hearken.metrics.tools import tools


def row(true, said, other, group="", speaker="a"):
    return {
        "true/overall": true,
        "said/overall": said,
        "against/dnsmos": other,
        "group": group,
        "speaker": speaker,
    }


def test_all_tools_are_compared_on_the_same_clips():
    rows = [row(1, 1, 3), row(2, 2, 2), row(3, 3, 1), row(4, 9, None), row(5, None, 5)]
    found = tools(rows, resamples=20)
    assert list(found) == ["critic", "dnsmos"]
    assert found["critic"].pcc.value == pytest.approx(1.0)
    assert found["dnsmos"].srcc.value == pytest.approx(-1.0)
    assert found["critic"].pcc.count == found["dnsmos"].pcc.count == 3
    assert found["critic"].within is None


def test_groups_take_away_what_differs_between_them():
    # Over all clips the tool follows the group; within each, it is the wrong way round.
    rows = [row(t + 10 * g, t, 10 * g - t, f"g{g}", f"s{g}") for g in range(3) for t in (1, 2, 3)]
    found = tools(rows, resamples=20)
    assert found["dnsmos"].pcc.value > 0.9
    assert found["dnsmos"].within.value == pytest.approx(-1.0)
    assert found["critic"].within.value == pytest.approx(1.0)
    assert found["critic"].within.count == 3


def test_nothing_to_compare():
    rows = [{k: v for k, v in row(1, 1, 1).items() if "/d" not in k}]
    assert tools(rows) == {}
    assert tools([]) == {}
    assert tools([row(1, 1, 1)])["critic"].pcc is None  # one pair is no correlation
