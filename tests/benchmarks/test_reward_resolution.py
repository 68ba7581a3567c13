"""The resolution of a reward: its arithmetic by hand, its sounds, and all of it on two windows."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hearken.enhancer.model import Enhancer
from hearken.enhancer.net import EnhancerConfig, MaskNet
from hearken.enhancer.policy import GaussianMaskPolicy
from hearken.feedback.reward import Rewards
from hearken.loops.enhancer_finetune_scenes import Excerpt
from hearken.metrics.table import Row
from hearken.nouns import DIMENSIONS, Audio, Description, Fault, Score
from small_scenes import write_avsec4

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import reward_pairs
import reward_resolution as resolution

nan = math.nan


def says(overall: int, words: str, faults: tuple[Fault, ...] = ()) -> Description:
    probs = [float(d == overall) for d in range(1, 6)]
    return Description(dict.fromkeys(DIMENSIONS, Score.of(probs)), faults, words, "")


def excerpt(name: str, talker: str, seen: bool, face: int = 50) -> Excerpt:
    rng = np.random.default_rng(len(name))
    mix, clean = (0.1 * rng.standard_normal((2, 16_000))).astype("f4")
    crops = np.random.default_rng(face).integers(0, 256, (25, 88, 88)).astype(np.uint8)
    return Excerpt(name, talker, mix, clean, crops, np.full(25, seen), 15_000)


@pytest.fixture
def net() -> MaskNet:
    torch.manual_seed(0)
    shape = EnhancerConfig(channels=(4, 4, 4, 4), hidden=8, layers=1, lip_width=8)
    return MaskNet(shape).eval()


def test_figures_by_hand():
    # Windows a and b of three versions; the reward orders a as PESQ does, and b the other way.
    gains = {"pesq_wb": np.array([1.0, 2, 3, 1, 2, nan]), "distillmos": np.full(6, nan)}
    rewards = [0.1, 0.1 + 1e-5, 0.3, 0.5, 0.4, nan]
    found = resolution.figures(rewards, list("aaabbb"), [0.2, 0.0005, 0.1, 0.0], gains)
    assert (found["pairs"], found["failed"]) == (6, 1)
    assert (found["distinct"], found["distinct to 0.001"]) == (5, 4)
    assert found["std"] == pytest.approx(0.3005 / 4)
    assert found["flat"] == 0.5
    # Two versions of b are left: too few for a rank.
    assert (found["pesq_wb, within"].value, found["pesq_wb, within"].count) == (1.0, 1)
    # Ranks of the rewards 0 1 2 4 3, of the gains .5 2.5 4 .5 2.5 (mean 2 each).
    over_all = (3 + -0.5 + 0 - 3 + 0.5) / math.sqrt(10 * 9)
    assert found["pesq_wb, all"].value == pytest.approx(over_all)
    assert found["distillmos, within"] is None
    assert found["distillmos, all"] is None


def test_nothing_at_all():
    found = resolution.figures([], [], [], {"pesq_wb": np.array([])})
    assert (found["pairs"], found["std"], found["flat"], found["pesq_wb, all"]) == (0,) + (
        None,
    ) * 3


def test_spread_of_a_group():
    assert resolution.group_std(Rewards(np.array([[1.0, 3.0, nan]]))) == pytest.approx(math.sqrt(2))
    assert resolution.group_std(Rewards(np.array([[1.0, nan]]))) is None
    # The totals agree, but the frames do not: (1, 0) and (0, 1), a variance of 1/2 each.
    frames = Rewards(np.array([[0.5, 0.5]]), {}, np.array([[[1.0, 0.0], [0.0, 1.0]]]))
    assert resolution.group_std(frames) == pytest.approx(math.sqrt(0.5))


def test_rewards_are_those_of_training():
    fault = Fault("dropout", 0.0, 1.0, 5)
    said = [says(5, "good"), None, says(2, "bad", (fault,))]
    group = SimpleNamespace(frames=11, frame_s=0.1)
    rates = {"words": lambda texts: [{"good": 4.5, "bad": 1.5}[t] for t in texts]}
    found = {n: r(said, says(4, "bad"), group) for n, r in resolution.rewards_by(rates).items()}
    assert list(found) == ["words", "scores", "faults"]
    np.testing.assert_allclose(found["words"].total_PG, [[3.0, nan, 0.0]])
    np.testing.assert_allclose(found["scores"].total_PG, [[1.0, nan, -2.0]])
    np.testing.assert_allclose(found["faults"].total_PG, [[0.0, nan, -1.0]])


def test_pairs_gains_and_texts():
    sound = np.zeros(9, np.float32)
    group = reward_pairs.Group(
        "w", "t", sound, sound, [sound, sound], {"a": sound, "b": sound, "c": None}, 3, 0.1
    )
    said = (says(3, "x"), [says(4, "x"), says(4, "x")], [says(5, "y"), says(1, "z"), None])
    values = [(2.0, 3.0), (2.5, 3.0), (1.5, 3.5), (4.0, 4.0), (1.0, 2.0), (None, 1.0)]
    rows = [Row("", {"pesq_wb": p, "distillmos": d}) for p, d in values]
    found = resolution.resolve([group], [said], [rows], {"words": lambda t: [3.0] * len(t)})
    assert [p["gains"]["pesq_wb"] for p in found["pairs"][:4]] == [0.5, -0.5, 2.0, -1.0]
    assert math.isnan(found["pairs"][4]["gains"]["pesq_wb"])
    assert [p["version"] for p in found["pairs"]] == ["0", "1", "a", "b", "c"]
    assert found["words"]["rollouts"] == {"sounds": 2, "distinct": 1, "a window": 1.0}
    assert found["words"]["variations"] == {"sounds": 2, "distinct": 2, "a window": 2.0}
    scores = found["rewards"]["scores"]
    assert (scores["rollouts"]["flat"], scores["variations"]["flat"]) == (1.0, 0.0)
    assert scores["variations"]["failed"] == 1
    assert found["versions"]["rollout"] == {
        "pesq_wb": 0.0, "distillmos": 0.25, "words": 0.0, "scores": 1.0, "faults": 0.0,
    }  # fmt: skip


def test_versions_of_a_window(net):
    one, stranger = excerpt("S1/0", "ann", True), excerpt("S02/0", "bob", True, 200)
    options = {"policy": GaussianMaskPolicy(0.1), "rollouts": 3}
    group = reward_pairs.made(
        net, one, stranger, {"same": net}, noise=torch.Generator().manual_seed(1), **options
    )
    versions = [*group.rollouts, *group.variations.values()]
    assert len(versions) == reward_pairs.per_window(3, 1)
    assert all(x.shape == (15_000,) and x.dtype == np.float32 for x in versions)
    assert len({x.tobytes() for x in [group.base, *versions]}) == len(
        versions
    )  # "same" is the base
    np.testing.assert_array_equal(group.variations["same"], group.base)
    np.testing.assert_allclose(group.variations["1 unprocessed"], one.mix[:15_000])
    half = (one.mix[:15_000] + group.base) / 2
    np.testing.assert_allclose(group.variations["0.5 unprocessed"], half, atol=1e-6)
    near = np.abs(group.rollouts[0] - group.base).mean()
    assert 0 < near < np.abs(group.variations["1 unprocessed"] - group.base).mean()
    again = reward_pairs.made(net, one, None, {}, noise=torch.Generator().manual_seed(1), **options)
    np.testing.assert_array_equal(again.rollouts[2], group.rollouts[2])
    assert "other video" not in again.variations
    unseen = excerpt("S1/0", "ann", False)
    blind = reward_pairs.made(net, unseen, stranger, {}, noise=torch.Generator(), **options)
    assert not {"no video", "other video"} & set(blind.variations)


def test_a_stranger_is_another_talker_who_is_seen(rng):
    some = [excerpt("a", "ann", True), excerpt("b", "ann", True), excerpt("c", "bob", True),
            excerpt("d", "cat", False)]  # fmt: skip
    found = {one.name: other for one, other in reward_pairs.windows(some, 9, rng)}
    assert sorted(found) == ["a", "b", "c", "d"]
    assert found["a"].name == found["b"].name == "c"
    assert found["c"].name in "ab"
    assert len(list(reward_pairs.windows(some, 2, rng))) == 2
    assert list(reward_pairs.windows(some[:1], 9, rng)) == [(some[0], None)]


def test_all_of_it(tmp_path, net, monkeypatch, capsys):
    def listen(clips: Sequence[Audio]) -> list[Description]:
        loud = [float(np.sqrt(np.mean(np.square(c)))) for c in clips]
        return [says(int(np.clip(1 + 40 * x, 1, 5)), f"Level {x:.4f}.") for x in loud]

    critic = SimpleNamespace(listen=listen, id="c", revision="r")
    monkeypatch.setattr("hearken.critic.model.Critic.from_pretrained", lambda name: critic)
    monkeypatch.setattr(resolution, "METRICS", ("si_sdr_db", "estoi"))
    Enhancer(net).save(tmp_path / "net")
    scenes = write_avsec4(tmp_path / "scenes", train=0, dev=3)
    out = tmp_path / "made/found.json"
    words = ["--scenes", scenes, "--weights", tmp_path / "net", "--json", out, "--seconds", "0.5",
             "--pairs", "30", "--workers", "1", "--rater", tmp_path / "absent"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["reward_resolution.py", *map(str, words)])
    resolution.main()
    page = json.loads(out.read_text())
    # No face in these films: 4 rollouts and 8 variations of ceil(30 / 14) windows.
    assert page["windows"] == 3
    assert [page["rewards"]["scores"][k]["pairs"] for k in resolution.KINDS] == [12, 24]
    assert len(page["pairs"]) == 36
    assert page["rewards"]["words"]["variations"]["estoi, all"]["clusters"] == 3
    assert "absent" in next(iter(page["failed_raters"]))
    printed = capsys.readouterr().out
    assert "rollouts" in printed
    assert "1 unprocessed" in printed
