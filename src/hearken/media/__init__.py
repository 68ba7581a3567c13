"""Sound and picture in and out, and nothing of them trusted on the way in.

    load, load_audio                   any sound or video file -> 16 kHz mono
    scan, read_blocks                  the same of any length: what it is, then its blocks
    iter_frames, video_info, has_video pictures on the 25 fps clock of that sound
    write_audio, write_video, mux      out again, atomically; mux keeps the picture as it is
    resample, effective_bandwidth_hz   the arithmetic between
    Limits, atomic                     caps on hostile input; a file is written whole or not

The clock: sample 0 of `load` and frame 0 of `iter_frames` are the same instant, the first
sound in the file, and frame v belongs to samples [640 v, 640 (v + 1)). The decoders (PyAV,
soundfile, soxr) are imported when the first file is opened, after the checks that need none.
"""

from __future__ import annotations

from hearken.media._files import atomic
from hearken.media._limits import Limits
from hearken.media._load import load, load_audio, read_blocks, scan
from hearken.media._mux import mux
from hearken.media._signal import effective_bandwidth_hz, resample
from hearken.media._video import VideoInfo, has_video, iter_frames, video_info
from hearken.media._write import write_audio, write_video

__all__ = [
    "Limits",
    "VideoInfo",
    "atomic",
    "effective_bandwidth_hz",
    "has_video",
    "iter_frames",
    "load",
    "load_audio",
    "mux",
    "read_blocks",
    "resample",
    "scan",
    "video_info",
    "write_audio",
    "write_video",
]
