"""The critic's tables, with stand-ins of known quality."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hearken import media
from hearken.critic.grammar import render
from hearken.errors import GrammarError, ManifestError, MetricError, UsageError
from hearken.loops import critic_eval
from hearken.loops.critic_eval import Config, Trial, main
from hearken.metrics import blind, table
from hearken.nouns import DIMENSIONS, Description, Fault, Score


def truth(i: int) -> Description:
    faults = (Fault("hum", 0.0, 1.0, 3), Fault("dropout", 0.2, 0.5 + 0.1 * (i % 4), 4))
    scores = {d: Score.point(1 + (i + k) % 5) for k, d in enumerate(DIMENSIONS)}
    return Description(scores, faults[: i % 3], f"clip number {i} hums")


class Knows:
    """Answers with the truth of the clip that it hears (its level tells which)."""

    def __init__(self, change=lambda i, d: d):
        self.change = change
        self.heard = 0

    def listen(self, clips, *, batch_size=16):
        said = []
        for clip in clips:
            self.heard += 1
            level = round(float(np.abs(clip).max()) * 100)
            silent = replace(truth(0), scores={d: Score.point(3) for d in DIMENSIONS})
            said.append(self.change(level, truth(level)) if level else silent)
        return said


@pytest.fixture
def trials(tmp_path, monkeypatch):
    made = []
    for i in range(1, 21):
        path = tmp_path / f"{i}.wav"
        media.write_audio(path, np.full(16000, i / 100, np.float32) * np.tile([1, -1], 8000))
        d = truth(i)
        values = {k: s.value for k, s in d.scores.items()}
        made.append(Trial(f"{i:03d}", path, values, f"talker{i % 7}", words=d.words, truth=d))
    monkeypatch.setattr(critic_eval, "_trials", lambda config: made)
    return made


def smoke(out: Path, **changes: object) -> Config:
    return Config.smoke(faults=Path("x"), out=out, silent_clips=20, **changes)


def test_the_truth_gets_full_marks_and_controls_none(trials, tmp_path, capsys):
    found = main(smoke(tmp_path / "o"), critic=Knows())
    assert found["parsed"] == 1.0
    assert found["mean_pcc"] == pytest.approx(1.0)
    assert found["srcc"]["noise"]["value"] == pytest.approx(1.0)
    assert found["pcc"]["noise"]["clusters"] == 7
    assert found["types"]["macro_f1"] == found["types"]["micro_recall"] == 1.0
    assert found["spans"]["timed"]["F1 at IoU 0.5"] == 1.0
    assert found["spans"]["timed"]["spans true"] == 7  # clips 2, 5, 8, ... 20
    assert found["rouge_l"]["value"] == found["grade"]["value"] == 1.0
    assert abs(found["controls"]["shuffled"]["noise"]) < 0.2
    assert found["controls"]["silence"]["noise"] is None  # one score for every silence
    assert "fault type micro recall" in capsys.readouterr().out
    # A point on a digit is the whole triangle around it, or half of one at the ends.
    assert found["coverage"]["noise"]["value"] == 1.0
    assert found["coverage"]["noise"]["width"] == pytest.approx((3 * 1.367544 + 2 * 0.683772) / 5)
    assert found["words"]["said"] == found["words"]["true"]
    assert found["words"]["said"]["distinct"] == 1.0
    assert found["tools"] == {}
    for name in ("metrics.jsonl", "rows.csv", "table.md", "table.json", "config.yaml"):
        assert (tmp_path / "o" / name).exists()
    assert "clip number" in (tmp_path / "o" / "report.html").read_text()
    assert (tmp_path / "o" / "plots" / "scatter_noise.svg").exists()


def test_types_against_the_commonest_by_hand(trials, tmp_path):
    def only_hum(i, d):
        return replace(d, faults=(Fault("hum", 0.0, 1.0, 3),))

    types = main(smoke(tmp_path / "o", controls=False), critic=Knows(only_hum))["types"]
    # hum is true in 13 or so clips and always said; dropout is never said.
    hums = sum(any(f.type == "hum" for f in t.truth.faults) for t in trials)
    drops = sum(any(f.type == "dropout" for f in t.truth.faults) for t in trials)
    assert types["commonest"] == "hum"
    assert types["each"]["hum"]["precision"] == pytest.approx(hums / 20)
    assert types["macro_recall"] == types["commonest_macro_recall"] == 0.5
    assert types["micro_recall"] == pytest.approx(hums / (hums + drops))
    assert types["commonest_micro_recall"] == types["micro_recall"]


def test_words_that_do_not_parse_are_rows(trials, tmp_path):
    def every_second(i, d):
        return GrammarError("no", text="mumble", line=1) if i % 2 else d

    found = main(smoke(tmp_path / "o", controls=False), critic=Knows(every_second))
    assert found["clips"] == 20
    assert found["parsed"] == 0.5
    assert found["pcc"]["noise"]["count"] == 10
    assert found["types"]["micro_recall"] < 0.7  # what was not parsed said nothing
    assert found["grade"]["value"] == pytest.approx(0.5)
    rows = [json.loads(x) for x in (tmp_path / "o" / "metrics.jsonl").read_text().splitlines()]
    assert {r["raw"] for r in rows if r["error"]} == {"mumble"}


def test_a_bad_file_is_a_row(trials, tmp_path):
    trials[3].path.write_bytes(b"")
    found = main(smoke(tmp_path / "o", controls=False), critic=Knows())
    assert (found["clips"], found["heard"], found["parsed"]) == (20, 19, 1.0)
    assert "4.wav" in (tmp_path / "o" / "rows.csv").read_text()


def test_resume_hears_only_the_rest(trials, tmp_path):
    whole = main(smoke(tmp_path / "a"), critic=Knows())
    main(smoke(tmp_path / "b"), critic=Knows())
    lines = (tmp_path / "b" / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "b" / "metrics.jsonl").write_text("".join(lines[:7]))
    critic = Knows()
    resumed = main(smoke(tmp_path / "b", resume=True), critic=critic)
    assert critic.heard == 13 + 20
    assert {**resumed, "folder": ""} == {**whole, "folder": ""}


def test_rated_csv(tmp_path):
    for i in range(1, 7):
        media.write_audio(tmp_path / f"{i}.wav", np.tile([1, -1], 8000) * np.float32(i / 100))
    lines = [f"{i}.wav,{truth(i).scores['overall'].value},{i % 3}" for i in range(1, 7)]
    (tmp_path / "r.csv").write_text("Path,score,speaker\n" + "\n".join(lines) + "\n")
    config = Config(rated=tmp_path / "r.csv", out=tmp_path / "o", resamples=50)
    found = main(config, critic=Knows())
    assert found["pcc"]["overall"]["value"] == pytest.approx(1.0)
    assert found["pcc"]["noise"] is None
    assert found["types"] is None
    assert found["spans"] is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("file,score\na.wav,3\n", "path and score"),
        ("path,score\na.wav,good\n", "line 2: score 'good'"),
        ("path,score\na.wav,nan\n", "not a number"),
        ("path,score\n../a.wav,3\n", "outside"),
        ("path,score\n", "no clips"),
    ],
)
def test_bad_csv(tmp_path, text, word):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(ManifestError, match=word):
        main(Config(rated=tmp_path / "r.csv", out=tmp_path / "o"), critic=Knows())


def test_qualispeech_has_scores_and_words(tmp_path):
    free = "feeling of voice,noise description,distortion description,unnatural pause"
    lines = ["id," + ",".join(DIMENSIONS) + f",{free},description"]
    for i in range(1, 7):
        media.write_audio(tmp_path / f"{i}.wav", np.tile([1, -1], 8000) * np.float32(i / 100))
        values = [f"{truth(i).scores[d].value:g}" for d in DIMENSIONS]
        lines.append(",".join([f"{i}.wav", *values, "", "", "", "", truth(i).words]))
    (tmp_path / "test.csv").write_text("\n".join(lines) + "\n")
    found = main(Config(qualispeech=tmp_path, out=tmp_path / "o", resamples=50), critic=Knows())
    assert found["mean_pcc"] == pytest.approx(1.0)
    assert found["coverage"]["speed"]["value"] == 1.0
    assert found["rouge_l"]["value"] == 1.0
    assert found["words"]["true"] == found["words"]["said"]
    assert found["types"] is found["confidence"] is None


def rated(folder: Path, groups: str) -> Path:
    for i in range(1, 10):
        media.write_audio(folder / f"{i}.wav", np.tile([1, -1], 8000) * np.float32(i / 100))
    lines = [f"{i}.wav,{truth(i).scores['overall'].value},s{i % 3}" for i in range(1, 10)]
    (folder / "r.csv").write_text(f"path,score,{groups}\n" + "\n".join(lines) + "\n")
    return folder / "r.csv"


@pytest.mark.parametrize("column", ["group", "sentence"])
def test_ranks_within_groups(tmp_path, column):
    config = Config(rated=rated(tmp_path, column), out=tmp_path / "o", resamples=50)
    found = main(config, critic=Knows())
    assert found["tools"]["critic"]["within"]["value"] == pytest.approx(1.0)
    assert found["tools"]["critic"]["within"]["count"] == 3


def test_other_tools_stand_beside_the_critic(tmp_path, monkeypatch):
    def loudness(x):
        if np.abs(x).max() > 0.085:
            raise MetricError("too loud")
        return {"ovrl": -float(np.abs(x).max()), "sig": 0.0, "bak": 0.0}

    monkeypatch.setattr(blind, "dnsmos", loudness)
    dnsmos = replace(table.METRICS["dnsmos"], package=None)
    monkeypatch.setitem(table.METRICS, "dnsmos", dnsmos)
    config = Config(
        rated=rated(tmp_path, "group"), out=tmp_path / "o", resamples=50, against="dnsmos"
    )
    found = main(config, critic=Knows())["tools"]
    assert list(found) == ["critic", "dnsmos"]
    assert found["critic"]["pcc"]["count"] == found["dnsmos"]["pcc"]["count"] == 8
    assert found["critic"]["pcc"]["value"] == pytest.approx(1.0)
    assert found["dnsmos"]["pcc"]["value"] < 0.9
    rows = [json.loads(x) for x in (tmp_path / "o" / "metrics.jsonl").read_text().splitlines()]
    assert [r["tool_errors"] for r in rows if r.get("tool_errors")] == ["dnsmos: too loud"]
    assert "beside other tools" in (tmp_path / "o" / "table.md").read_text()


@pytest.mark.parametrize(
    ("against", "word"),
    [("dnsmos", "pip install"), ("pesq_wb", "reference"), ("mos", "none of")],
)
def test_a_tool_that_cannot_run_is_said_first(tmp_path, monkeypatch, against, word):
    missing = "dnsmos" in against
    monkeypatch.setattr(table.importlib.util, "find_spec", lambda name: None if missing else name)
    critic = Knows()
    config = Config(rated=rated(tmp_path, "group"), out=tmp_path / "o", against=against)
    with pytest.raises(UsageError, match=word):
        main(config, critic=critic)
    assert critic.heard == 0


def test_one_source_is_needed(tmp_path):
    with pytest.raises(UsageError, match="--faults"):
        main(Config(out=tmp_path / "o"), critic=Knows())
    both = Config(out=tmp_path / "o", faults=tmp_path, rated=tmp_path)
    with pytest.raises(UsageError, match="--faults"):
        main(both, critic=Knows())
    with pytest.raises(UsageError, match="--out"):
        main(Config(faults=tmp_path), critic=Knows())


def test_stand_in_truth_is_what_the_grammar_can_say():
    assert "hum" in render(truth(1))
