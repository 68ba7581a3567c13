from __future__ import annotations

import numpy as np
import pytest

from hearken.data import rooms

pytest.importorskip("pyroomacoustics")


def test_rooms_ring_as_long_as_rooms_do() -> None:
    """Schroeder decay: energy falls by 60 dB in 0.1 to 1 s, from a direct path at its loudest."""
    made = rooms.simulated(4, seed=3)
    assert len(made) == 4
    for response in made:
        assert response.dtype == np.float32
        assert np.abs(response).max() == pytest.approx(0.9, abs=1e-3)
        left_db = 10 * np.log10(np.cumsum(np.square(response[::-1], dtype=float))[::-1] + 1e-20)
        drop = (
            np.flatnonzero(left_db < left_db[0] - 25)[0]
            - np.flatnonzero(left_db < left_db[0] - 5)[0]
        )
        assert 0.1 < 3 * drop / 16_000 < 1.0


def test_the_same_seed_gives_the_same_rooms_and_none_is_none() -> None:
    one, two = (rooms.simulated(2, seed=1) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert rooms.simulated(0) == []
