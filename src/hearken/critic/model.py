"""The critic: an audio LLM that hears clips and says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from hearken.critic.answer import (
    Recorder,
    Written,
    digit_families,
    digit_forms,
    read,
    read_scores,
)
from hearken.critic.decode import GreedyRules, newline_tokens
from hearken.critic.loader import Loaded, load_critic
from hearken.critic.locator import NAMED, place
from hearken.critic.reword import moved, resumed, reworded
from hearken.critic.timeline import Heard, merge, windows
from hearken.critic.waveform import CHANNELS, waveform_features
from hearken.errors import GrammarError, HearkenError, UsageError
from hearken.nouns import DIMENSIONS, SAMPLE_RATE, Audio, Clip, Description, Score

__all__ = ["LEVEL", "Critic", "Input"]

Input = Clip | str | Path | bytes | tuple[Any, int]
_Hear = Callable[[Sequence[Audio], int], list[Description | GrammarError]]

OVERLAP_S = 1.0
LEVEL = 0.05
"""RMS that every clip is brought to, -26 dB of full scale: how loud it is is no fault of it."""
_SHORTEST = SAMPLE_RATE // 4  # shorter clips are padded: a model must get some sound
_SCORE_TOKENS = 6 * len(DIMENSIONS)  # room for a tokenizer that splits "listening effort: 2\n"


class Critic:
    """Hears clips; greedy by default, so that the same clip always gets the same words.

    Attributes:
        model, processor: as transformers loaded them.
        prompt: the question that is asked.
        window_s: the longest stretch heard at once, seconds.
        id, revision: what goes into every record.
        temperature: of each dimension's digits, where it was fitted.
        locator: what places its faults in time; None leaves them where the words say.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.model = loaded.model
        self.processor = loaded.processor
        self.prompt = loaded.prompt
        self.window_s = loaded.window_s
        self.id = loaded.id
        self.revision = loaded.revision
        self.temperature = dict(loaded.temperature)
        self.locator = loaded.locator
        self._families = digit_families(self.tokenizer)
        self._forms = digit_forms(self.tokenizer)
        self._newlines = newline_tokens(self.tokenizer)
        self._question = self._ask()

    @classmethod
    def from_pretrained(
        cls,
        id_or_dir: str | Path | None = None,
        *,
        revision: str | None = None,
        device: str = "cpu",
    ) -> Critic:
        """Loads a critic: None is the shipped one, else a folder or a hub name.

        Raises:
            CheckpointError: not a model, or not one that writes.
        """
        return cls(load_critic(id_or_dir, revision=revision, device=device))

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    def __call__(
        self,
        inputs: Input | Sequence[Input],
        *,
        batch_size: int = 16,
        sample: bool = False,
        temperature: float = 1.0,
        seed: int = 0,
        max_new_tokens: int = 256,
    ) -> list[Description | HearkenError]:
        """Hears each input; a bad input is an error in its place in the list, never a stop.

        Args:
            inputs: one or more of: a Clip, a path, bytes, (array, sample rate).
            batch_size: windows heard together.
            sample: draw words at `temperature` with `seed`, rather than the likeliest.
            temperature: of the sampling.
            seed: of the sampling.
            max_new_tokens: longest answer.
        """
        if isinstance(inputs, Clip | str | Path | bytes | tuple):
            inputs = [inputs]
        found: list[Clip | HearkenError] = [_load(i) for i in inputs]
        clips = [c.samples for c in found if isinstance(c, Clip)]
        said = iter(
            self.listen(
                clips,
                batch_size=batch_size,
                sample=sample,
                temperature=temperature,
                seed=seed,
                max_new_tokens=max_new_tokens,
            )
        )
        return [next(said) if isinstance(c, Clip) else c for c in found]

    def listen(
        self,
        clips: Sequence[Audio],
        *,
        batch_size: int = 16,
        sample: bool = False,
        temperature: float = 1.0,
        seed: int = 0,
        max_new_tokens: int = 256,
    ) -> list[Description | GrammarError]:
        """Hears clips [T] at 16 kHz; those longer than the window as one merged timeline.

        Memory is bounded by `batch_size` windows, however long the clips are.
        """
        return self._over_windows(
            clips,
            lambda batch, first: self._describe(
                batch,
                sample=sample,
                temperature=temperature,
                seed=seed + first,
                max_new_tokens=max_new_tokens,
            ),
            batch_size,
        )

    def scores(
        self, clips: Sequence[Audio], *, batch_size: int = 16
    ) -> list[dict[str, Score] | GrammarError]:
        """The seven scores alone (faster: the answer stops after them), as expectations."""
        said = self._over_windows(
            clips, lambda batch, first: self._describe_scores(batch), batch_size
        )
        return [dict(s.scores) if isinstance(s, Description) else s for s in said]

    def inputs(self, clips: Sequence[Audio]) -> dict[str, torch.Tensor]:
        """What the model is given for a batch of clips no longer than the window."""
        longest = round(self.window_s * SAMPLE_RATE)
        if any(len(c) > longest for c in clips):
            raise UsageError(f"a clip longer than the critic's window of {self.window_s:g} s")
        padded = [np.pad(_levelled(c), (0, max(0, _SHORTEST - len(c)))) for c in clips]
        # Padding goes to the text only: as a common option it would reach the feature
        # extractor, and undo the fixed window of Audio Flamingo 3.
        batch = self.processor(
            text=[self._question] * len(clips),
            audio=padded,
            text_kwargs={"padding": True, "padding_side": "left"},
            audio_kwargs={"sampling_rate": SAMPLE_RATE},
            return_tensors="pt",
        )
        batch = self._with_waveform(dict(batch), padded)
        return {k: v.to(self.model.device) for k, v in batch.items()}

    def _with_waveform(
        self, batch: dict[str, torch.Tensor], clips: Sequence[Audio]
    ) -> dict[str, torch.Tensor]:
        """Channels of the waveform above the mel bands, for a model that has room for them."""
        mel = batch.get("input_features")
        tower = getattr(self.model.config, "audio_config", None)
        room = getattr(tower, "num_mel_bins", None)
        if mel is None or room is None or mel.shape[1] + len(CHANNELS) != room:
            return batch
        hop = self.processor.feature_extractor.hop_length
        more = torch.from_numpy(waveform_features(clips, hop, mel.shape[-1]))
        return {**batch, "input_features": torch.cat([mel, more.to(mel)], dim=1)}

    @property
    def hop_s(self) -> float:
        """Seconds between two frames of the sound features."""
        return float(self.processor.feature_extractor.hop_length) / SAMPLE_RATE

    @property
    def mel_bins(self) -> int:
        """How many of the sound features' channels are log-mel bands, counted from the first."""
        return int(getattr(self.processor.feature_extractor, "feature_size", 0))

    def write(
        self,
        batch: dict[str, torch.Tensor],
        *,
        sample: bool = False,
        temperature: float = 1.0,
        seed: int = 0,
        max_new_tokens: int = 256,
    ) -> list[Written]:
        """Lets the model write an answer to each row of `inputs(...)`."""
        recorder = Recorder(self._families)
        rules = GreedyRules(self.tokenizer, self._forms, self._newlines, self.window_s)
        processors: list[LogitsProcessor] = [recorder, rules]
        options: dict[str, Any] = {"do_sample": sample}
        if sample:
            # top_k and top_p off: what is sampled is the policy itself, as its log-probs say.
            processors = [recorder]
            options |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
        with torch.inference_mode(), torch.random.fork_rng(enabled=sample):
            if sample:
                torch.manual_seed(seed)
            tokens = self.model.generate(  # type: ignore[operator]
                **batch,
                max_new_tokens=max_new_tokens,
                logits_processor=LogitsProcessorList(processors),
                pad_token_id=self.tokenizer.pad_token_id,
                **options,
            )
        recorder.settle(tokens[:, -1])
        answers = tokens[:, batch["input_ids"].shape[1] :].tolist()
        return [self._written(recorder, row, ids) for row, ids in enumerate(answers)]

    def write_scores(self, batch: dict[str, torch.Tensor]) -> list[Written]:
        """The same, greedily, and no further than the seven scores."""
        return self.write(batch, max_new_tokens=self._score_length())

    def _written(self, recorder: Recorder, row: int, ids: list[int]) -> Written:
        ends = self._end_tokens()
        length = next((k for k, i in enumerate(ids) if i in ends), len(ids))
        token_probs, digit_probs = recorder.row(row, length)
        kept = ids[:length]
        text = self.tokenizer.decode(kept, clean_up_tokenization_spaces=False)
        return Written(text, tuple(kept), length < len(ids), token_probs, digit_probs)

    def _end_tokens(self) -> set[int]:
        asked = self.model.generation_config.eos_token_id
        listed = asked if isinstance(asked, list) else [asked]
        return {i for i in [*listed, self.tokenizer.eos_token_id] if i is not None}

    def _describe(self, clips: Sequence[Audio], **options: Any) -> list[Description | GrammarError]:
        said: list[Description | GrammarError] = []
        batch = self.inputs(clips)
        for written in self.write(batch, **options):
            try:
                found = read(self.tokenizer, written, self.temperature)
                said.append(replace(found, model=self.id, revision=self.revision))
            except GrammarError as error:
                said.append(error)
        return self._placed(batch, said, **options) if self.locator is not None else said

    def _placed(
        self, batch: dict[str, torch.Tensor], said: list[Description | GrammarError], **options: Any
    ) -> list[Description | GrammarError]:
        """The same with the times that the locator finds, and words that agree with them."""
        assert self.locator is not None
        hops = batch["input_features_mask"].sum(-1)
        times = self.locator.find(batch["input_features"], hops, prior=NAMED)
        changed: dict[int, Description] = {}
        out = list(said)
        for row, (answer, found) in enumerate(zip(said, times, strict=True)):
            if isinstance(answer, Description):
                out[row] = placed = place(answer, found)
                if moved(answer, placed):
                    changed[row] = placed
        if changed:
            start = resumed(self.tokenizer, batch, list(changed), list(changed.values()))
            for row, written in zip(changed, self.write(start, **options), strict=True):
                out[row] = reworded(changed[row], written)
        return out

    def _describe_scores(self, clips: Sequence[Audio]) -> list[Description | GrammarError]:
        said: list[Description | GrammarError] = []
        for written in self.write_scores(self.inputs(clips)):
            try:
                scores = read_scores(self.tokenizer, written, self.temperature)
                said.append(Description(scores, (), "", written.text))
            except GrammarError as error:
                said.append(error)
        return said

    def _score_length(self) -> int:
        lines = "\n".join(f"{d.replace('_', ' ')}: 3" for d in DIMENSIONS) + "\n"
        return len(self.tokenizer(lines, add_special_tokens=False)["input_ids"])

    def _over_windows(
        self, clips: Sequence[Audio], hear: _Hear, batch_size: int
    ) -> list[Description | GrammarError]:
        """`hear(batch, first)` over all windows of all clips, in batches; merged per clip."""
        window = round(self.window_s * SAMPLE_RATE)
        hop = max(1, round((self.window_s - OVERLAP_S) * SAMPLE_RATE))
        spans = [(p, s, e) for p, c in enumerate(clips) for s, e in windows(len(c), window, hop)]
        parts: list[list[Heard]] = [[] for _ in clips]
        for first in range(0, len(spans), max(1, batch_size)):
            chosen = spans[first : first + max(1, batch_size)]
            answers = hear([clips[p][s:e] for p, s, e in chosen], first)
            for (p, s, e), said in zip(chosen, answers, strict=True):
                parts[p].append(Heard(s / SAMPLE_RATE, e / SAMPLE_RATE, said))
        return [merge(p) for p in parts]  # type: ignore[misc]

    def _ask(self) -> str:
        """The question in the model's own chat form, rendered once."""
        content = [{"type": "audio", "audio": ""}, {"type": "text", "text": self.prompt}]
        return str(
            self.processor.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
        )


def _levelled(clip: Audio) -> Audio:
    rms = float(np.sqrt(np.mean(np.square(clip, dtype=np.float64)))) if len(clip) else 0.0
    return (clip * np.float32(LEVEL / rms)).astype(np.float32) if rms > 1e-6 else clip


def _load(item: Input) -> Clip | HearkenError:
    if isinstance(item, Clip):
        return item
    from hearken import media  # decoders are not needed to hear arrays

    try:
        return media.load(item)
    except UsageError:
        raise
    except HearkenError as error:
        return error
