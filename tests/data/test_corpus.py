"""A corpus: built, stopped, gone on with, read back."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hearken.data.corpus import build, read_corpus
from hearken.data.recipe import COUNTS, EXCLUSIVE, choose_faults
from hearken.data.scores import Intrusive
from hearken.errors import ManifestError, MetricError, UsageError
from hearken.media import load_audio
from hearken.nouns import DIMENSIONS, FAULT_TYPES, Audio


def measured(reference: Audio, degraded: Audio) -> Intrusive:
    """A stand-in that is cheap and depends on both signals."""
    error = float(np.mean((reference - degraded) ** 2) / np.mean(reference**2))
    return Intrusive(4.6 - 3.0 * min(1.0, error), 1.0 - 0.5 * min(1.0, error), 0.0)


def failing(reference: Audio, degraded: Audio) -> Intrusive:
    raise MetricError("no utterance")


@pytest.fixture
def recordings(tmp_path: Path, speechlike: Audio) -> Path:
    """A data folder with four talkers, two noises and one event."""
    root, rows = tmp_path / "data", ["path,kind,speaker_or_class,source,seconds"]
    root.mkdir()
    rng = np.random.default_rng(0)
    sounds = {("speech", f"PV-{k}"): np.roll(speechlike, 997 * k) for k in range(4)}
    sounds |= {("noise", name): 0.1 * rng.standard_normal(16_000) for name in ("Rain", "kitchen")}
    sounds[("noise", "Dog bark")] = np.hanning(8_000) * 0.1 * rng.standard_normal(8_000)
    for (kind, group), x in sounds.items():
        for copy in range(2):
            name = f"{group.replace(' ', '-')}__{copy}.wav"
            soundfile.write(root / name, x, 16_000)
            rows.append(f"{name},{kind},{group},made,{len(x) / 16_000}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


def build_here(data: Path, out: Path, count: int, **changes: object) -> None:
    options = {"seed": 3, "split": "train", "measure": measured, "seconds": (1.0, 2.5)}
    build(data, out, count, **(options | changes))  # type: ignore[arg-type]


def test_build_read_and_grade(recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    build_here(recordings, out, 12)
    clips = read_corpus(out)
    assert [c.key for c in clips] == [f"{k:06d}" for k in range(1, 13)]
    for clip in clips:
        assert len(load_audio(clip.path)) / 16_000 == pytest.approx(clip.seconds, abs=1e-3)
        assert 0.5 <= clip.seconds <= 2.5 + 1e-3
        assert set(clip.description.scores) == set(DIMENSIONS)
        for score in clip.description.scores.values():
            assert sum((k + 1) * p for k, p in enumerate(score.probs)) == pytest.approx(score.value)
        assert all(0 <= f.start_s < f.end_s <= clip.seconds + 1e-4 for f in clip.description.faults)
        assert clip.description.words
        assert clip.speaker.startswith("PV-")
        assert clip.intrusive.pesq_wb is not None
        if not clip.description.faults:
            assert clip.description.scores["overall"].value > 4.9
    assert not list(out.rglob("*.tmp*"))


def test_same_seed_same_bytes_also_after_a_stop(recordings: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    build_here(recordings, whole, 8)
    build_here(recordings, parts, 5)
    truth = parts / "truth.jsonl"
    text = truth.read_text()
    truth.write_text(text[: text.rindex("{") + 30])  # as a kill leaves it
    build_here(recordings, parts, 8)
    assert truth.read_bytes() == (whole / "truth.jsonl").read_bytes()
    for path in sorted((whole / "audio").iterdir()):
        assert path.read_bytes() == (parts / "audio" / path.name).read_bytes()
    build_here(recordings, tmp_path / "other", 8, seed=4)
    assert (tmp_path / "other" / "truth.jsonl").read_bytes() != truth.read_bytes()


@pytest.mark.slow
def test_two_workers_give_the_same_bytes(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "importable_measure.py").write_text(
        "from hearken.data.scores import Intrusive\n"
        "def measure(reference, degraded):\n"
        "    return Intrusive(3.0, 0.8, float(abs(reference - degraded).max()))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    measure = importlib.import_module("importable_measure").measure
    build_here(recordings, tmp_path / "one", 4, measure=measure)
    build_here(recordings, tmp_path / "two", 4, measure=measure, workers=2)
    one, two = (tmp_path / name / "truth.jsonl" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_failed_metric_is_none_and_the_clip_stays(recordings: Path, tmp_path: Path) -> None:
    build_here(recordings, tmp_path / "c", 3, measure=failing)
    clips = read_corpus(tmp_path / "c")
    assert len(clips) == 3
    assert all(c.intrusive == Intrusive(None, None, None) for c in clips)


def test_wrong_calls_are_refused(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="split"):
        build_here(recordings, tmp_path / "a", 1, split="test")
    with pytest.raises(ManifestError, match="no speech"):
        build_here(recordings, tmp_path / "b", 1, split="valid")  # every talker trains
    build_here(recordings, tmp_path / "c", 1)
    with pytest.raises(UsageError, match="choose another folder"):
        build_here(recordings, tmp_path / "c", 2, seed=9)
    with pytest.raises(ManifestError, match=r"truth\.jsonl"):
        read_corpus(tmp_path)


def test_a_broken_line_is_named(recordings: Path, tmp_path: Path) -> None:
    build_here(recordings, tmp_path / "c", 2)
    truth = tmp_path / "c" / "truth.jsonl"
    row = json.loads(truth.read_text().splitlines()[0])
    for change in ({"path": "../../x.flac"}, {"scores": {}}, {"faults": [{"type": "x"}]}):
        truth.write_text(json.dumps(row) + "\n" + json.dumps(row | change) + "\n")
        with pytest.raises(ManifestError, match="line 2"):
            read_corpus(tmp_path / "c")


def test_faults_are_drawn_as_documented() -> None:
    rng = np.random.default_rng(0)
    drawn = [choose_faults(rng) for _ in range(3_000)]
    share = np.bincount([len(t) for t, _ in drawn], minlength=4) / len(drawn)
    assert share == pytest.approx(COUNTS, abs=0.03)
    assert {t for types, _ in drawn for t in types} == set(FAULT_TYPES)
    for types, severities in drawn:
        assert len(set(types)) == len(types) == len(severities)
        assert all(len(group & set(types)) <= 1 for group in EXCLUSIVE)
        assert all(1.0 <= s <= 5.0 for s in severities)


@pytest.mark.data
def test_real_recordings(data_dir: Path, tmp_path: Path) -> None:
    for split in ("train", "valid"):
        build(data_dir, tmp_path / split, 12, seed=0, split=split, measure=measured)
    train, valid = (read_corpus(tmp_path / split) for split in ("train", "valid"))
    assert not {c.speaker for c in valid} & {c.speaker for c in train}
