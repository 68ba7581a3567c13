"""Sentences that say what the truth says."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pytest

from hearken.data.faults_channel import LADDER
from hearken.data.phrases import FAULTS, HOW, VERDICTS, WHEN
from hearken.data.words import band, describe, when
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Fault

EVEN = dict.fromkeys(DIMENSIONS, 3.0)
NAMES = {"background_noise": "rain", "noise_event": "dog bark", "gain_jump": "louder"}
NAMES |= {"speed_change": "slow", "hum": "50 Hz", "codec": "opus 8 kbit/s"}


def a_fault(kind: str, severity: int = 3, start: float = 0.0, end: float = 5.0) -> Fault:
    return Fault(kind, start, end, severity, NAMES.get(kind, ""))


def said(faults: list[Fault], seed: int, overall: float = 3.0) -> str:
    rng = np.random.default_rng(seed)
    return describe(EVEN | {"overall": overall}, faults, rng, seconds=5.0)


@pytest.mark.parametrize("kind", tuple(FAULT_TYPES))
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_many_forms_for_each_fact_and_level(kind: str, severity: int) -> None:
    fault = a_fault(kind, severity)
    texts = {said([fault], seed) for seed in range(60)}
    assert len(texts) >= 30
    for text in texts:
        assert text.isascii()
        assert text[0].isupper()
        assert text.endswith(".")
        assert not set("|{}\n") & set(text)
        assert "  " not in text
        assert not re.search(r"\ba [aeiou]", text.lower()), text
        adjectives = set(re.findall(r"[a-z]+", text.lower()))
        own = {word for phrase in HOW[band(severity)] for word in phrase.split()} - {"very"}
        assert adjectives & own, text


@pytest.mark.parametrize("overall", [1.0, 1.49, 2.4, 3.4, 3.5, 5.0])
def test_the_verdict_is_that_of_the_rounded_score(overall: float) -> None:
    digit = int(overall + 0.5)
    for seed in range(40):
        text = said([a_fault("hum")], seed, overall).lower()
        hits = [d for d, verdicts in VERDICTS.items() if any(f"{v}." in text for v in verdicts)]
        assert hits == [digit]


def test_noise_is_named_and_timed() -> None:
    for seed in range(40):
        text = said([a_fault("noise_event", 3, 4.5, 4.9), a_fault("background_noise")], seed)
        assert "dog bark" in text.lower()
        assert "rain" in text.lower()
        assert any(words in text.lower() for words in WHEN["end"])
        assert any(words in text.lower() for words in WHEN["throughout"])


def test_two_of_a_kind_share_a_sentence() -> None:
    holes = [a_fault("dropout", 4, 0.5, 0.8), a_fault("dropout", 4, 4.0, 4.3)]
    for seed in range(20):
        text = said(holes, seed).lower()
        assert any(f" {a} and {b}." in text for a in WHEN["start"] for b in WHEN["end"])


def test_no_fault_is_not_called_one() -> None:
    for seed in range(30):
        text = said([], seed, 5.0).lower()
        assert any(f"{v}." in text for v in VERDICTS[5])
        assert not any(FAULT_TYPES[kind].words in text for kind in FAULT_TYPES)


def test_when_covers_the_clip() -> None:
    assert when(0.0, 5.0, 5.0) == "throughout"
    assert when(0.2, 0.4, 5.0) == "start"
    assert when(2.4, 2.8, 5.0) == "middle"
    assert when(4.7, 4.9, 5.0) == "end"
    assert when(0.1, 2.6, 5.0) == "first half"
    assert when(2.4, 4.9, 5.0) == "second half"
    assert when(1.0, 4.0, 5.0) == "most"


def test_short_enough_and_few_word_types() -> None:
    rng = np.random.default_rng(0)
    kinds, lengths, types = list(FAULT_TYPES), [], set()
    for _ in range(1_500):
        faults = [
            a_fault(str(kind), int(rng.integers(1, 6)))
            for kind in rng.choice(kinds, size=rng.integers(0, 4), replace=False)
        ]
        value = {d: float(rng.uniform(1, 5)) for d in DIMENSIONS}
        words = re.findall(r"[a-z-]+", describe(value, faults, rng, seconds=5.0).lower())
        lengths.append(len(words))
        types |= set(words)
    assert 15 <= np.mean(lengths) <= 35
    assert max(lengths) <= 80
    assert len(types) <= 600


def test_same_seed_same_words() -> None:
    faults = [a_fault("codec"), a_fault("clicks", 2, 1.0, 2.0)]
    assert said(faults, 4) == said(faults, 4)
    assert len({said(faults, seed) for seed in range(50)}) > 45


def test_phrases_for_every_type_and_time_words_last() -> None:
    assert set(FAULTS) == set(FAULT_TYPES)
    for kind, forms in FAULTS.items():
        for name, phrases in forms.items() if isinstance(forms, Mapping) else [("", forms)]:
            full = len(phrases) >= 6 or (name == "" and isinstance(forms, Mapping))
            assert full, kind
            assert all("{how}" in p and "{when}" in p for p in phrases)
    assert all(len(v) >= 6 for v in VERDICTS.values())
    assert all("|" not in str(step) for step in LADDER)
