"""Micro-batching: what waits is heard together, by one thread, clips of one length at a time.

Clips of different lengths would be padded to the longest, and an answer could then depend on its
neighbours. Of one length they need no padding. Nothing is held back to fill a batch: while one is
heard, the next one gathers.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearken.app.listen import Row
    from hearken.nouns import Clip

__all__ = ["Batcher", "Stopped"]

_MEMORY = 0.8  # of the running mean of seconds a clip


class Stopped(Exception):
    """The batcher is closed: what still waited is not heard."""


class Batcher:
    """Clips in, from any thread; rows out, in futures.

    Attributes:
        heard: clips heard so far.
        clip_s: seconds that a clip takes, a running mean; 0 before the first.
    """

    def __init__(self, hear: Callable[[Sequence[Clip]], Sequence[Row]], batch_size: int) -> None:
        """Start the thread that hears.

        Args:
            hear: a row for each clip; what it raises goes to all of the batch.
            batch_size: clips heard together, at most.
        """
        self.heard = 0
        self.clip_s = 0.0
        self._hear = hear
        self._batch_size = batch_size
        self._waiting: deque[tuple[Clip, Future[Row]]] = deque()
        self._changed = Condition()
        self._closed = False
        self._thread = Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, clip: Clip) -> Future[Row]:
        """The row of this clip, when it is known.

        Raises:
            Stopped: it is closed.
        """
        answer: Future[Row] = Future()
        with self._changed:
            if self._closed:
                raise Stopped
            self._waiting.append((clip, answer))
            self._changed.notify()
        return answer

    def close(self) -> None:
        """Finish the batch that is being heard, and turn away those that wait."""
        with self._changed:
            self._closed = True
            left, self._waiting = self._waiting, deque()
            self._changed.notify()
        for _, answer in left:
            answer.set_exception(Stopped())
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            began = time.monotonic()
            try:
                rows = self._hear([clip for clip, _ in batch])
                for (_, answer), row in zip(batch, rows, strict=True):
                    answer.set_result(row)
            except Exception as error:  # the wall: one batch that cannot be heard ends no other
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
            each = (time.monotonic() - began) / len(batch)
            self.clip_s = _MEMORY * self.clip_s + (1 - _MEMORY) * each if self.heard else each
            self.heard += len(batch)

    def _next(self) -> list[tuple[Clip, Future[Row]]]:
        """The oldest clip and those of its length, in order of arrival; empty when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            length = len(self._waiting[0][0].samples) if self._waiting else 0
            chosen: list[tuple[Clip, Future[Row]]] = []
            others: deque[tuple[Clip, Future[Row]]] = deque()
            for item in self._waiting:
                fits = len(item[0].samples) == length and len(chosen) < self._batch_size
                (chosen if fits else others).append(item)
            self._waiting = others
            return chosen
