"""The row of an input that was never decoded, with the standard library alone.

A wrong file name must be answered in well under half a second; building pydantic's models takes
half of that. `Failure` has the fields of `hearken.app.record.Record` and prints the same line; a
test holds the two equal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = ["SCHEMA_VERSION", "Failure", "as_unicode"]

SCHEMA_VERSION = "1.2"


def as_unicode(name: str) -> str:
    """A file name that is not UTF-8 reaches Python with surrogates, which JSON cannot hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass(frozen=True)
class Failure:
    """Key, path and why there is nothing else; every other field is empty."""

    key: str
    path: str
    error: str

    schema_version: ClassVar[str] = SCHEMA_VERSION
    sha256: ClassVar[str | None] = None
    duration: ClassVar[float | None] = None
    sr_in: ClassVar[int | None] = None
    channels_in: ClassVar[int | None] = None
    channel: ClassVar[int | str | None] = None
    effective_bandwidth_hz: ClassVar[float | None] = None
    scores: ClassVar[Mapping[str, Any]] = {}
    text: ClassVar[str | None] = None
    raw: ClassVar[str | None] = None
    faults: ClassVar[list[Any]] = []
    dropped: ClassVar[list[Any] | None] = None
    metrics: ClassVar[Mapping[str, float | None] | None] = None
    model: ClassVar[Any] = None
    decode: ClassVar[Mapping[str, float | int | str | bool | None] | None] = None
    warnings: ClassVar[list[str]] = []

    def line(self) -> str:
        """The row as one line of JSON, without the newline."""
        names = (
            *("schema_version", "key", "path", "sha256", "duration", "sr_in", "channels_in"),
            *("channel", "effective_bandwidth_hz", "scores", "text", "raw", "faults", "metrics"),
            *("model", "decode", "warnings", "error"),
        )
        row = {n: as_unicode(v) if isinstance(v := getattr(self, n), str) else v for n in names}
        return json.dumps(row, ensure_ascii=False, separators=(",", ":"))
