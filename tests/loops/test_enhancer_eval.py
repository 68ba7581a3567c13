"""The enhancer's table, with stand-ins that tell which video they were shown."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hearken import media
from hearken.errors import CheckpointError, UsageError
from hearken.loops.enhancer_eval import Config, main, oracle_ratio_mask
from hearken.metrics.intrusive import si_sdr_db


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
    return Config.smoke(scenes=root, out=out, metrics="si_sdr_db", **changes)


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
    assert len(rows) == found["rows"] == 3 * 5  # no rival's picture: five systems, no row lost
    fallen = [r for r in rows if "fell over" in r["errors"]]
    assert fallen
    assert all(r["system"] == "video other" and r["si_sdr_db"] is None for r in fallen)
    assert found["failed"] == len(fallen)
    (blind,) = [r for r in rows if r["system"] == "video right" and r["remark"]]
    assert (blind["scene"], blind["remark"]) == ("scenes/S00003", "no face found")
    text = (tmp_path / "o" / "table.md").read_text()
    assert "Interferer noise, face unknown" in text
    assert "fell over" in text
    assert "unprocessed" in capsys.readouterr().out
    assert json.loads((tmp_path / "o" / "table.json").read_text())[0]["rows"]
    assert len((tmp_path / "o" / "rows.csv").read_text().splitlines()) == 16


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


def test_oracle_mask_is_a_ceiling(speechlike, rng):
    mix = speechlike + (0.05 * rng.standard_normal(len(speechlike))).astype(np.float32)
    made = oracle_ratio_mask(mix, speechlike)
    assert made.shape == mix.shape
    assert si_sdr_db(speechlike, made) > si_sdr_db(speechlike, mix) + 5
    assert np.allclose(oracle_ratio_mask(speechlike, speechlike), speechlike, atol=1e-4)


def test_bad_calls(folder, tmp_path):
    root, _ = folder
    with pytest.raises(UsageError, match="--scenes"):
        main(Config(out=tmp_path / "o"))
    with pytest.raises(UsageError, match="videos mine"):
        main(smoke(root, tmp_path / "o", videos=("mine",)))
