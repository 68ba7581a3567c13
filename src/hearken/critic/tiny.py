"""An untrained, tiny Audio Flamingo 3 in Hugging Face form: model, tokenizer, processor.

The same classes as the 8B checkpoint (Whisper-like encoder, two-layer projector, Qwen2 language
model), shrunk. Three numbers must agree, and are derived here from `TinyConfig`: the feature
extractor's window, the encoder's positions, and the number of `<sound>` tokens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AudioFlamingo3Config,
    AudioFlamingo3ForConditionalGeneration,
    AudioFlamingo3Processor,
    PreTrainedTokenizerFast,
    WhisperFeatureExtractor,
)

from hearken.critic.grammar import LABELS
from hearken.critic.prompt import SIDE_FILE
from hearken.critic.waveform import CHANNELS
from hearken.nouns import DIMENSIONS, FAULT_TYPES, SAMPLE_RATE

__all__ = ["TinyConfig", "new_tiny", "train_tokenizer"]


SOUND, START, END, PAD = "<sound>", "<|answer|>", "<|end|>", "<|pad|>"
_PIECES = r"\n|\p{N}| ?[\p{L}'-]+| ?[^\s\p{L}\p{N}]+|\s"
_TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{% if part['type'] == 'audio' %}" + SOUND + ""
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}" + END + "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}" + START + "{% endif %}"
)


@dataclass(frozen=True)
class TinyConfig:
    """Sizes of the tiny model; the defaults make the shipped one."""

    window_s: int = 6
    """Length of the window it hears, in seconds."""
    hop_length: int = 320
    """Samples between feature frames; the language model gets one token per 4 hops."""
    n_fft: int = 512
    """Samples of one analysis frame."""
    mel_bins: int = 80
    """Log-mel bands."""
    waveform: bool = True
    """Channels of the waveform above them (see `hearken.critic.waveform`)."""
    audio_width: int = 256
    """Width of the audio encoder."""
    audio_layers: int = 4
    """Layers of the audio encoder."""
    audio_ffn: int = 768
    """Inner width of the encoder's feed-forward."""
    text_width: int = 256
    """Width of the language model."""
    text_layers: int = 3
    """Layers of the language model."""
    text_ffn: int = 512
    """Inner width of the language model's gated feed-forward."""
    heads: int = 4
    """Attention heads of both."""
    vocab: int = 1024
    """At most this many tokens."""

    @property
    def positions(self) -> int:
        """Encoder positions of a full window: two hops each (the second convolution)."""
        return self.window_s * SAMPLE_RATE // self.hop_length // 2


def train_tokenizer(texts: Iterable[str], vocab: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE on rendered answers; digits and the grammar's fixed parts are one token each.

    Digits carry no leading blank, so that the five score digits are the same five tokens
    everywhere.
    """
    frame = [f"{LABELS[DIMENSIONS[0]]}: "]
    frame += [f"\n{LABELS[d]}: " for d in DIMENSIONS[1:]]
    frame += ["\nfaults: ", "\nwords: ", " s, severity ", " | "]
    frame += [f"{kind.words} " for kind in FAULT_TYPES.values()]
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tok.decoder = decoders.ByteLevel()
    specials = [PAD, SOUND, START, END]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab - len(frame),
        min_frequency=2,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tok.train_from_iterator(texts, trainer)
    tok.add_tokens([AddedToken(t, normalized=False) for t in frame])
    return PreTrainedTokenizerFast(
        tokenizer_object=tok,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SOUND, START],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def new_tiny(
    out: Path, texts: Iterable[str], *, config: TinyConfig | None = None, seed: int = 0
) -> Path:
    """Makes an untrained critic folder that `Critic.from_pretrained(out)` loads.

    Args:
        out: the folder, made if absent.
        texts: answers (see `grammar.render`) that the tokenizer is trained on.
        config: the sizes.
        seed: of the initial weights; the caller's torch random state is left as it was.
    """
    config = config or TinyConfig()
    tokenizer = train_tokenizer(texts, config.vocab)
    extractor = WhisperFeatureExtractor(
        feature_size=config.mel_bins,
        sampling_rate=SAMPLE_RATE,
        hop_length=config.hop_length,
        chunk_length=config.window_s,
        n_fft=config.n_fft,
        return_attention_mask=True,
    )
    processor = AudioFlamingo3Processor(
        extractor, tokenizer, chat_template=_TEMPLATE, audio_token=SOUND,
        max_audio_len=config.window_s,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AudioFlamingo3ForConditionalGeneration(_architecture(config, tokenizer))
    _set_positions(model.model.audio_tower.embed_positions.weight.data)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    processor.save_pretrained(out)
    (out / SIDE_FILE).write_text(json.dumps({"prompt": "listen"}) + "\n", "utf-8")
    return out


def _architecture(config: TinyConfig, tokenizer: PreTrainedTokenizerFast) -> AudioFlamingo3Config:
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    made = AudioFlamingo3Config(
        audio_config={
            "num_mel_bins": config.mel_bins + (len(CHANNELS) if config.waveform else 0),
            "num_hidden_layers": config.audio_layers,
            "num_attention_heads": config.heads,
            "intermediate_size": config.audio_ffn,
            "hidden_size": config.audio_width,
            "max_source_positions": config.positions,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": config.text_width,
            "intermediate_size": config.text_ffn,
            "num_hidden_layers": config.text_layers,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.heads,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": eos,
            "pad_token_id": pad,
        },
        audio_token_id=tokenizer.get_vocab()[SOUND],
    )
    made.architectures = ["AudioFlamingo3ForConditionalGeneration"]
    return made


def _set_positions(table: torch.Tensor, amplitude: float = 0.3) -> None:
    """Whisper's sinusoids, in place; the architecture keeps them fixed, so they must be good.

    The amplitude is near that of the untrained convolutions' output: at 1 the place in time
    would drown the sound for the first thousands of steps.
    """
    length, width = table.shape
    steps = torch.exp(-math.log(10_000) / (width // 2 - 1) * torch.arange(width // 2))
    angles = torch.arange(length)[:, None] * steps[None, :]
    table.copy_(amplitude * torch.cat([angles.sin(), angles.cos()], dim=1))
