"""Scene folders: both generations of names, every finding, and builds that repeat to the byte."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from hearken import media
from hearken.data import scenes
from hearken.errors import HearkenError, ManifestError, UsageError


def put(folder: Path, name: str, samples: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    media.write_audio(folder / name, samples.astype(np.float32))


def entry(scene: str, n: int, snr: float = 0.0, **more: object) -> dict[str, object]:
    noise = {"type": "noise", "name": "rain", "time_start": 0, "time_end": n, "offset": 0}
    return {
        "dataset": "lrs3",
        "scene": scene,
        "duration": n,
        "SNR": snr,
        "target": {"name": "talker9_00013", "time_start": 0, "time_end": n},
        "interferers": [{"position": 1, **noise}],
        **more,
    }


@pytest.fixture
def sound(speechlike, rng):
    """(target, noise at 0 dB by active level), each [T]."""
    noise = 0.05 * rng.standard_normal(len(speechlike)).astype(np.float32)
    gap_db = scenes.snr_db(speechlike, noise)
    return speechlike, (noise * 10 ** (gap_db / 20)).astype(np.float32)


def whole_scene(folder: Path, name: str, sound, endings) -> None:
    target, noise = sound
    for end, x in zip(endings, (target + noise, target, noise), strict=True):
        put(folder, f"{name}{end}", x)


MONO = ("_mono_mix.wav", "_target_mono.wav", "_interferer_mono.wav")
FIRST = ("_mixed.wav", "_target.wav", "_interferer.wav")


def test_reads_avsec4_with_metadata_beside_the_splits(tmp_path, sound):
    n = len(sound[0])
    whole_scene(tmp_path / "dev" / "scenes", "S00001", sound, MONO)
    (tmp_path / "scenes.dev.json").write_text(json.dumps([entry("S00001", n, -3.5)]))
    (tmp_path / "scenes.train.json").write_text(json.dumps([entry("S00001", n)]))  # no audio
    (scene,) = scenes.read(tmp_path)
    assert (scene.scene, scene.snr_db, scene.target) == ("S00001", -3.5, "talker9_00013")
    assert scene.interferers[0].type == "noise"
    assert scene.video is None
    note = scenes.note(scene)
    assert (note.kind, note.talker, note.face) == ("noise", "talker9", "unknown")
    loaded = scenes.load_scene(scene)
    assert np.allclose(loaded.mix, loaded.reference + loaded.interferer, atol=1e-4)
    assert scenes.read(tmp_path / "dev")[0] == scene  # the split named as root
    assert scenes.read(tmp_path / "dev" / "scenes")[0] == scene


def test_reads_older_names_and_prefers_mono(tmp_path, sound):
    whole_scene(tmp_path, "S00001", sound, FIRST)
    stereo = np.stack([sound[0], sound[0]], axis=1)
    put(tmp_path, "S00002_mix.wav", stereo)
    put(tmp_path, "S00002_target.wav", stereo)
    put(tmp_path, "S00002_mono_mix.wav", sound[0])
    first, second = scenes.read(tmp_path)
    assert first.reference.endswith("S00001_target.wav")
    assert second.mix.endswith("S00002_mono_mix.wav")
    assert second.reference is None  # the binaural target does not belong to the mono mix
    assert scenes.load_scene(second).reference is None


def test_evaluation_set_without_json(tmp_path, sound):
    put(tmp_path / "scenes", "S00007_mono_mix.wav", sound[0])
    (scene,) = scenes.read(tmp_path)
    assert np.isnan(scene.snr_db)
    assert scenes.load_scene(scene).reference is None
    assert scenes.note(scene).kind == "unknown"
    assert scenes.check(tmp_path) == []


def test_a_listed_scene_without_its_mix_keeps_its_row(tmp_path, sound):
    whole_scene(tmp_path / "scenes", "S00001", sound, MONO)
    listing = [entry("S00001", len(sound[0])), entry("S00002", 100)]
    (tmp_path / "scenes.json").write_text(json.dumps(listing))
    _, absent = scenes.read(tmp_path)
    with pytest.raises(HearkenError, match="S00002_mono_mix"):
        scenes.load_scene(absent)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "..", "", 7])
def test_names_cannot_leave_their_folder(tmp_path, sound, name):
    whole_scene(tmp_path / "scenes", "S00001", sound, MONO)
    (tmp_path / "scenes.json").write_text(json.dumps([{"scene": name}]))
    with pytest.raises(ManifestError, match="entry 1"):
        scenes.read(tmp_path)
    assert any("plain name" in f.message for f in scenes.check(tmp_path))


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1]", '[{"scene": "S1", "SNR": "loud"}]'])
def test_bad_json_is_named(tmp_path, sound, text):
    whole_scene(tmp_path / "scenes", "S00001", sound, MONO)
    (tmp_path / "scenes.json").write_text(text)
    with pytest.raises(ManifestError, match=r"scenes\.json"):
        scenes.read(tmp_path)
    assert [f.level for f in scenes.check(tmp_path)].count("error") >= 1


def test_no_scenes_is_an_error_that_says_what_was_sought(tmp_path):
    with pytest.raises(ManifestError, match="_mono_mix"):
        scenes.read(tmp_path)
    with pytest.raises(ManifestError, match="not a folder"):
        scenes.read(tmp_path / "absent")
    assert scenes.check(tmp_path)[0].level == "error"


def test_check_finds_everything_and_goes_on(tmp_path, sound):
    target, noise = sound
    n, folder = len(target), tmp_path / "scenes"
    whole_scene(folder, "S00001", sound, MONO)  # good
    whole_scene(folder, "S00002", sound, MONO)  # SNR stated wrongly
    whole_scene(folder, "S00003", sound, MONO)  # json length wrong
    put(folder, "S00004_mono_mix.wav", target + noise)  # target missing
    whole_scene(folder, "S00005", sound, MONO)
    put(folder, "S00005_target_mono.wav", target[: n // 2])  # cut short
    whole_scene(folder, "S00006", sound, MONO)
    media.write_audio(folder / "S00006_mono_mix.wav", target, 8000)  # another rate
    whole_scene(folder, "S00007", sound, MONO)
    put(folder, "S00007_mono_mix.wav", np.clip(50 * (target + noise), -1, 1))  # clipped
    whole_scene(folder, "S00008", sound, MONO)
    (folder / "S00008_interferer_mono.wav").write_bytes(b"RIFF")  # broken
    whole_scene(folder, "S00009", sound, MONO)  # not listed
    listing = [entry(f"S0000{i}", n) for i in (1, 4, 5, 6, 7, 8)]
    listing += [entry("S00002", n, 12.0), entry("S00003", 2 * n), entry("S00010", n)]
    (tmp_path / "scenes.json").write_text(json.dumps(listing))
    found = scenes.check(tmp_path)

    def of(scene: str) -> list[tuple[str, str]]:
        return [(f.level, f.message) for f in found if scene in f.where + f.message]

    assert of("S00001") == []
    for scene, level, word in (
        ("S00002", "warning", "12.0 dB"),
        ("S00003", "error", "json says"),
        ("S00004", "error", "no reference"),
        ("S00005", "error", "target has"),
        ("S00006", "error", "8000 Hz"),
        ("S00007", "warning", "clipped"),
        ("S00008", "error", "S00008_interferer_mono"),
        ("S00009", "warning", "not in the json"),
        ("S00010", "error", "S00010_mono_mix"),
    ):
        assert any(lv == level and word in text for lv, text in of(scene)), (scene, of(scene))


def test_stems_must_have_the_length_of_the_mix(tmp_path, sound):
    whole_scene(tmp_path, "S00001", sound, MONO)
    put(tmp_path, "S00001_target_mono.wav", sound[0][:-600])  # within a frame: padded
    (scene,) = scenes.read(tmp_path)
    assert len(scenes.load_scene(scene).reference) == len(sound[0])
    put(tmp_path, "S00001_target_mono.wav", sound[0][:-700])
    with pytest.raises(ManifestError, match="but the mix has"):
        scenes.load_scene(scene)


def test_active_level_ignores_pauses(speechlike):
    padded = np.concatenate([speechlike, np.zeros(32000, np.float32)])
    assert scenes.active_level_db(padded) == pytest.approx(scenes.active_level_db(speechlike))
    assert scenes.snr_db(speechlike, 0.1 * speechlike) == pytest.approx(20.0, abs=1e-3)
    with pytest.raises(ManifestError, match="silent"):
        scenes.active_level_db(np.zeros(1000, np.float32))


@pytest.fixture
def small_data(tmp_path, speechlike, rng) -> Path:
    """A data folder with every kind of entry, on both sides of the split."""
    root, rows = tmp_path / "data", []

    def add(path: str, kind: str, group: str, x: np.ndarray) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if kind == "av":
            frames = rng.integers(0, 255, (75, 32, 48, 3)).astype(np.uint8)
            media.write_video(root / path, frames, x.astype(np.float32))
        else:
            media.write_audio(root / path, x.astype(np.float32))
        rows.append([path, kind, group, "made", f"{len(x) / 16000:.2f}"])

    for i in range(3):
        add(f"av/GRID-s1_{i}.mp4", "av", "GRID-s1", speechlike)
    add("av/GRID-s9_a.mp4", "av", "GRID-s9", speechlike)
    for i in range(12):
        add(f"speech/LS-{i}.wav", "speech", f"LS-{i}", np.roll(speechlike, 900 * i))
        add(f"noise/n{i}.wav", "noise", "Rain", 0.1 * rng.standard_normal(20000))
    add("speech/LJ.wav", "speech", "LJ", speechlike)
    decay = np.exp(-np.arange(4000) / 600.0) * rng.standard_normal(4000)
    for i in range(8):
        add(f"rir/r{i}.wav", "rir", f"room{i}", decay)
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "kind", "speaker_or_class", "source", "seconds"])
        writer.writerows(rows)
    return root


def digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_build_is_sound_repeats_and_resumes(tmp_path, small_data):
    options = {"seed": 3, "kind": "mixed", "reverb": 0.5, "same_voice": 0.5}
    scenes.build(small_data, tmp_path / "a", 4, **options)
    scenes.build(small_data, tmp_path / "b", 2, **options)
    (tmp_path / "b" / "scenes" / "S00002_mono_mix.wav").unlink()  # interrupted in scene 2
    scenes.build(small_data, tmp_path / "b", 4, **options)
    a, b = digests(tmp_path / "a"), digests(tmp_path / "b")
    a.pop("scenes.partial.jsonl"), b.pop("scenes.partial.jsonl")
    assert a == b
    assert scenes.check(tmp_path / "a") == []
    for scene in scenes.read(tmp_path / "a"):
        sound = scenes.load_scene(scene)
        assert 1 <= len(scene.interferers) <= 3
        assert scenes.snr_db(sound.reference, sound.interferer) == pytest.approx(
            scene.snr_db, abs=0.3
        )
        assert np.abs(sound.mix).max() <= 0.96
        assert media.video_info(scene.video).frames_at_25 == 75
        assert scenes.note(scene).talker == "GRID-s1"
    with pytest.raises(UsageError, match="seed 3, now 4"):
        scenes.build(small_data, tmp_path / "a", 4, **{**options, "seed": 4})


def test_binaural_files_join_the_mono_ones(tmp_path, small_data):
    options = {"seed": 3, "kind": "noise", "reverb": 0.5, "snr_range_db": (2.0, 2.0)}
    scenes.build(small_data, tmp_path / "mono", 2, **options)
    scenes.build(small_data, tmp_path / "ears", 2, **options, binaural=True)
    mono, ears = digests(tmp_path / "mono" / "scenes"), digests(tmp_path / "ears" / "scenes")
    assert mono.items() <= ears.items()
    assert scenes.check(tmp_path / "ears") == []
    for scene in scenes.read(tmp_path / "ears"):
        assert not scenes.is_binaural(scene)  # the mono mix is there
        sound = scenes.load_binaural(scene)
        assert sound.mix.shape == sound.reference.shape == (2, scene.duration)
        np.testing.assert_allclose(sound.mix, sound.reference + sound.interferer, atol=1e-4)
        snrs = [scenes.snr_db(*ear) for ear in zip(sound.reference, sound.interferer, strict=True)]
        assert max(snrs) == pytest.approx(2.0, abs=0.1)
    with pytest.raises(UsageError, match="binaural"):
        scenes.build(small_data, tmp_path / "mono", 2, **options, binaural=True)
    settings = json.loads((tmp_path / "mono" / "build.json").read_text())
    del settings["binaural"]  # as older builds wrote it
    (tmp_path / "mono" / "build.json").write_text(json.dumps(settings))
    scenes.build(small_data, tmp_path / "mono", 2, **options)


def test_both_ears_are_kept_where_asked(tmp_path, sound):
    target, noise = sound
    near, far = np.stack([target, 0.5 * target]), np.stack([0.2 * noise, noise])
    put(tmp_path, "S00001_mix.wav", (near + far).T)
    put(tmp_path, "S00001_target.wav", near[:, :-100].T)
    (scene,) = scenes.read(tmp_path)
    assert scenes.is_binaural(scene)
    both = scenes.load_binaural(scene)
    np.testing.assert_allclose(both.mix, near + far, atol=1e-4)
    np.testing.assert_allclose(both.reference[:, :-100], near[:, :-100], atol=1e-4)
    assert not both.reference[:, -100:].any()
    assert both.interferer is None
    np.testing.assert_allclose(scenes.load_scene(scene).mix, (near + far).mean(axis=0), atol=1e-4)
    put(tmp_path, "S00001_target.wav", near[:, :-700].T)
    with pytest.raises(ManifestError, match="but the mix has"):
        scenes.load_binaural(scene)


@pytest.mark.parametrize(
    ("samples", "why"),
    [(np.ones((100, 1)) * 0.1, "1 channels"), (np.zeros((100, 2)), "silence")],
)
def test_what_is_not_two_ears_is_refused(tmp_path, samples, why):
    put(tmp_path, "S00001_mix.wav", samples)
    with pytest.raises(HearkenError, match=why):
        scenes.load_ears(tmp_path / "S00001_mix.wav")


def test_one_deaf_ear_is_still_an_ear(tmp_path, sound):
    put(tmp_path, "S00001_mix.wav", np.stack([sound[0], 0 * sound[0]], axis=1))
    assert not scenes.load_ears(tmp_path / "S00001_mix.wav")[1].any()


def test_same_voice_brings_the_rivals_picture(tmp_path, small_data):
    scenes.build(small_data, tmp_path / "o", 3, kind="speech", same_voice=1.0, max_interferers=1)
    for scene in scenes.read(tmp_path / "o"):
        assert scenes.note(scene).same_voice
        assert scene.interferers[0].name.startswith("GRID-s1")
        assert scene.interferers[0].name != scene.target
        assert media.video_info(scenes.rival_video(scene)).frames_at_25 == 75


def test_unseen_faces_come_from_the_held_out_side(tmp_path, small_data):
    scenes.build(small_data, tmp_path / "o", 2, split="valid", faces="unseen", kind="speech")
    assert {scenes.note(s).talker for s in scenes.read(tmp_path / "o")} == {"GRID-s9"}
    with pytest.raises(UsageError, match="no unseen face"):
        scenes.build(small_data, tmp_path / "p", 2, split="train", faces="unseen")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "music"},
        {"faces": "mine"},
        {"split": "test"},
        {"max_interferers": 4},
        {"reverb": 2.0},
        {"snr_range_db": (5.0, 0.0)},
    ],
)
def test_settings_out_of_range(tmp_path, wrong):
    with pytest.raises(UsageError):
        scenes.build(tmp_path, tmp_path / "o", 1, **wrong)


@pytest.mark.data
def test_build_on_real_clips(tmp_path, data_dir):
    scenes.build(data_dir, tmp_path, 4, split="valid", kind="mixed", reverb=0.5)
    assert [f for f in scenes.check(tmp_path) if f.level == "error"] == []
