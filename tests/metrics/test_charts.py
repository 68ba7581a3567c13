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
