from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hearken.critic.verify import relisten, verify
from hearken.errors import GrammarError, HearkenError
from hearken.nouns import DIMENSIONS, Audio, Description, Fault, Score

SR = 16_000


class Fake:
    """Continuity falls with the share of samples that are zero, noise with the level."""

    window_s = 6.0

    def __init__(self, *, deaf: bool = False, broken: str = "") -> None:
        self.deaf, self.broken = deaf, broken
        self.heard: list[Audio] = []
        self.calls: list[int] = []

    def scores(
        self, clips: Sequence[Audio], *, batch_size: int = 16
    ) -> list[dict[str, Score] | HearkenError]:
        self.heard += list(clips)
        self.calls.append(len(clips))
        if self.broken == "raises":
            raise HearkenError("no memory")
        if self.broken:
            return [GrammarError("not a digit", text="noise: x", line=1) for _ in clips]
        return [self._one(c) for c in clips]

    def _one(self, clip: Audio) -> dict[str, Score]:
        bad = 0.5 if self.deaf else min(1.0, 10 * float(np.mean(clip == 0)))
        loud = 0.5 if self.deaf else min(1.0, 10 * float(np.sqrt(np.mean(np.square(clip)))))
        same = dict.fromkeys(DIMENSIONS, Score.point(3))
        return same | {
            "continuity": Score.of([bad, 0, 0, 0, 1 - bad + 1e-9]),
            "noise": Score.of([loud, 0, 0, 0, 1 - loud + 1e-9]),
        }


@pytest.fixture
def steady() -> Audio:
    """Four seconds of noise at a level of -26 dB, in syllables."""
    t = np.arange(4 * SR) / SR
    x = 0.05 * np.random.default_rng(0).standard_normal(len(t)) * (1.2 + np.sin(8 * np.pi * t))
    return x.astype(np.float32)


@pytest.fixture
def holed(steady: Audio) -> Audio:
    y = steady.copy()
    y[SR : SR + 3200] = 0.0
    return y


HOLE = Fault("dropout", 1.0, 1.2, 4)
NO_HOLE = Fault("dropout", 3.0, 3.2, 2)
ROOM = Fault("reverberation", 0.0, 4.0, 3)


def said(*faults: Fault) -> Description:
    scores = dict.fromkeys(DIMENSIONS, Score.point(3))
    return Description(scores, faults, "Words.", "raw", "fake", "1")


def test_a_fault_that_a_detector_contradicts_is_dropped_unheard(holed: Audio) -> None:
    fake = Fake()
    (found,) = verify(fake, [holed], [said(HOLE, ROOM, NO_HOLE)], depth="signal")
    assert found.said == said(HOLE, ROOM)
    assert found.verified == ("signal", "abstained")
    assert [(d.fault, d.reason) for d in found.dropped] == [(NO_HOLE, "signal")]
    assert fake.heard == []


def test_a_repair_that_helps_bears_a_fault_out(holed: Audio) -> None:
    fake = Fake()
    (found,) = verify(fake, [holed], [said(HOLE, ROOM, NO_HOLE)])
    assert found.verified == ("signal+repair", "abstained")
    assert [d.reason for d in found.dropped] == ["signal"]
    # the clip and its repair: nothing is to be mended at the control, so it is not heard again
    assert [len(x) for x in fake.heard] == [4 * SR, 4 * SR]
    assert np.array_equal(fake.heard[0], holed)


def test_a_repair_that_does_not_help_drops_a_fault(holed: Audio) -> None:
    (found,) = verify(Fake(deaf=True), [holed], [said(HOLE, ROOM)])
    assert found.said.faults == (ROOM,)
    assert [(d.fault, d.reason) for d in found.dropped] == [(HOLE, "repair")]


def test_a_repair_must_help_more_than_the_same_elsewhere(steady: Audio) -> None:
    event = Fault("noise_event", 1.0, 1.5, 3)
    loud, soft = steady.copy(), steady.copy()
    loud[SR : SR + 8000] *= np.float32(4.0)
    soft[SR : SR + 8000] *= np.float32(0.1)  # turning down any other place helps more
    assert relisten(Fake(), [(loud, event), (soft, event)]) == [True, False]


def test_the_control_is_as_long_and_does_not_touch_the_fault(steady: Audio) -> None:
    event = Fault("noise_event", 1.1, 1.9, 3)
    places = []
    for seed in range(20):
        fake = Fake()
        relisten(fake, [(steady, event)], seed=seed)
        plain, _, control = fake.heard
        changed = np.flatnonzero(plain != control)
        first, last = changed[0] / SR, changed[-1] / SR
        assert last - first == pytest.approx(0.8, abs=0.02)  # and its fades
        assert last < 1.1 + 0.01 or first > 1.9 - 0.01
        places.append(first)
    assert min(places) < 1.1 < max(places)  # both sides of the fault are drawn
    assert len(set(places)) > 10


def test_a_seed_decides_whatever_else_is_in_the_call(steady: Audio) -> None:
    event, early = Fault("noise_event", 1.1, 1.9, 3), Fault("noise_event", 0.0, 0.5, 3)
    alone, among = Fake(), Fake()
    relisten(alone, [(steady, event)], seed=3)
    relisten(among, [(steady[: 2 * SR], early), (steady, event)], seed=3)
    assert np.array_equal(alone.heard[2], among.heard[5])


@pytest.mark.parametrize("span", [(0.0, 4.0), (0.0, 2.5), (1.0, 3.5)])
def test_without_room_for_a_control_nothing_is_asked(
    steady: Audio, span: tuple[float, float]
) -> None:
    fake = Fake()
    assert relisten(fake, [(steady, Fault("noise_event", *span, 3))]) == [None]
    assert fake.heard == []


@pytest.mark.parametrize("broken", ["unreadable", "raises"])
def test_an_answer_that_does_not_come_is_no_opinion(holed: Audio, broken: str) -> None:
    (found,) = verify(Fake(broken=broken), [holed], [said(HOLE)])
    assert found.verified == ("signal",)
    assert found.dropped == ()


@pytest.mark.parametrize("start_s", [0.0, 0.3, 30.0, 59.2, 59.8])
def test_of_a_long_clip_only_the_window_about_the_fault_is_heard(
    steady: Audio, start_s: float
) -> None:
    clip = np.tile(steady, 15)  # 60 s
    at = round(start_s * SR)
    clip[at : at + 3200] *= np.float32(8.0)
    event = Fault("noise_event", start_s, start_s + 0.2, 3)
    fake = Fake()
    assert relisten(fake, [(clip, event)]) == [True]
    assert {len(x) for x in fake.heard} == {6 * SR}


def test_a_fault_longer_than_the_window_leaves_room_for_its_control(steady: Audio) -> None:
    fake = Fake()
    relisten(fake, [(np.tile(steady, 15), Fault("noise_event", 10.0, 18.0, 3))])
    assert {len(x) for x in fake.heard} == {32 * SR}


def test_batches_are_no_larger_than_asked(steady: Audio) -> None:
    fake = Fake()
    claims = [(steady, Fault("noise_event", 0.1 * k, 0.1 * k + 0.3, 3)) for k in range(10)]
    assert len(relisten(fake, claims, batch_size=9)) == 10
    assert fake.calls == [9, 9, 9, 3]


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.2, 1.0, 3.0])
@pytest.mark.parametrize("value", [0.0, 0.5, float("nan")])
def test_odd_clips_are_kept_as_they_were_said(seconds: float, value: float) -> None:
    clip = np.full(round(seconds * SR), value, np.float32)
    words = said(Fault("packet_loss", 0.0, 0.1, 3), Fault("codec", 0.0, max(0.1, seconds), 3))
    (found,) = verify(Fake(), [clip], [words])
    assert len(found.said.faults) + len(found.dropped) == 2


def test_nothing_said_is_nothing_to_check(steady: Audio) -> None:
    fake = Fake()
    assert [c.said for c in verify(fake, [steady, steady], [said(), said()])] == [said(), said()]
    assert verify(fake, [], []) == []
    assert fake.heard == []
