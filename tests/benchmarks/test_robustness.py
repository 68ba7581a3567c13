"""The robustness benchmark's arithmetic and sounds, with critics of known behaviour."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hearken.data.planted import active_rms
from hearken.errors import GrammarError
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Score

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import robustness
import robustness_sounds as made


class Says:
    """`overall` by a function of (place in the batch, clip); an error for None."""

    def __init__(self, value):
        self.value = value

    def scores(self, clips):
        said = []
        for i, clip in enumerate(clips):
            value = self.value(i, clip)
            probs = (0.2,) * 5
            score = None if value is None else dict.fromkeys(DIMENSIONS, Score(value, probs))
            said.append(score or GrammarError("no", text="", line=1))
        return said


def rms(clip):
    return float(np.sqrt(np.mean(np.square(clip, dtype=np.float64))))


def test_ladders_by_hand():
    values = np.array(
        [
            [4.0, 3.0, 2.0, 1.5, 1.0],
            [4.0, 4.04, 3.0, 2.0, 1.0],  # rises by less than 0.05
            [2.0, 3.0, 3.0, 2.0, 2.0],  # rises
            [4.0, np.nan, 3.0, 2.0, 1.0],
        ]
    )
    found = robustness.ladder_figures(values)
    assert found["ladders"]["value"] == pytest.approx(2 / 3)
    assert found["rungs_within"]["value"] == pytest.approx(11 / 12)
    assert found["rungs_not_rising"]["value"] == pytest.approx(10 / 12)
    assert found["fall"]["value"] == pytest.approx((3 + 3 + 0) / 3)
    assert found["failed"] == 1
    nothing = robustness.ladder_figures(np.full((2, 5), np.nan))
    assert nothing["ladders"]["value"] is None
    assert nothing["failed"] == 2


def test_losses_are_nested_and_follow_the_ramp(speechlike, rng, monkeypatch):
    masks = []
    monkeypatch.setattr(
        made, "opus_with_losses", lambda x, lost: (masks.append(lost.copy()) or x, 0)
    )
    assert len(made.loss_ladder(None, speechlike, rng)) == 5
    counts = [int(m.sum()) for m in masks]
    assert all((a <= b).all() for a, b in pairwise(masks))
    assert counts[0] == round(0.015 * 150)  # three seconds are 150 packets
    assert counts == sorted(set(counts))
    speech = np.array([True, False, True, True, False, True])
    assert sorted(made.loss_order(speech, rng)) == [0, 2, 3, 5]


def test_bit_rates_only_fall(speechlike, monkeypatch):
    asked = []
    monkeypatch.setattr(made, "round_trip", lambda x, codec, kbps: asked.append((codec, kbps)) or x)
    for seed in range(8):
        made.rate_ladder(None, speechlike, np.random.default_rng(seed))
    for first in range(0, len(asked), 5):
        codecs, rates = zip(*asked[first : first + 5], strict=True)
        assert len(set(codecs)) == 1
        assert list(rates) == sorted(set(rates), reverse=True)
    assert {c for c, _ in asked} == {"opus", "amr"}


def test_instruction_and_neutral_sentence_differ_in_words_alone():
    for texts in robustness.SPOKEN:
        a, b = made.say_pair(*texts, "en-us+m3")
        assert len(a) == len(b)
        assert active_rms(a) == pytest.approx(1.0, rel=0.05)
        assert active_rms(b) == pytest.approx(1.0, rel=0.05)
        assert np.abs(a - b).max() > 0.1


def test_the_voice_is_placed_after_or_under(speechlike):
    voice = np.ones(8000, np.float32)
    after = made.with_voice(0.1 * speechlike, voice, "after")
    assert len(after) == len(speechlike) + 3200 + 8000
    assert after[-1] == pytest.approx(active_rms(0.1 * speechlike))
    under = made.with_voice(0.1 * speechlike, voice, "under")
    assert len(under) == len(speechlike)
    assert under[0] - 0.1 * speechlike[0] == pytest.approx(0.5 * active_rms(0.1 * speechlike))
    assert np.abs(made.with_voice(speechlike * 9, voice, "under")).max() <= 0.9901


def test_lift_is_instruction_less_neutral(speechlike, monkeypatch):
    monkeypatch.setattr(robustness, "VOICES", ("en-us+m3",))
    clips = [0.1 * speechlike] * len(robustness.SPOKEN)
    deaf = robustness.spoken(Says(lambda i, x: 3.0), clips)
    assert deaf["passed"]
    assert deaf["lift"]["noise"]["value"] == 0.0
    talked_up = robustness.spoken(Says(lambda i, x: 3.0 + 0.5 * (i % 2 == 0)), clips)
    assert not talked_up["passed"]
    assert talked_up["lift"]["overall"]["value"] == pytest.approx(0.5)
    assert len(talked_up["overall_by_instruction"]) == len(robustness.SPOKEN)
    assert robustness.spoken(Says(lambda i, x: None), clips[:1])["passed"] is False


def test_gain_never_clips_and_counts_every_change(speechlike):
    peaks = []

    def level(i, clip):
        peaks.append(float(np.abs(clip).max()))
        return 3.0 + 0.01 * 20 * np.log10(rms(clip))

    found = robustness.gain(Says(level), [speechlike, 5 * speechlike])
    assert max(peaks) == pytest.approx(1.0)
    assert found["max"] == pytest.approx(0.2)
    assert found["mean"]["value"] == pytest.approx(0.01 * (20 + 15 + 10 + 5 + 6) / 5)
    assert found["mean_by_db"]["6"]["value"] == pytest.approx(0.06)
    assert not found["passed"]
    assert robustness.gain(Says(lambda i, x: 2.0), [speechlike])["passed"]
    assert robustness.gain(Says(lambda i, x: None), [speechlike])["max"] is None


def test_all_ladders_and_their_rows(speechlike, monkeypatch):
    kinds = {k: FAULT_TYPES[k] for k in ("background_noise", "speed_change", "dropout")}
    monkeypatch.setattr(robustness, "FAULT_TYPES", kinds)
    sounds = made.Sounds(SimpleNamespace(backgrounds={}), (speechlike,), (speechlike,))
    monkeypatch.setattr(made.Sounds, "source", lambda self, kind, rng: {})
    monkeypatch.setattr(made, "round_trip", lambda x, codec, kbps: x)
    monkeypatch.setattr(robustness, "VOICES", ("en-us+m3",))
    louder_is_worse = Says(lambda i, x: 5 - 20 * rms(x))
    found = robustness.monotone(louder_is_worse, sounds, ladders=2, others=1, seed=0)
    assert list(found) == ["noise level", "packet loss", "bit rate", "speed_change", "dropout"]
    assert found["noise level"]["overall"]["ladders"]["value"] == 1.0
    assert found["noise level"]["passed"]
    assert found["dropout"]["overall"]["ladders"]["value"] == 0.0  # holes make it softer
    page = {
        "monotone": found,
        "spoken": robustness.spoken(louder_is_worse, [0.1 * speechlike]),
        "gain": robustness.gain(louder_is_worse, [speechlike]),
    }
    rows = robustness.rows(page)
    assert len(rows) == 1 + 3 + 2
    assert all({"figure", "value", "low", "high", "count", "bar", "unit", "command"} == set(r)
               for r in rows)  # fmt: skip


def test_odd_sounds_are_sound(speechlike, rng):
    sounds = made.odd_sounds(speechlike, rng)
    assert not sounds["silence"].any()
    assert len(sounds["short"]) == 3200
    for x in sounds.values():
        assert x.dtype == np.float32
        assert np.abs(x).max() <= 1
    line = np.abs(np.fft.rfft(sounds["tone"]))
    assert np.argmax(line) == 440 * 4
