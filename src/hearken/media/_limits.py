"""How large a file may be before it is refused, and the error that says how to allow more."""

from __future__ import annotations

from dataclasses import dataclass

from hearken.errors import LimitError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Caps on one input, checked while it streams: a file's own claims are never trusted."""

    max_bytes: int = 2 * 1024**3
    """Size of the file, bytes."""
    max_seconds: float = 4 * 3600.0
    """Length of the decoded sound or picture, seconds."""
    max_channels: int = 64
    """Channels of one sound stream."""
    max_pixels: int = 4096 * 2304
    """Width x height of one picture frame."""
    max_frames: int = 4 * 3600 * 60
    """Decoded picture frames (4 hours at 60 a second)."""

    def check(self, limit: str, value: float, name: str) -> None:
        """Refuse `value` where it is above the limit of that name.

        Raises:
            LimitError: names the file, the limit, its value and how to raise it.
        """
        allowed = getattr(self, limit)
        if value <= allowed:
            return
        flag = "--" + limit.replace("_", "-")
        raise LimitError(
            f"{name}: {_WHAT[limit]} is {value:,.10g}, above the limit {limit} = {allowed:,.10g}; "
            f"raise it with Limits({limit}=...) in Python or {flag} on the command line"
        )


_WHAT = {
    "max_bytes": "its size in bytes",
    "max_seconds": "its decoded length in seconds",
    "max_channels": "its number of channels",
    "max_pixels": "the number of pixels in a frame",
    "max_frames": "its number of picture frames",
}
