"""Plots are well-formed, in their frame, and safe."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from hearken.metrics import charts
from hearken.nouns import Fault

NAMES = {"hum": "hum", "clicks": "clicks"}
SVG = "{http://www.w3.org/2000/svg}"


def marks(svg: str, tag: str) -> list[dict[str, str]]:
    return [e.attrib for e in ElementTree.fromstring(svg).iter(SVG + tag)]


def test_scatter_puts_the_corners_in_the_corners():
    svg = charts.scatter([(1, 1), (5, 5), (3, 5)], "a & b <c>")
    places = [(float(c["cx"]), float(c["cy"])) for c in marks(svg, "circle")]
    left, right, top, bottom = 46, 300 - 14, 30, 250 - 40
    assert places[0] == (left, bottom)
    assert places[1] == (right, top)
    assert places[2] == ((left + right) / 2, top)
    assert len(marks(svg, "line")) == 11  # two grids and the diagonal
    assert "a &amp; b &lt;c&gt;" in svg


def test_scatter_of_another_scale_has_its_own_range():
    svg = charts.scatter([(0, 1), (100, 5), (50, 3)], "mushra")
    assert [float(c["cx"]) for c in marks(svg, "circle")] == [46, 286, 166]
    assert len(marks(svg, "line")) == 10  # no diagonal
    assert ">25<" in svg


def test_scatter_thins_what_no_eye_could_tell_apart():
    svg = charts.scatter([(1 + i / 2500, 3) for i in range(9_000)], "many")
    assert 1000 < len(marks(svg, "circle")) <= 2000


def test_timeline_bars_have_the_length_of_their_faults():
    true = [Fault("clicks", 1.0, 2.0, 3)]
    said = [Fault("clicks", 1.5, 9.0, 3, '"<script>"', 0.5), Fault("hum", 0, 4, 2)]
    svg = charts.timeline(said, true, 4.0, NAMES)
    bars = marks(svg, "rect")[1:]  # the first is the background
    second = (640 - 130 - 14) / 4
    assert float(bars[0]["x"]) == pytest.approx(130 + second, abs=0.1)
    assert float(bars[0]["width"]) == pytest.approx(second, abs=0.1)
    assert float(bars[1]["width"]) == pytest.approx(2.5 * second, abs=0.1)  # ends with the clip
    assert float(bars[1]["fill-opacity"]) == pytest.approx(0.62, abs=0.01)
    assert float(bars[2]["y"]) > float(bars[1]["y"])  # a lane for each type
    assert "<script>" not in svg
    assert "no fault" in charts.timeline([], [], 4.0, NAMES)


@pytest.mark.parametrize(
    "svg",
    [
        charts.intervals([("noise", 0.9, 0.8, 1.0)], "t", goal=0.9, x_name="x"),
        charts.intervals([], "t", goal=0.9, x_name="x"),
        charts.reliability({"a": [(0.1, 0.0, 3), (0.9, 1.0, 1)], "b": []}, "t"),
        charts.curves({"a": [(0.0, 1.0), (0.5, 0.5)], "b": []}, "t", "x", "y"),
        charts.timeline([], [], 0.2, NAMES),
    ],
)
def test_every_plot_is_whole(svg):
    assert ElementTree.fromstring(svg).tag == SVG + "svg"
    assert "nan" not in svg


def test_trace_has_its_points_in_their_places():
    svg = charts.trace([(0, 0.0), (10, 1.0)], "gain <", band=[(0, 0.0, 0.0), (10, 0.5, 1.0)])
    left, right, top, bottom = 44, 280 - 14, 8, 150 - 22
    raw, smooth = (e["points"] for e in marks(svg, "polyline"))
    assert raw == f"{left:.1f},{bottom:.1f} {right:.1f},{top:.1f}"
    assert smooth == ""
    (band,) = marks(svg, "polygon")
    assert band["points"].split()[1] == f"{right:.1f},{(top + bottom) / 2:.1f}"
    assert "gain &lt;" in svg


@pytest.mark.parametrize("points", [[(5, 0.0)], [(0, 2.0), (1, 2.0)], [(0, -1e9), (1, 1e-9)]])
def test_trace_of_a_constant_or_a_single_point_is_drawn(points):
    for zero in (True, False):
        assert "nan" not in charts.trace(points, "a", zero=zero)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 0, [0, 0.5, 1]),
        (-0.3, 1.1, [-0.5, 0, 0.5, 1, 1.5]),
        (0, 60, [0, 20, 40, 60]),
        (8.1, 9.7, [8, 8.5, 9, 9.5, 10]),
    ],
)
def test_ticks_are_round_and_hold_the_range(low, high, ticks):
    assert charts._ticks(low, high) == pytest.approx(ticks)


def test_a_long_trace_is_thinned_but_keeps_its_peaks():
    points = [(i, 0.0) for i in range(10_000)]
    points[4321] = (4321, 7.0)
    points[4400] = (4400, -7.0)
    thin = charts._thinned(points)
    assert len(thin) <= 602
    assert {(4321, 7.0), (4400, -7.0)} <= set(thin)
    assert thin == sorted(thin)


def test_shares_add_up_to_the_whole_bar():
    svg = charts.shares({"a": 1.0, "b<": 3.0}, "s")
    bars = [r for r in marks(svg, "rect") if r.get("height") == "30"]
    assert [float(b["x"]) for b in bars] == [0.0, 275.0]
    assert [float(b["width"]) for b in bars] == [273.0, 823.0]  # 2 px between them
    assert "b&lt;: 3 s, 75%" in svg
    assert "NaN" not in charts.shares({"a": 0.0}, "s")
