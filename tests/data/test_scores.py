"""The scoring rule: by hand, bounded, and never better for a worse fault."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hearken.data.faults import Planted, plant
from hearken.data.ramps import RAMPS, Ramp
from hearken.data.scores import Intrusive, join, penalties, pesq_to_mos, scores, soft
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Audio, Score

CLEAN = Intrusive(4.644, 1.0, 60.0)
NOTHING = np.zeros(16_000, np.float32)


def given(**physics: float) -> Planted:
    return Planted(NOTHING, (), NOTHING, physics)


def test_clean_speech_has_full_marks() -> None:
    value = scores(given(), CLEAN)
    assert tuple(value) == DIMENSIONS
    assert value == pytest.approx({d: 3.0 if d == "speed" else 5.0 for d in DIMENSIONS}, abs=1e-2)


def test_noise_by_hand() -> None:
    # 11 dB is the middle of the ramp 26 .. -4 dB: severity 3, penalty 2.4
    assert scores(given(background_snr_db=11.0), CLEAN)["noise"] == pytest.approx(2.6)
    # two noises of 14.0103 dB have together the power of one at 11 dB
    both = given(background_snr_db=14.0103, residual_snr_db=14.0103)
    assert scores(both, CLEAN)["noise"] == pytest.approx(2.6, abs=1e-4)
    # 4 dB event is severity 3; a quarter of the time: 2.4 * (0.6 + 0.4 * 0.5) = 1.92
    event = given(event_snr_db=4.0, event_share=0.25)
    assert scores(event, CLEAN)["noise"] == pytest.approx(5 - 1.92)
    # a talker counts 2 dB more than he measures, hum 4 dB less
    assert penalties({"talker_snr_db": 13.0}) == pytest.approx({"noise": 2.4})
    assert penalties({"hum_snr_db": 7.0}) == pytest.approx({"noise": 2.4})


def test_distortion_speed_and_continuity_by_hand() -> None:
    ratio = float(np.sqrt(0.004 * 0.4))  # geometric middle: severity 3
    assert scores(given(clip_ratio=ratio), CLEAN)["distortion"] == pytest.approx(2.6)
    # 2.4 and 2.4 join to 4 (1 - 0.4 * 0.4) = 3.36
    two = given(clip_ratio=ratio, codec_level=3.0)
    assert scores(two, CLEAN)["distortion"] == pytest.approx(1.64)
    fast = scores(given(tempo=2**0.45, tempo_octaves=0.45), CLEAN)
    slow = scores(given(tempo=2**-0.45, tempo_octaves=0.45), CLEAN)
    assert (fast["speed"], slow["speed"]) == pytest.approx((4.0, 2.0))
    assert fast["overall"] == slow["overall"] < 4.9  # PESQ did not hear it
    pause = float(np.sqrt(0.3 * 1.7))
    assert scores(given(pause_s=pause), CLEAN)["continuity"] == pytest.approx(2.6)


def test_metrics_lead_overall_and_effort() -> None:
    worse = scores(given(codec_level=2.0), Intrusive(2.0, 0.7))
    better = scores(given(codec_level=2.0), Intrusive(3.0, 0.9))
    assert better["overall"] - worse["overall"] > 0.4
    assert better["listening_effort"] - worse["listening_effort"] == pytest.approx(0.8 / 0.7)
    for name in ("noise", "distortion", "speed", "continuity", "naturalness"):
        assert worse[name] == better[name]


def test_a_missing_metric_falls_back_on_physics() -> None:
    mild = scores(given(background_snr_db=24.0), Intrusive(None, None))
    harsh = scores(given(background_snr_db=0.0), Intrusive(None, None))
    assert 1.0 <= harsh["overall"] < mild["overall"] < 5.0
    assert harsh["listening_effort"] < mild["listening_effort"]


@pytest.mark.parametrize("kind", tuple(FAULT_TYPES))
def test_a_worse_fault_never_raises_its_own_dimension(speechlike: Audio, kind: str) -> None:
    dimension = FAULT_TYPES[kind].dimension
    found = []
    for severity in np.linspace(1.0, 5.0, 9):
        planted = plant(
            speechlike, kind, float(severity), np.random.default_rng(3),
            noise=np.random.default_rng(1).standard_normal(48_000).astype(np.float32),
            voice=speechlike[::-1].copy(),
        )  # fmt: skip
        value = scores(planted, CLEAN)
        assert all(1.0 <= v <= 5.0 for v in value.values())
        score = value[dimension]
        found.append(5.0 - 2.0 * abs(score - 3.0) if dimension == "speed" else score)
    # a codec is drawn among neighbours on the ladder and an event's share of time from the
    # recording, so neighbours may tie; no step may go up by more than their spacing
    slack = 0.6 if kind in ("codec", "musical_noise") else 1e-9
    assert all(b <= a + slack for a, b in pairwise(found)), found
    assert found[-1] < found[0] - 1.0


def test_every_quantity_is_monotone_in_every_dimension() -> None:
    for name, ramp in RAMPS.items():
        if name == "tempo_octaves":
            continue
        rows = [scores(given(**{name: ramp.at(s)}), CLEAN) for s in np.linspace(1, 5, 17)]
        for dimension in DIMENSIONS:
            line = [row[dimension] for row in rows]
            assert all(b <= a + 1e-9 for a, b in pairwise(line)), name


def test_ramps_go_there_and_back() -> None:
    for name, ramp in RAMPS.items():
        for severity in (1.0, 2.2, 5.0):
            assert ramp.severity(ramp.at(severity)) == pytest.approx(severity), name
    assert Ramp(26.0, -4.0).severity(200.0) == 0.0
    assert Ramp(0.02, 0.32, log=True).severity(0.0) == 0.0
    assert Ramp(5_500.0, 1_000.0, log=True).severity(0.0) == 5.0


def test_join_is_bounded_and_not_below_its_largest() -> None:
    assert join([]) == 0.0
    assert join([4.0, 1.0]) == 4.0
    assert join([1.0, 1.0]) == pytest.approx(4 * (1 - 0.75**2))
    assert join([9.0, -1.0]) == 4.0


def test_pesq_is_spread_over_the_whole_scale() -> None:
    grid = [pesq_to_mos(x) for x in np.linspace(1.0, 4.65, 40)]
    assert grid == sorted(grid)
    assert (grid[0], grid[-1]) == (1.0, pytest.approx(5.0, abs=1e-3))
    assert pesq_to_mos(2.0) == pytest.approx(1 + 4 * (1.9936 - 0.3) / 4.2, abs=1e-3)


@pytest.mark.parametrize("value", [1.0, 1.3, 2.5, 3.0, 4.99, 5.0])
def test_soft_labels_keep_the_value(value: float) -> None:
    probs = soft(value)
    assert sum(probs) == pytest.approx(1.0)
    assert Score.of(probs).value == pytest.approx(value)
    assert sum(p > 0 for p in probs) <= 2
    assert soft(9.0) == soft(5.0)


def test_the_documented_ramps_are_the_real_ones() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    rows = [[c.strip() for c in row.split("|")] for row in text.splitlines() if row.startswith("|")]
    told = {row[1].strip("`"): row[3:6] for row in rows if len(row) == 7}
    for name, ramp in RAMPS.items():
        line = "log" if ramp.log else "linear"
        assert told[name] == [f"{ramp.mild:g}", f"{ramp.ruinous:g}", line], name
