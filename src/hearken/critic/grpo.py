"""GRPO for a model that hears: TRL's trainer, with the audio carried to every forward.

TRL 1.16 knows images, not audio. Left alone it fails at a missing `image_token_id`; with only that
patched, the rollouts hear the clip but the log-probabilities of the policy and of the reference are
computed on text with empty places where the sound should be, and nothing says so. So four places
are hooked here, and a forward without features raises:

    __init__                                the token that a rollout must never sample
    _tokenize_prompts                       clip -> token ids and features, both for generation
    _generate_and_score_completions         features join the batch that is shuffled and split
    _get_per_token_logps_and_entropies      features join every scored forward (policy, reference)

`_compute_loss` hands the features of its own slice to the last of these. A prompt is the path of a
clip; `encode` knows the words around it.

`Rewards` grades the answers, one function for each part; `Bridge` writes the trainer's numbers to
the run folder and stops it cleanly.

Left out: vLLM rollouts (they carry no audio), tools, clips longer than the model's window.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hearken.critic.credit import line_advantages, token_advantages
from hearken.critic.grade import PARTS, grade
from hearken.critic.prompt import SIDE_FILE, names, prompt
from hearken.errors import GrammarError, UsageError, require
from hearken.nouns import Description, Judgement
from hearken.run.track import Run

try:
    from accelerate.utils import gather_object
    from transformers import PreTrainedModel, TrainerCallback
    from trl.trainer.grpo_trainer import GRPOTrainer
except ModuleNotFoundError as error:
    raise require(error.name or "trl", "train") from error

__all__ = ["AudioGRPOTrainer", "Bridge", "Rewards", "adapters", "audio_token", "export"]

Encode = Callable[[Sequence[str]], Mapping[str, Tensor]]
"""Clip paths [B] -> `input_ids`, `attention_mask` [B, L] (left-padded) and features [B, ...]."""

_TEXT_KEYS = ("input_ids", "attention_mask")


class AudioGRPOTrainer(GRPOTrainer):
    """`trl.GRPOTrainer` whose prompts are clips. Rows of the dataset: {"prompt": path, ...}.

    Args:
        model: an audio language model, loaded from a folder or hub (the reference is loaded anew
            from there where `beta` > 0 and no adapter is trained).
        encode: makes the model's inputs from clip paths.
        credit: advantages [B, L] of the tokens of the latest completions; None for one advantage
            an answer, TRL's own.
        kwargs: of `trl.GRPOTrainer`.
    """

    def __init__(
        self,
        model: Any,
        *,
        encode: Encode,
        credit: Callable[[], NDArray[np.float32]] | None = None,
        **kwargs: Any,
    ) -> None:
        self._encode = encode
        self._credit = credit
        self._features: dict[str, Tensor] | None = None
        self._feature_keys: tuple[str, ...] = ()
        config = model.config
        # TRL keeps rollouts from sampling this token: a sampled place for audio has no features.
        config.image_token_id = audio_token(config)
        try:
            super().__init__(model, **kwargs)
        finally:
            del config.image_token_id

    def _tokenize_prompts(
        self, prompts: list[str]
    ) -> tuple[list[list[int]], None, dict[str, Tensor]]:
        made = self._encode(prompts)
        ids, mask = made["input_ids"], made["attention_mask"].bool()
        self._features = self._placed({k: v for k, v in made.items() if k not in _TEXT_KEYS})
        rows = {k: len(v) for k, v in self._features.items()}
        if not rows or set(rows.values()) != {len(prompts)}:
            raise UsageError(
                f"{len(prompts)} clips gave features of {rows or 'no'} rows: one window a clip is "
                "needed; shorten the clips"
            )
        return [i[m].tolist() for i, m in zip(ids, mask, strict=True)], None, self._features

    def _placed(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """On the model's device; floating features in its dtype."""
        model: Any = self.model
        device, dtype = self.accelerator.device, model.dtype
        return {
            k: v.to(device, dtype) if v.is_floating_point() else v.to(device)
            for k, v in features.items()
        }

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Loads the weights of a checkpoint by the names it was saved under.

        `save_pretrained` writes Audio Flamingo 3 under its first names, which only
        `from_pretrained` knows: the stock trainer finds none of them and goes on from the start
        with a warning.
        """
        own: Any = self.model if model is None else model
        if not isinstance(own, PreTrainedModel) or self.is_fsdp_enabled:  # adapters, shards
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(own).from_pretrained(
            resume_from_checkpoint, dtype=own.dtype, use_safetensors=True
        )
        own.load_state_dict(saved.state_dict())

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._features = None
        batch = super()._generate_and_score_completions(inputs)
        if self._features is None:
            raise RuntimeError("rollouts were generated without audio")
        batch.update(self._features)
        if self._credit is not None:
            batch["advantages"] = self._by_token(batch["completion_ids"])
        self._feature_keys = tuple(self._features)
        self._features = None
        return batch

    def _by_token(self, completions: Tensor) -> Tensor:
        """Advantages [B, L], 0 on padding, for completions [B, L]."""
        assert self._credit is not None
        credit = torch.from_numpy(self._credit()).to(completions.device)
        return nn.functional.pad(credit, (0, completions.shape[1] - credit.shape[1]))

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        self._features = {k: inputs[k] for k in self._feature_keys}
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._features = None

    def _get_per_token_logps_and_entropies(
        self,
        model: nn.Module,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Log-probabilities of the last `logits_to_keep` tokens, with the audio: [B, L].

        Raises:
            RuntimeError: no features, or not one row of them for each row of tokens.
        """
        features, total = self._features, len(input_ids)
        if features is None or any(len(v) != total for v in features.values()):
            raise RuntimeError(f"a forward over {total} completions without their audio")
        score = super()._get_per_token_logps_and_entropies
        logps, entropies, aux = [], [], []
        for rows in torch.arange(total).split(batch_size or total):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            heard = functools.partial(model, **{k: v[part] for k, v in features.items()})
            p, e, a = score(
                heard, input_ids[part], attention_mask[part], logits_to_keep, **kwargs
            )  # fmt: skip
            logps.append(p)
            entropies.append(e)
            aux.append(a)
        return (
            torch.cat(logps),
            None if entropies[0] is None else torch.cat(entropies),
            None if aux[0] is None else torch.stack(aux).mean(),
        )


class Rewards:
    """Grades the answers of a step once; TRL takes the parts one function at a time.

    Malformed words of the policy score 0 in every part, they do not raise.

    Args:
        critic: whose tokenizer and end tokens the answers are read with.
        truths: what was planted in each clip, by its path.
        group: G, answers to one clip; they follow one another.
        unified: one function, the total, in place of one for each part.
        score_weight: see `hearken.critic.credit.line_advantages`.
        file: JSON lines of raw answers and their grades; None for none.
        keep: the first answers of each step that go there.
    """

    def __init__(
        self,
        critic: Any,
        truths: Mapping[str, Description],
        *,
        group: int,
        unified: bool = False,
        score_weight: float = 1.0,
        file: Path | None = None,
        keep: int = 4,
    ) -> None:
        self._tokenizer = critic.tokenizer
        listed = critic.model.generation_config.eos_token_id
        self._ends = {
            self._tokenizer.eos_token_id,
            *(listed if isinstance(listed, list) else [listed]),
        }
        self._truths, self._group, self._unified = truths, group, unified
        self._score_weight = score_weight
        self._file, self._keep = file, keep
        self._answers: object = None
        self._judged: list[Judgement] = []
        self._ids: list[list[int]] = []

    def credit(self) -> NDArray[np.float32]:
        """[B, L] the advantage of each token of the answers that were graded last, by line."""
        lines = line_advantages(self._judged, self._group, self._score_weight)
        return token_advantages(self._tokenizer, self._ids, lines)

    def functions(self) -> list[Callable[..., list[float]]]:
        """What TRL calls `reward_funcs`."""
        return [self._function(n) for n in (["total"] if self._unified else PARTS)]

    def _function(self, name: str) -> Callable[..., list[float]]:
        def reward(
            prompts: list[str], completions: list[str], completion_ids: list[list[int]], **more: Any
        ) -> list[float]:
            if self._answers is not completions:  # the first function of this step
                self._answers = completions
                self._judge(prompts, completion_ids, more["trainer_state"].global_step + 1)
                self._report(more["log_metric"])
            return [_part(j, name) for j in self._judged]

        reward.__name__ = name
        return reward

    def _judge(self, prompts: list[str], completion_ids: list[list[int]], step: int) -> None:
        self._judged, self._ids, rows = [], completion_ids, []
        for path, ids in zip(prompts, completion_ids, strict=True):
            # TRL's own text hides special tokens, which would let a policy write them unpunished.
            ended = bool(ids) and ids[-1] in self._ends
            text = str(
                self._tokenizer.decode(
                    ids[:-1] if ended else ids, clean_up_tokenization_spaces=False
                )
            )
            cut = GrammarError("the answer does not end", text=text, line=text.count("\n") + 1)
            judged = grade(text if ended else cut, self._truths[path])
            self._judged.append(judged)
            rows.append(
                {
                    "step": step,
                    "clip": Path(path).name,
                    "text": text,
                    "total": judged.total,
                    "parts": dict(judged.parts),
                }
            )
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(row) + "\n" for row in rows[: self._keep])

    def _report(self, log_metric: Callable[[str, float], None]) -> None:
        """Mean of each part, and the share of groups in which all answers earn the same."""
        for name in ("total", *PARTS):
            values_PG = np.array([_part(j, name) for j in self._judged]).reshape(-1, self._group)
            log_metric(f"reward/{name}", float(values_PG.mean()))
            log_metric(f"flat/{name}", float((np.ptp(values_PG, axis=1) < 1e-9).mean()))


_NAMES = {
    "loss": "policy/loss",
    "kl": "policy/kl",
    "entropy": "policy/entropy",
    "completions/mean_length": "policy/length",
    "completions/clipped_ratio": "policy/cut_off",
    "grad_norm": "policy/grad_norm",
    "learning_rate": "policy/lr",
    "step_time": "time/step_s",
}


class Bridge(TrainerCallback):
    """Between the trainer and the run folder: numbers out, stop requests in, progress.

    Args:
        run: where numbers go; its `stopping` ends the training after a checkpoint.
        steps: for the progress bar.
        every: steps between calls of `measure`; 0 for none.
        measure: held-out numbers by name; called in every process.
    """

    def __init__(
        self, run: Run, steps: int, every: int, measure: Callable[[], Mapping[str, float]]
    ) -> None:
        self._run, self._steps, self._every, self._measure = run, steps, every, measure
        self._bar: Iterator[int] = iter(())

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Shows the bar."""
        self._bar = self._run.progress(self._steps, state.global_step, "critic-reason")
        next(self._bar, None)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measures where it is time; stops all processes where one was asked to."""
        next(self._bar, None)
        if (
            self._every
            and state.global_step % self._every == 0 < args.max_steps - state.global_step
        ):
            found = {f"valid/{k}": v for k, v in self._measure().items()}
            self._run.log(state.global_step, found)
        if any(gather_object([self._run.stopping])):
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes the step's numbers under our names."""
        found = {
            _NAMES.get(k, k): v
            for k, v in kwargs["logs"].items()
            if k in _NAMES or k.startswith(("reward/", "flat/"))
        }
        if "policy/loss" in found:  # not the trainer's closing summary
            self._run.log(state.global_step, found)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes the bar away."""
        for _ in self._bar:
            break


def _part(judgement: Judgement, name: str) -> float:
    return judgement.total if name == "total" else float(judgement.parts[name])


def adapters(rank: int, *, encoder: bool) -> Any:
    """LoRA on attention and feed-forward layers; the projector is trained whole.

    Args:
        rank: of each adapter; None comes back for 0.
        encoder: also in the audio encoder.
    """
    if rank == 0:
        return None
    from peft import LoraConfig

    layers = r"q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj|out_proj|fc1|fc2"
    where = "" if encoder else r"language_model\."
    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=rf".*{where}.*\.({layers})",
        modules_to_save=["multi_modal_projector"],
    )


def export(trainer: Any, critic: Any, out: Path) -> None:
    """Writes the folder that `Critic.from_pretrained` loads: adapters merged, processor beside."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    critic.processor.save_pretrained(part)
    asked = next(name for name in names() if prompt(name) == critic.prompt)
    side = {"prompt": asked, "temperature": critic.temperature}
    (part / SIDE_FILE).write_text(json.dumps(side) + "\n", "utf-8")
    if critic.locator is not None:
        critic.locator.save(part)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(part, out)


def audio_token(config: Any) -> int:
    """The id of the token that features take the place of, by either name models give it.

    Raises:
        UsageError: the model has none, so it does not hear.
    """
    for name in ("audio_token_id", "audio_token_index"):
        token = getattr(config, name, None)
        if token is not None:
            return int(token)
    raise UsageError(f"{type(config).__name__} has no audio token: this model does not hear")
