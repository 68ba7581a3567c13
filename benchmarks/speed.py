"""How long hearken takes and how much memory, one thread, on a talking-face clip it makes itself.

    python benchmarks/speed.py -o out/speed.json

Every figure is the median of several runs after a warm-up; memory is the peak of a process of
its own. Figures are for the shipped weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

SR = 16_000


def median_s(work: Callable[[], object], runs: int = 5) -> float:
    """Median wall seconds of `runs` calls, after one that does not count."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def start_up(folder: Path) -> dict[str, float]:
    """Seconds from the shell to an answer."""
    hearken = [sys.executable, "-m", "hearken"]

    def call(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run([*hearken, *words], capture_output=True, check=False)

    missing = str(folder / "missing.wav")
    return {
        "help_s": median_s(call("--help")),
        "missing_file_s": median_s(call("listen", missing)),
    }


def critic(video: Path) -> dict[str, float]:
    """Seconds to listen to 5 s of noisy speech, alone and in a batch of 16 different pieces."""
    import torch

    from hearken import Critic, media

    torch.set_num_threads(1)
    loaded = Critic.from_pretrained()
    speech = np.tile(media.load_audio(video), 2)
    clips = [speech[i * SR // 4 :][: 5 * SR] for i in range(16)]
    return {
        "listen_5s_s": median_s(lambda: loaded.listen(clips[:1])),
        "listen_batch16_x_real_time": 16 * 5 / median_s(lambda: loaded.listen(clips), 3),
    }


def enhancer(video: Path) -> dict[str, float]:
    """Real-time factors: network alone, and with decoding and face search."""
    import torch

    from hearken import Enhancer, media
    from hearken.enhancer import lips

    torch.set_num_threads(1)
    loaded = Enhancer.from_pretrained()
    samples = media.load_audio(video)
    seconds = len(samples) / SR
    crops = lips.crop_mouths(video).crops

    def all_of_it() -> None:
        loaded.enhance(media.load_audio(video), lips.crop_mouths(video).crops)

    return {
        "enhance_rtf": median_s(lambda: loaded.enhance(samples, crops)) / seconds,
        "enhance_with_face_rtf": median_s(all_of_it, 3) / seconds,
    }


def stages(video: Path, folder: Path) -> dict[str, float]:
    """Seconds of each stage of `hearken enhance` for a second of 720p video."""
    import torch

    from hearken import Enhancer, media
    from hearken.enhancer import lips

    torch.set_num_threads(1)
    tall = in_720p(video, folder / "tall.mp4")
    loaded = Enhancer.from_pretrained()
    samples = media.load_audio(tall)
    frames = list(media.iter_frames(tall))
    mouths = [(m.crop, m.found) for m in lips.mouths(iter(frames))]
    sight = loaded.look(iter(mouths))
    work: dict[str, Callable[[], object]] = {
        "sound": lambda: media.load_audio(tall),
        "picture": lambda: sum(1 for _ in media.iter_frames(tall)),
        "face": lambda: sum(1 for _ in lips.mouths(iter(frames))),
        "lips": lambda: loaded.look(iter(mouths)),
        "network": lambda: list(loaded.stream(samples, sight)),
        "mux": lambda: media.mux(tall, samples, folder / "muxed.mp4"),
    }
    seconds = len(samples) / SR
    return {f"stage_{name}_rtf": median_s(call, 3) / seconds for name, call in work.items()}


def in_720p(video: Path, out: Path) -> Path:
    """The clip as 1280x720, the face in the middle at full height."""
    import av
    import cv2

    from hearken import media

    with av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for frame in media.iter_frames(video, colour=True):
            wide = round(frame.shape[1] * 720 / frame.shape[0])
            shown = np.full((720, 1280, 3), 90, np.uint8)
            left = (1280 - wide) // 2
            shown[:, left : left + wide] = cv2.resize(frame, (wide, 720))
            target.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        target.mux(stream.encode())
    whole = out.with_name(f"with_sound_{out.name}")
    media.mux(out, media.load_audio(video), whole)
    return whole


PEAK = """
import resource, subprocess, sys
command = [sys.executable, "-m", "hearken", *sys.argv[1:]]
done = subprocess.run(command, capture_output=True, text=True)
if done.returncode: sys.exit(done.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20)
"""


def memory(folder: Path, video: Path, minutes_of_video: int) -> dict[str, float]:
    """Peak GiB of `listen` and `enhance` on ten minutes of sound, and of `enhance` on a video."""
    from hearken import media

    samples = media.load_audio(video)
    minutes = np.tile(samples, 600 * SR // len(samples) + 1)[: 600 * SR]
    media.write_audio(folder / "long.wav", minutes)
    tall = folder / "long.mp4"
    _loop_video(video, tall, 60 * minutes_of_video)

    def peak(*words: str) -> float:
        command = [sys.executable, "-c", PEAK, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: {done.stderr}")
        return float(done.stdout)

    return {
        "listen_10min_gib": peak("listen", str(folder / "long.wav")),
        "enhance_10min_gib": peak("enhance", str(folder / "long.wav"), "-o", str(folder / "a")),
        f"enhance_{minutes_of_video}min_video_gib": peak(
            "enhance", str(tall), "-o", str(folder / "v")
        ),
    }


def _loop_video(source: Path, out: Path, seconds: float) -> None:
    """Repeat the picture and sound of `source` until `seconds`, packets copied."""
    import av

    with av.open(str(source)) as first, av.open(str(out), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in first.streams}
        length = float(first.duration or 0) / av.time_base + 0.2  # clear of the last packets
        for turn in range(int(seconds / length) + 1):
            with av.open(str(source)) as again:
                for packet in again.demux():
                    if packet.dts is None or packet.pts is None or packet.time_base is None:
                        continue
                    shift = int(turn * length / packet.time_base)
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)


def main() -> None:
    """Measure all of it and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/speed.json"))
    parser.add_argument("--minutes", type=int, default=10, help="of the long video")
    args = parser.parse_args()
    from hearken.app import puppet

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = puppet.make_clip(folder / "face.mp4").path
        found = {**start_up(folder), **critic(video), **enhancer(video), **stages(video, folder)}
        found |= memory(folder, video, args.minutes)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
