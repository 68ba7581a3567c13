"""A corpus as lessons: heard once, and what was heard of it kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hearken.critic.cache import STRETCH, heard
from hearken.critic.lesson import Lessons
from hearken.critic.model import Critic
from hearken.data.corpus import Planting
from hearken.run.track import track

__all__ = ["lessons_of"]


def lessons_of(
    critic: Critic, plantings: Sequence[Planting], cache: Path, label: str = ""
) -> Lessons:
    """The clips as lessons for `critic`.

    Args:
        critic: it hears them.
        plantings: clips no longer than its window, with their truths.
        cache: folder that keeps what was heard for the next run.
        label: of the progress bar.
    """
    lessons = Lessons(critic)
    stretches = heard(lessons, [p.path for p in plantings], cache)
    count = -(-len(plantings) // STRETCH)
    for k, found in enumerate(track(stretches, total=count, label=label)):
        told = plantings[k * STRETCH : (k + 1) * STRETCH]
        lessons.recall(found, [p.description for p in told])
    return lessons
