# ruff: noqa: F722  (jaxtyping shapes are strings, not annotations)
"""A text model small enough to ship: hashed word pieces, two convolutions, five classes.

A word is the mean of the vectors of its pieces (itself and its character 4-grams, hashed), so
"noise", "noisy" and a word never seen all have a place. The convolutions see seven words at
once: "not", "no longer", "free of" reach the word they turn around.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from hearken.errors import CheckpointError
from hearken.media import atomic

__all__ = ["WordNet", "WordNetConfig", "pieces"]

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|[.,;:!?]")
_KIND = "hearken-words"


@dataclass(frozen=True)
class WordNetConfig:
    """Sizes of the model."""

    buckets: int = 4096
    width: int = 32
    hidden: int = 48
    max_words: int = 160
    max_pieces: int = 6


def pieces(text: str, config: WordNetConfig) -> list[list[int]]:
    """Each word of `text` as the hash buckets of its pieces; bucket 0 is padding.

    >>> len(pieces("Not noisy.", WordNetConfig()))
    3
    """
    words = _WORD.findall(text.lower())[: config.max_words]
    return [_hash(word, config.buckets, config.max_pieces) for word in words]


def _hash(word: str, buckets: int, most: int) -> list[int]:
    marked = f"<{word}>"
    grams = [marked[i : i + 4] for i in range(len(marked) - 3)] if len(word) > 3 else []
    # crc32, not hash(): the same in every process and every version of Python.
    return [1 + zlib.crc32(p.encode()) % (buckets - 1) for p in [word, *grams][:most]]


class WordNet(nn.Module):
    """Text -> logits of five classes, 1 (worst) to 5 (best)."""

    def __init__(self, config: WordNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or WordNetConfig()
        self.embed = nn.Embedding(config.buckets, config.width, padding_idx=0)
        self.first = nn.Conv1d(config.width, config.hidden, 5, padding=2)
        self.second = nn.Conv1d(config.hidden, config.hidden, 3, padding=1)
        self.out = nn.Linear(2 * config.hidden, 5)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Bucket numbers [B, L, M], padded with 0."""
        rows = [pieces(text, self.config) for text in texts]
        longest = max((len(row) for row in rows), default=0)
        ids = torch.zeros(len(rows), max(longest, 1), self.config.max_pieces, dtype=torch.long)
        for b, row in enumerate(rows):
            for n, word in enumerate(row):
                ids[b, n, : len(word)] = torch.tensor(word)
        return ids

    def forward(self, ids_BLM: Int[Tensor, "B L M"]) -> Float[Tensor, "B 5"]:
        """Logits. The result of a text does not depend on the padding beside it."""
        there_BLM1 = (ids_BLM > 0).unsqueeze(-1).float()
        words_BLD = self.embed(ids_BLM).sum(2) / there_BLM1.sum(2).clamp(min=1)
        there_B1L = (ids_BLM[:, :, 0] > 0).unsqueeze(1).float()
        x_BDL = torch.relu(self.first(words_BLD.transpose(1, 2))) * there_B1L
        x_BDL = (x_BDL + torch.relu(self.second(x_BDL))) * there_B1L
        mean_BD = x_BDL.sum(2) / there_B1L.sum(2).clamp(min=1)
        # After relu nothing is below 0, so padding never wins the maximum.
        return self.out(torch.cat([mean_BD, x_BDL.amax(2)], dim=1))

    def save(self, folder: Path) -> None:
        """Write model.safetensors and config.json."""
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(folder / "model.safetensors") as part:
            part.write_bytes(to_bytes({k: v.contiguous() for k, v in self.state_dict().items()}))
        with atomic(folder / "config.json") as part:
            facts = {"kind": _KIND, **asdict(self.config)}
            part.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> WordNet:
        """Read what `save` wrote.

        Raises:
            CheckpointError: files missing, or of another kind.
        """
        try:
            facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            net = cls(WordNetConfig(**{k: v for k, v in facts.items() if k != "kind"}))
            net.load_state_dict(load_file(folder / "model.safetensors"))
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{folder}: not a rating model: {error}") from error
        return net.eval()

    @staticmethod
    def is_saved_in(folder: Path) -> bool:
        """True where `folder` holds this kind of model, not a Hugging Face one."""
        try:
            facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(facts, dict) and facts.get("kind") == _KIND
