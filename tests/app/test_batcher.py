from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
import pytest

from hearken.app.batcher import Batcher, Stopped
from hearken.app.failure import Failure
from hearken.nouns import Clip, Source

LONG = 10.0


def clip(length: int) -> Clip:
    return Clip(np.zeros(length, np.float32), Source("", "", 16_000, 1, "mix", 1.0, 8_000.0))


class Slow:
    """Hears once `go` is set; keeps the lengths of each batch; fails on clips of no samples."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.busy, self.go = threading.Event(), threading.Event()

    def __call__(self, clips: Sequence[Clip]) -> list[Failure]:
        self.batches.append([len(c.samples) for c in clips])
        self.busy.set()
        assert self.go.wait(LONG)
        if not len(clips[0].samples):
            raise RuntimeError("out of memory")
        return [Failure(str(len(c.samples)), "", "") for c in clips]


def occupied(batch_size: int = 16) -> tuple[Slow, Batcher, Future[object]]:
    """A batcher that hears a clip of one sample until `go` is set."""
    slow = Slow()
    batcher = Batcher(slow, batch_size)
    first = batcher.submit(clip(1))
    assert slow.busy.wait(LONG)
    return slow, batcher, first  # type: ignore[return-value]


def test_what_waits_is_heard_together_by_length_and_in_order() -> None:
    slow, batcher, first = occupied(batch_size=2)
    later = [batcher.submit(clip(n)) for n in (2, 3, 2, 2)]
    slow.go.set()
    assert [f.result(LONG).key for f in [first, *later]] == ["1", "2", "3", "2", "2"]  # type: ignore[attr-defined]
    assert slow.batches == [[1], [2, 2], [3], [2]]
    batcher.close()
    assert batcher.heard == 5
    assert batcher.clip_s > 0


def test_a_batch_that_fails_ends_no_other() -> None:
    slow, batcher, _ = occupied()
    bad = [batcher.submit(clip(0)), batcher.submit(clip(0))]
    good = batcher.submit(clip(2))
    slow.go.set()
    assert good.result(LONG).key == "2"
    for answer in bad:
        with pytest.raises(RuntimeError, match="out of memory"):
            answer.result(LONG)
    batcher.close()


def test_closing_finishes_what_is_heard_and_turns_the_rest_away() -> None:
    slow, batcher, first = occupied()
    waiting = batcher.submit(clip(2))
    closing = threading.Thread(target=batcher.close)
    closing.start()
    with pytest.raises(Stopped):
        waiting.result(LONG)
    assert not first.done()
    slow.go.set()
    closing.join(LONG)
    assert first.result(0).key == "1"  # type: ignore[attr-defined]
    assert slow.batches == [[1]]
    with pytest.raises(Stopped):
        batcher.submit(clip(1))
