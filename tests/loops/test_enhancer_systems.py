"""What each row of the enhancer's table is made of."""

from __future__ import annotations

import numpy as np
import pytest

from hearken.data.scenes import SceneAudio
from hearken.errors import InputError
from hearken.loops.enhancer_systems import (
    Pictures,
    oracle_phase_mask,
    oracle_ratio_mask,
    systems,
)
from hearken.metrics.intrusive import si_sdr_db
from hearken.nouns import Scene

CLOCK = np.broadcast_to(np.arange(75, dtype=np.uint8)[:, None, None], (75, 88, 88))
"""Three seconds of a picture whose grey value is the number of its frame."""


class Witness:
    """Does nothing, and keeps what it was given."""

    def __init__(self):
        self.samples = self.frames = None

    def enhance(self, samples, crops):
        self.samples = samples
        self.frames = None if crops is None else crops[:, 0, 0].astype(int)
        return samples


@pytest.fixture
def scene(tmp_path) -> Scene:
    mix = tmp_path / "S00001_mono_mix.wav"
    return Scene(
        dataset="",
        scene="S00001",
        duration=48_000,
        snr_db=0.0,
        target="ann_1",
        interferers=(),
        mix=str(mix),
        video="clock.mp4",
    )


@pytest.fixture
def sound(speechlike, rng) -> SceneAudio:
    noise = (0.05 * rng.standard_normal(len(speechlike))).astype(np.float32)
    return SceneAudio(speechlike + noise, speechlike, noise)


def shown(scene, sound, shift_s):
    """(the system's one row's name, what it gave, frames and samples that the enhancer got)."""
    witness, pictures = Witness(), Pictures([scene], lambda path: CLOCK)
    rows = systems(witness, pictures, videos=(), shifts_s=(shift_s,), oracle=False)
    (name,) = [n for n in rows if n != "unprocessed"]
    made = rows[name](scene, sound)
    return name, made.samples, witness.frames, witness.samples


def test_whole_frames_late(scene, sound):
    name, made, frames, heard = shown(scene, sound, 0.2)  # five frames
    assert name == "video 0.2 s late"
    assert frames.tolist() == [0] * 5 + list(range(70))
    assert np.array_equal(heard, sound.mix)
    assert np.array_equal(made, sound.mix)


def test_whole_frames_early(scene, sound):
    name, _, frames, _ = shown(scene, sound, -0.2)
    assert name == "video 0.2 s early"
    assert frames.tolist() == [*range(5, 75), *[74] * 5]


@pytest.mark.parametrize("shift_s", [0.1, -0.1, 0.5, 0.01])
def test_parts_of_a_frame(scene, sound, shift_s):
    """The frame v of the video is shown `shift_s` after the sound that belongs to it, exactly."""
    _, made, frames, heard = shown(scene, sound, shift_s)
    lead = len(heard) - len(sound.mix)
    assert 0 <= lead < 640
    assert np.array_equal(heard[lead:], sound.mix)
    assert np.array_equal(made, sound.mix)  # and what comes back is in its place again
    for slot in (30, 40, 50):
        into_mix_s = (640 * slot - lead) / 16_000
        assert into_mix_s - frames[slot] / 25 == pytest.approx(shift_s)


def test_the_right_video_is_in_time(scene, sound):
    witness, pictures = Witness(), Pictures([scene], lambda path: CLOCK)
    rows = systems(witness, pictures, videos=("right",), oracle=False)
    rows["video right"](scene, sound)
    assert witness.frames.tolist() == list(range(75))
    assert np.array_equal(witness.samples, sound.mix)


def test_a_twin_and_no_video_get_no_crops(scene, sound):
    twin, ours = Witness(), Witness()
    ours.frames = twin.frames = "never called"
    pictures = Pictures([scene], lambda path: pytest.fail("a picture was asked for"))
    rows = systems(ours, pictures, videos=("none",), twin=twin, oracle=False)
    assert list(rows) == ["unprocessed", "audio-only twin", "video none"]
    for make in rows.values():
        make(scene, sound)
    assert twin.frames is None
    assert ours.frames is None


def test_where_a_system_does_not_apply(scene, sound):
    pictures = Pictures([scene], lambda path: CLOCK)
    rows = systems(Witness(), pictures)
    assert rows["video rival"](scene, sound).samples is None
    alone = SceneAudio(sound.mix, None, None)
    assert rows["oracle mask"](scene, alone).samples is None
    assert rows["oracle phase mask"](scene, alone).samples is None
    with pytest.raises(InputError, match="no such video"):
        rows["video other"](scene, sound)  # there is no other scene


def test_no_face_is_told(scene, sound):
    witness = Witness()
    pictures = Pictures([scene], lambda path: None)
    rows = systems(witness, pictures, videos=("right",), shifts_s=(0.2,), oracle=False)
    for name in ("video right", "video 0.2 s late"):
        made = rows[name](scene, sound)
        assert made.remark == "no face found"
        assert np.array_equal(made.samples, sound.mix)
    assert witness.frames is None
    assert pictures.made == 1


def test_oracle_masks_are_ceilings(sound):
    mix, clean = sound.mix, sound.reference
    before = si_sdr_db(clean, mix)
    ratio, phase = oracle_ratio_mask(mix, clean), oracle_phase_mask(mix, clean)
    assert ratio.shape == phase.shape == mix.shape
    assert si_sdr_db(clean, ratio) > before + 5
    # It minimises the error that SI-SDR counts, so no other gain within 0-1 is above it.
    assert si_sdr_db(clean, phase) > si_sdr_db(clean, ratio)
    for oracle in (oracle_ratio_mask, oracle_phase_mask):
        assert np.allclose(oracle(clean, clean), clean, atol=1e-3)
        silence = np.zeros_like(clean)
        assert np.array_equal(oracle(silence, silence), silence)
        assert np.abs(oracle(mix, silence)).max() < 1e-3  # nothing to keep, nothing kept
