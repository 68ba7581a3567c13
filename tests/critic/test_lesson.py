"""Lessons: what a batch holds, what it weighs, and what the augmentation may change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hearken.critic import Critic
from hearken.critic.grammar import render
from hearken.critic.lesson import Lessons, _weighed
from hearken.critic.tiny import TinyConfig, new_tiny
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Description, Fault, Score

SIZES = TinyConfig(
    window_s=2, mel_bins=16, audio_width=16, audio_layers=1, audio_ffn=16, text_width=16,
    text_layers=1, text_ffn=16, heads=2, vocab=420,
)  # fmt: skip
TRUTH = Description(
    {d: Score.point(3) for d in DIMENSIONS},
    (Fault("hum", 0.0, 1.0, 2), Fault("clicks", 0.1, 0.2, 4), Fault("clicks", 0.5, 0.6, 5)),
    "It hums, and it clicks.",
)


@pytest.fixture(scope="module")
def lessons(tmp_path_factory: pytest.TempPathFactory) -> Lessons:
    folder = new_tiny(tmp_path_factory.mktemp("tiny") / "m", [render(TRUTH)] * 3, config=SIZES)
    made = Lessons(Critic.from_pretrained(folder))
    rng = np.random.default_rng(0)
    clips = [0.1 * rng.standard_normal(16_000).astype(np.float32) for _ in range(3)]
    made.add(clips, [TRUTH] * 3)
    return made


def test_cross_entropy_is_a_weighted_mean_over_what_is_to_be_learnt() -> None:
    logits = torch.zeros(1, 3, 4)
    logits[0, 1, 2] = 50.0  # sure of the second label
    labels = torch.tensor([[0, 2, -100]])
    loss = _weighed(logits, labels, torch.tensor([[1.0, 3.0, 9.0]]))
    assert float(loss) == pytest.approx(np.log(4) * 1 / 4, rel=1e-5)


def test_the_words_alone_weigh_less(lessons: Lessons) -> None:
    batch = lessons.batch([0], np.random.default_rng(0), words_weight=0.25)
    ids, weights = batch["input_ids"][0], batch["weights"][0]
    light = ids[weights == 0.25]
    tokenizer = lessons.critic.tokenizer
    assert tokenizer.decode(light, skip_special_tokens=True) == f"\nwords: {TRUTH.words}"
    assert set(weights.tolist()) == {0.0, 0.25, 1.0}
    assert (weights[: len(lessons._questions[0])] == 0).all()


def test_severity_is_the_worst_of_its_type(lessons: Lessons) -> None:
    severity = lessons.batch([1], np.random.default_rng(0))["severity"][0]
    expected = {"hum": 2.0, "clicks": 5.0}
    assert severity.tolist() == [expected.get(kind, 0.0) for kind in FAULT_TYPES]


def test_no_augmentation_changes_nothing_and_colouring_is_smooth(lessons: Lessons) -> None:
    plain = lessons.batch([0, 1], np.random.default_rng(0))["input_features"]
    again = lessons.inputs([0, 1])["input_features"]
    assert torch.equal(plain, again)
    tilted = lessons.batch([0, 1], np.random.default_rng(0), tilt_db=2.0)["input_features"]
    change_db = 40 * (tilted - plain)
    assert not change_db[:, 16:].any()  # what is above the mel bands has no colour
    change_db = change_db[:, :16]
    assert change_db.std(-1).max() < 1e-3  # the same in every frame
    assert 0.1 < change_db.abs().max() < 12
    assert change_db[:, 1:, 0].sub(change_db[:, :-1, 0]).abs().max() < 3.0  # between bands
    louder = lessons.batch([0], np.random.default_rng(0), gain_db=(6.0, 6.0))["input_features"]
    assert 40 * (louder - plain[:1])[:, :16].mean() == pytest.approx(6.0, abs=1e-3)


def test_what_is_kept_of_clips_does_not_hold_their_samples_in_memory(lessons: Lessons) -> None:
    found = lessons.hear([np.ones(16_000, np.float32)] * 2)
    for name, value in found.items():
        assert value.untyped_storage().nbytes() == value.numel() * value.element_size(), name
