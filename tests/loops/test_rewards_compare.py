"""The table of rewards on two small scenes: what is in it, and what a second call leaves alone."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hearken.enhancer.model import Enhancer
from hearken.enhancer.net import EnhancerConfig, MaskNet
from hearken.errors import GrammarError, UsageError
from hearken.loops.rewards_compare import Config, Ears, main
from hearken.nouns import DIMENSIONS, Audio, Description, Score
from small_scenes import write_avsec4

SHAPE = EnhancerConfig(channels=(4, 4, 4, 4), hidden=8, layers=1, lip_width=8)


class Critic:
    """Says how loud a sound is; counts what it hears; an error for a silent one."""

    def __init__(self) -> None:
        self.heard = 0

    def __call__(self, clips: Sequence[Audio]) -> list[Description | GrammarError]:
        self.heard += len(clips)
        return [self._say(float(np.sqrt(np.mean(np.square(c))))) for c in clips]

    def _say(self, rms: float) -> Description | GrammarError:
        if rms < 1e-6:
            return GrammarError("nothing to hear", text="", line=1)
        level = min(5.0, 1 + 20 * rms)
        probs = [max(0.0, 1 - abs(level - digit)) for digit in range(1, 6)]
        return Description(dict.fromkeys(DIMENSIONS, Score.of(probs)), (), f"{level:.3f}", "")


def crops_of(path: str) -> np.ndarray:
    return np.full((25, 88, 88), 100, np.uint8)


def weights(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    net = MaskNet(SHAPE)
    if seed == 99:  # lets nothing through
        torch.nn.init.constant_(list(net.listen.leave.parameters())[-1], -1e9)
    Enhancer(net).save(folder / "enhancer")


@pytest.fixture
def made(tmp_path: Path) -> Config:
    root = write_avsec4(tmp_path / "scenes", train=0, dev=2)
    for k, name in enumerate(("words/0", "words/1", "none/0", "none/1")):
        weights(tmp_path / "runs" / name, k)
    weights(tmp_path / "base", 9)
    return Config(
        scenes=root, runs=tmp_path / "runs", out=tmp_path / "out", workers=1, resamples=50,
        pretrained=str(tmp_path / "base/enhancer"), metrics="si_sdr_db",
    )  # fmt: skip


def compare(config: Config) -> tuple[dict[str, object], int]:
    """The result, and how many sounds the critic heard."""
    critic = Critic()
    found = main(config, ears=Ears(critic, lambda t: [float(x) for x in t], "c"), crops_of=crops_of)
    return found, critic.heard


def rows(config: Config) -> list[dict[str, str]]:
    with (config.out / "rows.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_table(made, capsys):
    found, heard = compare(made)
    assert (found["rows"], found["made"], heard, found["failed"]) == (12, 12, 12, 0)
    assert list(found["means"]) == ["unprocessed", "pretrained", "none", "words"]
    assert "words - none" in capsys.readouterr().out
    got = rows(made)
    for column in ("si_sdr_db", "words_rating"):
        value = {(r["system"], r["seed"], r["scene"]): float(r[column]) for r in got}
        scenes = sorted({r["scene"] for r in got})
        by_seed = [
            np.mean([value["words", k, s] - value["none", k, s] for s in scenes]) for k in "01"
        ]
        pair = found["differences"][column]["words - none"]
        assert pair["value"] == pytest.approx(np.mean(by_seed))
        assert pair["seed_std"] == pytest.approx(np.std(by_seed, ddof=1))
        over = [value["none", k, s] - value["pretrained", "", s] for k in "01" for s in scenes]
        assert found["differences"][column]["none - pretrained"]["value"] == pytest.approx(
            np.mean(over)
        )
    # The critic says its overall score in words, so both are one number; and silence is 1.
    assert all(float(r["words_rating"]) == pytest.approx(float(r["critic_overall"]), abs=1e-3)
               for r in got)  # fmt: skip
    plain = next(float(r["si_sdr_db"]) for r in got if r["system"] == "unprocessed")
    one = next(r for r in got if r["system"] == "words")
    assert float(one["worse"]) == (float(one["si_sdr_db"]) < plain)
    tables = {t["title"]: t for t in json.loads((made.out / "table.json").read_text())}
    assert [r["seeds"] for r in tables["All scenes"]["rows"]] == [1, 1, 2, 2]
    assert "Gain in si_sdr_db over pretrained, by group" in tables
    assert "No weights yet for shuffled" in (made.out / "table.md").read_text()


def test_only_what_is_new_is_made(made):
    first, _ = compare(made)
    again, heard = compare(made)
    assert (again["made"], heard) == (0, 0)
    assert again["means"] == first["means"]
    weights(made.runs / "words/2", 5)
    more, heard = compare(made)
    assert (more["made"], heard, more["rows"]) == (2, 2, 14)
    assert more["means"]["none"] == first["means"]["none"]
    weights(made.runs / "none/0", 6)  # trained anew
    assert compare(made)[0]["made"] == 2
    assert compare(replace(made, metrics="si_sdr_db,stoi"))[0]["made"] == 14
    assert compare(made)[0]["made"] == 0  # more columns than are asked for do no harm


def test_a_torn_line_is_made_again(made):
    first, _ = compare(made)
    file = made.out / "rows/words/1.jsonl"
    file.write_text(file.read_text()[:-40])
    again, _ = compare(made)
    assert again["made"] == 1
    assert again["means"] == first["means"]
    assert compare(made)[0]["made"] == 0


def test_failures_are_rows_and_are_tried_again(made):
    (made.runs / "words/1/enhancer/model.safetensors").write_bytes(b"torn")
    weights(made.runs / "none/1", 99)  # its sounds are silent: the critic has no words
    (made.scenes / "dev/scenes/S00002_mono_mix.wav").write_bytes(b"torn")
    found, heard = compare(made)
    assert (found["rows"], heard) == (12, 5)  # 6 of the torn scene, 1 without weights
    errors = {(r["system"], r["seed"], r["scene"][-1]): r["errors"] for r in rows(made)}
    assert "S00002" in errors["pretrained", "", "2"]
    assert "no enhancer weights" in errors["words", "1", "1"]
    assert "nothing to hear" in errors["none", "1", "1"]
    assert errors["none", "0", "1"] == ""
    assert found["differences"]["words_rating"]["words - none"]["seeds"] == 1
    # What was made is not made again, though the critic failed on it.
    assert compare(made)[0]["made"] == 7
    weights(made.runs / "words/1", 1)
    assert compare(made)[0]["made"] == 7
    assert compare(made)[0]["made"] == 6


def test_no_weights(made):
    with pytest.raises(UsageError, match="enhancer-finetune"):
        compare(replace(made, runs=made.out))


def test_the_command_line():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import rewards_table

    config = rewards_table.parse(["--scenes", "a", "--runs", "b", "--out", "c", "--workers", "1"])
    assert config == Config(scenes=Path("a"), runs=Path("b"), out=Path("c"), workers=1)
