from __future__ import annotations

import math

import torch

from hearken.rl.advantage import whiten_frames, whiten_groups


def test_hand_numbers() -> None:
    rewards_PG = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 6.0]])
    out = whiten_groups(rewards_PG, torch.ones(2, 3, dtype=torch.bool))
    root12 = math.sqrt(12.0)  # var of (0, 0, 6) with n - 1: (4 + 4 + 16) / 2
    expected = torch.tensor([[-1.0, 0.0, 1.0], [-2 / root12, -2 / root12, 4 / root12]])
    torch.testing.assert_close(out.advantages, expected)
    assert (out.flat_groups, out.short_groups) == (0, 0)


def test_masked_rollouts_do_not_move_the_rest() -> None:
    rewards_PG = torch.tensor([[1.0, float("nan"), 3.0], [5.0, float("inf"), float("nan")]])
    valid_PG = torch.tensor([[True, False, True], [True, False, False]])
    out = whiten_groups(rewards_PG, valid_PG)
    s = math.sqrt(2.0)
    torch.testing.assert_close(
        out.advantages, torch.tensor([[-1 / s, 0.0, 1 / s], [0.0, 0.0, 0.0]])
    )
    assert (out.flat_groups, out.short_groups) == (0, 1)


def test_flat_group_is_zero_and_counted() -> None:
    rewards_PG = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.1, 0.1 + 1e-4]])
    ok = torch.ones(2, 3, dtype=torch.bool)
    out = whiten_groups(rewards_PG, ok)
    assert out.flat_groups == 1
    assert out.advantages[0].abs().max() == 0
    assert out.advantages[1].abs().max() > 1
    assert whiten_groups(rewards_PG, ok, min_std=1e-3).flat_groups == 2


def test_a_shift_and_a_scale_of_the_reward_change_nothing() -> None:
    torch.manual_seed(0)
    rewards_PG, ok = torch.randn(3, 5), torch.ones(3, 5, dtype=torch.bool)
    a = whiten_groups(rewards_PG, ok).advantages
    b = whiten_groups(7 * rewards_PG - 3, ok).advantages
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_frames_are_centred_one_by_one_and_scaled_once() -> None:
    # Frame 0: the rollouts differ by 2. Frame 1: they agree.
    rewards_PGF = torch.tensor([[[1.0, 5.0], [-1.0, 5.0]]])
    out = whiten_frames(rewards_PGF, torch.ones(1, 2, dtype=torch.bool))
    # variance of frame 0 is 2, of frame 1 is 0, mean 1, so the scale is 1.
    torch.testing.assert_close(out.advantages, torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]))


def test_one_frame_equals_the_group_form() -> None:
    torch.manual_seed(1)
    rewards_PG = torch.randn(2, 4)
    valid_PG = torch.tensor([[True, True, False, True], [True, True, True, True]])
    frames = whiten_frames(rewards_PG[..., None].expand(2, 4, 7), valid_PG).advantages
    groups = whiten_groups(rewards_PG, valid_PG).advantages
    torch.testing.assert_close(frames, groups[..., None].expand(2, 4, 7))
