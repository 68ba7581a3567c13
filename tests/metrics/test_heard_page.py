"""The page of an evaluation: whole, safe, and asking for nothing."""

from __future__ import annotations

from html.parser import HTMLParser

from hearken.metrics import heard, heard_page
from hearken.metrics.heard_tables import tables
from hearken.nouns import Fault

EVIL = '"><script>alert(1)</script><img src=https://evil.example/x>'


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def written(folder, rows):
    found = heard.results(rows, resamples=20)
    heard_page.write(folder, found, tables(found), rows)
    return (folder / "report.html").read_text()


def test_the_page_holds_all_and_asks_for_nothing(tmp_path, heard_row, clicks):
    rows = [heard_row(i, [clicks(0, 1, 0.5)], [clicks(0, i)], value=float(i)) for i in (1, 2, 3)]
    text = written(tmp_path, rows)
    page = Elements(text)
    assert page.open == []
    assert [t for t, _ in page.seen].count("svg") == 7 + 3 + 3
    assert not [a for _, a in page.seen if {"src", "href"} & set(a)]
    assert "default-src 'none'" in text
    files = {p.stem for p in (tmp_path / "plots").iterdir()}
    assert {"scatter_noise", "coverage", "confidence", "precision_recall"} <= files
    assert {"timeline_1", "timeline_3"} <= files


def test_words_from_files_and_models_are_escaped(tmp_path, heard_row):
    evil = Fault("clicks", 0, 1, 3, EVIL, 0.5)
    rows = [{**heard_row(EVIL, [evil], [evil], words=EVIL), "true/words": EVIL}]
    text = written(tmp_path, rows)
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text


def test_examples_go_from_worst_to_best(heard_row, clicks):
    rows = [{**heard_row(i, [clicks(0, 1)], []), "grade": (i * 7 % 20) / 20} for i in range(20)]
    rows.append({**heard_row(99, [], []), "grade": 1.0})  # no fault either side: nothing to show
    rows.append({**heard_row(98, [], [clicks(0, 1)]), "parsed": False, "grade": 0.0})
    grades = [r["grade"] for r in heard_page._examples(rows)]
    assert grades == [0.0, 0.2, 0.4, 0.55, 0.75, 0.95]


def test_ratings_alone_make_a_page_without_faults(tmp_path, heard_row):
    row = heard_row(1, [], [])
    rows = [{k: v for k, v in row.items() if not k.startswith(("true/f", "true/t"))}]
    text = written(tmp_path, rows)
    assert "worst answer" not in text
    assert "scatter_overall.svg" in {p.name for p in (tmp_path / "plots").iterdir()}
