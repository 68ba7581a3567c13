"""The page of a fine-tuning: right numbers, hostile words, missing keys, nothing from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from hearken.metrics import finetune_page
from hearken.metrics.finetune_page import Example, page, running_mean, write

EVIL = '"><script>alert(1)</script><img src=https://evil.example/x>'


def held_out(step: int, value: float, width: float = 0.0) -> dict[str, object]:
    row: dict[str, object] = {"step": step, "valid/clips": 40.0, "valid/words_failed": 0.0}
    for name in ("words", "si_sdr_db"):
        row[f"valid/{name}"] = value
        row |= {f"valid/{name}_low": value - width, f"valid/{name}_high": value + width}
    return row


def step_row(step: int, **more: object) -> dict[str, object]:
    numbers = {"reward/mean": 0.1 * step, "policy/kl": 0.01 * step, "time/step_s": 2.0}
    raws = {"critic/raw": f"noise: 3\nwords: Fair. Take {step}.", "critic/raw_base": "words: Bad."}
    return {"step": step, **numbers, **raws, **more}


HISTORY = [held_out(0, 0.0), *(step_row(i) for i in range(20)), held_out(20, 0.5, 0.25)]


class Elements(HTMLParser):
    VOID = ("meta", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("values", "window", "means"),
    [
        ([], 3, []),
        ([4.0], 101, [4.0]),
        ([1.0, 2.0, 4.0], 1, [1.0, 2.0, 4.0]),
        ([0.0, 3.0, 6.0, 0.0], 3, [1.5, 3.0, 3.0, 3.0]),
        ([1.0, 2.0, 3.0, 4.0, 10.0], 5, [2.0, 2.5, 4.0, 4.75, 17 / 3]),
    ],
)
def test_the_running_mean(values, window, means):
    assert running_mean(values, window) == pytest.approx(means)


def test_the_window_is_odd_and_about_a_tenth():
    assert [finetune_page._window(n) for n in (1, 9, 20, 60, 400, 10_000)] == [1, 1, 3, 7, 41, 101]


def test_the_page_holds_all_and_asks_for_nothing(tmp_path, speechlike):
    example = Example("clip", {"base": speechlike, "now": speechlike}, {"base": "a", "now": "b"})
    write(tmp_path, HISTORY, [example], "A head", {"reward": "words"})
    assert [p.name for p in tmp_path.iterdir()] == ["progress.html"]  # no partial file
    text = (tmp_path / "progress.html").read_text()
    found = Elements(text)
    assert found.open == []
    addresses = [a[k] for _, a in found.seen for k in ("src", "href") if k in a]
    assert len(addresses) == 4
    assert all(str(a).startswith("data:") for a in addresses)
    outside = text.replace("http://www.w3.org/2000/svg", "")  # the name of SVG, not an address
    assert not re.search(r"https?://|url\(|@import", outside)
    assert "default-src 'none'" in text
    assert [t for t, _ in found.seen].count("script") == 1
    for shown in ("A head", "<dt>reward</dt><dd>words</dd>", "<dt>step</dt><dd>20</dd>"):
        assert shown in text
    assert "<dd>0 min 40 s</dd>" in text


def test_the_latest_gain_stands_beside_the_first():
    text = page(HISTORY, [])
    words = text[text.index("The critic's words".replace("'", "&#x27;")) :]
    assert '<p class="big">+0.50</p><p class="verdict">[+0.25, +0.75] better</p>' in words
    assert "at step 0: +0.00 [+0.00, +0.00]" in words
    assert "on 40 clips" in text


@pytest.mark.parametrize(
    ("value", "told"), [(0.5, "better"), (0.2, "no clear difference"), (-0.5, "worse")]
)
def test_a_gain_is_called_one_only_beyond_its_interval(value, told):
    text = page([held_out(0, 0.0), held_out(5, value, 0.3)], [])
    assert [t for t in ("better", "no clear difference", "worse") if f" {t}</p>" in text] == [told]


def test_numbers_that_are_missing_are_left_out():
    text = page([{"step": 0, "anchor/si_snr_db": 8.0}, {"step": 1, "anchor/si_snr_db": 9.0}], [])
    assert text.count("<svg") == 1
    for absent in ("Held out", "Where the time goes", "What the critic says", "reward/mean"):
        assert absent not in text


def test_rows_without_numbers_do_no_harm():
    nothing = [None, float("nan"), float("inf"), "7", True, [1.0]]
    keys = [*finetune_page._EACH_STEP, *finetune_page._STAGES, "time/step_s", "valid/words",
            "valid/words_low", "valid/estoi", "valid/new", "critic/raw"]  # fmt: skip
    rows = [{"step": i, **dict.fromkeys(keys, value)} for i, value in enumerate(nothing)]
    rows += [{"step": None, "reward/mean": 1.0}, {"reward/mean": 1.0}]
    text = page(rows, [])
    assert "<svg" not in text
    assert "nan" not in re.sub("<style>.*</style>", "", text, flags=re.DOTALL)
    mixed = page([*rows, {"step": 9, "reward/mean": 0.5}, {"step": 10, "valid/words": 0.1}], [])
    assert mixed.count("<svg") == 2
    assert "<b>0.5</b>" in mixed


def test_nothing_logged_is_said():
    text = page([], [])
    assert "Nothing has been logged yet" in text
    assert Elements(text).open == []


def test_a_number_that_is_new_gets_a_card():
    ends = {"valid/distill_mos_low": 0.1, "valid/distill_mos_high": 0.2}
    text = page([{"step": 3, "valid/distill_mos": 0.125, **ends}], [])
    assert "distill mos" in text
    assert "+0.125" in text
    assert "better" not in text[text.index("<main") :]  # nobody said that more is better


def test_the_shares_of_the_stages():
    parts = {"time/enhance_s": 1.0, "time/wait_s": 5.0, "time/update_s": 2.0}
    rows = [{"step": i, **parts, "time/step_s": 10.0} for i in range(3)]
    text = page([*rows, {"step": 3, "time/step_s": 500.0}], [])  # an older row, without stages
    for shown in (
        "enhancing: 1 s, 10%",
        "waiting for the critic: 5 s, 50%",
        "the rest: 2 s, 20%",
        "10 s a step",
    ):
        assert shown in text


def test_stock_sentences_are_counted():
    text = page(HISTORY, [])
    assert "20 different texts in 20 answers" in text
    assert "<b>100%</b><span>Fair.</span>" in text
    assert re.findall(r'<tr><th scope="row">(\d+)', text) == [str(i) for i in range(19, 9, -1)]
    same = page([step_row(i, **{"critic/raw": "words: Fair."}) for i in range(4)], [])
    assert "1 different texts in 4 answers" in same


def test_words_are_escaped_wherever_they_come_from(speechlike):
    row = step_row(
        1, **{"critic/raw": EVIL, "critic/raw_base": f"words: {EVIL}", f"valid/{EVIL}": 1}
    )
    example = Example(EVIL, {"now": speechlike}, {"base": EVIL, "now": EVIL}, notes=[EVIL])
    text = page([row], [example], EVIL, {EVIL: EVIL})
    assert text.count("<script") == 1
    assert [a["src"][:5] for t, a in Elements(text).seen if t == "img"] == ["data:"]


def test_broken_characters_are_written(tmp_path):
    write(tmp_path, [step_row(1, **{"critic/raw": "words: \ud800 odd"})], [])
    assert "odd" in (tmp_path / "progress.html").read_text()
