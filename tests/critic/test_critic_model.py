"""The critic on a model small enough to learn four clips by heart within the test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hearken.critic import Critic, model, parse, quantise
from hearken.critic.answer import encode, read
from hearken.critic.grammar import render
from hearken.critic.lesson import Lessons, Pupil
from hearken.critic.model import LEVEL
from hearken.critic.tiny import TinyConfig, new_tiny
from hearken.errors import CheckpointError, GrammarError, MediaError, UsageError
from hearken.nouns import DIMENSIONS, Description, Fault, Score

SIZES = TinyConfig(
    window_s=2, mel_bins=40, audio_width=48, audio_layers=1, audio_ffn=96, text_width=64,
    text_layers=2, text_ffn=128, heads=2, vocab=420,
)  # fmt: skip


def truth(digit: int, *faults: Fault, words: str) -> Description:
    spread = Score.of([0.05 + 0.8 * (d == digit) for d in range(1, 6)])
    return Description({d: spread for d in DIMENSIONS}, faults, words)


def clip(kind: str, seconds: float) -> NDArray[np.float32]:
    t = np.arange(int(16_000 * seconds)) / 16_000
    rng = np.random.default_rng(len(kind))
    sound = {
        "rain": 0.3 * rng.standard_normal(len(t)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * t),
        "hum": 0.3 * np.sin(2 * np.pi * 100 * t) * (t % 0.5 < 0.25),
        "quiet": 0.001 * rng.standard_normal(len(t)) * (t > 1),
    }[kind]
    return sound.astype(np.float32)


LESSONS = {
    "rain": truth(1, Fault("background_noise", 0, 1.9, 5, "rain"), words="Rain all the time."),
    "tone": truth(5, words="Nothing is wrong."),
    "hum": truth(2, Fault("hum", 0, 1.5, 3), Fault("clicks", 0.5, 0.7, 1), words="It hums."),
    "quiet": truth(4, Fault("dropout", 0.2, 0.9, 2), words="Words are missing."),
}
SECONDS = {"rain": 1.9, "tone": 2.0, "hum": 1.5, "quiet": 1.7}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny critic that has learnt LESSONS by heart, saved in Hugging Face form."""
    out = tmp_path_factory.mktemp("critic")
    new_tiny(out, [render(d) for d in LESSONS.values()] * 3, config=SIZES)
    critic = Critic.from_pretrained(out)
    lessons = Lessons(critic)
    for kind, description in LESSONS.items():
        lessons.add([clip(kind, SECONDS[kind])], [description])
    torch.manual_seed(0)
    pupil = Pupil(critic.model.train(), probe=True)
    optimizer = torch.optim.AdamW(pupil.parameters(), lr=4e-3)
    rng = np.random.default_rng(0)
    for step in range(160):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1, step / 20, (160 - step) / 60)
        losses = pupil(lessons.batch(range(4), rng, gain_db=(-3, 3)))
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    critic.model.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def critic(folder: Path) -> Critic:
    return Critic.from_pretrained(folder)


def test_hears_what_it_has_learnt(critic: Critic) -> None:
    said = critic.listen([clip(k, SECONDS[k]) for k in LESSONS])
    for description, lesson in zip(said, LESSONS.values(), strict=True):
        assert isinstance(description, Description)
        assert description.words == lesson.words
        heard = [replace(f, confidence=None) for f in description.faults]
        assert tuple(heard) == quantise(lesson).faults
        assert all(0.5 < (f.confidence or 0) <= 1 for f in description.faults)
        assert parse(description.raw).words == lesson.words
        assert (description.model, description.revision) == (critic.id, critic.revision)


def test_scores_are_expectations_and_not_digits(critic: Critic) -> None:
    (said,) = critic.listen([clip("rain", 1.9)])
    assert isinstance(said, Description)
    score = said.scores["overall"]
    # The lesson: 0.85 on the digit 1, 0.05 on each other one.
    assert score.value == pytest.approx(1.5, abs=0.2)
    assert score.value == pytest.approx(sum((i + 1) * p for i, p in enumerate(score.probs)))
    assert sum(score.probs) == pytest.approx(1)


def test_scores_alone_equal_those_of_the_whole_answer(critic: Critic) -> None:
    clips = [clip(k, SECONDS[k]) for k in LESSONS]
    for short, whole in zip(critic.scores(clips), critic.listen(clips), strict=True):
        assert isinstance(short, dict)
        assert isinstance(whole, Description)
        for d in DIMENSIONS:
            assert short[d].probs == pytest.approx(whole.scores[d].probs, abs=1e-6)


def test_probabilities_are_those_of_an_independent_forward(critic: Critic) -> None:
    batch = critic.inputs([clip("hum", 1.5)])
    (written,) = critic.write(batch)
    said = read(critic.tokenizer, written)
    answer = torch.tensor([written.tokens])
    ids = torch.cat([batch["input_ids"], answer], dim=1)
    sound = {k: v for k, v in batch.items() if k.startswith("input_features")}
    with torch.inference_mode():
        logits = critic.model(input_ids=ids, **sound).logits[0, batch["input_ids"].shape[1] - 1 :]
    digits = critic.tokenizer.convert_tokens_to_ids(["1", "2", "3", "4", "5"])
    place = encode(critic.tokenizer, LESSONS["hum"]).places[2]
    expected = torch.softmax(logits[place][digits], dim=0).tolist()
    assert said.scores["speed"].probs == pytest.approx(expected, abs=1e-5)


def test_a_clip_gets_the_same_words_alone_and_in_a_batch(critic: Critic) -> None:
    clips = [clip(k, s) for k in LESSONS for s in (0.6, 1.3, 2.0)]
    together = critic.listen(clips, batch_size=12)
    alone = [critic.listen([c])[0] for c in clips]
    for a, b in zip(together, alone, strict=True):
        text = [x.raw if isinstance(x, Description) else x.text for x in (a, b)]
        assert text[0] == text[1]


def test_sampling_repeats_with_its_seed_and_varies_without(critic: Critic) -> None:
    clips = [clip("rain", 1.0)] * 6
    options = {"sample": True, "temperature": 3.0, "max_new_tokens": 40}
    texts = [
        [w.text for w in critic.write(critic.inputs(clips), seed=seed, **options)]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert len(set(texts[0])) > 1
    state = torch.get_rng_state()
    critic.listen(clips[:1], sample=True)
    assert torch.equal(state, torch.get_rng_state())


def test_malformed_words_are_errors_in_their_place(critic: Critic) -> None:
    said = critic.listen([clip("rain", 1.0)] * 3, max_new_tokens=20)
    assert len(said) == 3
    assert all(isinstance(s, GrammarError) for s in said)


def test_long_clips_become_one_timeline(critic: Critic) -> None:
    long = np.concatenate([clip("rain", 1.9)] * 4)
    (said,) = critic.listen([long], batch_size=3)
    assert isinstance(said, Description)
    noise = [f for f in said.faults if f.type == "background_noise"]
    assert len(noise) == 1
    assert noise[0].start_s == 0
    assert noise[0].end_s == pytest.approx(len(long) / 16_000, abs=0.2)
    assert said.raw.startswith("[0.0-2.0 s]\nnoise: 1\n")


def test_inputs_of_every_kind_and_a_bad_one_in_its_place(critic: Critic, tmp_path: Path) -> None:
    sound = clip("tone", 2.0)
    missing, array = critic([tmp_path / "missing.wav", (sound, 16_000)])
    assert isinstance(missing, MediaError)
    assert isinstance(array, Description)
    with pytest.raises(UsageError):
        critic([sound])  # type: ignore[list-item]


def test_a_clip_of_a_few_samples_is_heard(critic: Critic) -> None:
    assert len(critic.listen([np.zeros(3, np.float32)])) == 1


def test_lessons_ask_as_the_critic_asks(critic: Critic) -> None:
    lessons = Lessons(critic)
    lessons.add([clip("rain", 1.0), clip("tone", 1.8)], [LESSONS["rain"], LESSONS["tone"]])
    asked = lessons.inputs([0, 1])
    wanted = critic.inputs([clip("rain", 1.0), clip("tone", 1.8)])
    assert torch.equal(asked["input_ids"], wanted["input_ids"])
    assert torch.equal(asked["attention_mask"], wanted["attention_mask"])
    torch.testing.assert_close(asked["input_features"], wanted["input_features"], atol=2e-3, rtol=0)


def test_level_is_augmented_as_a_gain_would_be(
    critic: Critic, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons = Lessons(critic)
    lessons.add([clip("hum", 2.0)], [LESSONS["hum"]])
    monkeypatch.setattr(model, "LEVEL", LEVEL / 2)
    lessons.add([clip("hum", 2.0)], [LESSONS["hum"]])
    gain = (20 * np.log10(0.5),) * 2
    rng = np.random.default_rng(0)
    softer = lessons.batch([0], rng, gain_db=gain)["input_features"]
    recorded = lessons.batch([1], rng)["input_features"]
    torch.testing.assert_close(softer, recorded, atol=4e-3, rtol=0)


def test_cutting_off_the_common_padding_changes_no_loss(critic: Critic) -> None:
    lessons = Lessons(critic)
    lessons.add([clip("hum", 1.0), clip("rain", 0.7)], [LESSONS["hum"], LESSONS["rain"]])
    batch = lessons.batch([0, 1], np.random.default_rng(0))
    pupil = Pupil(critic.model, probe=False)
    whole = {k: v for k, v in batch.items() if k.startswith(("input", "attention"))}
    with torch.inference_mode():
        losses = pupil(batch)
        logits = critic.model(**whole).logits
    text = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten()
    )
    assert losses["text"].item() == pytest.approx(text.item(), rel=1e-5)
    assert len(pupil.tower.embed_positions.weight) == 50 * SIZES.window_s // 2


def test_score_targets_stand_where_the_digits_are(critic: Critic) -> None:
    lessons = Lessons(critic)
    lessons.add([clip("hum", 1.5)], [LESSONS["hum"]])
    batch = lessons.batch([0], np.random.default_rng(0), digit_noise=1.0)
    at = batch["places"][0]
    before = critic.tokenizer.convert_ids_to_tokens(batch["input_ids"][0, at - 1].tolist())
    assert before[0] == "noise: "
    assert before[5] == "\nlistening effort: "
    assert (batch["labels"][0, at] == -100).all()
    assert all(batch["input_ids"][0, p] in batch["digits"][0, k] for k, p in enumerate(at))
    assert batch["probs"][0, 0].tolist() == pytest.approx(LESSONS["hum"].scores["noise"].probs)


def test_a_folder_that_is_not_a_model_is_an_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        Critic.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="neither a model folder nor a hub name"):
        Critic.from_pretrained(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="a revision pins a hub name"):
        Critic.from_pretrained(folder, revision="main")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a model"):
        Critic.from_pretrained(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["Nothing"]}))
    with pytest.raises(CheckpointError, match="has no model 'Nothing'"):
        Critic.from_pretrained(tmp_path)


def test_weights_that_are_missing_are_never_made_up(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    del weights[next(k for k in weights if k.endswith("lm_head.weight"))]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="lacks 1 weights"):
        Critic.from_pretrained(tmp_path)


def test_how_loud_a_clip_is_changes_nothing(speechlike: NDArray[np.float32]) -> None:
    critic = Critic.from_pretrained()
    plain, soft, loud = critic.listen([speechlike, speechlike * 0.1, speechlike * 2.0])
    assert isinstance(plain, Description)
    for other in (soft, loud):
        assert isinstance(other, Description)
        assert other.raw == plain.raw
        assert other.scores["overall"].value == pytest.approx(
            plain.scores["overall"].value, abs=1e-3
        )
