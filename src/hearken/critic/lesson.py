"""Supervised lessons for a critic: clips and truths as batches, and the loss on them.

Calibration (Kostenok et al. 2026, stage 1): cross-entropy on the seven scores, against the
truth's distribution over the digits rather than one digit. Beside it, cross-entropy on the rest
of the answer, for a model that has yet to learn the language; and, for an encoder that starts
from nothing, a probe that reads scores and faults straight off the encoder's frames. The probe
speeds learning up and is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.audioflamingo3.modeling_audioflamingo3 import AudioFlamingo3Encoder

from hearken.critic.answer import Answer, digit_families, encode
from hearken.critic.model import Critic
from hearken.errors import UsageError
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Audio, Description

__all__ = ["Lessons", "Pupil"]

_TEXT_KEYS = ("input_ids", "attention_mask")
_TARGETS = ("labels", "weights", "places", "digits", "probs", "faults", "severity")
_IGNORED = -100
_HOPS_PER_FRAME = 4  # a strided convolution, then pooling
_RARE = 4.0  # weight of a fault that is there: each type is in one clip of twenty
_LOG_MEL_PER_DB = 1 / 40  # Whisper's features are (log10(power) + 4) / 4


class Lessons:
    """Clips prepared once: features (float16), question tokens, and the answer to each.

    Attributes:
        lengths: [P] tokens of question and answer, for batches of like lengths.
        truths: [P] what was added.
    """

    NO_TOKEN = -1
    """Stands in `hear(...)["question"]` where a shorter question has nothing."""

    def __init__(self, critic: Critic) -> None:
        self.critic = critic
        self._family = digit_families(critic.tokenizer)
        self._questions: list[NDArray[np.int64]] = []
        self._features: list[dict[str, Tensor]] = []
        self._answers: list[Answer] = []
        self._faults: list[NDArray[np.float32]] = []
        self._severity: list[NDArray[np.float32]] = []
        self.truths: list[Description] = []

    def __len__(self) -> int:
        return len(self._answers)

    def add(self, clips: Sequence[Audio], truths: Sequence[Description]) -> None:
        """Prepares clips no longer than the critic's window."""
        self.recall(self.hear(clips), truths)

    def hear(self, clips: Sequence[Audio]) -> dict[str, Tensor]:
        """What is kept of clips: sound features at half size, `question` [B, L] padded left."""
        batch = {k: v.cpu() for k, v in self.critic.inputs(clips).items()}
        asked = batch["attention_mask"].bool()
        question = batch["input_ids"].masked_fill(~asked, self.NO_TOKEN).to(torch.int32)
        sound = {k: _small(v) for k, v in batch.items() if k not in _TEXT_KEYS}
        return {**sound, "question": question}

    def recall(self, heard: Mapping[str, Tensor], truths: Sequence[Description]) -> None:
        """Adds what `hear` gave, with the truth of each clip."""
        for row, truth in enumerate(truths):
            question = heard["question"][row].numpy().astype(np.int64)
            self._questions.append(question[question != self.NO_TOKEN])
            self._features.append({k: v[row] for k, v in heard.items() if k != "question"})
            self._answers.append(encode(self.critic.tokenizer, truth))
            self._faults.append(_frames(truth, self.critic.window_s))
            self._severity.append(_severity(truth))
            self.truths.append(truth)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[P] tokens of question and answer."""
        pairs = zip(self._questions, self._answers, strict=True)
        return np.array([len(q) + len(a.tokens) for q, a in pairs])

    def inputs(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """What `Critic.write` takes: the questions alone, padded on the left."""
        longest = max(len(self._questions[r]) for r in rows)
        pad = self.critic.tokenizer.pad_token_id
        ids = np.full((len(rows), longest), pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for b, r in enumerate(rows):
            ids[b, longest - len(self._questions[r]) :] = self._questions[r]
            mask[b, longest - len(self._questions[r]) :] = 1
        text = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        return {**text, **self._sound(rows)}

    def batch(
        self,
        rows: Sequence[int],
        rng: np.random.Generator,
        *,
        gain_db: tuple[float, float] = (0.0, 0.0),
        tilt_db: float = 0.0,
        digit_noise: float = 0.0,
        words_weight: float = 1.0,
    ) -> dict[str, Tensor]:
        """Questions and answers, padded on the right, with what is to be learnt.

        Args:
            rows: which clips.
            rng: of the augmentation.
            gain_db: range of a random gain: the level of a clip is no fault.
            tilt_db: size of a random smooth colouring of the spectrum: nor is a microphone.
            digit_noise: share of score digits replaced in the input, not in the target, so that
                later scores are learnt from the sound and not from earlier, true digits.

            words_weight: weight of a token of the free words; of all others 1. The faults are
                facts, their wording is one of many.

        Returns:
            input_ids, attention_mask [B, L], labels and weights [B, L] (without the digits), places
            [B, 7] of the score digits, digits [B, 7, 5] their tokens, probs [B, 7, 5] the
            truth, faults [B, 17, 100] presence over time, severity [B, 17] (0 where absent), and
            the model's sound features.
        """
        sequences = [np.concatenate([self._questions[r], self._answers[r].tokens]) for r in rows]
        longest = max(len(s) for s in sequences)
        ids = np.full((len(rows), longest), self.critic.tokenizer.pad_token_id, dtype=np.int64)
        mask, labels = np.zeros_like(ids), np.full_like(ids, _IGNORED)
        weights = np.zeros(ids.shape, dtype=np.float32)
        places = np.zeros((len(rows), len(DIMENSIONS)), dtype=np.int64)
        digits = np.zeros((len(rows), len(DIMENSIONS), 5), dtype=np.int64)
        for b, (r, sequence) in enumerate(zip(rows, sequences, strict=True)):
            asked = len(self._questions[r])
            places[b] = asked + np.array(self._answers[r].places)
            digits[b] = [self._family_of(sequence[p]) for p in places[b]]
            mask[b, : len(sequence)] = 1
            labels[b, asked : len(sequence)] = sequence[asked:]
            labels[b, places[b]] = _IGNORED
            weights[b, asked : len(sequence)] = 1.0
            weights[b, asked + self._answers[r].words_at : len(sequence)] = words_weight
            swapped = rng.random(len(DIMENSIONS)) < digit_noise
            drawn = digits[b, np.arange(len(DIMENSIONS)), rng.integers(0, 5, len(DIMENSIONS))]
            sequence[places[b]] = np.where(swapped, drawn, sequence[places[b]])
            ids[b, : len(sequence)] = sequence
        sound = self.coloured(rows, rng, gain_db=gain_db, tilt_db=tilt_db)
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels),
            "weights": torch.from_numpy(weights),
            "places": torch.from_numpy(places),
            "digits": torch.from_numpy(digits),
            "probs": torch.from_numpy(np.stack([self._answers[r].probs for r in rows])),
            "faults": torch.from_numpy(np.stack([self._faults[r] for r in rows])),
            "severity": torch.from_numpy(np.stack([self._severity[r] for r in rows])),
            **sound,
        }

    def coloured(
        self,
        rows: Sequence[int],
        rng: np.random.Generator,
        *,
        gain_db: tuple[float, float] = (0.0, 0.0),
        tilt_db: float = 0.0,
    ) -> dict[str, Tensor]:
        """The sound features of some clips, as if of another level and microphone.

        Arguments as for `batch`.
        """
        sound = self._sound(rows)
        bands = self.critic.mel_bins
        gains = rng.uniform(*gain_db, (len(rows), 1)) + tilt_db * _curves(len(rows), bands, rng)
        shift = torch.from_numpy((gains * _LOG_MEL_PER_DB).astype(np.float32))
        sound["input_features"][:, :bands] += shift[:, :, None]
        return sound

    def _sound(self, rows: Sequence[int]) -> dict[str, Tensor]:
        stacked = {k: torch.stack([self._features[r][k] for r in rows]) for k in self._features[0]}
        return {k: v.float() if v.is_floating_point() else v.long() for k, v in stacked.items()}

    def _family_of(self, token: int) -> tuple[int, ...]:
        return next(f for f in self._family if token in f)


class Pupil(nn.Module):
    """The model under training, with its throw-away probe; `forward` gives the losses.

    Args:
        model: any audio LLM with an audio tower.
        probe: whether to add the probe on the tower's frames.
    """

    def __init__(self, model: nn.Module, *, probe: bool) -> None:
        super().__init__()
        self.model = model
        self.tower = _tower(model)
        self._frames: Tensor | None = None
        self.probe: nn.ModuleDict | None = None
        if probe:
            width = self.tower.config.hidden_size
            self.probe = nn.ModuleDict(
                {
                    "scores": nn.Linear(2 * width, len(DIMENSIONS)),
                    "present": nn.Linear(2 * width, len(FAULT_TYPES)),
                    "severity": nn.Linear(2 * width, len(FAULT_TYPES)),
                    "frames": nn.Linear(width, len(FAULT_TYPES)),
                }
            )
            self.tower.register_forward_hook(self._keep_frames)

    def forward(self, batch: Mapping[str, Tensor], *, hear_only: bool = False) -> dict[str, Tensor]:
        """Losses: `score`, `text`, and with a probe `probe`; each a mean, ready to be weighed.

        With `hear_only` the language model is left out, and only `probe` comes back.
        """
        with _shortened(self.tower, batch) as heard:
            if hear_only and self.probe is not None:
                self.tower(heard["input_features"], heard["input_features_mask"])
                return {"probe": self._probe_loss(batch)}
            logits = self.model(**{k: v for k, v in heard.items() if k not in _TARGETS}).logits
        before = batch["places"] - 1  # position k - 1 predicts token k
        rows = torch.arange(len(before), device=before.device)[:, None]
        log_probs = F.log_softmax(logits[rows, before].float(), dim=-1)
        of_digits = log_probs.gather(-1, batch["digits"])
        losses = {
            "score": -(batch["probs"] * of_digits).sum(-1).mean(),
            "text": _weighed(logits[:, :-1], batch["labels"][:, 1:], batch["weights"][:, 1:]),
        }
        if self.probe is not None:
            losses["probe"] = self._probe_loss(batch)
        return losses

    def _probe_loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        assert self.probe is not None
        assert self._frames is not None
        frames = self._frames  # [B, F, D]
        self._frames = None
        mask = next(v for k, v in batch.items() if "mask" in k and k != "attention_mask").float()
        whole = mask.shape[1] // _HOPS_PER_FRAME  # frames of a full window; fewer were computed
        valid = F.adaptive_max_pool1d(mask[:, None], whole)[:, 0, : frames.shape[1]]  # [B, F]
        mean = (frames * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)
        most = frames.masked_fill(valid[..., None] == 0, -torch.inf).amax(1)
        pooled = torch.cat([mean, most], dim=-1)
        digits = torch.arange(1, 6, device=mean.device, dtype=torch.float32)
        target = ((batch["probs"] * digits).sum(-1) - 3) / 2
        present_F = F.adaptive_max_pool1d(batch["faults"], whole)[..., : frames.shape[1]]
        said_F = self.probe["frames"](frames).transpose(1, 2).float()
        rare = torch.tensor(_RARE, device=mean.device)
        by_frame = F.binary_cross_entropy_with_logits(said_F, present_F, reduction="none")
        by_frame = (by_frame.mean(1) * valid).sum() / valid.sum()
        heard = batch["severity"] > 0
        by_clip = F.binary_cross_entropy_with_logits(
            self.probe["present"](pooled).float(), heard.float(), pos_weight=rare
        )
        worse = (self.probe["severity"](pooled).float() - batch["severity"]) / 4
        by_type = (worse.square() * heard).sum() / heard.sum().clamp_min(1)
        by_score = F.mse_loss(self.probe["scores"](pooled).float(), target)
        loss: Tensor = by_score + by_clip + 6 * by_frame + 0.5 * by_type
        return loss

    def _keep_frames(self, module: nn.Module, given: Any, out: Any) -> None:
        self._frames = out.last_hidden_state


@contextmanager
def _shortened(tower: Any, batch: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The batch with its common padding cut off: the same numbers for a third less work.

    Audio Flamingo 3 encodes a full window however short the clips are. Its convolutions see two
    hops to each side, and padding is masked in attention: cut 4 hops or more after the last clip
    ends, no frame that is used changes. Other towers check the length, and are left alone.
    """
    mask = batch.get("input_features_mask")
    if mask is None or not isinstance(tower, AudioFlamingo3Encoder):
        yield dict(batch)
        return
    longest = int(mask.sum(-1).max()) + _HOPS_PER_FRAME
    hops = min(mask.shape[1], -(-longest // _HOPS_PER_FRAME) * _HOPS_PER_FRAME)
    positions = tower.embed_positions.weight
    tower.embed_positions.weight = nn.Parameter(positions[: hops // 2], requires_grad=False)
    try:
        short = {k: batch[k][..., :hops] for k in ("input_features", "input_features_mask")}
        yield {**batch, **short}
    finally:
        tower.embed_positions.weight = positions


def _weighed(logits_BLV: Tensor, labels_BL: Tensor, weights_BL: Tensor) -> Tensor:
    """Cross-entropy, a weighted mean over the tokens that are to be learnt."""
    each = F.cross_entropy(
        logits_BLV.flatten(0, 1).float(),
        labels_BL.flatten(),
        ignore_index=_IGNORED,
        reduction="none",
    )
    weights = weights_BL.flatten() * (labels_BL.flatten() != _IGNORED)
    mean: Tensor = (each * weights).sum() / weights.sum()
    return mean


def _tower(model: nn.Module) -> Any:
    for name, module in model.named_modules():
        if name.endswith("audio_tower"):
            return module
    raise UsageError(f"{type(model).__name__} has no audio tower to train")


def _small(value: Tensor) -> Tensor:
    """A copy at half the size: a view would keep all the samples in memory."""
    return value.half() if value.is_floating_point() else value.to(torch.int16, copy=True)


def _frames(truth: Description, window_s: float, frames: int = 100) -> NDArray[np.float32]:
    """[17, frames] 1 where a fault of the type is present in that part of the window."""
    present = np.zeros((len(FAULT_TYPES), frames), dtype=np.float32)
    order = list(FAULT_TYPES)
    for fault in truth.faults:
        first = int(fault.start_s / window_s * frames)
        last = max(first + 1, int(np.ceil(fault.end_s / window_s * frames)))
        present[order.index(fault.type), first:last] = 1
    return present


def _severity(truth: Description) -> NDArray[np.float32]:
    """[17] worst severity of each type, 0 where it is absent."""
    worst = np.zeros(len(FAULT_TYPES), dtype=np.float32)
    order = list(FAULT_TYPES)
    for fault in truth.faults:
        place = order.index(fault.type)
        worst[place] = max(worst[place], fault.severity)
    return worst


def _curves(rows: int, bands: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """[rows, bands] random smooth curves, mostly within +-1."""
    waves = np.cos(np.pi * np.outer(np.arange(1, 5), (np.arange(bands) + 0.5) / bands))
    return rng.normal(size=(rows, 4)) / np.arange(1, 5) @ waves * 0.6
