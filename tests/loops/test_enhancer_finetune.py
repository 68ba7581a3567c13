from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hearken.enhancer.model import Enhancer
from hearken.enhancer.net import EnhancerConfig, MaskNet
from hearken.errors import CheckpointError, GrammarError, JudgeError, ManifestError, UsageError
from hearken.feedback.reward import REWARDS
from hearken.loops import enhancer_finetune_step
from hearken.loops.enhancer_finetune import Config, main
from hearken.loops.enhancer_finetune_judge import Tools
from hearken.loops.enhancer_finetune_scenes import Excerpts, collate
from hearken.media import write_audio
from hearken.nouns import DIMENSIONS, Audio, Description, Fault, Score
from hearken.rl import clipped_surrogate
from hearken.run import checkpoint

TIMED = ("time/enhance_s", "time/wait_s", "time/listen_s", "time/update_s", "time/step_s")


def scenes(root: Path, count: int = 4, seconds: float = 1.0) -> Path:
    """A folder in AVSEC layout with a tone as the talker, and noise; no video."""
    rng = np.random.default_rng(0)
    folder = root / "scenes"
    folder.mkdir(parents=True)
    t = np.arange(round(seconds * 16_000)) / 16_000
    for k in range(count):
        clean = (0.1 * np.sin(2 * np.pi * (200 + 70 * k) * t) * (np.sin(9 * t) > -0.5)).astype("f4")
        noise = (0.05 * rng.standard_normal(len(t))).astype("f4")
        name = folder / f"S{k + 1:05d}"
        write_audio(Path(f"{name}_mono_mix.wav"), clean + noise)
        write_audio(Path(f"{name}_target_mono.wav"), clean)
        write_audio(Path(f"{name}_interferer_mono.wav"), noise)
    return root


def tiny_weights(folder: Path) -> Path:
    torch.manual_seed(0)
    shape = EnhancerConfig(channels=(4, 4, 4, 4), hidden=8, layers=1, lip_width=8)
    Enhancer(MaskNet(shape)).save(folder)
    return folder


def loudness_critic(clips: Sequence[Audio]) -> list[Description | GrammarError]:
    """A scripted critic that likes loud sounds, and calls quiet ones bad."""
    said: list[Description | GrammarError] = []
    for clip in clips:
        level = float(np.clip(1 + 4 * np.sqrt(np.mean(np.square(clip))) / 0.1, 1, 5))
        probs = [max(0.0, 1 - abs(level - digit)) for digit in range(1, 6)]
        word = ("bad", "poor", "fair", "good", "excellent")[round(level) - 1]
        faults = (Fault("dropout", 0.0, 0.5, 3),) if level < 2 else ()
        scores = {d: Score.of(probs) for d in DIMENSIONS}
        said.append(Description(scores, faults, f"Overall {word}.", raw=f"raw {level:.3f}"))
    return said


def described(level: float) -> Description:
    scores = {d: Score.of([max(0.0, 1 - abs(level - digit)) for digit in range(1, 6)])
              for d in DIMENSIONS}  # fmt: skip
    return Description(scores, (), "Overall fair.", raw="raw")


def some_fail(clips: Sequence[Audio]) -> list[Description | GrammarError]:
    """Every third answer of a batch is malformed; a sound heard alone is described."""
    said = loudness_critic(clips)
    return [GrammarError("x", text="x", line=1) if k % 3 == 2 else s for k, s in enumerate(said)]


def all_fail(clips: Sequence[Audio]) -> list[Description | GrammarError]:
    return [GrammarError("gibberish", text="x", line=1) for _ in clips]


def tools(listen: Callable[..., list[Description | GrammarError]] = loudness_critic) -> Tools:
    stars = ("bad", "poor", "fair", "good", "excellent")
    return Tools(
        listen,
        lambda texts: [1.0 + stars.index(t.split()[1][:-1]) for t in texts],
        lambda x: float(1 + 4 * np.sqrt(np.mean(np.square(x)))),
        lambda x: 3.0,
        expect=loudness_expected,
    )


def loudness_expected(sounds: Sequence[torch.Tensor]) -> torch.Tensor:
    """The same critic to be differentiated."""
    level = torch.stack([1 + 4 * x.square().mean().sqrt() / 0.1 for x in sounds]).clamp(1, 5)
    return level[:, None].expand(-1, len(DIMENSIONS))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finetune")
    scenes(root / "data")
    tiny_weights(root / "weights")
    return root


def small(made: Path, out: Path, **changes: object) -> Config:
    paths = {"data": made / "data", "valid": made / "data", "weights": made / "weights"}
    plain = {"cell_bins": 1, "cell_frames": 1, "antithetic": False, "sigma": 0.05, "lr": 1e-4,
             "learns": "all"}  # fmt: skip
    return Config.smoke(out=out, **{**paths, **plain, **changes})


def rows(out: Path) -> list[dict[str, object]]:
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(x).items() if k not in TIMED} for x in lines]


def parameters(out: Path) -> dict[str, torch.Tensor]:
    net: dict[str, torch.Tensor] = checkpoint.load(out / "checkpoint.safetensors")["net"]
    return net


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("reward", REWARDS)
def test_each_reward_runs_and_logs(made: Path, tmp_path: Path, reward: str) -> None:
    numbers = main(small(made, tmp_path / "run", reward=reward), tools())
    assert np.isfinite(numbers["valid/scores"])
    assert numbers["start/scores"] == 0.0  # before the first step it is the base
    assert numbers["start/si_sdr_db"] == pytest.approx(0.0, abs=1e-6)
    steps = [r for r in rows(tmp_path / "run") if "update/grad_norm" in r]
    assert [r["step"] for r in steps] == [0, 1]
    assert ("policy/kl" in steps[0]) is (reward != "none")
    assert ("reward/mean" in steps[0]) is (reward != "none")
    if reward in ("words", "scores", "faults", "shuffled"):
        assert str(steps[0]["critic/raw"]).startswith("raw ")
    saved = Enhancer.from_pretrained(tmp_path / "run" / "enhancer").net.state_dict()
    assert same(parameters(tmp_path / "run"), saved)
    assert not same(saved, Enhancer.from_pretrained(made / "weights").net.state_dict())


def test_the_reward_is_climbed_and_shuffled_words_climb_less(made: Path, tmp_path: Path) -> None:
    def spoken(clips: Sequence[Audio]) -> list[Description | GrammarError]:
        return [replace(s, words=f"x {s.scores['overall'].value}.")
                for s in loudness_critic(clips) if isinstance(s, Description)]  # fmt: skip

    judge = Tools(spoken, lambda texts: [float(t[2:-1]) for t in texts], *[lambda x: 3.0] * 2)
    numbers = {
        reward: main(
            small(
                made, tmp_path / reward, reward=reward, anchor=0, steps=30, rollouts=8, epochs=2,
                lr=2e-2, min_std=0.0, sigma=0.1, seconds=0.5, valid_every=1000, save_every=100,
            ),
            judge,
        )
        for reward in ("words", "shuffled")
    }  # fmt: skip
    real = numbers["words"]
    assert 0.05 < real["valid/words_low"] <= real["valid/words"] <= real["valid/words_high"]
    assert real["valid/words"] > numbers["shuffled"]["valid/words"] + 0.1


def test_resumed_equals_uninterrupted(made: Path, tmp_path: Path) -> None:
    whole = small(made, tmp_path / "whole", reward="scores", steps=4, valid_every=2)
    main(whole, tools(some_fail))
    part = replace(whole, out=tmp_path / "part")
    main(replace(part, steps=2), tools(some_fail))
    main(replace(part, resume=True), tools(some_fail))
    assert same(parameters(whole.out), parameters(part.out))
    assert rows(whole.out) == rows(part.out)


def test_the_gradient_climbs_faster_than_samples_and_resumes(made: Path, tmp_path: Path) -> None:
    config = small(
        made, tmp_path / "whole", reward="gradient", anchor=0, steps=4, epochs=2, lr=2e-2,
        seconds=0.5, valid_every=1000, save_every=100, gradient_of="overall,noise",
    )  # fmt: skip
    whole = main(config, tools())
    sampled = main(replace(config, out=tmp_path / "sampled", reward="scores"), tools())
    assert whole["valid/scores_low"] > 0.05
    assert whole["valid/scores"] > sampled["valid/scores"] + 0.05
    part = replace(config, out=tmp_path / "part")
    main(replace(part, steps=2), tools())
    main(replace(part, resume=True), tools())
    assert same(parameters(config.out), parameters(part.out))
    learnt = [r for r in rows(config.out) if "reward/mean" in r]
    assert learnt[0]["reward/mean"] != 0  # the second of the step's updates: no longer the base
    assert float(str(learnt[-1]["reward/mean"])) > float(str(learnt[0]["reward/mean"]))


def test_sounds_that_the_critic_cannot_read_have_no_gradient(made: Path, tmp_path: Path) -> None:
    def deaf(sounds: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.full((len(sounds), len(DIMENSIONS)), torch.nan)

    config = small(made, tmp_path / "run", reward="gradient", anchor=0, patience=4, valid=Path(""),
                   kl_weight=0.0)  # fmt: skip
    with pytest.raises(JudgeError, match="failed on 100%"):
        main(config, replace(tools(), expect=deaf))
    start = Enhancer.from_pretrained(made / "weights").net.state_dict()
    patient = replace(config, out=tmp_path / "patient", patience=1000)
    main(patient, replace(tools(), expect=deaf))
    assert same(parameters(patient.out), start)


def test_ctrl_c_saves_and_the_run_goes_on(made: Path, tmp_path: Path) -> None:
    calls = 0

    def interrupted(clips: Sequence[Audio]) -> list[Description | GrammarError]:
        nonlocal calls
        calls += 1
        if calls == 1:
            signal.raise_signal(signal.SIGINT)
        return loudness_critic(clips)

    config = small(made, tmp_path / "run", steps=3, save_every=100, valid=Path(""))
    main(config, tools(interrupted))
    assert checkpoint.load(config.out / "checkpoint.safetensors")["step"] == 1
    with pytest.raises(CheckpointError, match="--resume"):
        main(config, tools())
    main(replace(config, resume=True), tools())
    whole = replace(config, out=tmp_path / "whole")
    main(whole, tools())
    assert same(parameters(config.out), parameters(whole.out))


def test_failed_answers_leave_the_group_and_are_logged(made: Path, tmp_path: Path) -> None:
    config = small(made, tmp_path / "run", rollouts=3, valid=Path(""))
    main(config, tools(some_fail))
    first = rows(config.out)[0]
    assert first["critic/failed_frac"] == pytest.approx(2 / 8)  # of 2 x 3 rollouts and 2 bases
    assert first["reward/valid_frac"] == pytest.approx(4 / 6)


def test_a_broken_judge_stops_the_run(made: Path, tmp_path: Path) -> None:
    config = small(made, tmp_path / "run", patience=8, steps=9, valid=Path(""))
    with pytest.raises(JudgeError, match="gibberish"):
        main(config, tools(all_fail))


def test_a_step_that_is_not_finite_is_skipped_and_counted(made: Path, tmp_path: Path) -> None:
    config = small(made, tmp_path / "run", anchor_weight=float("inf"), valid=Path(""))
    main(config, tools())
    assert rows(config.out)[-1]["update/skipped"] == 2
    assert same(parameters(config.out), Enhancer.from_pretrained(made / "weights").net.state_dict())


def test_kl_pulls_back_to_the_base(made: Path, tmp_path: Path) -> None:
    kl = {}
    for weight in (0.0, 100.0):
        config = small(
            made, tmp_path / str(weight), reward="scores", kl_weight=weight, steps=6, lr=1e-2,
            anchor=0, min_std=0.0, valid=Path(""),
        )  # fmt: skip
        main(config, tools())
        kl[weight] = rows(config.out)[-1]["policy/kl"]
    assert kl[100.0] < 0.5 * kl[0.0]  # type: ignore[operator]


def test_only_the_span_that_was_repaired_is_credited(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two rollouts the first has no dropout at 0.40-0.60 s; the words of both are alike."""
    bad = replace(described(3.0), faults=(Fault("dropout", 0.4, 0.6, 5, "", 1.0),))

    def listen(clips: Sequence[Audio]) -> list[Description | GrammarError]:
        return [described(3.0) if k % 2 == 0 and len(clips) > 1 else bad for k in range(len(clips))]

    seen: list[torch.Tensor] = []

    def spy(log_prob: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, *args, **options):
        seen.append(advantages)
        return clipped_surrogate(log_prob, old, advantages, *args, **options)

    monkeypatch.setattr(enhancer_finetune_step, "clipped_surrogate", spy)
    for reward, cells in (("faults", 1), ("words+faults", 5)):
        out = tmp_path / f"{reward}{cells}"
        main(small(made, out, reward=reward, steps=1, cell_frames=cells, valid=Path("")),
             tools(listen))  # fmt: skip
    each, by_cell = seen
    inside = torch.zeros(51, dtype=torch.bool)
    inside[20:31] = True  # frames of 20 ms
    assert each.shape == (2, 2, 51)
    assert bool((each[:, 0, inside] > 0.5).all())
    assert bool((each[:, 1, inside] < -0.5).all())
    assert not each[..., ~inside].any()
    assert by_cell.shape == (2, 2, 11)
    assert by_cell[0, 0].nonzero().flatten().tolist() == [4, 5, 6]  # frames 20-34


def test_a_run_that_sounds_worse_to_a_blind_ear_stops_and_keeps_what_was_good(
    made: Path, tmp_path: Path
) -> None:
    """The reward likes loud sounds; the metric that is never a reward hates them."""
    config = small(made, tmp_path / "run", reward="scores", steps=40, valid_every=4, lr=3e-2,
                   kl_weight=0.0, anchor=0, min_std=0.0, max_drop=0.02, save_every=100)  # fmt: skip
    judge = replace(tools(), distillmos=lambda x: float(5 - 40 * np.sqrt(np.mean(np.square(x)))))
    numbers = main(config, judge)
    told = rows(config.out)
    assert "DistillMOS" in str(told[-1]["guard/stopped"])
    assert numbers["valid/distillmos_high"] < -0.02
    assert 4 <= int(str(told[-1]["step"])) < 40
    kept = Enhancer.from_pretrained(config.out / "enhancer").net.state_dict()
    start = Enhancer.from_pretrained(made / "weights").net.state_dict()
    assert int(str(told[-1]["step"])) > 4 or same(kept, start)
    free = replace(config, out=tmp_path / "free", max_drop=0.0, steps=8)
    assert "guard/stopped" not in rows(Path(main(free, judge) and free.out))[-1]


def test_a_run_that_goes_too_far_stops(made: Path, tmp_path: Path) -> None:
    config = small(made, tmp_path / "run", reward="scores", steps=40, lr=3e-2, kl_weight=0.0,
                   anchor=0, min_std=0.0, max_kl=0.05, valid=Path(""))  # fmt: skip
    main(config, tools())
    told = rows(config.out)
    assert "KL" in str(told[-1]["guard/stopped"])
    assert len(told) < 40


def test_the_page_shows_the_run(made: Path, tmp_path: Path) -> None:
    config = small(made, tmp_path / "run")
    main(config, tools())
    page = (config.out / "progress.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 4  # noisy, base, now, clean of one clip
    assert "Overall " in page


def test_answers_on_the_base_are_kept_for_other_runs(made: Path, tmp_path: Path) -> None:
    heard: list[int] = []

    def counting(clips: Sequence[Audio]) -> list[Description | GrammarError]:
        heard.append(len(clips))
        return loudness_critic(clips)

    config = small(made, tmp_path / "one", reward="scores", valid=Path(""), cache=tmp_path / "c")
    main(config, replace(tools(counting), critic="it@1"))
    assert heard.count(1) == 4  # bases are heard alone: two steps of two clips
    heard.clear()
    main(replace(config, out=tmp_path / "two"), replace(tools(counting), critic="it@1"))
    assert heard.count(1) == 0
    assert rows(config.out) == rows(tmp_path / "two")
    main(replace(config, out=tmp_path / "three"), replace(tools(counting), critic="it@2"))
    assert heard.count(1) == 4  # another critic has other answers


KILLED = """
import os, signal, sys, threading
from pathlib import Path
sys.path.insert(0, {here!r})
import torch
torch.set_num_threads(1)
from test_enhancer_finetune import loudness_critic, small, tools
from hearken.loops import enhancer_finetune_step
from hearken.loops.enhancer_finetune import main

made, out, calls = Path(sys.argv[1]), Path(sys.argv[2]), []
def listen(clips):
    calls.append(1)
    if len(calls) == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return loudness_critic(clips)
main(small(made, out, reward="words+faults", steps=5, save_every=2, resume={resume}), tools(listen))
"""


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(made: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of a step, twice; the last checkpoint is older than the last row."""
    for at, resume in ((14, False), (9, True), (0, True)):
        script = tmp_path / "run.py"
        here = str(Path(__file__).parent)
        script.write_text(KILLED.format(here=here, at=at, resume=resume), encoding="utf-8")
        command = [sys.executable, str(script), str(made), str(tmp_path / "killed")]
        code = subprocess.run(command, capture_output=True, timeout=240, check=False).returncode
        assert code == (-signal.SIGKILL if at else 0)
    whole = small(made, tmp_path / "whole", reward="words+faults", steps=5, save_every=2)
    main(whole, tools())
    assert rows(whole.out) == rows(tmp_path / "killed")
    assert same(parameters(whole.out), parameters(tmp_path / "killed"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "--epochs"),
        ({"cell_frames": 0}, "cell"),
        ({"data": Path("")}, "--data"),
        ({"reward": "none", "anchor": 0}, "trains nothing"),
        ({"rollouts": 1}, "at least two"),
        ({"reward": "shuffled", "clips": 1}, "two clips"),
        ({"reward": "praise"}, "reward"),
        ({"reward": "gradient", "judge_url": "http://x/v1"}, "--judge-url"),
        ({"reward": "gradient", "gradient_of": "beauty"}, "--gradient-of"),
    ],
)
def test_bad_settings(made: Path, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        main(small(made, tmp_path / "run", **changes), tools())


def test_windows_cover_a_scene_and_short_ones_are_padded(tmp_path: Path) -> None:
    root = scenes(tmp_path / "s", count=1, seconds=2.5)
    found = Excerpts(root, tmp_path / "cache", seconds=1.0)
    assert [found[i].name for i in range(len(found))] == ["S00001/0", "S00001/1"]
    short = Excerpts(root, tmp_path / "cache", seconds=4.0)
    assert len(short) == 1
    assert short[0].length == 40_000
    assert short[0].mix.shape == (64_000,)
    assert not short[0].mix[40_000:].any()
    assert collate([found[0], found[1]], torch.device("cpu")).crops_BV is None


def test_scenes_without_a_reference_are_refused(tmp_path: Path) -> None:
    root = scenes(tmp_path / "s", count=1)
    (root / "scenes" / "S00001_target_mono.wav").unlink()
    with pytest.raises(ManifestError, match="reference"):
        Excerpts(root, tmp_path / "cache", seconds=1.0)


WORKER = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {here!r})
import torch
torch.set_num_threads(1)
from test_enhancer_finetune import parameters, small, tools
from hearken.loops import enhancer_finetune as loop
from hearken.rl import clipped_surrogate
from hearken.run import checkpoint

made, out = Path(sys.argv[1]), Path(sys.argv[2])
kept = []
step = loop.Learner.step
def spy(learner, *rest):
    kept.append(learner)
    return step(learner, *rest)
loop.Learner.step = spy
numbers = loop.main(small(made, out, reward="scores", steps=3), tools())
rank = loop.Processes.join(cpu=True).rank
checkpoint.save(out.parent / f"rank{{rank}}.safetensors",
                {{"net": kept[0].net.state_dict(), "numbers": numbers}})
"""


@pytest.mark.slow
def test_two_processes_stay_one_model(made: Path, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(here=str(Path(__file__).parent)), encoding="utf-8")
    # What `accelerate launch` itself starts for several local processes.
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        str(script), str(made), str(tmp_path / "run"),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [checkpoint.load(tmp_path / f"rank{r}.safetensors") for r in (0, 1)]
    assert same(ranks[0]["net"], ranks[1]["net"])
    assert ranks[0]["numbers"] == ranks[1]["numbers"]
    assert ranks[0]["numbers"]["valid/clips"] == 2
    assert [r["step"] for r in rows(tmp_path / "run") if "update/grad_norm" in r] == [0, 1, 2]
    alone = small(made, tmp_path / "alone", reward="scores", steps=3)
    main(alone, tools())
    assert not same(parameters(alone.out), ranks[0]["net"])  # the other rank's clips counted


@pytest.mark.data
@pytest.mark.slow
def test_shipped_models_on_real_talking_faces(data_dir: Path, tmp_path: Path) -> None:
    from hearken.data.scenes import build

    build(data_dir, tmp_path / "scenes", 2, seed=0, kind="mixed", faces="known")
    config = Config.smoke(
        out=tmp_path / "run", data=tmp_path / "scenes", valid=tmp_path / "scenes", steps=1
    )
    numbers = main(config)
    assert numbers["valid/words_failed"] == 0
    assert np.isfinite(numbers["valid/si_sdr_db"])
    step = next(r for r in rows(config.out) if "update/grad_norm" in r)
    assert str(step["critic/raw"]).startswith("noise: ")
    assert Excerpts(config.data, config.out / "cache", seconds=1.0)[0].seen.all()


def test_the_decoder_alone_learns(made: Path, tmp_path: Path) -> None:
    config = small(made, tmp_path / "run", learns="decoder", valid=Path(""))
    main(config, tools())
    now, start = parameters(config.out), Enhancer.from_pretrained(made / "weights").net.state_dict()
    changed = {k.split(".")[1] for k in now if not torch.equal(now[k], start[k])}
    assert changed == {"up", "skip", "norm_up", "leave"}
