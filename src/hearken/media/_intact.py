"""Is the file whole? Most containers write down how many bytes they should have."""

from __future__ import annotations

from typing import BinaryIO

from hearken.errors import MediaError
from hearken.media._files import Handle

__all__ = ["check_intact", "is_pcm_container"]

_UNKNOWN = 0x7FFF0000  # a 32-bit size from here up is the placeholder of a live recording


def is_pcm_container(handle: Handle) -> bool:
    """True for the kinds that soundfile reads without loss: WAV, AIFF, FLAC, CAF, AU, W64."""
    head = _head(handle.file, 12)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        return head[8:12] == b"WAVE"
    return head[:4] in (b"FORM", b"fLaC", b"caff", b".snd", b"riff")


def check_intact(handle: Handle) -> None:
    """Refuse a file that holds fewer bytes than its own headers promise.

    Raises:
        MediaError: it was cut short (a broken download, a full disk).
    """
    promised = _promised_bytes(handle)
    handle.file.seek(0)
    slack = max(1024, handle.size // 500)  # sloppy writers miscount by a header
    if promised is not None and promised > handle.size + slack:
        raise MediaError(
            f"{handle.name}: is cut short: it promises {promised:,} bytes and holds "
            f"{handle.size:,}; copy or export it again"
        )


def _head(file: BinaryIO, count: int) -> bytes:
    file.seek(0)
    head = file.read(count)
    file.seek(0)
    return head


def _promised_bytes(handle: Handle) -> int | None:
    head = _head(handle.file, 16)
    if head[:4] == b"RIFF":
        return _riff(handle) if head[8:12] == b"WAVE" else _riff_size(head)
    if head[:4] == b"FORM":
        return 8 + int.from_bytes(head[4:8], "big")
    if head[:4] == b"\x1aE\xdf\xa3":
        return _matroska(handle.file)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        return _boxes(handle)
    if head[:4] == b"OggS":
        return _last_ogg_page(handle)
    return _mp3(handle.file, head)


def _riff_size(head: bytes) -> int | None:
    size = int.from_bytes(head[4:8], "little")
    return 8 + size if 0 < size < _UNKNOWN else None


def _riff(handle: Handle) -> int | None:
    """End of the data chunk of a WAV file."""
    at = 12
    while at + 8 <= handle.size:
        handle.file.seek(at)
        head = handle.file.read(8)
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return at + 8 + size if size < _UNKNOWN else None
        at += 8 + size + size % 2
    return None


def _boxes(handle: Handle) -> int | None:
    """End of the last top-level box of an mp4 or mov file."""
    at = 0
    for _ in range(100_000):
        handle.file.seek(at)
        head = handle.file.read(16)
        if len(head) < 8:
            return at
        size = int.from_bytes(head[:4], "big")
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:16], "big")
        if size < 8 or not head[4:8].isalnum():  # to the end of the file, or not a box
            return None
        at += size
    return None


def _matroska(file: BinaryIO) -> int | None:
    """End of the segment of a Matroska or WebM file (None where it was written live)."""
    file.seek(4)
    header = _vint(file)
    if header is None:
        return None
    file.seek(header, 1)
    if file.read(4) != b"\x18\x53\x80\x67":
        return None
    size = _vint(file)
    return None if size is None else file.tell() + size


def _vint(file: BinaryIO) -> int | None:
    """The next EBML size; None for "unknown" and at the end of the file."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + rest, "big")
    return None if value == (1 << (7 * (more + 1))) - 1 else value


def _last_ogg_page(handle: Handle) -> int | None:
    """End of the last page; a page is at most 65,307 bytes."""
    start = max(0, handle.size - 65_536)
    handle.file.seek(start)
    tail = handle.file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or at + 27 > len(tail):
        return None
    table = tail[at + 27 : at + 27 + tail[at + 26]]
    end = start + at + 27 + tail[at + 26] + sum(table)
    return end + 1024 if end > handle.size else end  # a page is whole or it is not: no slack


def _mp3(file: BinaryIO, head: bytes) -> int | None:
    """End of the sound by the Xing or Info header, where there is one."""
    at = 0
    if head[:3] == b"ID3" and len(head) >= 10:
        at = 10 + sum((head[6 + i] & 0x7F) << (21 - 7 * i) for i in range(4))
    file.seek(at)
    frame = file.read(256)
    mark = max(frame.find(b"Xing"), frame.find(b"Info"))
    if len(frame) < 256 or frame[0] != 0xFF or mark < 0:
        return None
    flags = frame[mark + 7]
    if not flags & 2:
        return None
    place = mark + 8 + (4 if flags & 1 else 0)
    return at + int.from_bytes(frame[place : place + 4], "big")
