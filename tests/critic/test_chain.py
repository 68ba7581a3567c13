"""The chain against brute force: every path of a short sequence, counted one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from hearken.critic.chain import (
    Chain,
    best_path,
    edges,
    log_partition,
    marginals,
    path_score,
)

FRAMES = 7


def random_chain(seed: int, frames: int = FRAMES) -> Chain:
    rng = torch.Generator().manual_seed(seed)
    return Chain(*(torch.randn(2, 3, frames, generator=rng) for _ in range(3)))


def score_by_hand(chain: Chain, row: int, kind: int, path: tuple[int, ...]) -> float:
    total, before = 0.0, 0
    for t, on in enumerate(path):
        if on:
            total += float(chain.inside[row, kind, t])
        if on and not before:
            total += float(chain.opening[row, kind, t])
        if before and not on:
            total += float(chain.closing[row, kind, t - 1])
        before = on
    return total + (float(chain.closing[row, kind, len(path) - 1]) if before else 0.0)


def all_paths(frames: int = FRAMES) -> list[tuple[int, ...]]:
    return list(product((0, 1), repeat=frames))


def test_edges_are_the_first_and_last_frames_of_each_span() -> None:
    first, last = edges(torch.tensor([1.0, 1, 0, 1, 0, 0, 1]))
    assert first.tolist() == [1, 0, 0, 1, 0, 0, 1]
    assert last.tolist() == [0, 1, 0, 1, 0, 0, 1]


def test_the_score_of_a_path_by_hand() -> None:
    chain = Chain(*(torch.tensor([[v]]) for v in ([1.0, 2, 4], [8.0, 16, 32], [64.0, 128, 256])))
    on = torch.tensor([[[1.0, 1, 0]]])
    assert path_score(chain, on).item() == 1 + 2 + 8 + 128
    assert path_score(chain, torch.zeros(1, 1, 3)).item() == 0


@pytest.mark.parametrize("frames", [1, 2, 3, 6, 7])
def test_partition_marginals_and_best_path_agree_with_every_path(frames: int) -> None:
    chain = random_chain(frames, frames)
    total, likely, best = log_partition(chain), marginals(chain), best_path(chain)
    paths = all_paths(frames)
    for row, kind in product(range(2), range(3)):
        scores = np.array([score_by_hand(chain, row, kind, p) for p in paths])
        weights = np.exp(scores)
        assert total[row, kind].item() == pytest.approx(np.log(weights.sum()), abs=1e-4)
        share = weights @ np.array(paths) / weights.sum()
        assert likely[row, kind].numpy() == pytest.approx(share, abs=1e-4)
        assert best[row, kind].tolist() == [bool(v) for v in paths[int(scores.argmax())]]


def test_marginals_are_found_under_inference_mode_too() -> None:
    with torch.inference_mode():
        chain = Chain(*(part * 1.0 for part in random_chain(0)))
        assert marginals(chain).shape == (2, 3, FRAMES)
