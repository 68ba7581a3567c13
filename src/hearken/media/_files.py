"""The way in and out of the file system: opened by content, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path

from hearken.errors import MediaError
from hearken.media._limits import Limits

__all__ = ["Handle", "atomic", "opened", "reason"]


@dataclass(frozen=True)
class Handle:
    """An input that is open for reading.

    Attributes:
        file: seekable, binary. Decoders get this and never the name, so that a name can
            neither be taken for a protocol ("concat:", "http:") nor choose a decoder.
        name: what errors call it.
        size: bytes.
    """

    file: BufferedReader | BytesIO
    name: str
    size: int

    def sha256(self) -> str:
        """The hex digest of all its bytes; the read position is back at the start after."""
        self.file.seek(0)
        digest = hashlib.file_digest(self.file, "sha256").hexdigest()
        self.file.seek(0)
        return digest


@contextmanager
def opened(source: str | Path | bytes, limits: Limits) -> Iterator[Handle]:
    """Open a file, or the bytes of one, after the checks that need no decoder.

    Raises:
        MediaError: missing, a directory, a device, empty, or not readable.
        LimitError: larger than `limits.max_bytes`.
    """
    if isinstance(source, bytes):
        name, size = f"<{len(source)} bytes>", len(source)
        file: BufferedReader | BytesIO = BytesIO(source)
    else:
        name = str(source)
        size = _size_of(name)
        try:
            file = open(name, "rb")  # noqa: SIM115 - closed by the with below
        except OSError as error:
            raise MediaError(f"{name}: cannot be opened: {reason(error)}") from error
    with file:
        if size == 0:
            raise MediaError(f"{name}: is empty (0 bytes)")
        limits.check("max_bytes", size, name)
        yield Handle(file, name, size)


def _size_of(name: str) -> int:
    """Bytes of the regular file of that name."""
    path = Path(name)
    try:
        if not name or not path.exists():
            raise MediaError(f"{name or repr(name)}: no such file")
        if path.is_dir():
            raise MediaError(f"{name}: is a directory, not a sound or video file")
        if not path.is_file():
            raise MediaError(f"{name}: is not a regular file")
        return path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise MediaError(f"{name!r}: cannot be opened: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """What went wrong in a few words, without the file name that some errors repeat."""
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(told).split())


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` if the block succeeds.

    The suffix is the same and missing parent folders are made. On any error the temporary
    file is removed and an older file at `path` stays as it was.

    Raises:
        MediaError: the folder cannot be made or written, or `path` is a directory.
    """
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path}: is a directory; give the name of a file to write")
    temporary = path.with_name(f".hearken-{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {reason(error)}") from error
    if not os.access(path.parent, os.W_OK):
        raise MediaError(f"{path}: cannot be written: its folder is read-only")
    try:
        yield temporary
        if not temporary.exists():
            raise MediaError(f"{path}: nothing was written")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
