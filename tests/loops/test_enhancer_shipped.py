"""The weights that come with the package, on real held-out faces, voices and noises."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearken import media
from hearken.data import manifest, stock
from hearken.data.fixed import fixed_scenes
from hearken.enhancer import Enhancer
from hearken.loops import enhancer_pretrain as loop
from hearken.loops.enhancer_pretrain_data import crop


def test_shipped_weights_load_and_are_small() -> None:
    enhancer = Enhancer.from_pretrained()
    assert 1_000_000 <= sum(p.numel() for p in enhancer.net.parameters()) <= 5_000_000
    assert not enhancer.config.causal
    assert Enhancer.from_pretrained("enhancer-causal").config.causal
    weights = Path(loop.__file__).parents[1] / "weights"
    for name in ("enhancer-small", "enhancer-causal"):
        assert (weights / name / "model.safetensors").stat().st_size <= 10 * 2**20
        assert (weights / name / "README.md").exists()
    assert sum(f.stat().st_size for f in weights.rglob("*.safetensors")) <= 25e6


def test_what_pleases_the_critic_is_a_change_of_biases() -> None:
    base, tuned = Enhancer.from_pretrained(), Enhancer.from_pretrained("enhancer-critic")
    assert tuned.config == base.config
    assert tuned.revision != base.revision
    before = base.net.state_dict()
    changed = {k for k, v in tuned.net.state_dict().items() if not v.equal(before[k])}
    assert changed
    assert all(k.startswith("listen.") and before[k].ndim == 1 for k in changed)
    weights = Path(loop.__file__).parents[1] / "weights" / "enhancer-critic"
    assert (weights / "changes.safetensors").stat().st_size < 60_000
    assert (weights / "README.md").exists()


@pytest.mark.data
@pytest.mark.slow
def test_shipped_weights_follow_the_lips(data_dir: Path, tmp_path: Path) -> None:
    valid = manifest.split(manifest.read(data_dir)).valid
    faces = [e for e in valid if e.kind == "av"]
    unseen = [e for e in faces if e.group != "GRID-s1"]
    some = [*[e for e in faces if e.group == "GRID-s1"][:5], *unseen]
    some += [e for e in valid if e.kind in ("speech", "noise")][::2]
    held = stock.build(
        some,
        tmp_path,
        load=lambda path: media.load_audio(path, allow_silent=True),
        crop=crop,
        shifted=False,
    )
    net = Enhancer.from_pretrained().net
    gains = loop._validated(net, fixed_scenes(held, "GRID-s1", 15))
    bars = {"noise/known": 8.0, "noise/unseen": 7.0, "talker/known": 6.5, "talker/unseen": 4.0}
    for kind, bar in bars.items():
        assert gains[f"{kind}/right"] >= bar, gains
    for who in ("known", "unseen"):
        assert gains[f"talker/{who}/right"] > gains[f"talker/{who}/wrong"] + 2.0, gains
