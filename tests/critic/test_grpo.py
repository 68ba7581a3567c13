"""The trainer hears: the permanent test that no forward of GRPO runs without its audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hearken.critic.tiny import TinyConfig, new_tiny
from hearken.errors import UsageError

SIZES = TinyConfig(
    window_s=1, mel_bins=16, waveform=False, audio_width=32, audio_layers=1, audio_ffn=32,
    text_width=32, text_layers=1, text_ffn=32, heads=2, vocab=320,
)  # fmt: skip
TEXTS = ["noise: 3\noverall: 2\nwords: A steady rain covers the voice."] * 4
CLIPS = {f"{i}.wav": i for i in range(4)}


def sound(path: str) -> np.ndarray:
    """Noise for the even clips, a tone for the odd; 0 and 1 are equally long."""
    k = CLIPS[path]
    t = np.arange(9_600 + 1_600 * (k // 2)) / 16_000
    noise = 0.3 * np.random.default_rng(k).standard_normal(len(t))
    return (noise if k % 2 == 0 else 0.5 * np.sin(2 * np.pi * 440 * k * t)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_tiny(tmp_path_factory.mktemp("tiny"), TEXTS, config=SIZES)


def loaded(folder: Path) -> tuple[Any, Any]:
    from transformers import AudioFlamingo3ForConditionalGeneration, AutoProcessor

    model = AudioFlamingo3ForConditionalGeneration.from_pretrained(folder)
    # An untrained projector is quiet: loud enough here that a forward without sound is far off.
    for layer in (model.model.multi_modal_projector.linear_1, model.lm_head):
        layer.weight.data.mul_(8.0)
    return model, AutoProcessor.from_pretrained(folder)


def encoder(processor: Any) -> Any:
    def encode(paths: Any) -> dict[str, torch.Tensor]:
        made = processor(
            text=["<sound>Listen.<|answer|>"] * len(paths), audio=[sound(p) for p in paths]
        )
        return {k: made[k] for k in made if k != "num_audio_tokens"}

    return encode


def make(folder: Path, out: Path, **changes: Any) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig

    from hearken.critic.grpo import AudioGRPOTrainer

    model, processor = loaded(folder)
    peft = changes.pop("peft_config", None)
    options = {
        "per_device_train_batch_size": 4, "num_generations": 2, "max_steps": 1, "beta": 0.1,
        "max_completion_length": 6, "use_cpu": True, "bf16": False, "report_to": "none",
        "gradient_checkpointing": False, "save_strategy": "no", "temperature": 0.7,
        "disable_tqdm": True, "learning_rate": 1e-2, **changes,
    }  # fmt: skip
    trainer = AudioGRPOTrainer(
        model,
        encode=encoder(processor),
        reward_funcs=[lambda completions, **_: [float(len(set(c))) for c in completions]],
        args=GRPOConfig(str(out), **options),
        train_dataset=Dataset.from_dict({"prompt": list(CLIPS)}),
        processing_class=processor,
        peft_config=peft,
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = options.get("gradient_accumulation_steps", 1)
    return trainer


def rollouts(trainer: Any, other: str = "3.wav") -> dict[str, Any]:
    rows = [{"prompt": p} for p in ("0.wav", "0.wav", other, other)]
    return dict(trainer._generate_and_score_completions(rows))


def scored(trainer: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Per-token log-probabilities as the trainer's own loss computes them."""
    kept: list[torch.Tensor] = []
    inner = trainer._get_per_token_logps_and_entropies

    def spy(*args: Any, **kwargs: Any) -> Any:
        kept.append((answer := inner(*args, **kwargs))[0].detach())
        return answer

    trainer._get_per_token_logps_and_entropies = spy
    trainer._compute_loss(trainer.model, batch)
    del trainer._get_per_token_logps_and_entropies
    return kept[0]


def independent(model: Any, batch: dict[str, Any], audio: dict[str, torch.Tensor]) -> torch.Tensor:
    """The same from a plain forward: log softmax(logits / temperature) at each next token."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask, **audio).logits / 0.7
    logp = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    return logp[:, -batch["completion_ids"].shape[1] :]


def features(batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {k: batch[k] for k in ("input_features", "input_features_mask")}


def gap(a: torch.Tensor, b: torch.Tensor, batch: dict[str, Any]) -> float:
    return float(((a - b) * batch["completion_mask"]).abs().max())


def test_log_probs_are_those_of_a_forward_with_audio(folder: Path, tmp_path: Path) -> None:
    trainer = make(folder, tmp_path)
    batch = rollouts(trainer)
    ours = scored(trainer, batch)
    model, _ = loaded(folder)
    assert gap(ours, independent(model, batch, features(batch)), batch) < 1e-4
    assert gap(ours, independent(model, batch, {}), batch) > 1e-2, "the same without audio"
    mute = {**features(batch), "input_features": torch.zeros_like(batch["input_features"])}
    assert gap(ours, independent(model, batch, mute), batch) > 1e-2, "the same with silence"


def test_log_probs_are_not_those_of_another_clip(folder: Path, tmp_path: Path) -> None:
    trainer = make(folder, tmp_path)
    batch = rollouts(trainer, other="1.wav")  # as long as clip 0: only the sound differs
    ours = scored(trainer, batch)
    model, _ = loaded(folder)
    swapped = {k: v[[2, 3, 0, 1]] for k, v in features(batch).items()}
    assert gap(ours, independent(model, batch, features(batch)), batch) < 1e-4
    assert gap(ours, independent(model, batch, swapped), batch) > 1e-2


def test_reference_hears_too(folder: Path, tmp_path: Path) -> None:
    trainer = make(folder, tmp_path)
    trainer.ref_model.load_state_dict(trainer.model.state_dict())
    batch = rollouts(trainer)
    assert gap(batch["ref_per_token_logps"], scored(trainer, batch), batch) < 1e-5


def test_rollouts_were_generated_with_the_audio(folder: Path, tmp_path: Path) -> None:
    trainer = make(folder, tmp_path, top_k=1)  # greedy: the text is a function of the clip
    batch = rollouts(trainer)
    model, _ = loaded(folder)
    model.eval()
    greedy = {"do_sample": False, "max_new_tokens": 6, "suppress_tokens": [trainer.model.config.audio_token_id]}  # fmt: skip  # noqa: E501
    prompt = {"input_ids": batch["prompt_ids"], "attention_mask": batch["prompt_mask"]}
    length = batch["prompt_ids"].shape[1]

    def said(**audio: Any) -> list[list[int]]:
        ids = model.generate(**prompt, **audio, **greedy)[:, length:]
        width = batch["completion_ids"].shape[1]
        return [row.tolist() for row in ids[:, :width] * batch["completion_mask"]]

    sampled = [row.tolist() for row in batch["completion_ids"] * batch["completion_mask"]]
    assert sampled == said(**features(batch))
    assert sampled != said()


def test_features_stay_with_their_rollouts(folder: Path, tmp_path: Path) -> None:
    """After TRL's shuffle and split, each slice still scores as the independent forward does."""
    trainer = make(
        folder, tmp_path, gradient_accumulation_steps=2, per_device_train_batch_size=2
    )  # fmt: skip
    rows = [{"prompt": p} for p in ("0.wav", "0.wav", "3.wav", "3.wav")]
    model, _ = loaded(folder)
    for step in range(2):
        trainer._step = step
        part = trainer._prepare_inputs(rows)
        assert len(part["input_features"]) == 2
        assert gap(scored(trainer, part), independent(model, part, features(part)), part) < 1e-4


def test_credit_by_token_reaches_the_loss_and_stops_at_padding(
    folder: Path, tmp_path: Path
) -> None:
    trainer = make(folder, tmp_path, beta=0.0)
    given = np.array([[1.0], [-2.0], [0.0], [0.0]], np.float32)  # of the first tokens alone
    trainer._credit = lambda: given
    batch = rollouts(trainer)
    width = batch["completion_ids"].shape[1]
    assert batch["advantages"].tolist() == [[a, *[0.0] * (width - 1)] for a in given[:, 0]]
    loss = trainer._compute_loss(trainer.model, batch)
    lengths = batch["completion_mask"].sum(1)
    expected = -(torch.from_numpy(given[:, 0]) / lengths).mean()  # the ratio is 1
    assert float(loss.detach()) == pytest.approx(float(expected), abs=1e-5)


def test_lora_and_checkpointing_hear(folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    peft = LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)")
    trainer = make(
        folder, tmp_path, peft_config=peft, gradient_checkpointing=True, save_strategy="no"
    )  # fmt: skip
    batch = rollouts(trainer)
    model, _ = loaded(folder)
    assert gap(scored(trainer, batch), independent(model, batch, features(batch)), batch) < 1e-4
    trainer.train()
    moved = [p for n, p in trainer.model.named_parameters() if "lora_B" in n]
    assert any(bool(p.abs().max() > 0) for p in moved)


def test_a_forward_without_audio_is_refused(folder: Path, tmp_path: Path) -> None:
    trainer = make(folder, tmp_path)
    batch = rollouts(trainer)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    with pytest.raises(RuntimeError, match="without their audio"):
        trainer._get_per_token_logps_and_entropies(trainer.model, ids, torch.ones_like(ids), 3)


def test_two_windows_are_refused(folder: Path, tmp_path: Path) -> None:
    trainer = make(folder, tmp_path)
    trainer._encode = lambda paths: {
        "input_ids": torch.ones(2, 3, dtype=torch.long),
        "attention_mask": torch.ones(2, 3),
        "input_features": torch.zeros(3, 16, 50),
    }
    with pytest.raises(UsageError, match="one window"):
        trainer._tokenize_prompts(["0.wav", "1.wav"])


def test_a_model_that_does_not_hear_is_refused() -> None:
    from transformers import Qwen2Config

    from hearken.critic.grpo import audio_token

    with pytest.raises(UsageError, match="does not hear"):
        audio_token(Qwen2Config())
