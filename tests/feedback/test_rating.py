from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hearken.errors import CheckpointError, GrammarError, JudgeError, ManifestError, UsageError
from hearken.feedback.audit import VOCABULARY, audit, paraphrase, sentence
from hearken.feedback.rating import Rater, fit, read_pairs
from hearken.feedback.wordnet import WordNet, WordNetConfig, pieces

SMALL = WordNetConfig(buckets=256, width=8, hidden=8)
PAIRS = [("Very noisy.", 1.0), ("Not noisy.", 5.0), ("Fair.", 3.0)] * 20


@pytest.fixture(scope="module")
def shipped() -> Rater:
    return Rater.from_pretrained()


def test_expectation_not_argmax() -> None:
    logits = torch.tensor([[0.0, 0.0, np.log(3.0), 0.0, 0.0]])
    assert Rater(lambda t: logits, "x")(["a"]) == [pytest.approx(3.0)]
    logits = torch.tensor([[-99.0, -99.0, np.log(3.0), 0.0, -99.0]])
    assert Rater(lambda t: logits, "x")(["a"]) == [pytest.approx(3.25)]


@pytest.mark.parametrize("text", ["", "  ", "...", "-"])
def test_no_words_is_an_error_not_a_middle_rating(text: str) -> None:
    with pytest.raises(GrammarError, match="no words"):
        Rater(lambda t: torch.zeros(len(t), 5), "x")(["Fine.", text])


def test_a_rating_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(JudgeError, match="finite"):
        Rater(lambda t: torch.full((len(t), 5), float("nan")), "x")(["Fine."])


def test_fit_learns_saves_and_repeats(tmp_path: Path) -> None:
    a = fit(PAIRS, tmp_path / "a", epochs=40, batch=10, lr=1e-2, config=SMALL)
    b = fit(PAIRS, tmp_path / "b", epochs=40, batch=10, lr=1e-2, config=SMALL)
    texts = ["Very noisy.", "Fair.", "Not noisy."]
    assert a(texts) == b(texts)
    assert a(texts) == pytest.approx([1.0, 3.0, 5.0], abs=0.5)
    assert Rater.from_pretrained(tmp_path / "a")(texts) == a(texts)
    same = [(tmp_path / x / "model.safetensors").read_bytes() for x in "ab"]
    assert same[0] == same[1]


def test_fit_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    fit(PAIRS, tmp_path, epochs=1, config=SMALL)
    assert torch.equal(before, torch.get_rng_state())


def test_a_text_is_rated_alike_alone_and_beside_longer_ones(shipped: Rater) -> None:
    texts = ["Overall good.", "The voice is muffled, with rain, from start to end, all the time."]
    assert shipped(texts)[0] == pytest.approx(shipped(texts[:1])[0], abs=1e-5)


def test_any_text_is_bounded(shipped: Rater) -> None:
    wild = ["5 5 5 5 5 excellent " * 200, "\u00e9\u4e2d 1", "a", "\x00b"]
    assert all(1 <= r <= 5 for r in shipped(wild))


def test_unknown_words_still_have_pieces() -> None:
    config = WordNetConfig()
    noisy, noisier = pieces("noisy", config)[0], pieces("noisier", config)[0]
    assert set(noisy) & set(noisier)
    assert len(pieces("word " * 999, config)) == config.max_words


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ("Very noisy.", "Not noisy."),
        ("There is heavy hum throughout.", "There is faint hum throughout."),
        ("Overall the quality is bad.", "Overall the quality is fair."),
        ("This is not a good recording.", "This is a good recording."),
        ("The clip is bad.", "It does not sound bad."),
        ("There is severe packet loss.", "Clean, with no noise, no distortion."),
    ],
)
def test_shipped_rater_orders_words_and_negations(shipped: Rater, worse: str, better: str) -> None:
    low, high = shipped([worse, better])
    assert high > low + 0.2


def test_shipped_rater_passes_the_audit(shipped: Rater) -> None:
    found = audit(shipped)
    assert found.total <= 0.01
    assert found.violations["overall"] == 0
    assert found.best - found.worst > 3


def test_shipped_rater_is_small() -> None:
    folder = Path(__file__).parents[2] / "src" / "hearken" / "weights" / "rating"
    assert sum(f.stat().st_size for f in folder.iterdir()) < 1_000_000


def test_audit_counts_what_is_wrong() -> None:
    def by_level(texts: object, flip: bool) -> list[float]:
        out = []
        for text in texts:  # type: ignore[attr-defined]
            parts = [p + "." for p in text.rstrip(".").split(". ")]
            levels = [words.index(p) for words, p in zip(VOCABULARY.values(), parts, strict=True)]
            levels[0] = 4 - levels[0] if flip else levels[0]
            out.append(1 + sum(levels) / 4)
        return out

    right = audit(lambda t: by_level(t, flip=False))
    assert (right.total, right.worst, right.best, right.examples) == (0.0, 1.0, 5.0, ())
    wrong = audit(lambda t: by_level(t, flip=True))
    assert wrong.violations == {"noise": 1.0, "continuity": 0.0, "coloration": 0.0, "overall": 0.0}
    assert wrong.total == 0.25
    better, worse, rise = wrong.examples[0]
    assert rise == pytest.approx(0.25)
    assert (better.split()[2:], better[:3]) == (worse.split()[2:], better[:3])


def test_paraphrases_never_contain_an_audited_text(rng: np.random.Generator) -> None:
    audited = {sentence((a, b, c, d)) for a, b, c, d in np.ndindex(5, 5, 5, 5)}
    made = [paraphrase(rng) for _ in range(300)]
    assert not audited & {text for text, _ in made}
    assert all(1 <= rating <= 5 for _, rating in made)


def test_pairs_from_csv_and_jsonl(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,rating\n"Fine, mostly.",4\n', encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "Bad.", "rating": 1.5}\n\n', encoding="utf-8")
    assert read_pairs(tmp_path / "a.csv") == [("Fine, mostly.", 4.0)]
    assert read_pairs(tmp_path / "a.jsonl") == [("Bad.", 1.5)]
    (tmp_path / "b.csv").write_text("text,rating\nFine.,4\nBad.,6\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"b.csv: row 2"):
        read_pairs(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("words,rating\nFine.,4\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="text"):
        read_pairs(tmp_path / "c.csv")


def test_foreign_or_broken_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        Rater.from_pretrained(tmp_path / "nothing")
    WordNet(SMALL).save(tmp_path / "w")
    (tmp_path / "w" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="not a rating model"):
        Rater.from_pretrained(tmp_path / "w")


def star_folder(folder: Path, classes: int = 5, names: list[str] | None = None) -> Path:
    """A tiny random BERT classifier, saved as Hugging Face saves one."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "noisy", "clean", "very", "the"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    labels = dict(enumerate(names)) if names else None
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32, num_labels=classes,
        **({"id2label": labels} if labels else {}),
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.arange(classes).float())
    model.save_pretrained(folder)
    return folder


def test_star_classifier_from_a_folder(tmp_path: Path) -> None:
    rater = Rater.from_pretrained(star_folder(tmp_path / "hf"))
    ratings = rater(["very noisy", "the clean " * 50])
    expected = (torch.arange(5.0).softmax(0) * torch.arange(1.0, 6.0)).sum().item()
    assert ratings == pytest.approx([expected, expected], abs=0.2)
    assert ratings[0] != ratings[1]


def test_stars_are_ordered_by_their_labels(tmp_path: Path) -> None:
    names = ["5 stars", "4 stars", "3 stars", "2 stars", "1 star"]
    up = Rater.from_pretrained(star_folder(tmp_path / "up"))(["very noisy"])[0]
    down = Rater.from_pretrained(star_folder(tmp_path / "down", names=names))(["very noisy"])[0]
    assert up + down == pytest.approx(6.0, abs=1e-4)


def test_three_classes_are_no_stars(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 classes"):
        Rater.from_pretrained(star_folder(tmp_path / "hf", classes=3))
