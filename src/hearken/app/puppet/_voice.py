"""A synthetic voice with the time of every phoneme: espeak-ng, driven through ctypes."""

from __future__ import annotations

import _ctypes
import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hearken.errors import UsageError
from hearken.media import resample
from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["Phoneme", "Speech", "speak"]

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_PHONEME_EVENTS_IPA_DONT_EXIT = 0x1 | 0x2 | 0x8000
_UTF8 = 1
_LIST_END, _PHONEME = 0, 7
_RATE, _PITCH = 1, 3

_ONE_AT_A_TIME = threading.Lock()  # the library keeps its state in globals


@dataclass(frozen=True)
class Phoneme:
    """One sound of speech: IPA label ("" for a pause), start and end in seconds."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, eq=False)
class Speech:
    """A spoken sentence: samples [T] at 16 kHz, and what is said when."""

    samples: Audio
    phonemes: tuple[Phoneme, ...]


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("text", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("id", _Name),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def speak(
    text: str, *, voice: str = "en-us", words_per_minute: int = 165, pitch: int = 50
) -> Speech:
    """Say `text`; the same call gives the same samples, whatever was said before.

    Args:
        text: plain words; nothing in it is taken as markup.
        voice: an espeak voice, with a variant after a plus: "en-us+m3", "en-gb-x-rp+f1".
            Those with an echo (f2, f3, f5) differ from process to process.
        words_per_minute: 80-450.
        pitch: 0-99.

    Raises:
        UsageError: an unknown voice, words that make no sound, or a missing package.
    """
    data = text.replace("\0", " ").encode()
    pieces: list[Audio] = []
    marks: list[tuple[int, str]] = []

    def collect(wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            wave_T = np.ctypeslib.as_array(wave, (count,)).astype(np.float32)
            pieces.append(wave_T / np.float32(32_768))
        for event in _until_end(events):
            if event.type == _PHONEME:
                marks.append((event.sample, event.id.text.decode("utf-8", "ignore")))
        return 0

    with _ONE_AT_A_TIME, _library() as (library, sr):
        callback = _CALLBACK(collect)
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(voice.encode()):
            raise UsageError(f"espeak has no voice {voice!r}; 'espeak-ng --voices' lists them")
        library.espeak_SetParameter(_RATE, words_per_minute, 0)
        library.espeak_SetParameter(_PITCH, pitch, 0)
        library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None)
    if not pieces or not any(label for _, label in marks):
        raise UsageError(f"there is nothing to say in the text {text!r}")
    x = np.concatenate(pieces)
    ends = [at for at, _ in marks[1:]] + [len(x)]
    phonemes = (Phoneme(n, at / sr, end / sr) for (at, n), end in zip(marks, ends, strict=True))
    return Speech(resample(x, sr, SAMPLE_RATE), tuple(p for p in phonemes if p.end_s > p.start_s))


def _until_end(events: Any) -> Iterator[_Event]:
    index = 0
    while events[index].type != _LIST_END:
        yield events[index]
        index += 1


@contextmanager
def _library() -> Iterator[tuple[ctypes.CDLL, int]]:
    """A freshly loaded espeak-ng and its rate, Hz.

    Its noise generator and its intonation carry over from one sentence to the next, and
    closing it does not reset them. Only loading it anew makes a sentence repeatable (15 ms).
    """
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
        ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    folder = espeakng_loader.get_data_path()
    sr = library.espeak_Initialize(
        _SYNCHRONOUS, 0, os.fsencode(folder), _PHONEME_EVENTS_IPA_DONT_EXIT
    )
    try:
        if sr <= 0:
            raise UsageError(f"espeak-ng cannot read its voices in {folder}; reinstall it")
        yield library, sr
    finally:
        library.espeak_Terminate()
        unload = getattr(_ctypes, "dlclose" if hasattr(_ctypes, "dlclose") else "FreeLibrary")
        unload(library._handle)
