"""Words -> one number from 1 to 5.

Two kinds of rater answer the same call: the small model shipped with the package
(`hearken.feedback.wordnet`), and any Hugging Face star classifier with five classes, by folder
or by name. Both give the expectation over the five classes, not the likeliest one: a rating
that can move by less than a star is a finer reward.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from hearken.errors import CheckpointError, GrammarError, JudgeError, ManifestError, UsageError
from hearken.feedback.wordnet import WordNet, WordNetConfig

__all__ = ["Pair", "Rater", "fit", "read_pairs"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")

Pair = tuple[str, float]
"""A description and the rating it should have, 1.0 to 5.0."""


class Rater:
    """A callable: texts -> ratings, each within [1, 5].

    >>> rater = Rater(lambda texts: torch.tensor([[0.0, 0, 0, 0, 99]] * len(texts)), "five")
    >>> rater(["Clear."])
    [5.0]
    """

    def __init__(self, logits: Callable[[Sequence[str]], Tensor], name: str) -> None:
        """`logits` maps B texts to [B, 5], ordered from one star to five."""
        self._logits = logits
        self.name = name

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """Rate each text.

        Raises:
            GrammarError: a text without a single word.
            JudgeError: the model answered with something that is not finite.
        """
        for text in texts:
            if not re.search(r"[^\W_]", text):
                raise GrammarError("no words to rate", text=text, line=1)
        if not texts:
            return []
        with torch.inference_mode():
            probs_B5 = self._logits(texts).float().softmax(dim=1).cpu()
        stars_B = (probs_B5 * torch.arange(1.0, 6.0)).sum(dim=1)
        if not bool(stars_B.isfinite().all()):
            raise JudgeError(f"the rating model {self.name} gave a rating that is not finite")
        return [float(x) for x in stars_B.clamp(1.0, 5.0)]

    @classmethod
    def from_pretrained(
        cls,
        name_or_dir: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str = "cpu",
    ) -> Rater:
        """The shipped rater (None), a folder made by `fit`, or a Hugging Face classifier.

        Args:
            name_or_dir: e.g. "nlptown/bert-base-multilingual-uncased-sentiment".
            revision: of a hub model; pin it where numbers must repeat.
            device: where a Hugging Face model runs.

        Raises:
            CheckpointError: nothing loadable there.
            UsageError: a classifier that does not have five classes.
        """
        if name_or_dir is None:
            folder = Path(str(files("hearken"))) / "weights" / "rating"
            return _small(WordNet.load(folder), "hearken-rating")
        if WordNet.is_saved_in(Path(name_or_dir)):
            return _small(WordNet.load(Path(name_or_dir)), str(name_or_dir))
        if not Path(name_or_dir).is_dir() and not _HUB_NAME.fullmatch(str(name_or_dir)):
            raise CheckpointError(f"{name_or_dir}: no such folder, and not the name of a model")
        return _star_classifier(str(name_or_dir), revision, device)


def _small(net: WordNet, name: str) -> Rater:
    net.eval()
    return Rater(lambda texts: net(net.encode(texts)), name)


def _star_classifier(name: str, revision: str | None, device: str) -> Rater:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            name, revision=revision, use_safetensors=True
        )
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{name}: not a text classifier that can be loaded: {error}"
        ) from error
    order = _star_order(name, model.config.id2label)
    model.to(device).eval()
    longest = min(int(getattr(model.config, "max_position_embeddings", 512)), 512)

    def logits(texts: Sequence[str]) -> Tensor:
        batch = tokenizer(
            list(texts), return_tensors="pt", padding=True, truncation=True, max_length=longest
        )
        return model(**batch.to(device)).logits[:, order]

    return Rater(logits, name)


def _star_order(name: str, labels: dict[int, str]) -> list[int]:
    """The class indices from one star to five: by the digit in the label, else as they stand."""
    if len(labels) != 5:
        raise UsageError(f"{name}: has {len(labels)} classes; a star classifier has five")
    digits = [re.findall(r"[1-5]", labels[i]) for i in range(5)]
    found = {int(d[0]): i for i, d in enumerate(digits) if len(d) == 1}
    if set(found) == {1, 2, 3, 4, 5} and not all(v.startswith("LABEL_") for v in labels.values()):
        return [found[star] for star in range(1, 6)]
    return list(range(5))


def read_pairs(path: Path) -> list[Pair]:
    """(text, rating) pairs from a .csv with these headers or a .jsonl with these keys.

    Raises:
        ManifestError: a missing column, or a rating outside 1-5; names the row.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix == ".csv":
                rows: Iterable[dict[str, object]] = [dict(row) for row in csv.DictReader(file)]
            else:
                rows = [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path}: cannot be read as pairs: {error}") from error
    pairs = []
    for number, row in enumerate(rows, start=1):
        try:
            text, rating = str(row["text"]), float(str(row["rating"]))
        except (KeyError, ValueError) as error:
            raise ManifestError(f"{path}: row {number}: needs text and rating: {error}") from error
        if not 1 <= rating <= 5 or not text.strip():
            raise ManifestError(f"{path}: row {number}: needs words and a rating of 1 to 5")
        pairs.append((text, rating))
    return pairs


def fit(
    pairs: Sequence[Pair],
    out: Path,
    *,
    epochs: int = 6,
    batch: int = 64,
    lr: float = 3e-3,
    word_dropout: float = 0.1,
    seed: int = 0,
    config: WordNetConfig | None = None,
) -> Rater:
    """Train the small rater on `pairs`, save it in `out`, and return it.

    The target is the rating spread over its two neighbouring classes, so that its expectation
    is the rating itself. The loss is the cross-entropy plus the squared error of the
    expectation. Same pairs and seed, same weights.

    Args:
        pairs: descriptions and ratings.
        out: folder to write.
        epochs: passes over the pairs.
        batch: pairs in a step.
        lr: peak learning rate of AdamW, falling to 0 along a cosine.
        word_dropout: share of words hidden in training, so that no single word decides.
        seed: of the weights, the order and the dropout.
        config: sizes of the model.
    """
    if not pairs:
        raise UsageError("fit: no pairs to learn from")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = WordNet(config)
        ids_BLM = net.encode([text for text, _ in pairs])
        target_B = torch.tensor([rating for _, rating in pairs])
        _train(net, ids_BLM, target_B, epochs, batch, lr, word_dropout)
    net.save(out)
    return _small(net, str(out))


def _train(
    net: WordNet,
    ids_BLM: Tensor,
    target_B: Tensor,
    epochs: int,
    batch: int,
    lr: float,
    word_dropout: float,
) -> None:
    steps = epochs * math.ceil(len(ids_BLM) / batch)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    stars = torch.arange(1.0, 6.0)
    net.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(ids_BLM)).split(batch):
            ids = ids_BLM[rows]
            ids = ids[:, : int((ids[:, :, 0] > 0).sum(1).max())]
            ids = ids * (torch.rand(ids.shape[:2]) >= word_dropout).unsqueeze(-1)
            logits_B5 = net(ids)
            digits_B5 = (1 - (target_B[rows, None] - stars).abs()).clamp(min=0)
            error_B = (logits_B5.softmax(1) * stars).sum(1) - target_B[rows]
            loss = functional.cross_entropy(logits_B5, digits_B5) + error_B.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
