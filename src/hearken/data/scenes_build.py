"""Build audio-visual scenes from clean clips, in the mono layout of AVSEC-4.

`build(data_dir, out, count, ...)` writes for every scene, under `out/scenes/`:

    S00001_mono_mix.wav                what the microphone hears
    S00001_target_mono.wav             the target in that room: the reference of every metric
    S00001_target_mono_anechoic.wav    the target before the room
    S00001_interferer_mono.wav         the sum of the interferers as mixed
    S00001_silent.mp4                  the target's picture, stream-copied
    S00001_interferer_silent.mp4       the rival talker's picture, where there is one (our addition)
    S00001_{mix,target,interferer,target_anechoic}.wav      with `binaural`: both ears, simulated

and `out/scenes.json` in AVSEC's fields, plus `talker`, `face`, `split`, `same_voice`.

SNR is that of active levels: mean power over the 20 ms frames within 40 dB of the loudest
frame, of the target and of the summed interferers, each over its own active frames
(in the spirit of ITU-T P.56; AVSEC itself weights by speech band and takes the better ear).
A pause or a late dog bark therefore does not change what "0 dB" sounds like.

Each scene draws from its own generator, seeded by (seed, index): the same call makes the same
bytes, a longer build begins with the same scenes, and an interrupted one goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hearken import media
from hearken.data import manifest, mixing, scenes_binaural
from hearken.data.levels import active_level_db, snr_db
from hearken.errors import UsageError
from hearken.nouns import Audio

__all__ = ["FACES", "KINDS", "build"]

KINDS = ("noise", "speech", "mixed")
FACES = ("known", "unseen", "any")
KNOWN_TALKER = "GRID-s1"
"""The only talker with clips on the training side: his face is the known one."""

_PEAK = 0.95
_TRIES = 8


@dataclass(frozen=True)
class _Settings:
    """What decides the bytes of a scene; written to build.json and compared on resume."""

    seed: int
    split: str
    kind: str
    reverb: float
    max_interferers: int
    faces: str
    same_voice: float
    snr_low_db: float
    snr_high_db: float
    binaural: bool = False


@dataclass(frozen=True)
class _Sources:
    """The clips a scene may use, one list per role, all of one split."""

    targets: list[manifest.Entry]
    voices: list[manifest.Entry]
    noises: list[manifest.Entry]
    rooms: list[manifest.Entry]


def build(
    data_dir: Path,
    out: Path,
    count: int,
    *,
    seed: int = 0,
    split: str = "train",
    kind: str = "mixed",
    reverb: float = 0.0,
    max_interferers: int = 3,
    faces: str = "any",
    same_voice: float = 0.0,
    snr_range_db: tuple[float, float] = (-10.0, 10.0),
    first: int = 1,
    binaural: bool = False,
) -> Path:
    """Write `count` scenes; see the module for the layout and the definition of SNR.

    Args:
        data_dir: folder with manifest.csv.
        out: the new folder; one that was begun with the same settings is completed.
        count: how many scenes.
        seed: of every random choice (the split of the sources is not seeded by it).
        split: "train" or "valid": talkers, noises and rooms of that side only.
        kind: "noise", "speech", or "mixed" (each interferer is either).
        reverb: probability of a measured room, 0-1.
        max_interferers: 1-3; their number is uniform.
        faces: target talkers: "known", "unseen" or "any" (half of each, where both exist).
        same_voice: probability, 0-1, that a speech interferer is another clip of the
            target's own talker, with his picture kept: only the lips tell which is which.
        snr_range_db: SNR is uniform in it.
        first: number of the first scene.
        binaural: also write the scene at two ears (`scenes_binaural`), with the same SNR at the
            better one; the mono files do not change by it.

    Returns:
        The path of scenes.json.

    Raises:
        UsageError: a setting out of range, no source for a role, or other settings in `out`.
    """
    settings = _Settings(
        seed,
        split,
        kind,
        float(reverb),
        max_interferers,
        faces,
        same_voice,
        *snr_range_db,
        binaural,
    )
    _refuse_bad(settings, count)
    sources = _sources(data_dir, settings)
    folder = out / "scenes"
    folder.mkdir(parents=True, exist_ok=True)
    _claim(out / "build.json", settings)
    done = _read_log(out / "scenes.partial.jsonl")
    from hearken.run.track import track

    with (out / "scenes.partial.jsonl").open("a", encoding="utf-8") as log:
        for index in track(range(first, first + count), total=count, label="scenes"):
            name = f"S{index:05d}"
            if name in done and (folder / f"{name}_mono_mix.wav").exists():
                continue
            rng = np.random.default_rng([seed, index])
            done[name] = _build_one(folder, name, sources, settings, rng)
            log.write(json.dumps(done[name]) + "\n")
            log.flush()
    with media.atomic(out / "scenes.json") as partial:
        partial.write_text(json.dumps([done[k] for k in sorted(done)], indent=1) + "\n")
    return out / "scenes.json"


def _refuse_bad(s: _Settings, count: int) -> None:
    if s.kind not in KINDS:
        raise UsageError(f"kind {s.kind!r} is none of {', '.join(KINDS)}")
    if s.faces not in FACES:
        raise UsageError(f"faces {s.faces!r} is none of {', '.join(FACES)}")
    if s.split not in ("train", "valid"):
        raise UsageError(f"split {s.split!r} is neither train nor valid")
    if not 1 <= s.max_interferers <= 3:
        raise UsageError(f"max_interferers {s.max_interferers} is not 1, 2 or 3")
    if count < 1:
        raise UsageError(f"count {count}: ask for at least one scene")
    for name, p in (("reverb", s.reverb), ("same_voice", s.same_voice)):
        if not 0.0 <= p <= 1.0:
            raise UsageError(f"{name} {p} is not a probability between 0 and 1")
    if s.snr_low_db > s.snr_high_db:
        raise UsageError(f"SNR range {s.snr_low_db}..{s.snr_high_db} dB is upside down")


def _sources(data_dir: Path, s: _Settings) -> _Sources:
    halves = manifest.split(manifest.read(data_dir / "manifest.csv"))
    side = halves.train if s.split == "train" else halves.valid
    by_kind: dict[str, list[manifest.Entry]] = {"av": [], "speech": [], "noise": [], "rir": []}
    for entry in sorted(side, key=lambda e: e.path):
        by_kind.setdefault(entry.kind, []).append(entry)
    targets = [e for e in by_kind["av"] if s.faces in ("any", _face(e))]
    if not targets:
        raise UsageError(f"no {s.faces} face in the {s.split} split of {data_dir}: try faces any")
    needed = {"noise": s.kind != "speech", "speech": s.kind != "noise", "rir": s.reverb > 0}
    for role, wanted in needed.items():
        if wanted and not by_kind[role]:
            raise UsageError(f"no {role} entry in the {s.split} split of {data_dir}")
    return _Sources(targets, by_kind["speech"], by_kind["noise"], by_kind["rir"])


def _face(entry: manifest.Entry) -> str:
    return "known" if entry.group == KNOWN_TALKER else "unseen"


def _claim(path: Path, settings: _Settings) -> None:
    """Write build.json, or refuse a folder whose scenes were made otherwise."""
    now = asdict(settings)
    if path.exists():
        before = {"binaural": False, **json.loads(path.read_text(encoding="utf-8"))}
        changed = sorted(k for k in now if before.get(k) != now[k])
        if changed:
            raise UsageError(
                f"{path.parent} was built with other settings "
                f"({', '.join(f'{k} {before.get(k)}, now {now[k]}' for k in changed)}): "
                "choose a new folder"
            )
        return
    with media.atomic(path) as partial:
        partial.write_text(json.dumps(now, indent=1) + "\n")


def _read_log(path: Path) -> dict[str, dict[str, Any]]:
    """Scenes that were finished before; a last line cut short by a crash is dropped."""
    done: dict[str, dict[str, Any]] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            done[row["scene"]] = row
    return done


def _build_one(
    folder: Path, name: str, sources: _Sources, s: _Settings, rng: np.random.Generator
) -> dict[str, Any]:
    """Draw, mix and write one scene; the mix comes last, so its presence means a whole scene."""
    target = _pick(sources.targets, rng, by=_face)
    dry = media.load_audio(target.path)
    parts = _draw_interferers(target, len(dry), sources, s, rng)
    rooms = _draw_room(sources.rooms, 1 + len(parts), s.reverb, rng)
    wet = mixing.reverberate(dry, rooms[0][1]) if rooms else dry
    heard = [x for _, _, x in parts]
    if rooms:
        heard = [mixing.reverberate(x, rir) for x, (_, rir) in zip(heard, rooms[1:], strict=True)]
    snr = round(float(rng.uniform(s.snr_low_db, s.snr_high_db)), 2)
    gains = _random_gains(heard, rng)
    levelled = [x * g for x, g in zip(heard, gains, strict=True)]
    rest = np.asarray(np.sum(levelled, axis=0, dtype=np.float64), np.float32)
    noise = (rest * 10.0 ** ((snr_db(wet, rest) - snr) / 20.0)).astype(np.float32)
    scale = _scale(wet, noise)
    stems = {
        "target_mono_anechoic": dry * min(scale, _PEAK / float(np.abs(dry).max())),
        "target_mono": wet * scale,
        "interferer_mono": noise * scale,
        "mono_mix": (wet + noise) * scale,
    }
    azimuths: Sequence[float] = ()
    if s.binaural:
        others = [x * np.float32(g) for (_, _, x), g in zip(parts, gains, strict=True)]
        azimuths, ears = _both_ears(dry, others, [rir for _, rir in rooms], snr, rng)
        stems = ears | stems  # the mono mix is the last file of all
    _copy_picture(target.path, folder / f"{name}_silent.mp4")
    rival = next((e for e, _, _ in parts if e.kind == "av"), None)
    if rival is not None:
        _copy_picture(rival.path, folder / f"{name}_interferer_silent.mp4")
    for stem, samples in stems.items():
        media.write_audio(folder / f"{name}_{stem}.wav", samples.T.astype(np.float32))
    return {
        "dataset": target.source,
        "room": rooms[0][0].path.stem if rooms else "",
        "scene": name,
        "duration": len(dry),
        "SNR": snr,
        "target": {"name": target.path.stem, "time_start": 0, "time_end": len(dry)},
        "interferers": [
            {
                "position": i,
                "time_start": 0,
                "time_end": len(dry),
                "type": kind,
                "name": entry.path.stem,
                "offset": 0,
            }
            for i, (entry, kind, _) in enumerate(parts)
        ],
        "listener": {"rotation": [], "hrir_filename": ["sphere, simulated"] if azimuths else []},
        **({"azimuths_deg": list(azimuths)} if azimuths else {}),
        "talker": target.group,
        "face": _face(target),
        "split": s.split,
        "same_voice": rival is not None,
    }


def _group(entry: manifest.Entry) -> str:
    return entry.group


def _pick(
    entries: Sequence[manifest.Entry],
    rng: np.random.Generator,
    by: Callable[[manifest.Entry], str] = _group,
) -> manifest.Entry:
    """A group first, then one of its clips: a talker with 900 clips weighs as one with five."""
    groups = _grouped(entries, by)
    members = groups[sorted(groups)[int(rng.integers(len(groups)))]]
    return members[int(rng.integers(len(members)))]


def _grouped(
    entries: Sequence[manifest.Entry], by: Callable[[manifest.Entry], str] = _group
) -> dict[str, list[manifest.Entry]]:
    groups: dict[str, list[manifest.Entry]] = {}
    for entry in entries:
        groups.setdefault(by(entry), []).append(entry)
    return groups


def _draw_interferers(
    target: manifest.Entry, n: int, sources: _Sources, s: _Settings, rng: np.random.Generator
) -> list[tuple[manifest.Entry, str, Audio]]:
    """1 to max_interferers of (entry, AVSEC type, [n] samples); no recording twice."""
    number = int(rng.integers(1, s.max_interferers + 1))
    twins = [e for e in sources.targets if e.group == target.group and e.path != target.path]
    chosen: list[tuple[manifest.Entry, str, Audio]] = []
    for _ in range(number):
        kind = s.kind if s.kind != "mixed" else ("noise", "speech")[int(rng.integers(2))]
        used = {e.path for e, _, _ in chosen}
        rival = any(e.kind == "av" for e, _, _ in chosen)
        if kind == "speech" and twins and not rival and rng.random() < s.same_voice:
            pool = twins
        else:
            pool = sources.voices if kind == "speech" else sources.noises
        entry = _pick([e for e in pool if e.path not in used] or pool, rng)
        sound = media.load_audio(entry.path)
        # A rival whose picture is shown must stay in step with it: padded or cut, never looped.
        samples = _fit(sound, n) if entry.kind == "av" else _audible_loop(sound, n, rng)
        chosen.append((entry, kind, samples))
    return chosen


def _fit(x: Audio, n: int) -> Audio:
    return np.pad(x[:n], (0, max(0, n - len(x)))).astype(np.float32)


def _audible_loop(x: Audio, n: int, rng: np.random.Generator) -> Audio:
    """A random cut of n samples that is not one of the recording's silences."""
    floor = 0.25 * mixing.rms(x)
    for _ in range(_TRIES):
        piece = mixing.loop_to(x, n, rng)
        if mixing.rms(piece) > floor:
            return piece
    loudest = int(np.argmax(np.abs(x)))
    return mixing.loop_to(x[max(0, loudest - n // 2) :][:n], n, rng)


def _draw_room(
    rooms: Sequence[manifest.Entry], number: int, probability: float, rng: np.random.Generator
) -> list[tuple[manifest.Entry, Audio]]:
    """`number` responses of one room (places may repeat if it has few), or none."""
    if rng.random() >= probability:
        return []
    groups = _grouped(rooms)
    members = groups[sorted(groups)[int(rng.integers(len(groups)))]]
    picks = [members[int(rng.integers(len(members)))] for _ in range(number)]
    return [(e, media.load_audio(e.path)) for e in picks]


def _random_gains(sounds: Sequence[Audio], rng: np.random.Generator) -> list[float]:
    """What brings each to an active level of -25 dB +- 3 dB."""
    wanted = [-25.0 + rng.uniform(-3.0, 3.0) for _ in sounds]
    return [10.0 ** ((w - active_level_db(x)) / 20.0) for w, x in zip(wanted, sounds, strict=True)]


def _scale(target: Audio, noise: Audio) -> float:
    """At most 1: what lets the stems and their sum fit into a file."""
    return min(1.0, _PEAK / max(float(np.abs(x).max()) for x in (target + noise, target, noise)))


def _both_ears(
    dry: Audio,
    others: Sequence[Audio],
    rooms: Sequence[Audio],
    snr: float,
    rng: np.random.Generator,
) -> tuple[tuple[float, ...], dict[str, Audio]]:
    """The directions, and the files [2, T] of a scene with `snr` at its better ear."""
    placed = scenes_binaural.arrange(dry, others, rooms, rng)
    target, rest = placed.target, placed.interferer
    better = max(snr_db(t, i) for t, i in zip(target, rest, strict=True))
    rest = (rest * 10.0 ** ((better - snr) / 20.0)).astype(np.float32)
    scale = _scale(target, rest)
    anechoic = placed.anechoic * min(scale, _PEAK / float(np.abs(placed.anechoic).max()))
    stems = {"target_anechoic": anechoic, "target": target * scale, "interferer": rest * scale}
    return placed.azimuths_deg, {**stems, "mix": (target + rest) * scale}


def _copy_picture(source: Path, out: Path) -> None:
    """Copy the video packets of `source` to an mp4 without sound; not one pixel is re-encoded."""
    import av

    with (
        media.atomic(out) as partial,
        av.open(str(source)) as reader,
        av.open(str(partial), "w", options={"fflags": "+bitexact"}) as writer,
    ):
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for packet in reader.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                writer.mux(packet)
