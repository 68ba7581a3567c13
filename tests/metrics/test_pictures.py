"""What a page carries inside itself is what was heard."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
import pytest
import soundfile

from hearken import media
from hearken.metrics import pictures
from hearken.nouns import SAMPLE_RATE, Audio


def test_the_sound_in_the_page_is_the_clip(speechlike: Audio) -> None:
    uri = pictures.sound_uri(speechlike)
    assert uri is not None
    samples, sr = soundfile.read(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert sr == SAMPLE_RATE
    np.testing.assert_allclose(samples, speechlike, atol=1e-4)


def test_long_sound_is_small_and_still_whole(speechlike: Audio) -> None:
    uri = pictures.sound_uri(np.tile(speechlike, 20))
    assert uri is not None
    data = base64.b64decode(uri.split(",")[1])
    assert len(data) < 60 * 5000
    assert len(media.load_audio(data)) == pytest.approx(60 * SAMPLE_RATE, abs=1000)


def test_spectrogram_of_a_tone_is_right() -> None:
    t = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 1000 * t).astype(np.float32)
    db = pictures.spectrogram_db(tone)
    assert db.shape == (257, 251)
    middle = db[:, 120]
    assert int(middle.argmax()) == 32  # 1000 Hz / (16000 / 512)
    assert middle.max() == pytest.approx(0.0, abs=0.1)  # a full-scale sine reads 0 dB
    assert middle[64:].max() < -70


def test_a_long_spectrogram_keeps_a_short_click() -> None:
    x = np.zeros(60 * SAMPLE_RATE, np.float32)
    x[30 * SAMPLE_RATE] = 1.0
    db = pictures.spectrogram_db(x)
    assert db.shape[1] <= pictures.COLUMNS_MAX
    assert db.max(axis=0).argmax() == pytest.approx(db.shape[1] / 2, abs=2)


def test_the_picture_has_high_sound_on_top_and_loud_sound_bright() -> None:
    db = np.full((257, 251), -100, np.float32)
    db[200:] = 0.0  # above 6.25 kHz
    uri = pictures.spectrogram_uri(db, pictures.level_db(db))
    data = np.frombuffer(base64.b64decode(uri.removeprefix("data:image/webp;base64,")), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert picture.shape == db.shape
    assert picture[:50].min() > 200
    assert picture[70:].max() < 20
