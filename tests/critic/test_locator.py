"""The locator: what it learns, what it hands on, and how its times meet the critic's words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hearken.critic.locator import LOCATOR_FILE, PLACED, Located, Locator, place
from hearken.errors import CheckpointError
from hearken.nouns import DIMENSIONS, Description, Fault, Score

HOP_S = 0.02


def said(*faults: Fault) -> Description:
    return Description({d: Score.point(3) for d in DIMENSIONS}, faults, "Words stay.")


def locator(**sizes: object) -> Locator:
    torch.manual_seed(0)
    return Locator(3, HOP_S, width=8, dilations=(1, 2), **sizes)  # type: ignore[arg-type]


def test_it_learns_to_place_what_a_channel_shows() -> None:
    """Dropouts where the first channel is high; nothing where it is not."""
    net = locator()
    rng = np.random.default_rng(0)
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)

    def clips(count: int) -> tuple[torch.Tensor, list[Description]]:
        features, truths = torch.randn(count, 3, 60) * 0.1, []
        for row in range(count):
            first = int(rng.integers(5, 40))
            end = first + int(rng.integers(3, 15))
            there = row % 2 == 0
            features[row, 0, first:end] += 2.0 * there
            hole = Fault("dropout", first * HOP_S, end * HOP_S, 3)
            truths.append(said(hole) if there else said())
        return features, truths

    hops = torch.full((16,), 60)
    for _ in range(80):
        features, truths = clips(16)
        loss = net.loss(net(features, hops), truths)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    features, truths = clips(16)
    found = net.eval().find(features, hops)
    for spans, truth in zip(found, truths, strict=True):
        assert set(spans) == {f.type for f in truth.faults}
        for fault in truth.faults:
            (span,) = spans["dropout"]
            assert abs(span.start_s - fault.start_s) <= HOP_S
            assert abs(span.end_s - fault.end_s) <= HOP_S
            assert span.probability > 0.5


def test_nothing_is_found_beyond_the_end_of_the_sound() -> None:
    net = locator()
    with torch.no_grad():
        net.last.bias[: len(PLACED)] = 3.0  # everything is faulty
    found = net.find(torch.zeros(2, 3, 50), torch.tensor([50, 20]))
    for spans, seconds in zip(found, (1.0, 0.4), strict=True):
        assert set(spans) == set(PLACED)
        assert all(s.start_s == 0 and s.end_s == pytest.approx(seconds) for (s,) in spans.values())


def test_a_name_adds_to_the_odds() -> None:
    net = locator()
    with torch.no_grad():
        net.last.bias.fill_(-1.0)
        net.last.bias[: len(PLACED)] = 0.02  # 50 frames together earn 1, and two edges cost 2
    features, hops = torch.zeros(1, 3, 50), torch.tensor([50])
    assert net.find(features, hops) == [{}]
    (found,) = net.find(features, hops, prior=1.5)
    assert set(found) == set(PLACED)
    (unsure,) = found["clicks"]
    assert 0.1 < unsure.probability < 0.9


def test_other_types_and_times_outside_the_frames_are_no_targets_or_the_nearest() -> None:
    net = locator()
    truth = said(
        Fault("hum", 0.0, 1.0, 3), Fault("clicks", 0.1, 0.101, 3), Fault("dropout", 9.0, 9.1, 3)
    )
    on = net._targets([truth], 50)[0]
    assert on[PLACED.index("clicks")].nonzero().flatten().tolist() == [5]
    assert on[PLACED.index("dropout")].nonzero().flatten().tolist() == [49]
    assert on.sum() == 2


def test_named_faults_get_the_times_that_were_found() -> None:
    hum = Fault("hum", 0.0, 2.0, 2, "", 0.9)
    early = Fault("dropout", 0.1, 0.2, 2, "", 0.8)
    late = Fault("dropout", 1.5, 1.6, 4, "", None)
    pause = Fault("unnatural_pause", 0.5, 0.9, 3, "", 0.6)
    found = {
        "dropout": (Located(0.14, 0.24, 0.6), Located(1.52, 1.58, 0.7)),
        "clicks": (Located(0.0, 1.0, 0.9),),  # not named: the words say what is wrong
    }
    placed = place(said(early, hum, pause, late), found)
    assert placed.faults == (
        hum,
        Fault("dropout", 0.14, 0.24, 2, "", pytest.approx(0.7)),  # type: ignore[arg-type]
        Fault("dropout", 1.52, 1.58, 4, "", 0.7),
    )
    assert placed.words == "Words stay."


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    net = locator()
    net.save(tmp_path)
    again = Locator.load(tmp_path)
    assert again is not None
    assert again.settings == net.settings
    assert not again.training
    for name, value in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.bfloat16().float()), name


def test_a_folder_without_one_has_none_and_a_wrong_file_is_refused(tmp_path: Path) -> None:
    assert Locator.load(tmp_path) is None
    (tmp_path / LOCATOR_FILE).write_bytes(b"not tensors at all")
    with pytest.raises(CheckpointError, match="not a locator"):
        Locator.load(tmp_path)
    from safetensors.torch import save_file

    save_file({"first.weight": torch.zeros(1)}, tmp_path / LOCATOR_FILE, {"settings": "{}"})
    with pytest.raises(CheckpointError, match=LOCATOR_FILE):
        Locator.load(tmp_path)
