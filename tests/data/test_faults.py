"""Planted truth, measured back from the samples."""

from __future__ import annotations

import numpy as np
import pytest

from hearken.data.faults import PLANTERS, Sources, plant, plant_many
from hearken.data.planted import Planted, active, active_rms, digit
from hearken.data.ramps import RAMPS
from hearken.errors import InputError, UsageError
from hearken.nouns import FAULT_TYPES, SAMPLE_RATE, Audio

TYPES = tuple(FAULT_TYPES)


def noise_of(seconds: float = 2.0) -> Audio:
    return np.random.default_rng(7).standard_normal(int(seconds * SAMPLE_RATE)).astype(np.float32)


def made(clean: Audio, kind: str, severity: float = 3.0, seed: int = 0) -> Planted:
    voice = clean[::-1].copy()
    return plant(
        clean, kind, severity, np.random.default_rng(seed), noise=noise_of(), noise_name="rain",
        voice=voice,
    )  # fmt: skip


def test_every_type_has_a_planter_and_none_is_left_over() -> None:
    assert set(PLANTERS) == set(FAULT_TYPES)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("severity", [1.0, 3.0, 5.0])
def test_each_fault_is_whole_and_within_bounds(
    speechlike: Audio, kind: str, severity: float
) -> None:
    out = made(speechlike, kind, severity)
    assert out.audio.dtype == out.reference.dtype == np.float32
    assert out.audio.shape == out.reference.shape
    assert np.isfinite(out.audio).all()
    assert np.abs(out.audio).max() <= 0.9901
    assert not np.array_equal(out.audio, speechlike)
    assert out.faults
    for fault in out.faults:
        assert fault.type == kind
        assert 0.0 <= fault.start_s < fault.end_s <= out.seconds + 1e-9
        assert abs(fault.severity - severity) <= 1.0
        assert not set("|,\n") & set(fault.detail)
        if not FAULT_TYPES[kind].localised:
            assert (fault.start_s, fault.end_s) == (0.0, out.seconds)


@pytest.mark.parametrize("kind", TYPES)
def test_same_seed_same_bytes(speechlike: Audio, kind: str) -> None:
    one, two = (made(speechlike, kind, 2.7, seed=5) for _ in range(2))
    assert one.audio.tobytes() == two.audio.tobytes()
    assert one.reference.tobytes() == two.reference.tobytes()
    assert (one.faults, one.physics) == (two.faults, two.physics)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("seconds", [0.5, 0.77771])
def test_short_and_odd_lengths(speechlike: Audio, kind: str, seconds: float) -> None:
    piece = speechlike[1000 : 1000 + int(seconds * SAMPLE_RATE)]
    for severity in (1.0, 5.0):
        out = made(piece, kind, severity)
        assert out.audio.shape == out.reference.shape
        assert all(0.0 <= f.start_s < f.end_s <= out.seconds + 1e-9 for f in out.faults)


@pytest.mark.parametrize("kind", TYPES)
def test_a_quiet_clip_gets_the_same_fault(speechlike: Audio, kind: str) -> None:
    loud, quiet = made(speechlike, kind), made(speechlike * np.float32(2**-10), kind)
    assert [(f.start_s, f.end_s, f.severity) for f in loud.faults] == [
        (f.start_s, f.end_s, f.severity) for f in quiet.faults
    ]
    scale = active_rms(quiet.reference) / active_rms(loud.reference)
    difference = np.sqrt(np.mean((quiet.audio / scale - loud.audio) ** 2))
    assert difference < 0.03 * active_rms(loud.audio)


def test_the_caller_keeps_his_samples(speechlike: Audio) -> None:
    before = speechlike.copy()
    for kind in TYPES:
        made(speechlike, kind)
    assert np.array_equal(before, speechlike)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("background_noise", "background_snr_db"),
        ("competing_talker", "talker_snr_db"),
        ("hum", "hum_snr_db"),
    ],
)
@pytest.mark.parametrize("severity", [1.0, 2.5, 5.0])
def test_snr_is_measured_back(speechlike: Audio, kind: str, key: str, severity: float) -> None:
    out = made(speechlike, kind, severity)
    added = out.audio.astype(np.float64) - out.reference
    level = active_rms(added.astype(np.float32)) if kind == "competing_talker" else 0.0
    level = level or float(np.sqrt(np.mean(added**2)))
    measured_db = 20 * np.log10(active_rms(out.reference) / level)
    assert measured_db == pytest.approx(RAMPS[key].at(severity), abs=0.1)
    assert out.physics[key] == RAMPS[key].at(severity)


def test_event_begins_and_ends_on_its_sample(speechlike: Audio) -> None:
    out = made(speechlike, "noise_event", 3.0)
    added = np.flatnonzero(out.audio != out.reference)
    (fault,) = out.faults
    assert fault.detail == "rain"
    assert round(fault.start_s * SAMPLE_RATE) == pytest.approx(added[0], abs=2)
    assert round(fault.end_s * SAMPLE_RATE) == pytest.approx(added[-1] + 1, abs=2)
    span = out.audio[added[0] : added[-1] + 1] - out.reference[added[0] : added[-1] + 1]
    snr_db = 20 * np.log10(active_rms(out.reference) / np.sqrt(np.mean(span.astype(float) ** 2)))
    assert snr_db == pytest.approx(RAMPS["event_snr_db"].at(3.0), abs=0.1)
    assert out.physics["event_share"] == pytest.approx(len(span) / len(out.audio), abs=1e-3)


@pytest.mark.parametrize("kind", ["gain_jump", "clicks"])
def test_nothing_changes_outside_a_timed_fault(speechlike: Audio, kind: str) -> None:
    out = made(speechlike, kind, 4.0)
    (fault,) = out.faults
    touched = np.flatnonzero(out.audio != out.reference)
    assert touched[0] == round(fault.start_s * SAMPLE_RATE)
    assert touched[-1] + 1 == round(fault.end_s * SAMPLE_RATE)


@pytest.mark.parametrize("seed", range(6))
def test_dropouts_are_silent_exactly_where_they_say(speechlike: Audio, seed: int) -> None:
    out = made(speechlike, "dropout", 4.0, seed)
    gone = np.zeros(len(out.audio), bool)
    for fault in out.faults:
        start, end = round(fault.start_s * SAMPLE_RATE), round(fault.end_s * SAMPLE_RATE)
        gone[start:end] = True
        assert not out.audio[start + 16 : end - 16].any()
    assert np.array_equal(out.audio[~gone], out.reference[~gone])
    assert gone.sum() / SAMPLE_RATE == pytest.approx(out.physics["dropout_s"])


def test_zero_filled_packets_are_whole_packets(speechlike: Audio) -> None:
    seen = set()
    for seed in range(12):
        out = made(speechlike, "packet_loss", 3.0, seed)
        (fault,) = out.faults
        seen.add(fault.detail)
        assert out.physics["lost_ratio"] == pytest.approx(RAMPS["lost_ratio"].at(3.0), abs=0.004)
        if fault.detail != "concealed":
            touched = np.flatnonzero(out.audio != out.reference)
            start, end = round(fault.start_s * SAMPLE_RATE), round(fault.end_s * SAMPLE_RATE)
            assert start % 320 == end % 320 == 0
            assert start <= touched[0] < start + 320
            assert end - 320 <= touched[-1] < end
    assert {"concealed", "zero filled"} <= seen


def test_concealed_packets_leave_the_rest_alone(speechlike: Audio) -> None:
    out = next(
        clip
        for clip in (made(speechlike, "packet_loss", 3.0, seed) for seed in range(20))
        if clip.faults[0].detail == "concealed" and clip.faults[0].start_s > 0.7
    )
    error = np.abs(out.audio - out.reference)
    start = round(out.faults[0].start_s * SAMPLE_RATE)
    end = round(out.faults[0].end_s * SAMPLE_RATE)
    assert error[start:end].mean() > 5 * error[1600 : start - 320].mean()


def test_a_pause_moves_what_follows_it(speechlike: Audio) -> None:
    out = made(speechlike, "unnatural_pause", 3.0)
    (fault,) = out.faults
    at, length = round(fault.start_s * SAMPLE_RATE), round(RAMPS["pause_s"].at(3.0) * SAMPLE_RATE)
    assert round(fault.end_s * SAMPLE_RATE) == at + length
    assert len(out.audio) == len(speechlike) + length
    assert np.array_equal(out.audio[: at - 64], speechlike[: at - 64])
    assert np.array_equal(out.audio[at + length + 64 :], speechlike[at + 64 :])
    assert np.array_equal(out.audio, out.reference)
    assert np.abs(out.audio[at : at + length]).max() < 0.02 * np.abs(speechlike).max()


def test_speed_keeps_pitch_and_changes_length() -> None:
    t = np.arange(40_000) / SAMPLE_RATE
    vowel = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 9))
    voice = np.asarray(0.1 * vowel * (1.2 + np.sin(2 * np.pi * 3 * t)), np.float32)
    assert _pitch_hz(voice) == pytest.approx(130, rel=0.02)
    for seed in range(4):
        out = made(voice, "speed_change", 4.0, seed)
        tempo = out.physics["tempo"]
        assert abs(np.log2(tempo)) == pytest.approx(RAMPS["tempo_octaves"].at(4.0))
        assert len(out.audio) == pytest.approx(len(voice) / tempo, abs=1)
        assert out.faults[0].detail == ("fast" if tempo > 1 else "slow")
        assert _pitch_hz(out.audio) == pytest.approx(130, rel=0.03)


def _pitch_hz(x: Audio) -> float:
    """Peak of the autocorrelation over all of a steady voice."""
    spectrum = np.abs(np.fft.rfft(x, 1 << 17)) ** 2
    lags = np.fft.irfft(spectrum)[60:270]
    return SAMPLE_RATE / (60 + int(np.argmax(lags)))


@pytest.mark.parametrize("severity", [2.0, 4.0])
def test_clip_ratio_and_bandwidth_are_measured_back(speechlike: Audio, severity: float) -> None:
    clipped = made(speechlike, "clipping", severity).audio
    flat = np.abs(clipped)[active(speechlike)] >= np.abs(clipped).max() * 0.9999
    assert flat.mean() == pytest.approx(RAMPS["clip_ratio"].at(severity), rel=0.1)
    white = np.random.default_rng(3).standard_normal(48_000).astype(np.float32) * 0.1
    out = made(white, "band_limiting", severity)
    power = np.abs(np.fft.rfft(out.audio)) ** 2
    hz = np.fft.rfftfreq(len(out.audio), 1 / SAMPLE_RATE)
    cut = out.physics["bandwidth_hz"]
    assert power[(hz > 400) & (hz < 0.85 * cut)].mean() > 1e4 * power[hz > 1.5 * cut].mean()


def test_drr_is_measured_back_and_nothing_is_delayed() -> None:
    click = np.zeros(16_000, np.float32)
    click[4000] = 0.5
    out = made(click, "reverberation", 3.0)
    assert int(np.argmax(np.abs(out.audio))) == 4000
    direct = float(np.sum(out.audio[:4040].astype(float) ** 2))
    tail = float(np.sum(out.audio[4040:].astype(float) ** 2))
    assert 10 * np.log10(direct / tail) == pytest.approx(RAMPS["drr_db"].at(3.0), abs=0.5)


def test_reverberation_takes_a_measured_room(speechlike: Audio) -> None:
    t = np.arange(8_000) / SAMPLE_RATE
    rir = (noise_of(0.5) * 10 ** (-3 * t / 0.4)).astype(np.float32) * 0.05
    rir[100] = 1.0
    rir[:100] = 0.0
    out = plant(speechlike, "reverberation", 2.0, np.random.default_rng(0), rir=rir)
    assert out.physics["rt60_s"] == pytest.approx(0.4, abs=0.12)
    spoken = float(np.dot(out.audio, speechlike))
    assert spoken > float(np.dot(out.audio[200:], speechlike[:-200]))


def test_more_severe_is_further_from_clean(speechlike: Audio) -> None:
    for kind in sorted(set(FAULT_TYPES) - {"speed_change", "unnatural_pause"}):
        far = []
        for severity in (1.0, 3.0, 5.0):
            clips = [made(speechlike, kind, severity, seed) for seed in range(3)]
            far.append(np.mean([np.mean((c.audio - c.reference) ** 2) for c in clips]))
        assert far[0] < far[2], kind


def test_many_faults_keep_the_physical_order(speechlike: Audio) -> None:
    types = ("dropout", "background_noise", "unnatural_pause")
    sources = Sources(noise=noise_of(), noise_name="rain")
    out = plant_many(speechlike, types, (3.0, 2.0, 4.0), np.random.default_rng(1), sources)
    again = plant_many(speechlike, types[::-1], (4.0, 2.0, 3.0), np.random.default_rng(1), sources)
    assert np.array_equal(out.audio, again.audio)
    assert out.faults == again.faults
    assert {f.type for f in out.faults} == set(types)
    starts = [f.start_s for f in out.faults]
    assert starts == sorted(starts)
    noise = next(f for f in out.faults if f.type == "background_noise")
    assert noise.end_s == out.seconds > len(speechlike) / SAMPLE_RATE
    for hole in (f for f in out.faults if f.type == "dropout"):
        start, end = round(hole.start_s * SAMPLE_RATE), round(hole.end_s * SAMPLE_RATE)
        assert not out.audio[start + 16 : end - 16].any()


def test_no_fault_is_the_clean_clip(speechlike: Audio, rng: np.random.Generator) -> None:
    out = plant_many(speechlike, (), (), rng, Sources())
    assert np.array_equal(out.audio, speechlike)
    assert out.faults == ()


def test_everything_but_a_voice_can_be_made_up(speechlike: Audio, rng: np.random.Generator) -> None:
    for kind in sorted(set(FAULT_TYPES) - {"competing_talker"}):
        assert plant(speechlike, kind, 3.0, rng).faults[0].type == kind
    with pytest.raises(UsageError, match="voice"):
        plant(speechlike, "competing_talker", 3.0, rng)


@pytest.mark.parametrize(
    "clip",
    [
        np.zeros(0, np.float32),
        np.zeros(16_000, np.float32),
        np.ones(1_000, np.float32),
        np.full(16_000, np.nan, np.float32),
        np.ones((2, 16_000), np.float32),
    ],
)
def test_bad_clips_are_refused(clip: Audio, rng: np.random.Generator) -> None:
    with pytest.raises(InputError):
        plant(clip, "hum", 3.0, rng)


def test_bad_calls_are_refused(speechlike: Audio, rng: np.random.Generator) -> None:
    with pytest.raises(UsageError, match="background_noise"):
        plant(speechlike, "echo", 3.0, rng)
    for severity in (0.5, 5.5, float("nan")):
        with pytest.raises(UsageError, match="between 1 and 5"):
            plant(speechlike, "hum", severity, rng)
    with pytest.raises(UsageError, match="once"):
        plant_many(speechlike, ("hum", "hum"), (1.0, 2.0), rng, Sources())


def test_severity_is_rounded_half_up() -> None:
    assert [digit(s) for s in (1.0, 1.49, 1.5, 4.5, 5.0)] == [1, 1, 2, 5, 5]
