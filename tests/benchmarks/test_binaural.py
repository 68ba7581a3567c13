"""The binaural benchmark's arithmetic, with ears and enhancers of known behaviour."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from hearken import media
from hearken.data import scenes
from hearken.data.scenes_binaural import place

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import binaural


@pytest.fixture
def ears(speechlike, rng):
    """(target, interferer), each [2, T]: in front a little left, and far right."""
    noise = 0.02 * rng.standard_normal(len(speechlike)).astype(np.float32)
    return place(speechlike, 20.0), place(noise, -70.0)


def test_the_truth_has_no_error(ears):
    target, rest = ears
    found = binaural.errors(target, target + rest, target, rest)
    assert (found["ild_db/0"], found["itd_us/0"]) == pytest.approx((0, 0), abs=1e-9)
    assert found["ild_db_added/0"] > 0


def test_a_louder_ear_is_so_many_db(ears):
    target, rest = ears
    louder = target * np.array([[2.0], [1.0]])
    found = binaural.errors(louder, target, target, rest)
    assert found["ild_db/0"] == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert found["itd_us/10"] == pytest.approx(0, abs=1e-6)


def test_a_sample_of_delay_is_62_us(ears):
    target, rest = ears
    late = np.stack([target[0], np.roll(target[1], 1)])
    found = binaural.errors(late, target, target, rest)
    assert found["itd_us/0"] == pytest.approx(62.5, rel=0.02)


def test_what_flickers_about_the_place_is_pooled_away(ears):
    """Half a second louder at the left ear, the next at the right: no difference over the clip."""
    target, rest = ears
    steady = np.stack([target[0], target[0]])
    sway = np.where(np.arange(steady.shape[1]) // 8_000 % 2, 1.5, 1 / 1.5)
    found = binaural.errors(steady * np.stack([sway, 1 / sway]), steady, steady, 1e-6 * rest)
    assert found["ild_db/0"] == pytest.approx(40 * np.log10(1.5), rel=0.1)
    assert found["ild_db_pooled/0"] < 0.5 * found["ild_db/0"]
    louder = binaural.errors(target * np.array([[2.0], [1.0]]), target, target, rest)
    assert louder["ild_db_pooled/0"] == pytest.approx(20 * np.log10(2), abs=1e-6)


def test_only_bins_of_the_target_count(ears):
    target, rest = ears
    none = binaural.errors(target, target, 1e-4 * target, rest)
    assert np.isnan(none["ild_db/10"])
    spectra = [binaural.spectrum(x) for x in ears]
    shares = [(binaural.dominated(*spectra, m) > 0).mean() for m in (0.0, 10.0, 30.0)]
    assert shares[0] > shares[1] > shares[2] > 0


class Gate:
    """An enhancer that scales all it hears by a number of its own for each call of one ear."""

    def __init__(self) -> None:
        self.gains = iter((0.5, 0.25))

    def enhance(self, samples, crops, found):
        return samples * (1.0 if samples.ndim == 2 else next(self.gains))


def test_one_mask_moves_nothing_and_masks_per_ear_do(ears, tmp_path):
    target, rest = ears
    for name, x in (("mix", target + rest), ("target", target), ("interferer", rest)):
        media.write_audio(tmp_path / f"S00001_{name}.wav", x.T)
    (scene,) = scenes.read(tmp_path)
    rows = binaural.measured(Gate(), scene)
    plain, one, per_ear = rows
    assert [r["system"] for r in rows] == list(binaural.SYSTEMS)
    assert one["ild_db_added/0"] == plain["ild_db_added/0"] == 0
    assert one["si_sdr_gain_db"] == 0
    assert per_ear["ild_db_added/0"] == pytest.approx(20 * np.log10(2), abs=1e-3)
    result = binaural.summary(rows)
    assert result["systems"]["one mask"]["ild_db/0"]["count"] == 1
    assert result["passed"] == (one["ild_db/0"] <= 1.0 and one["itd_us/0"] <= 30.0)
