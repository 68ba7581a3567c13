"""A clip on the page: its words marked where they differ, its sounds whole."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import soundfile

from hearken.metrics.finetune_examples import SIDES, Example, marked, section

EVIL = '"><script>alert(1)</script><img src=https://evil.example/x>'


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a b c", "a b c", ("a b c", "a b c")),
        ("", "a b", ("", '<mark class="new">a b</mark>')),
        ("a x b", "a b", ('a <mark class="gone">x</mark> b', "a b")),
        # one shared word between two changes does not cut a phrase; three do
        ("a x is y b", "a p is q b", tuple(f'a <mark class="{c}">{w}</mark> b' for c, w in
                                            (("gone", "x is y"), ("new", "p is q")))),
        ("x 1 2 3 y", "p 1 2 3 q", tuple(f'<mark class="{c}">{a}</mark> 1 2 3 '
                                         f'<mark class="{c}">{b}</mark>' for c, a, b in
                                         (("gone", "x", "y"), ("new", "p", "q")))),
        ("a <b>", "a <i>", ('a <mark class="gone">&lt;b&gt;</mark>',
                            'a <mark class="new">&lt;i&gt;</mark>')),
    ],
)  # fmt: skip
def test_words_that_differ_are_marked(before, after, shown):
    assert marked(before, after) == shown


def test_endless_words_are_cut():
    before, after = marked("word " * 100_000, "other " * 100_000)
    assert len(before) + len(after) < 4200


def test_all_four_sides_are_seen_and_heard(speechlike):
    sounds = {side: speechlike * gain for side, gain in zip(SIDES, (1, 0.5, 0.2, 0.1), strict=True)}
    text = section(Example("clip", sounds, {"base": "bad.", "now": "good."},
                           {"base": 2.0, "now": 3.25, "clean": float("nan")}))  # fmt: skip
    assert re.findall(r"<b>(\w+)</b>", text) == ["Noisy", "Base", "Now", "Clean"]
    assert text.count('src="data:image/webp') == 4
    uris = re.findall(
        r'<audio controls preload="metadata" src="data:audio/flac;base64,(.*?)"', text
    )
    heard = [soundfile.read(io.BytesIO(base64.b64decode(uri)))[0] for uri in uris]
    for samples, side in zip(heard, SIDES, strict=True):
        np.testing.assert_allclose(samples, sounds[side], atol=1e-4)
    assert re.findall(r'class="rating">(.*?)<', text) == ["2.00", "3.25"]
    assert "3.0 s" in text


def test_a_sound_that_is_not_finite_or_empty_is_said_to_be_missing(speechlike):
    bad = speechlike.copy()
    bad[7] = np.nan
    empty = np.zeros(0, np.float32)
    text = section(Example("clip", {"base": bad, "now": empty}, {"clean": "fine."}))
    assert text.count("no sound to play") == 3
    assert "<audio" not in text


def test_words_and_names_are_escaped(speechlike):
    words = dict.fromkeys(SIDES, EVIL) | {"now": "other " + EVIL}
    text = section(Example(EVIL, {"noisy": speechlike}, words, notes=[EVIL]))
    assert "<script" not in text
    assert "evil.example/x&gt;" in text
    assert len(re.findall("<img", text)) == 1
