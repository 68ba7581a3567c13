"""Rooms that were never built: impulse responses of shoeboxes by the image method.

Allen and Berkley 1979, in the form of pyroomacoustics (Scheibler et al. 2018), an optional
extra. Recorded rooms are few; these vary in size, reverberation and where one stands.
"""

from __future__ import annotations

import numpy as np

from hearken.errors import UsageError
from hearken.nouns import SAMPLE_RATE, Audio

__all__ = ["simulated"]

_SIZES_M = ((3.0, 8.0), (2.5, 6.0), (2.3, 3.5))
_RT60_S = (0.15, 0.7)
_WALL_M = 0.5  # nobody stands closer to a wall
_TALL_M = (1.0, 1.8)  # height of a mouth or a microphone


def simulated(count: int, seed: int = 0) -> list[Audio]:
    """Impulse responses [R] at 16 kHz, one room and one pair of places each; loudest sample 0.9.

    Args:
        count: rooms.
        seed: of sizes, reverberation times (0.15 to 0.7 s) and places.

    Raises:
        UsageError: pyroomacoustics is not installed.
    """
    if not count:
        return []
    try:
        import pyroomacoustics as pra
    except ImportError as error:
        raise UsageError("simulated rooms need: pip install hearken[rooms]") from error
    rng = np.random.default_rng([seed, count])
    made: list[Audio] = []
    while len(made) < count:
        size = np.array([rng.uniform(*m) for m in _SIZES_M])
        try:
            absorption, order = pra.inverse_sabine(float(rng.uniform(*_RT60_S)), size)
        except ValueError:  # so large and so dry: walls that do not exist
            continue
        box = pra.ShoeBox(size, SAMPLE_RATE, materials=pra.Material(absorption), max_order=order)
        talker, microphone = (
            [*rng.uniform(_WALL_M, size[:2] - _WALL_M), rng.uniform(*_TALL_M)] for _ in range(2)
        )
        box.add_source(talker)
        box.add_microphone(microphone)
        box.compute_rir()
        response = np.asarray(box.rir[0][0], np.float32)
        made.append(0.9 * response / np.abs(response).max())
    return made
