"""The made clip: the same each time, its parts add up, its face is found, its lips are right."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from hearken import media
from hearken.app.puppet import PuppetClip, make_clip, make_talkers
from hearken.app.puppet._mouth import mouths
from hearken.app.puppet._voice import Phoneme, speak
from hearken.errors import UsageError

SENTENCE = "My boat may open the map."


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> PuppetClip:
    return make_clip(tmp_path_factory.mktemp("puppet") / "a.mp4", text=SENTENCE, snr_db=-3.0)


def test_the_parts_add_up_at_the_asked_snr(clip: PuppetClip) -> None:
    np.testing.assert_array_equal(clip.mix, clip.clean + clip.interferer)
    snr_db = 10 * np.log10(np.mean(clip.clean**2) / np.mean(clip.interferer**2))
    assert snr_db == pytest.approx(-3.0, abs=0.01)
    assert np.abs(clip.mix).max() <= 0.9 + 1e-6
    assert clip.mix.dtype == clip.clean.dtype == clip.interferer.dtype == np.float32
    heard = media.load(clip.path)
    assert heard.source.has_video
    n = len(clip.mix)
    assert np.corrcoef(heard.samples[:n], clip.mix)[0, 1] > 0.995
    assert media.video_info(clip.path).frames_at_25 * 640 == n


def test_the_face_is_found_in_every_frame_and_nowhere_else(clip: PuppetClip) -> None:
    finder = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
    for frame in list(media.iter_frames(clip.path))[::4]:
        boxes = finder.detectMultiScale(frame, 1.1, 5, minSize=(60, 60))
        assert len(boxes) == 1
        x, y, w, h = boxes[0]
        assert x < 240 < x + w
        assert y < 190 < y + h


def test_the_mouth_on_screen_opens_with_the_voice(clip: PuppetClip) -> None:
    frames = np.stack(list(media.iter_frames(clip.path, colour=True))).astype(int)
    mouth = frames[:, 215:262, 190:290]
    dark_V = (mouth.sum(axis=-1) < 200).sum(axis=(1, 2))  # the inside of the mouth
    loud_V = np.sqrt(np.mean(clip.clean.reshape(-1, 640) ** 2, axis=1))
    assert max(dark_V[:5].max(), dark_V[-5:].max()) < 0.1 * dark_V.max()
    assert dark_V.max() > 100
    assert np.corrcoef(dark_V, loud_V)[0, 1] > 0.3


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, clip: PuppetClip) -> None:
    again = make_clip(tmp_path / "b.mp4", text=SENTENCE, snr_db=-3.0)
    assert again.path.read_bytes() == clip.path.read_bytes()
    other = make_clip(tmp_path / "c.mp4", text=SENTENCE, snr_db=-3.0, seed=1, noise="street")
    np.testing.assert_allclose(
        other.clean / np.abs(other.clean).max(), clip.clean / np.abs(clip.clean).max(), atol=1e-6
    )
    assert not np.array_equal(other.interferer, clip.interferer)


def test_lips_meet_for_m_and_open_for_a() -> None:
    word = [Phoneme("m", 0.2, 0.3), Phoneme("ˈɑː", 0.3, 0.5), Phoneme("m", 0.5, 0.6)]
    shape = mouths(word, 20)
    assert shape[6].opening < 0.15
    assert shape[10].opening > 0.7
    assert shape[13].opening < 0.15
    assert shape[0].opening == shape[19].opening == pytest.approx(0.0, abs=0.01)
    round_, spread = (mouths([Phoneme(p, 0.2, 0.5)], 20)[8].width for p in ("uː", "iː"))
    assert spread - round_ > 0.7
    late = mouths(word, 30, lead_s=0.4)
    assert late[20].opening == pytest.approx(shape[10].opening, abs=1e-6)


def test_speech_has_its_phonemes_in_time() -> None:
    speech = speak("Map.")
    labels = [p.label.strip("ˈˌ") for p in speech.phonemes if p.label]
    assert labels == ["m", "æ", "p"]
    for p, q in zip(speech.phonemes, speech.phonemes[1:], strict=False):
        assert p.end_s == q.start_s
    assert speech.phonemes[-1].end_s == pytest.approx(len(speech.samples) / 16_000, abs=0.01)
    np.testing.assert_array_equal(speech.samples, speak("Map.").samples)


def test_nothing_to_say_and_unknown_words_are_told(tmp_path: Path) -> None:
    for text in ("", "   ", "\0"):
        with pytest.raises(UsageError, match="nothing to say"):
            make_clip(tmp_path / "a.mp4", text=text)
    with pytest.raises(UsageError, match="no voice 'nobody'"):
        speak("hello", voice="nobody")
    with pytest.raises(UsageError, match="babble or street"):
        make_clip(tmp_path / "a.mp4", noise="rain")
    assert list(tmp_path.iterdir()) == []


def test_drawn_talkers_are_clean_and_kept(tmp_path: Path) -> None:
    make_talkers(tmp_path, 1, seed=3)
    (made,) = tmp_path.iterdir()
    assert made.name == "puppet-000.mp4"
    x = media.load_audio(made)
    assert np.abs(x[: 16_000 // 5]).max() < 1e-3  # nothing before the voice sets in
    assert np.abs(x).max() > 0.1
    before = made.stat().st_mtime_ns
    make_talkers(tmp_path, 1, seed=3)
    assert made.stat().st_mtime_ns == before
