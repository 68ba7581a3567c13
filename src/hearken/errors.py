"""Every error hearken raises on purpose, in one tree.

    HearkenError
    ├── UsageError            the call is wrong: an option, a name, a missing extra
    ├── InputError            one input is bad: it becomes one row with an error
    │   ├── MediaError        a file that cannot be read, or written, as sound or picture
    │   │   └── LimitError    a file larger than a stated limit; the message says how to raise it
    │   └── ManifestError     a list, csv or folder whose layout is not what it should be
    ├── GrammarError          words that do not follow the critic's grammar; names the place
    ├── MetricError           one metric on one clip could not be computed
    ├── RemoteError           a critic behind an address that did not answer, or not as it should
    ├── CheckpointError       weights or a run folder that cannot be loaded, resumed or overwritten
    └── JudgeError            the critic, as judge, failed too often: the run stops

A message says what, where and which value, and ends with what to do next.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "GrammarError",
    "HearkenError",
    "InputError",
    "JudgeError",
    "LimitError",
    "ManifestError",
    "MediaError",
    "MetricError",
    "RemoteError",
    "UsageError",
    "require",
]


class HearkenError(Exception):
    """Root of the tree. The command line prints it as one line and no traceback."""


class UsageError(HearkenError):
    """The call is wrong: an unknown option, a bad combination, a missing extra."""


class InputError(HearkenError):
    """One input is bad. In a batch it is one row with an error, never a stop."""


class MediaError(InputError):
    """A file that cannot be read or written as sound or picture. Names the path."""


class LimitError(MediaError):
    """A file beyond a limit of `hearken.media.Limits`. Names the limit and how to raise it."""


class ManifestError(InputError):
    """A manifest, csv or scene folder that does not have the documented layout."""


class GrammarError(HearkenError, ValueError):
    """Text that does not follow the critic's grammar.

    Attributes:
        text: the whole text that was parsed.
        line: 1-based line of the first violation.
    """

    def __init__(self, message: str, *, text: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.text = text
        self.line = line


class MetricError(HearkenError):
    """One metric on one clip could not be computed (silence in PESQ, lengths that differ)."""


class RemoteError(HearkenError):
    """A critic behind an address failed on one clip: not reached, too late, or not understood."""


class CheckpointError(HearkenError):
    """Weights or a run folder that cannot be loaded, resumed or overwritten."""


class JudgeError(HearkenError):
    """The critic, as judge, failed on more than the allowed share of clips."""


def require(module: str, extra: str) -> UsageError:
    """The error for a missing optional package: names the command that installs it.

    >>> print(require("pesq", "metrics"))
    'pesq' is not installed: pip install 'hearken[metrics]'
    """
    return UsageError(f"{module!r} is not installed: pip install 'hearken[{extra}]'")
