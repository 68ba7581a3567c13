"""Stage 2 of the critic, run tiny: numbers, resume, Ctrl-C, several processes, the saved model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from hearken.critic import grpo
from hearken.critic.grade import PARTS, grade
from hearken.critic.grammar import render
from hearken.critic.tiny import TinyConfig, new_tiny
from hearken.errors import CheckpointError, ManifestError, UsageError
from hearken.loops.critic_reason import Config, change, main, read_lessons, verdict
from hearken.nouns import DIMENSIONS, Description, Judgement, Score

SIZES = TinyConfig(
    window_s=1, mel_bins=16, audio_width=32, audio_layers=1, audio_ffn=32, text_width=32,
    text_layers=1, text_ffn=32, heads=2, vocab=330,
)  # fmt: skip
TRUTH = Description({d: Score.point(3) for d in DIMENSIONS}, (), "Nothing is wrong.")


def corpus(folder: Path, count: int, seconds: float = 0.5) -> Path:
    (folder / "audio").mkdir(parents=True)
    rng = np.random.default_rng(count)
    rows = []
    for k in range(count):
        samples = 0.2 * rng.standard_normal(int(16_000 * seconds) - 320 * k)
        soundfile.write(folder / f"audio/{k}.flac", samples.astype(np.float32), 16_000)
        row = {
            "key": str(k), "path": f"audio/{k}.flac", "seconds": len(samples) / 16_000,
            "scores": dict.fromkeys(DIMENSIONS, 3.0), "faults": [], "words": TRUTH.words,
            "physics": {}, "intrusive": {"pesq_wb": None, "estoi": None, "si_sdr_db": None},
            "speaker": f"talker {k % 2}", "noise": "",
        }  # fmt: skip
        rows.append(json.dumps(row) + "\n")
    (folder / "truth.jsonl").write_text("".join(rows))
    return folder


def babble_grade(said: Any, truth: Description) -> Judgement:
    """Any text is worth something: an untrained model never writes grammar."""
    text = said if isinstance(said, str) else said.text
    return Judgement(len(set(text)) / 300, {n: len(set(text)) / 300 for n in PARTS})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reason")
    new_tiny(folder / "model", [render(TRUTH)] * 4, config=SIZES)
    corpus(folder / "train", 3)
    corpus(folder / "valid", 4)
    return folder


@pytest.fixture(autouse=True)
def _any_text_is_worth_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "grade", babble_grade)


def config(place: Path, out: Path, **changes: Any) -> Config:
    return Config.smoke(
        out=out, data=place / "train", valid=place / "valid", model=str(place / "model"),
        lr=1e-2, max_new_tokens=8, threads=1, **changes,
    )  # fmt: skip


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """Four uninterrupted steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpo, "grade", babble_grade)
        main(config(place, place / "whole", steps=4, save_every=2))
    return place / "whole"


def test_run_writes_numbers_answers_and_a_model(place: Path, whole: Path) -> None:
    from hearken.critic.model import Critic

    rows = metrics(whole)
    assert [r["step"] for r in rows] == [0, 1, 2, 3, 4, 4]
    assert {f"valid/{p}" for p in ("total", *PARTS)} <= rows[0].keys() & rows[-1].keys()
    step = rows[2]
    assert {f"reward/{p}" for p in ("total", *PARTS)} <= step.keys()
    assert {"policy/kl", "policy/entropy", "policy/length", "flat/total"} <= step.keys()
    assert 0 <= step["flat/total"] <= 1
    answers = [json.loads(x) for x in (whole / "rollouts.jsonl").read_text().splitlines()]
    assert {a["step"] for a in answers} == {1, 2, 3, 4}
    assert answers[0]["total"] == pytest.approx(len(set(answers[0]["text"])) / 300)
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["valid_clips"] == 4
    assert summary["rose"] is False, "an untrained model writes no grammar"
    assert "did not change clearly" in summary["verdict"]
    assert Critic.from_pretrained(whole / "model").prompt == "Listen."
    start = load_file(place / "model" / "model.safetensors")
    moved = {k for k, v in weights(whole).items() if not torch.equal(v, start[k])}
    assert any("language_model" in k for k in moved)
    assert not any("audio_tower" in k for k in moved), "the encoder is frozen by default"
    with pytest.raises(CheckpointError, match="--resume"):
        main(config(place, whole))


def test_resumed_equals_uninterrupted(place: Path, whole: Path, tmp_path: Path) -> None:
    main(config(place, tmp_path / "run", steps=2, save_every=2))
    halfway = weights(tmp_path / "run")
    main(config(place, tmp_path / "run", steps=4, save_every=2, resume=True))
    assert not same(halfway, weights(whole)), "steps 3 and 4 do nothing"
    assert same(weights(tmp_path / "run"), weights(whole))
    ours, theirs = (
        [{k: v for k, v in r.items() if not k.startswith("time/")} for r in metrics(out)]
        for out in (tmp_path / "run", whole)
    )
    assert [r for r in ours if "policy/kl" in r] == [r for r in theirs if "policy/kl" in r]
    answers = [(out / "rollouts.jsonl").read_text() for out in (tmp_path / "run", whole)]
    assert answers[0] == answers[1]


def test_ctrl_c_saves_and_resumes(
    place: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def interrupting(said: Any, truth: Description) -> Judgement:
        calls.append(1)
        if len(calls) == 5:  # in the second step of 2 x 2 answers
            os.kill(os.getpid(), signal.SIGINT)
        return babble_grade(said, truth)

    monkeypatch.setattr(grpo, "grade", interrupting)
    stopped = main(config(place, tmp_path / "run", steps=4, save_every=50))
    assert stopped["steps"] == 2
    assert "--resume" in stopped["verdict"]
    assert not (tmp_path / "run" / "model").exists()
    main(config(place, tmp_path / "run", steps=4, save_every=50, resume=True))
    assert same(weights(tmp_path / "run"), weights(whole))


def test_a_torn_checkpoint_is_passed_over(place: Path, whole: Path, tmp_path: Path) -> None:
    main(config(place, tmp_path / "run", steps=3, save_every=2))
    (tmp_path / "run" / "trainer" / "checkpoint-3" / "trainer_state.json").unlink()
    main(config(place, tmp_path / "run", steps=4, save_every=2, resume=True))
    assert same(weights(tmp_path / "run"), weights(whole))


def test_adapters_are_merged_into_the_saved_model(place: Path, tmp_path: Path) -> None:
    main(config(place, tmp_path / "run", lora_rank=2, unified=True, accumulate=2))
    start = load_file(place / "model" / "model.safetensors")
    assert weights(tmp_path / "run").keys() == start.keys()
    moved = {k for k, v in weights(tmp_path / "run").items() if not torch.equal(v, start[k])}
    assert any("q_proj" in k for k in moved)
    assert any("multi_modal_projector" in k for k in moved)
    assert not any("embed_tokens" in k or "audio_tower" in k for k in moved)


def test_rewards_are_those_of_the_grader(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The truth as tokens earns 1 in every part; without its end, or with a hidden token, 0."""
    from types import SimpleNamespace

    from hearken.critic.model import Critic

    monkeypatch.setattr(grpo, "grade", grade)
    critic = Critic.from_pretrained(place / "model")
    ids = critic.tokenizer(render(TRUTH), add_special_tokens=False)["input_ids"]
    end = critic.tokenizer.eos_token_id
    answers = [[*ids, end], ids, [critic.tokenizer.pad_token_id, *ids, end], [end]]
    logged: dict[str, float] = {}
    made = grpo.Rewards(critic, {"a": TRUTH}, group=2)
    rewards = {f.__name__: f for f in made.functions()}
    assert tuple(rewards) == PARTS
    state = SimpleNamespace(global_step=0)
    texts = [""] * 4
    for part in PARTS:
        got = rewards[part](
            prompts=["a"] * 4, completions=texts, completion_ids=answers,
            trainer_state=state, log_metric=logged.__setitem__,
        )  # fmt: skip
        assert got == [1.0, 0.0, 0.0, 0.0], part
    assert logged["reward/total"] == 0.25
    assert logged["flat/total"] == 0.5, "the second pair earns alike"


def test_change_and_verdict_by_hand() -> None:
    before = [{"total": 0.2, "noise": 0.5}] * 4
    after = [{"total": t, "noise": 0.5} for t in (0.3, 0.3, 0.5, 0.5)]
    found = change(before, after)
    assert found["total"]["change"] == pytest.approx(0.2)
    assert found["noise"]["low"] == found["noise"]["high"] == 0
    assert 0.1 - 1e-9 <= float(found["total"]["low"] or 0) < 0.2
    assert verdict(found["total"]).startswith("rose: 0.200 -> 0.400")
    assert verdict({**found["total"], "low": -0.3, "high": -0.1}).startswith("fell")
    assert verdict({**found["total"], "low": -0.3, "high": 0.1}).startswith("did not change")
    assert verdict({**found["total"], "low": None, "high": None}).startswith("too few")


def test_bad_calls_are_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--valid"):
        main(Config(out=tmp_path / "x", data=place / "train"))
    with pytest.raises(UsageError, match="--group 1"):
        main(config(place, tmp_path / "x", group=1))
    with pytest.raises(UsageError, match="--accumulate 3"):
        main(config(place, tmp_path / "x", accumulate=3))
    with pytest.raises(ManifestError, match="plant shorter"):
        read_lessons(place / "train", 0.1)
    kept, dropped = read_lessons(place / "train", 0.47)
    assert (len(kept), dropped) == (1, 2)


_RANK = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
import torch
import test_critic_reason as t
from hearken.loops import critic_reason as loop
from hearken.critic import grpo
grpo.grade = t.babble_grade
place, out = Path({place!r}), Path({out!r})
built = loop._trainer
def keep(*a):
    global trainer
    trainer = built(*a)
    return trainer
loop._trainer = keep
loop.main(t.config(place, out))
rank = trainer.args.process_index
assert trainer.args.world_size == 2
torch.save(trainer.accelerator.unwrap_model(trainer.model).state_dict(), out / f"rank{{rank}}.pt")
"""


@pytest.mark.slow
def test_two_processes_agree(place: Path, tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    here = str(Path(__file__).parent)
    out = tmp_path / "run"
    script.write_text(_RANK.format(tests=here, place=str(place), out=str(out)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script)], capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    a, b = (torch.load(out / f"rank{r}.pt", weights_only=True) for r in (0, 1))
    assert same(a, b)
    start = load_file(place / "model" / "model.safetensors")
    assert not same(a, start)
    assert [r["step"] for r in metrics(out)] == [0, 1, 2, 2]
    assert json.loads((out / "summary.json").read_text())["valid_clips"] == 4
