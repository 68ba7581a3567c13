"""The critic's scores of a sound, as a function of its samples that torch can differentiate.

    sound -> level -> log-mel -----------------------+
    sound -> channels of the waveform (as they are) -+-> critic -> p(digit) -> sum of digit p(digit)

Asked about thirty sampled sounds, a listener gives thirty numbers; a listener that is a network can
be asked which change of each sample would please it. The critic writes its answer first, greedily;
then it is read once more with the gradient on (teacher forcing), so values are those of
`Critic.scores`. What passes the gradient is the log-mel spectrum: the channels of the waveform
(`hearken.critic.waveform`) are counts and maxima, and are held fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as tf

from hearken.critic.answer import Written, digit_families, score_places
from hearken.critic.grammar import parse_scores
from hearken.critic.model import LEVEL, Critic
from hearken.errors import CheckpointError, GrammarError, UsageError
from hearken.nouns import DIMENSIONS, SAMPLE_RATE

__all__ = ["ScoreGradient"]

_SILENT = 1e-6
_FLOOR = 1e-10  # of the power, and 8 decades below the loudest bin: as Whisper has it
_DECADES = 8.0


class ScoreGradient:
    """Expected scores of sounds, with a gradient to their samples.

    Args:
        critic: in this process. Its parameters are frozen.

    Raises:
        CheckpointError: its sound features are not Whisper's log-mel spectrum.
    """

    def __init__(self, critic: Critic) -> None:
        critic.model.requires_grad_(False)
        features = critic.processor.feature_extractor
        needed = ("mel_filters", "n_fft", "hop_length", "n_samples")
        if any(not hasattr(features, name) for name in needed):
            raise CheckpointError(f"{critic.id}: no gradient through {type(features).__name__}")
        where = critic.model.device
        self._critic = critic
        self._features = features
        self._filters_KM = torch.as_tensor(
            np.asarray(features.mel_filters), dtype=torch.float32, device=where
        )
        self._window = torch.hann_window(features.n_fft, device=where)
        self._families = digit_families(critic.tokenizer)
        self._family_of = {i: n for n, f in enumerate(self._families) for i in f}

    def __call__(self, sounds: Sequence[Tensor]) -> Tensor:
        """Scores 1-5 of each sound, in the order of `DIMENSIONS`.

        Args:
            sounds: B of [T] at 16 kHz, no longer than the critic's window, on its device.

        Returns:
            [B, 7]; a row holds NaN, without gradient, where the critic's answer does not parse.

        Raises:
            UsageError: a sound is longer than the window.
        """
        critic = self._critic
        batch = critic.inputs([x.detach().cpu().numpy() for x in sounds])
        mel_BMF = torch.stack([self.log_mel(x) for x in sounds])
        features = batch["input_features"]
        batch["input_features"] = torch.cat(
            [mel_BMF.to(features.dtype), features[:, mel_BMF.shape[1] :]], 1
        )
        written = critic.write_scores(batch)
        logits_BLV = self._read(batch, written)
        nothing = torch.full((len(DIMENSIONS),), torch.nan, device=mel_BMF.device)
        rows = [self._expected(*one) for one in zip(logits_BLV, written, strict=True)]
        return torch.stack([nothing if row is None else row for row in rows])

    def _read(self, batch: dict[str, Tensor], written: Sequence[Written]) -> Tensor:
        """[B, L, V] logits of the tokens at each place of what was written."""
        longest = max(len(w.tokens) for w in written)
        asked_BL = batch["input_ids"]
        answer_BL = asked_BL.new_full((len(written), longest), self._critic.tokenizer.pad_token_id)
        for row, w in enumerate(written):
            answer_BL[row, : len(w.tokens)] = asked_BL.new_tensor(w.tokens)
        whole: dict[str, Any] = {
            **batch,
            "input_ids": torch.cat([asked_BL, answer_BL], 1),
            "attention_mask": torch.cat([batch["attention_mask"], torch.ones_like(answer_BL)], 1),
        }
        logits_BLV: Tensor = self._critic.model(**whole).logits[:, asked_BL.shape[1] - 1 : -1]
        return logits_BLV.float()

    def log_mel(self, sound: Tensor) -> Tensor:
        """Sound [T] -> [mel bins, frames] of the whole window, as the processor makes it.

        Levelled as `Critic.inputs` does, padded with silence; Radford et al. 2022, section 2.2.

        Raises:
            UsageError: longer than the window.
        """
        features = self._features
        if len(sound) > features.n_samples:
            raise UsageError(
                f"a sound longer than the critic's window of {features.n_samples / SAMPLE_RATE} s"
            )
        rms = sound.square().mean().sqrt()
        levelled = sound * (LEVEL / rms) if float(rms.detach()) > _SILENT else sound
        padded = tf.pad(levelled, (0, features.n_samples - len(sound)))
        spec_KF = torch.stft(
            padded, features.n_fft, features.hop_length, window=self._window, return_complex=True
        )
        power_KF = spec_KF[:, :-1].abs().square()
        log_MF = (self._filters_KM.T @ power_KF).clamp(min=_FLOOR).log10()
        return (torch.maximum(log_MF, log_MF.max() - _DECADES) + 4.0) / 4.0

    def _expected(self, logits_LV: Tensor, written: Written) -> Tensor | None:
        """[7] expectations over the digits at their places, at the critic's temperatures."""
        try:
            parse_scores(written.text)
        except GrammarError:
            return None
        places = score_places(self._critic.tokenizer, written)
        digits = torch.arange(1.0, 6.0, device=logits_LV.device)
        out = []
        for name, place in zip(DIMENSIONS, places, strict=True):
            family = self._family_of.get(written.tokens[place])
            if family is None:
                return None
            heat = self._critic.temperature.get(name, 1.0)
            rivals = logits_LV[place, list(self._families[family])]
            out.append(((rivals / heat).softmax(-1) * digits).sum())
        return torch.stack(out)
