"""Any audio LLM that transformers knows is a critic: here a tiny, random Qwen2-Audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hearken.critic import Critic
from hearken.critic.grammar import render
from hearken.critic.lesson import Lessons, Pupil
from hearken.critic.tiny import train_tokenizer
from hearken.errors import GrammarError
from hearken.nouns import DIMENSIONS, Description, Score

TRUTH = Description({d: Score.point(3) for d in DIMENSIONS}, (), "It is fine.")
TEMPLATE = (
    "{% for m in messages %}{% for c in m['content'] %}"
    "{% if c['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<|answer|>{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    out = tmp_path_factory.mktemp("qwen2-audio")
    tokenizer = train_tokenizer([render(TRUTH)] * 3, 420)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]},
        replace_extra_special_tokens=False,
    )
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=2, return_attention_mask=True)
    Qwen2AudioProcessor(extractor, tokenizer, chat_template=TEMPLATE).save_pretrained(out)
    config = Qwen2AudioConfig(
        audio_config={
            "num_mel_bins": 16,
            "d_model": 16,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 16,
            "max_source_positions": 100,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "eos_token_id": tokenizer.eos_token_id,
        },
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    Qwen2AudioForConditionalGeneration(config).save_pretrained(out)
    return out


def test_it_is_asked_everything_and_heard(folder: Path) -> None:
    critic = Critic.from_pretrained(folder)
    assert type(critic.model).__name__ == "Qwen2AudioForConditionalGeneration"
    assert critic.window_s == 2
    assert "over-suppression" in critic.prompt  # a stranger is told the whole grammar
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal(n).astype(np.float32) for n in (16_000, 50_000)]
    said = critic.listen(clips, max_new_tokens=12)
    assert len(said) == 2
    assert all(isinstance(s, GrammarError) for s in said)  # its weights are random


def test_it_can_be_calibrated(folder: Path) -> None:
    critic = Critic.from_pretrained(folder)
    lessons = Lessons(critic)
    lessons.add([np.ones(16_000, np.float32)] * 2, [TRUTH] * 2)
    losses = Pupil(critic.model, probe=True)(lessons.batch([0, 1], np.random.default_rng(0)))
    assert set(losses) == {"score", "text", "probe"}
    sum(losses.values()).backward()
    weights = dict(critic.model.named_parameters())
    conv = next(w for name, w in weights.items() if name.endswith("audio_tower.conv1.weight"))
    assert conv.grad is not None
    assert conv.grad.abs().sum() > 0
