"""A talking face that is nobody's: the clip that `hearken demo` makes when it is given none.

A synthetic voice says a sentence, a drawn face moves its mouth with every phoneme, and a
second voice with other noise talks over it. All of it is made on the spot, so that clip,
clean voice and interferer may be used for anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hearken.errors import UsageError
from hearken.media import write_video
from hearken.nouns import SAMPLE_RATE, SAMPLES_PER_FRAME, Audio

__all__ = ["TEXT", "PuppetClip", "make_clip", "make_talkers"]

TEXT = "The early train leaves the harbour at seven, so bring a map and a warm coat."
"""What the puppet says unless told otherwise."""

_BABBLE = (
    "My uncle found the old violin behind a wardrobe, and he has played it every night since.",
    "Please put the green boxes over there, no, not those, the ones beside the window.",
    "We waited an hour for the bus and then walked home along the river in the rain.",
    "If you ask me, the soup wants more pepper and the bread wants ten more minutes.",
)
_VOICE, _OTHERS = "en-us+m3", ("en-gb-x-rp+f1", "en-gb-x-rp+m5", "en-us+f4", "en-gb-scotland+m1")
_LEAD_S, _TAIL_S = 0.32, 0.48
_PEAK = 0.9


@dataclass(frozen=True, eq=False)
class PuppetClip:
    """A made clip and what it was made of.

    Attributes:
        path: the noisy video.
        clean: [T] the target voice as it is in the mixture.
        interferer: [T] all else; clean + interferer = mix.
        mix: [T] the sound of the video, before it was encoded.
        text: what the target says.
    """

    path: Path
    clean: Audio
    interferer: Audio
    mix: Audio
    text: str


def make_clip(
    out: Path,
    *,
    text: str = TEXT,
    voice: str = _VOICE,
    noise: str = "babble",
    snr_db: float = 0.0,
    seed: int = 0,
    sound_codec: str = "aac",
) -> PuppetClip:
    """Make a noisy talking-face video; the same arguments give the same sound and picture.

    Args:
        out: the .mp4 to write.
        text: what the face says, in English.
        voice: an espeak voice, e.g. "en-us+m3".
        noise: "none", "babble" (a second talker, more of them behind, a hiss) or "street" (a second
            talker, traffic that comes and goes).
        snr_db: of the voice to all else, over the whole clip.
        seed: of the interferer, the noise and the head's movement.
        sound_codec: "aac", or "flac" to keep every bit.

    Raises:
        UsageError: unknown noise, or a text with nothing to say.
        MediaError: `out` cannot be written.
    """
    from hearken.app.puppet._face import draw
    from hearken.app.puppet._mouth import mouths
    from hearken.app.puppet._voice import speak
    from hearken.data.mixing import mix_at_snr

    if noise not in ("none", "babble", "street"):
        raise UsageError(f"noise {noise!r} is not known: give none, babble or street")
    rng = np.random.default_rng(seed)
    speech = speak(text, voice=voice)
    seconds = _LEAD_S + len(speech.samples) / SAMPLE_RATE + _TAIL_S
    frames = int(np.ceil(seconds * SAMPLE_RATE / SAMPLES_PER_FRAME))
    clean = np.zeros(frames * SAMPLES_PER_FRAME, np.float32)
    start = round(_LEAD_S * SAMPLE_RATE)
    clean[start : start + len(speech.samples)] = speech.samples
    clean *= 0.07 / float(np.sqrt(np.mean(clean**2)))
    mix, interferer = clean, np.zeros_like(clean)
    if noise != "none":
        mix, interferer = mix_at_snr(clean, _interferer(noise, len(clean), rng), snr_db)
    gain = min(1.0, _PEAK / float(np.abs(mix).max()))
    clean, interferer = gain * clean, gain * interferer
    mix = clean + interferer
    face = draw(mouths(speech.phonemes, frames, _LEAD_S), rng)
    write_video(out, face, mix, sound_codec=sound_codec)
    return PuppetClip(Path(out), clean, interferer, mix, text)


def make_talkers(out: Path, count: int, *, seed: int = 0) -> None:
    """Clean drawn talkers, OUT/puppet-000.mp4 ..., for `enhancer-pretrain --films OUT`.

    Sentences are drawn from word lists that share no sentence with `TEXT`. Clips that are there
    already are kept.
    """
    from hearken.run.track import track

    for index in track(range(count), label="drawing talkers"):
        path = out / f"puppet-{index:03d}.mp4"
        rng = np.random.default_rng([seed, index])
        text = " ".join(str(rng.choice(words)) for words in (*_SENTENCE, *_SENTENCE[1:]))
        voice = str(rng.choice((_VOICE, *_OTHERS, "en-us+m1", "en-us+m7", "en-gb-x-rp+m2")))
        if not path.exists():
            make_clip(path, text=text, voice=voice, noise="none", seed=index, sound_codec="flac")


_SENTENCE = (
    ("My brother", "The doctor", "An old friend", "Nobody", "Her sister", "The baker", "One boy"),
    ("sees", "wanted", "likes", "has sold", "will bring", "remembers", "paints", "opened"),
    ("two", "seven", "the blue", "a heavy", "this cheap", "some fresh", "another small"),
    ("boxes", "bread", "letter", "bicycles", "window", "apples", "chair", "phone", "garden"),
    ("in the kitchen,", "near the church,", "on Monday,", "with a smile,", "for my uncle,"),
)


def _interferer(noise: str, samples: int, rng: np.random.Generator) -> Audio:
    """A second talker and, quieter, the place where they are: [T], any level."""
    from hearken.app.puppet._voice import speak

    order = rng.permutation(len(_BABBLE))
    total = np.zeros(samples)
    for rank, index in enumerate(order):
        voice = _OTHERS[int(rng.integers(len(_OTHERS)))] if rank else _OTHERS[int(index) % 2]
        said = speak(_BABBLE[index], voice=voice, pitch=int(rng.integers(35, 70))).samples
        x = np.resize(np.roll(np.pad(said, (0, 3_200)), -int(rng.integers(0, 8_000))), samples)
        level = 1.0 if rank == 0 else {"babble": 0.3, "street": 0.08}[noise]
        total += level * x / np.sqrt(np.mean(x**2))
    slope, level = {"babble": (0.5, 0.25), "street": (1.0, 0.8)}[noise]
    place = _coloured(samples, slope, rng)
    if noise == "street":  # cars pass
        t = np.arange(samples) / SAMPLE_RATE
        place *= 0.4 + np.clip(np.sin(2 * np.pi * (0.17 * t + rng.uniform())), 0, None) ** 2
    total += level * place / np.sqrt(np.mean(place**2))
    return np.asarray(total, dtype=np.float32)


def _coloured(samples: int, slope: float, rng: np.random.Generator) -> Audio:
    """Noise whose amplitude falls as 1 / f^slope above 60 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    spectrum *= np.where(hz < 40, 0.0, 1.0 / np.maximum(hz, 60.0) ** slope)
    return np.asarray(np.fft.irfft(spectrum, samples), dtype=np.float32)
