"""The enhancer's table, with stand-ins that tell which video they were shown."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hearken import media
from hearken.errors import CheckpointError, UsageError
from hearken.loops import enhancer_baselines
from hearken.loops.enhancer_eval import Config, main


class Lips:
    """A stand-in for `crop_mouths`: crops whose grey value is the number of the scene."""

    def __call__(self, path: str):
        number = int(path.split("/S")[-1][:5])
        return None if number == 3 else np.full((75, 88, 88), number, np.uint8)


class Listener:
    """Perfect with the right video, silent with another's, unchanged with none."""

    def __init__(self, targets):
        self.targets = targets
        self.shown: list[int | None] = []

    def enhance(self, samples, crops):
        self.shown.append(None if crops is None else int(crops[0, 0, 0]))
        if crops is None:
            return samples
        assert len(crops) == -(-len(samples) // 640)
        best = max(self.targets.values(), key=lambda t: float(t @ samples))
        shown = self.targets[int(crops[0, 0, 0])]
        if shown is not best:
            raise RuntimeError("fell over")
        return shown


@pytest.fixture
def folder(tmp_path, speechlike, rng):
    """Three scenes of two talkers; scene 3 has a picture without a face."""
    root, listing, targets = tmp_path / "set", [], {}
    (root / "scenes").mkdir(parents=True)
    for i, talker in ((1, "ann"), (2, "bob"), (3, "ann")):
        target = np.roll(speechlike, 5000 * i)
        noise = (0.05 * rng.standard_normal(len(target))).astype(np.float32)
        stems = {"mono_mix": target + noise, "target_mono": target, "interferer_mono": noise}
        for stem, x in stems.items():
            media.write_audio(root / "scenes" / f"S0000{i}_{stem}.wav", x)
        (root / "scenes" / f"S0000{i}_silent.mp4").write_bytes(b"picture")
        targets[i] = media.load_audio(root / "scenes" / f"S0000{i}_target_mono.wav")
        kind = "noise" if i < 3 else "speech"
        listing.append(
            {
                "scene": f"S0000{i}",
                "SNR": 3.0,
                "target": {"name": f"{talker}_{i}"},
                "interferers": [{"type": kind, "name": "x"}],
                "talker": talker,
            }
        )
    (root / "scenes.json").write_text(json.dumps(listing))
    return root, targets


def smoke(root, out, **changes) -> Config:
    few = {"metrics": "si_sdr_db", "baselines": (), "shifts_s": (), **changes}
    return Config.smoke(scenes=root, out=out, **few)


def test_videos_failures_and_the_table(folder, tmp_path, capsys):
    root, targets = folder
    found = main(smoke(root, tmp_path / "o"), enhancer=Listener(targets), crops_of=Lips())
    means = {s: {c: i["value"] for c, i in v.items()} for s, v in found["systems"].items()}
    # Right: 100 dB on scenes 1 and 2; scene 3 shows no face and is heard by sound alone.
    assert means["video right"]["si_sdr_db"] > means["unprocessed"]["si_sdr_db"] + 30
    assert means["video none"] == means["unprocessed"]
    assert found["worse"]["video none"] == 0.0
    assert means["oracle mask"]["si_sdr_db"] > means["unprocessed"]["si_sdr_db"]
    lines = (tmp_path / "o" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == found["rows"] == 3 * 6  # no rival's picture: six systems, no row lost
    fallen = [r for r in rows if "fell over" in r["errors"]]
    assert fallen
    assert all(r["system"] == "video other" and r["si_sdr_db"] is None for r in fallen)
    assert found["failed"] == len(fallen)
    (blind,) = [r for r in rows if r["system"] == "video right" and r["remark"]]
    assert (blind["scene"], blind["remark"]) == ("scenes/S00003", "no face found")
    text = (tmp_path / "o" / "table.md").read_text()
    assert "fell over" in text
    assert "unprocessed" in capsys.readouterr().out
    assert json.loads((tmp_path / "o" / "table.json").read_text())[0]["rows"]
    assert len((tmp_path / "o" / "rows.csv").read_text().splitlines()) == 19


def test_someone_elses_video_is_another_talkers(folder, tmp_path):
    root, targets = folder
    listener = Listener(targets)
    main(smoke(root, tmp_path / "o", videos=("other",)), enhancer=listener, crops_of=Lips())
    assert listener.shown == [2, None, 2]  # bob for ann; for bob ann's scene 3, without a face


def test_a_broken_scene_keeps_its_rows(folder, tmp_path):
    root, targets = folder
    (root / "scenes" / "S00001_mono_mix.wav").write_bytes(b"nothing")
    found = main(smoke(root, tmp_path / "o"), enhancer=Listener(targets), crops_of=Lips())
    rows = [json.loads(x) for x in (tmp_path / "o" / "metrics.jsonl").read_text().splitlines()]
    broken = [r for r in rows if r["scene"] == "scenes/S00001"]
    assert {r["system"] for r in broken} >= {"unprocessed", "video right", "oracle mask"}
    assert all(r["si_sdr_db"] is None and "S00001_mono_mix" in r["errors"] for r in broken)
    assert found["failed"] >= len(broken)


def test_finished_files(folder, tmp_path):
    root, targets = folder
    done = tmp_path / "done"
    done.mkdir()
    media.write_audio(done / "S00001.wav", targets[1])
    media.write_audio(done / "S00002.wav", targets[2][:-2000])
    found = main(smoke(root, tmp_path / "o", enhanced=done, oracle=False))
    assert found["systems"]["enhanced"]["si_sdr_db"]["count"] == 1
    assert set(found["systems"]) == {"unprocessed", "enhanced"}
    assert found["failed"] == 2  # one too short, one missing


def test_resume_equals_one_go(folder, tmp_path):
    root, targets = folder
    parts = {"enhancer": Listener(targets), "crops_of": Lips()}
    whole = main(smoke(root, tmp_path / "a"), **parts)
    main(smoke(root, tmp_path / "b", limit=1), **parts)
    with pytest.raises(CheckpointError, match="--resume"):
        main(smoke(root, tmp_path / "b"), **parts)
    resumed = main(smoke(root, tmp_path / "b", resume=True), **parts)
    assert {**resumed, "folder": ""} == {**whole, "folder": ""}


def test_keep_audio(folder, tmp_path):
    root, targets = folder
    config = smoke(root, tmp_path / "o", keep_audio=True, videos=("right",), limit=1)
    main(config, enhancer=Listener(targets), crops_of=Lips())
    kept = media.load_audio(tmp_path / "o" / "audio" / "video_right" / "S00001.wav")
    assert np.allclose(kept, targets[1], atol=1e-4)


def test_baselines_are_rows_and_absent_ones_are_notes(folder, tmp_path, monkeypatch):
    root, _ = folder
    quiet = enhancer_baselines.Baseline("numpy", lambda samples: 0.5 * samples, "half as loud.")
    gone = enhancer_baselines.Baseline("no_such_package", lambda samples: samples)
    monkeypatch.setitem(enhancer_baselines.BASELINES, "quiet", quiet)
    monkeypatch.setitem(enhancer_baselines.BASELINES, "gone", gone)
    config = smoke(root, tmp_path / "o", videos=(), oracle=False, baselines=("quiet", "gone"))
    found = main(config, enhancer=Listener({}), crops_of=Lips())
    assert set(found["systems"]) == {"unprocessed", "quiet"}
    assert found["gains"]["quiet"]["si_sdr_db"]["value"] == pytest.approx(0.0, abs=1e-4)
    reason = "'no_such_package' is not installed: pip install 'hearken[baselines]'"
    assert found["absent"] == {"gone": reason}
    text = (tmp_path / "o" / "table.md").read_text()
    assert f"- No row gone: {reason}\n- quiet: half as loud.\n" in text
    with pytest.raises(UsageError, match="baselines deepest: choose of"):
        main(smoke(root, tmp_path / "p", baselines=("deepest",)))


def test_the_twin_is_shown_no_picture(folder, tmp_path):
    root, targets = folder
    ours, twin = Listener(targets), Listener(targets)
    config = smoke(root, tmp_path / "o", oracle=False, videos=("right",), shifts_s=(0.2,))
    found = main(config, enhancer=ours, twin=twin, crops_of=Lips())
    assert twin.shown == [None, None, None]
    assert ours.shown == [1, 1, 2, 2, None, None]  # right, then late; scene 3 shows no face
    assert set(found["gains_over_twin"]) == {"unprocessed", "video right", "video 0.2 s late"}
    assert found["gains_over_twin"]["unprocessed"]["si_sdr_db"]["value"] == 0.0  # it did nothing


def test_the_head_and_the_groups(folder, tmp_path):
    root, targets = folder
    main(smoke(root, tmp_path / "o"), enhancer=Listener(targets), crops_of=Lips())
    text = (tmp_path / "o" / "table.md").read_text()
    assert text.startswith("**Do not judge by DNSMOS or DistillMOS alone.**")
    assert "| system | all (3) | noise (2) | speech (1) |" in text
    rows = [json.loads(x) for x in (tmp_path / "o" / "metrics.jsonl").read_text().splitlines()]
    assert all(r["seconds"] >= 0 for r in rows if not r["errors"])


def test_rows_stand_in_the_order_of_the_systems(folder, tmp_path):
    """The first scene has no rival's picture; its row does not move to the end for that."""
    root, targets = folder
    (root / "scenes" / "S00002_interferer_silent.mp4").write_bytes(b"picture")
    found = main(smoke(root, tmp_path / "o"), enhancer=Listener(targets), crops_of=Lips())
    order = ["unprocessed", *(f"video {v}" for v in ("right", "other", "rival", "none"))]
    assert list(found["systems"]) == [*order, "oracle mask", "oracle phase mask"]
    assert found["systems"]["video rival"]["si_sdr_db"]["count"] == 1


def test_a_scene_is_cropped_once(folder, tmp_path):
    root, targets = folder
    paths = []

    def crops_of(path):
        paths.append(path)
        return Lips()(path)

    main(
        smoke(root, tmp_path / "o", shifts_s=(0.1, -0.1)),
        enhancer=Listener(targets),
        crops_of=crops_of,
    )
    assert len(paths) == len(set(paths)) == 3


def test_a_set_without_references_or_pictures(folder, tmp_path):
    """As a challenge hands out: everything has its row, and says what it lacked."""
    root, targets = folder
    for path in (root / "scenes").glob("*"):
        if "mono_mix" not in path.name:
            path.unlink()
    (root / "scenes.json").unlink()
    config = smoke(root, tmp_path / "o", shifts_s=(0.1,))
    found = main(config, enhancer=Listener(targets), crops_of=Lips())
    rows = [json.loads(x) for x in (tmp_path / "o" / "metrics.jsonl").read_text().splitlines()]
    whose = [r["system"] for r in rows if r["scene"] == "scenes/S00001"]
    # No reference, no oracle; no rival's picture, no row of it.
    assert whose == ["unprocessed", "video right", "video other", "video none", "video 0.1 s late"]
    errors = {r["system"]: r["errors"] for r in rows}
    assert "no reference" in errors["unprocessed"]
    assert "no such video" in errors["video right"]
    assert "no such video" in errors["video 0.1 s late"]
    assert found["failed"] == found["rows"] == 15
    assert found["systems"]["unprocessed"] == {}
    assert "failed on 15 of 15 rows" in (tmp_path / "o" / "table.md").read_text()


def test_a_silent_scene_is_a_row_of_errors(folder, tmp_path):
    root, targets = folder
    silence = np.zeros(len(targets[1]), np.float32)
    for stem in ("mono_mix", "target_mono"):
        media.write_audio(root / "scenes" / f"S00002_{stem}.wav", silence)
    found = main(smoke(root, tmp_path / "o"), enhancer=Listener(targets), crops_of=Lips())
    rows = [json.loads(x) for x in (tmp_path / "o" / "metrics.jsonl").read_text().splitlines()]
    silent = [r for r in rows if r["scene"] == "scenes/S00002"]
    assert {r["system"] for r in silent} >= {"unprocessed", "video right", "oracle mask"}
    assert all(r["si_sdr_db"] is None and r["errors"] for r in silent)
    assert found["systems"]["unprocessed"]["si_sdr_db"]["count"] == 2


def test_bad_calls(folder, tmp_path):
    root, _ = folder
    with pytest.raises(UsageError, match="--scenes"):
        main(Config(out=tmp_path / "o"))
    with pytest.raises(UsageError, match="videos mine"):
        main(smoke(root, tmp_path / "o", videos=("mine",)))
