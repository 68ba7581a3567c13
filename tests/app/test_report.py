from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hearken.app import report
from hearken.app.cli import main
from hearken.app.record import FaultRecord, Record, ScoreRecord
from hearken.nouns import DIMENSIONS, Audio

EVIL = '"><script>alert(1)</script><img src=https://evil.example/x>'


def record(value: float, **changes: Any) -> Record:
    score = ScoreRecord(value=value, lo=max(1, value - 1), hi=min(5, value + 1))
    fault = FaultRecord(
        start=0.5, end=1.0, type="dropout", dimension="continuity", severity=3, detail=EVIL
    )
    plain = {"key": "k", "path": "k.wav", "duration": 3.0, "sr_in": 16000, "text": EVIL}
    plain |= {"scores": {d: score for d in DIMENSIONS}, "faults": [fault]}
    return Record.model_validate(plain | changes)


@pytest.fixture
def page(speechlike: Audio) -> str:
    sides = [
        report.Side("Before", speechlike, record(2.1)),
        report.Side("After", speechlike, record(3.7)),
    ]
    metrics = {"si_sdr_db": (0.12, 9.87), "pesq_wb": (1.1, None)}
    return report.build(
        report.Page(EVIL, sides, metrics, notes=[EVIL], provenance={"critic": EVIL})
    )


class _Outline(HTMLParser):
    """Tags in order, and whether each that opens is closed."""

    VOID = frozenset({"meta", "img", "input", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID and tag != "li":  # </li> may be left out
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag != "li":
            assert self.open.pop() == tag


def test_the_page_is_well_formed_and_alone(page: str) -> None:
    outline = _Outline()
    outline.feed(page)
    assert outline.open == []
    assert sum(tag == "script" for tag, _ in outline.tags) == 1  # ours, none from the words
    for _, attributes in outline.tags:
        for name in ("src", "href"):
            if name in attributes:
                assert str(attributes[name]).startswith("data:")
    assert "default-src 'none'" in page
    assert not re.search(r"https?://(?!evil)", page)


def test_words_are_shown_escaped(page: str) -> None:
    assert EVIL not in page
    assert page.count(html.escape(EVIL)) >= 4


def test_scores_and_metrics_are_on_the_page(page: str) -> None:
    for name in DIMENSIONS:
        title = name.replace("_", " ")
        assert f'aria-label="{title}: Before 2.1, After 3.7"' in page
    assert "overall quality 2.1 to 3.7 of 5" in page
    assert "9.87" in page
    assert "failed" in page


def test_every_picture_and_control_has_a_name(page: str) -> None:
    outline = _Outline()
    outline.feed(page)
    for tag, attributes in outline.tags:
        if tag == "img":
            assert "Spectrogram" in str(attributes["alt"])
        if tag in ("input", "video"):
            assert attributes.get("aria-label")


def test_a_fault_is_drawn_where_it_is(page: str) -> None:
    assert page.count("left:16.667%;width:16.667%") == 4  # bar and band, on both sides


def test_demo_on_a_clip_of_ones_own(
    ear: Any, hand: Any, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    assert main(["demo", str(film), "-o", str(out)]) == 0
    told = capsys.readouterr()
    names = sorted(p.name for p in out.iterdir())
    assert names == ["film_enhanced.mp4", "film_enhanced.wav", "report.html"]
    for wanted in ("before", "after", "overall", str(out / "report.html"), "rain"):
        assert wanted in told.out
    text = (out / "report.html").read_text()
    assert "<video" in text
    assert "Against the clean speech" not in text
    assert main(["demo", str(film), "-o", str(out)]) == 0  # its own folder: may be run again


def test_demo_makes_its_own_clip_and_measures(
    ear: Any, hand: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "-o", str(tmp_path), "--text", "hello there"]) == 0
    assert "SI-SDR" in capsys.readouterr().out
    assert "Against the clean speech" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("name", "code"), [("gone.mp4", 3), ("*.nothing", 3), ("-", 2)])
def test_demo_of_nothing(ear: Any, hand: Any, tmp_path: Path, name: str, code: int) -> None:
    out = tmp_path / "out"
    assert main(["demo", name if name == "-" else str(tmp_path / name), "-o", str(out)]) == code
    assert not out.exists()
