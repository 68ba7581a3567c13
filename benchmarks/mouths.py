"""How far the mouth crops of the Haar detector are from the mouths of a face mesh.

    python benchmarks/mouths.py DATA/av            needs the extra [face]

For each way of spoiling a clip: the distance between the middle of the crop and the middle of the
mesh's lips, as a share of the height of the face (forehead to chin of the mesh), over all frames
in which both see one. Spoiled are the frames that both are given; of other frame rates the mesh
sees the frames before they were encoded, so that an error in time counts as one of place.
The bar is 10 % at the 95th percentile.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hearken import media
from hearken.enhancer import faces, lips

Frames = list[np.ndarray]  # grey [H, W] at 25 fps
BAR = 0.10
_KNOWN, _OTHERS = "GRID-s1_*.mp4", "GRID-[!s]*.mp4 GRID-s[!1]*.mp4"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder with GRID clips")
    parser.add_argument("--known", type=int, default=8, help="clips of the talker with most")
    parser.add_argument("--detector", choices=sorted(faces.DETECTORS), default="haar")
    parser.add_argument("--sheets", type=Path, help="folder for a picture of each kind")
    args = parser.parse_args()
    known = sorted(args.folder.glob(_KNOWN))
    known = known[:: max(1, len(known) // args.known)][: args.known]
    others = sorted(p for pattern in _OTHERS.split() for p in args.folder.glob(pattern))
    print(f"| {'clips':<13} | {'spoiled':<22} | frames | found |  p50  |  p95  | worst clip p95 |")
    print("|---|---|---|---|---|---|---|")
    for group, paths in (("known face", known), ("other faces", others)):
        clips = [list(media.iter_frames(p)) for p in paths]
        for kind, spoil in KINDS.items():
            runs = [
                measure(*spoil(clip, clips[i - 1]), args.detector) for i, clip in enumerate(clips)
            ]
            print(row(group, kind, runs), flush=True)
            if args.sheets:
                args.sheets.mkdir(parents=True, exist_ok=True)
                shown, _ = spoil(clips[0], clips[-1])
                seen = lips.crop_mouths(shown, detector=faces.DETECTORS[args.detector]())
                name = f"{group}-{kind}".replace(" ", "_").replace("/", "_")
                cv2.imwrite(str(args.sheets / f"{name}.png"), lips.contact_sheet(seen.crops))


def measure(shown: Frames, truth: Frames, detector: str) -> tuple[np.ndarray, float]:
    """Distances in face heights where both see a face [N], and the share that the crops see."""
    mesh = faces.Mesh()
    errors, seen = [], 0
    crops = lips.mouths(shown, detector=faces.DETECTORS[detector]())
    for mouth, frame in zip(crops, truth, strict=False):
        points = mesh.landmarks(frame)
        seen += mouth.found
        if mouth.box is None or not len(points):
            continue
        height = np.hypot(*(points[:, 152] - points[:, 10]).T)
        largest = int(height.argmax())
        middle = points[largest, faces.Mesh.LIPS].mean(axis=0)
        errors.append(np.hypot(*(middle - lips.mouth_centre(mouth.box))) / height[largest])
    return np.array(errors), seen / max(1, len(shown))


def row(group: str, kind: str, runs: list[tuple[np.ndarray, float]]) -> str:
    """One line of the table."""
    errors = np.concatenate([e for e, _ in runs])
    found = float(np.mean([f for _, f in runs]))
    if not len(errors):
        return f"| {group:<13} | {kind:<22} | 0 | {found:.3f} | | | |"
    p50, p95 = np.percentile(errors, [50, 95])
    worst = max(np.percentile(e, 95) for e, _ in runs if len(e))
    mark = "" if p95 <= BAR else " !"
    return (
        f"| {group:<13} | {kind:<22} | {len(errors):>6} | {found:.3f} | {p50:.3f} | "
        f"{p95:.3f}{mark} | {worst:.3f} |"
    )


def plain(clip: Frames, other: Frames) -> tuple[Frames, Frames]:
    return clip, clip


def in_720p(clip: Frames, other: Frames) -> tuple[Frames, Frames]:
    """A large face and a smaller one, side by side in 1280 x 720."""
    made = []
    for v, frame in enumerate(clip):
        page = np.full((720, 1280), 110, np.uint8)
        for picture, lines, x in ((frame, 640, 20), (other[v % len(other)], 360, 820)):
            scale = lines / picture.shape[0]
            small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
            small = small[:, : 1280 - x]
            page[40 : 40 + lines, x : x + small.shape[1]] = small
        made.append(page)
    return made, made


def turned(degrees: float) -> Callable[[Frames, Frames], tuple[Frames, Frames]]:
    """The whole picture rolled about the middle of the face."""

    def spoil(clip: Frames, other: Frames) -> tuple[Frames, Frames]:
        height, width = clip[0].shape
        move = cv2.getRotationMatrix2D((width / 2, 0.6 * height), degrees, 1.0)
        edge: Any = cv2.BORDER_REPLICATE
        made = [cv2.warpAffine(f, move, (width, height), borderMode=edge) for f in clip]
        return made, made

    return spoil


def lit(gain: float) -> Callable[[Frames, Frames], tuple[Frames, Frames]]:
    def spoil(clip: Frames, other: Frames) -> tuple[Frames, Frames]:
        made = [np.clip(f * gain, 0, 255).astype(np.uint8) for f in clip]
        return made, made

    return spoil


def cut(clip: Frames, other: Frames) -> tuple[Frames, Frames]:
    """From one clip to another, which is shown at another place and size, and back."""
    height, width = clip[0].shape
    move = np.array([[0.8, 0, 0.15 * width], [0, 0.8, 0.02 * height]])
    small = [
        cv2.warpAffine(f, move, (width, height), borderMode=cv2.BORDER_REPLICATE) for f in other
    ]
    third = len(clip) // 3
    made = clip[:third] + small[third : 2 * third] + clip[2 * third :]
    return made, made


def encoded(times: Callable[[float], Iterator[float]]) -> Callable[..., tuple[Frames, Frames]]:
    """Encoded with frames at the instants that `times` gives for a length in seconds."""

    def spoil(clip: Frames, other: Frames) -> tuple[Frames, Frames]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.mp4"
            write(path, clip, list(times(len(clip) / 25)))
            return list(media.iter_frames(path)), clip

    return spoil


def write(path: Path, clip: Frames, times: list[float]) -> None:
    """The frames of `clip` that are shown at `times`, with these time stamps, in H.264."""
    import av

    tick = Fraction(1, 90_000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "23"})
        stream.height, stream.width = clip[0].shape
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = tick
        for at in times:
            grey = clip[min(len(clip) - 1, round(at * 25))]
            frame = av.VideoFrame.from_ndarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), "rgb24")
            frame.pts, frame.time_base = round(at / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def steady(fps: float) -> Callable[[float], Iterator[float]]:
    return lambda length_s: (n / fps for n in range(int(length_s * fps)))


def varying(length_s: float) -> Iterator[float]:
    """Between 12 and 60 frames a second."""
    rng = np.random.default_rng(0)
    at = 0.0
    while at < length_s:
        yield at
        at += 1 / rng.uniform(12, 60)


KINDS: dict[str, Callable[[Frames, Frames], tuple[Frames, Frames]]] = {
    "not at all": plain,
    "720p, a second face": in_720p,
    "rolled by +15 degrees": turned(15),
    "rolled by -15 degrees": turned(-15),
    "dark (x 0.35)": lit(0.35),
    "bright (x 1.6)": lit(1.6),
    "cut to another": cut,
    "24 fps": encoded(steady(24)),
    "29.97 fps": encoded(steady(30_000 / 1001)),
    "30 fps": encoded(steady(30)),
    "60 fps": encoded(steady(60)),
    "varying frame rate": encoded(varying),
}


if __name__ == "__main__":
    main()
