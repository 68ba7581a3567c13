"""The critic as judge: a fallible instrument whose failures are counted, never smoothed over.

As a policy (first loop), malformed words score low. As a judge (second loop), they raise: the
rollout leaves its group, and above a set share of failures the run stops.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from hearken.errors import HearkenError, JudgeError
from hearken.media import atomic
from hearken.nouns import DIMENSIONS, Audio, Description, Fault, Score

__all__ = ["Judge", "Listen", "fingerprint", "usable"]

Listen = Callable[[Sequence[Audio]], Sequence[Description | HearkenError]]
"""Clips [T] -> a description each, or the error of its text (`Critic.listen`)."""


class Judge:
    """Hears sounds, checks the answers, remembers the ones it was told to keep.

    Attributes:
        heard: answers asked for since the start (those from memory included).
        failed: those among them that could not be used.
        last_error: the newest failure in words, "" before the first.
    """

    def __init__(
        self,
        listen: Listen,
        *,
        max_failed_frac: float = 0.25,
        patience: int = 64,
        remember: int = 4096,
        answers: Path | None = None,
    ) -> None:
        """Args as below.

        Args:
            listen: the critic.
            max_failed_frac: share of failures above which the run stops.
            patience: answers that the share is taken over; fewer never stop a run.
            remember: answers kept in memory.
            answers: folder that keeps them for other runs with the same critic, a file for the
                hash of each sound; made. None for no such folder.
        """
        self._listen = listen
        self.max_failed_frac = max_failed_frac
        self.patience = patience
        self.remember = remember
        self._answers = answers
        self.heard = 0
        self.failed = 0
        self.last_error = ""
        self._recent: list[float] = []
        self._memory: OrderedDict[str, Description | None] = OrderedDict()

    def hear(self, sounds: Sequence[Audio | None]) -> list[Description | None]:
        """A usable description of each sound, or None: not finite, malformed or out of bounds.

        A sound that is None (the policy made something that is not finite) is not sent to the
        critic and is not its failure.
        """
        there = [i for i, sound in enumerate(sounds) if sound is not None]
        answers = self._listen([s for s in sounds if s is not None]) if there else []
        if len(answers) != len(there):
            raise JudgeError(f"the critic gave {len(answers)} answers to {len(there)} clips")
        out: list[Description | None] = [None] * len(sounds)
        for i, answer in zip(there, answers, strict=True):
            out[i] = self._check(answer)
        return out

    def hear_once(self, sound: Audio) -> Description | None:
        """As `hear` for one sound, from memory where the same samples were heard before.

        It is heard alone, not in a batch, so that the answer does not depend on its
        neighbours, and a resumed run with an empty memory gets the same one.
        """
        key = fingerprint(sound)
        if key not in self._memory:
            self._memory[key] = self._recalled(key) or self._kept(key, self.hear([sound])[0])
            while len(self._memory) > self.remember:
                self._memory.popitem(last=False)
        self._memory.move_to_end(key)
        return self._memory[key]

    def enforce(self, failed: float, heard: float) -> float:
        """Add a step's failures to the recent ones; returns their share over the patience.

        With several processes, pass the sums over all of them, so that all stop together.

        Raises:
            JudgeError: the share is above `max_failed_frac` and `patience` answers are in.
        """
        self._recent += [failed, heard]
        while sum(self._recent[3::2]) >= self.patience:
            del self._recent[:2]
        total = sum(self._recent[1::2])
        share = sum(self._recent[::2]) / total if total else 0.0
        if share > self.max_failed_frac and total >= self.patience:
            raise JudgeError(
                f"the critic failed on {share:.0%} of the last {total:.0f} clips (allowed: "
                f"{self.max_failed_frac:.0%}); the last: {self.last_error or 'on another process'}"
            )
        return share

    def state(self) -> dict[str, object]:
        """What a checkpoint needs. The memory is left out: it is heard again."""
        return {"recent": list(self._recent)}

    def restore(self, state: dict[str, object]) -> None:
        """Back to what `state` returned."""
        self._recent = [float(x) for x in state["recent"]]  # type: ignore[attr-defined]

    def _recalled(self, key: str) -> Description | None:
        """From the folder of answers; None where it has none that can be read."""
        if self._answers is None:
            return None
        try:
            told = json.loads((self._answers / f"{key}.json").read_text(encoding="utf-8"))
            scores = {k: Score(v["value"], tuple(v["probs"])) for k, v in told["scores"].items()}
            faults = tuple(Fault(**fault) for fault in told["faults"])
            said = Description(**{**told, "scores": scores, "faults": faults})
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None  # not there, or not whole: heard again
        return None if usable(said) else said

    def _kept(self, key: str, said: Description | None) -> Description | None:
        if self._answers is not None and said is not None:
            self._answers.mkdir(parents=True, exist_ok=True)
            with atomic(self._answers / f"{key}.json") as part:
                part.write_text(json.dumps(asdict(said)), encoding="utf-8")
        return said

    def _check(self, answer: Description | HearkenError) -> Description | None:
        self.heard += 1
        problem = str(answer) if isinstance(answer, HearkenError) else usable(answer)
        if problem:
            self.failed += 1
            self.last_error = problem
        return None if problem or isinstance(answer, HearkenError) else answer


def usable(said: Description) -> str:
    """What forbids using a description as a reward; "" where nothing does."""
    missing = [name for name in DIMENSIONS if name not in said.scores]
    if missing:
        return f"no score for {', '.join(missing)}"
    for name, score in said.scores.items():
        if not (math.isfinite(score.value) and 1 <= score.value <= 5):
            return f"{name} is {score.value}, outside 1-5"
    for fault in said.faults:
        if not (1 <= fault.severity <= 5 and 0 <= fault.start_s < fault.end_s < math.inf):
            return f"{fault.type} {fault.start_s}-{fault.end_s} s, severity {fault.severity}"
    if not any(c.isalnum() for c in said.words):
        return "no words"
    return ""


def fingerprint(sound: Audio) -> str:
    """The sha256 of the samples."""
    return hashlib.sha256(np.ascontiguousarray(sound, np.float32).tobytes()).hexdigest()
