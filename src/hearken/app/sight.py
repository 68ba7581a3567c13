"""Which face in a video, and what the enhancer reads from its lips: one pass, bounded memory.

The face that is largest over time needs one pass over the picture. A face by its number, or all
of them, needs one more before: who is the second from the left is known only at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hearken.errors import HearkenError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hearken.enhancer.lips import Mouth
    from hearken.media import Limits
    from hearken.nouns import Audio

__all__ = ["Hand", "View", "clean", "see"]


_PADDING = 5  # frames that a codec may add to the sound: a picture so much shorter is not missed


class Hand(Protocol):
    """What the commands need of an enhancer; `hearken.enhancer.Enhancer` has it."""

    def look(self, mouths: Iterable[tuple[NDArray[np.uint8], bool]]) -> Any:
        """A crop [88, 88] and whether a face is in it, frame by frame -> what is kept of them."""
        ...

    def stream(self, samples: Audio | Iterator[Audio], sight: Any = None) -> Iterator[Audio]:
        """[T] or its blocks, and what `look` gave, or None for sound alone -> blocks of [T]."""
        ...


@dataclass(frozen=True, eq=False)
class View:
    """One face of a video.

    Attributes:
        face: "largest", or its number from the left, from 1.
        sight: what the enhancer read from the lips; None where the face is never seen.
        found: [V] bool, on the clock of the sound and as long as it.
        message: "" where the face is seen throughout, else one sentence that says what was not.
        sheet: [264, 880] uint8, 30 of the mouth crops.
    """

    face: int | str
    sight: Any
    found: NDArray[np.bool_]
    message: str
    sheet: NDArray[np.uint8]

    @property
    def share(self) -> float:
        """Part of the sound during which the face is seen, 0-1."""
        return round(float(self.found.mean()), 4)

    @property
    def unseen(self) -> list[tuple[float, float]]:
        """Where the sound alone is used: (start, end) in seconds."""
        from hearken.enhancer.lips import gaps
        from hearken.nouns import FPS

        return [(a / FPS, b / FPS) for a, b in gaps(self.found)]


def see(
    hand: Hand,
    video: str | Path,
    length: int,
    *,
    face: str = "largest",
    detector: str = "haar",
    limits: Limits | None = None,
) -> list[View]:
    """Read the lips of one face, or of each.

    Args:
        hand: what reads them.
        video: the file with the picture.
        length: samples of the sound that it goes with. A picture that ends before it counts as
            unseen from there on.
        face: "largest" over time; a number from the left, from 1, by the mean position over
            time; or "all".
        detector: a key of `hearken.enhancer.faces.DETECTORS`.
        limits: caps on the input.

    Returns:
        One view; with "all" one for each face. With no face at all, one that sees nothing.

    Raises:
        HearkenError: there are fewer faces than the number.
        UsageError: the detector is not installed.
    """
    from hearken.enhancer import faces, lips
    from hearken.media import iter_frames

    def frames() -> Iterator[NDArray[np.uint8]]:
        return iter_frames(Path(video), limits=limits)

    find = faces.DETECTORS[detector]
    if face == "largest":
        return [_view(hand, face, lips.mouths(frames(), detector=find()), length)]
    people = faces.people(frames(), find())
    if not people:
        return [_view(hand, face, lips.mouths(frames(), person=faces.nobody()), length)]
    if face != "all" and int(face) > len(people):
        many = "1 face" if len(people) == 1 else f"{len(people)} faces"
        raise HearkenError(f"{video}: there is no face {face} from the left: it shows {many}")
    wanted = range(1, len(people) + 1) if face == "all" else [int(face)]
    return [_view(hand, n, lips.mouths(frames(), person=people[n - 1]), length) for n in wanted]


def _view(hand: Hand, face: int | str, mouths: Iterable[Mouth], length: int) -> View:
    import numpy as np

    from hearken.enhancer import lips
    from hearken.nouns import SAMPLES_PER_FRAME

    sheet = lips.Sheet()
    seen = bytearray()  # one object: small ones that stay would riddle the heap of the decoder

    def tapped() -> Iterator[tuple[NDArray[np.uint8], bool]]:
        for mouth in mouths:
            sheet.add(mouth.crop)
            seen.append(mouth.found)
            yield mouth.crop, mouth.found

    sight = hand.look(tapped())
    found = np.zeros(-(-length // SAMPLES_PER_FRAME), bool)
    shown = np.frombuffer(seen, np.bool_)[: len(found)]
    found[: len(shown)] = shown
    if len(shown) > 0 and len(found) - len(shown) <= _PADDING:
        found[len(shown) :] = shown[-1]
    return View(face, sight if found.any() else None, found, lips.say(found), sheet.picture())


def clean(hand: Hand, samples: Audio | Iterator[Audio], view: View | None) -> Iterator[Audio]:
    """The enhanced sound, [T] or its blocks, in blocks, with the lips where they were seen."""
    return hand.stream(samples, None if view is None else view.sight)
