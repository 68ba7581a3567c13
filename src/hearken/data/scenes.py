"""Read and check folders of audio-visual scenes in the layouts of AVSEC-1 to AVSEC-4.

    ROOT/{train,dev}/scenes/S00001_*.wav   ROOT/scenes.{train,dev}.json      as the challenge ships
    ROOT/scenes/S00001_*.wav               ROOT/scenes.json                  as `build` writes
    ROOT/S00001_*.wav                      (no json: an evaluation set)      mix and picture only

File names of a scene, in order of preference; mix and stems are always of one row, so that
they stay aligned:

    AVSEC-4 mono       _mono_mix.wav   _target_mono.wav   _interferer_mono.wav
    AVSEC-4 binaural   _mix.wav        _target.wav        _interferer.wav     (ears averaged, but
                                                                               see load_binaural)
    AVSEC-1 to 3       _mixed.wav      _target.wav        _interferer.wav

The picture is `_silent.mp4`. The anechoic target is not aligned with the mix in AVSEC-4 and is
never used as a reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hearken import media
from hearken.data.levels import active_level_db, snr_db
from hearken.data.scenes_build import build
from hearken.data.scenes_layout import Finding, Found, extras, names_in, to_scene, walk
from hearken.errors import HearkenError, ManifestError, MediaError
from hearken.nouns import SAMPLE_RATE, SAMPLES_PER_FRAME, Audio, Scene

__all__ = [
    "Finding",
    "Note",
    "SceneAudio",
    "active_level_db",
    "build",
    "check",
    "is_binaural",
    "load_binaural",
    "load_ears",
    "load_scene",
    "note",
    "read",
    "rival_video",
    "snr_db",
]

_CLIP_RUN = 3
_SNR_TOLERANCE_DB = 3.0


@dataclass(frozen=True, eq=False)
class SceneAudio:
    """The sound of a scene at 16 kHz; None where the folder has no such file.

    All [T] from `load_scene`, all [2, T] (left and right ear) from `load_binaural`.
    """

    mix: Audio
    reference: Audio | None
    interferer: Audio | None


@dataclass(frozen=True)
class Note:
    """What tables group a scene by.

    Attributes:
        kind: "noise", "speech", "mixed" or "unknown", from the interferers' types.
        talker: of the target; the unit of resampling in confidence intervals.
        face: "known", "unseen" or "unknown": was this face in the training data.
        same_voice: the interferer is the target's own voice.
    """

    kind: str
    talker: str
    face: str = "unknown"
    same_voice: bool = False


def read(root: Path | str) -> list[Scene]:
    """All scenes under `root`, by name; both file generations, with or without a json.

    A scene that a json names keeps its row even where its mix is missing (loading it raises,
    so that N scenes give N rows); a json whose whole folder is absent is passed over.

    Raises:
        ManifestError: no scenes, an unreadable json, or a name that leaves its folder.
    """
    root = Path(root)
    scenes: list[Scene] = []
    for found in walk(root):
        here = [
            to_scene(found.folder, entry, f"{found.listing} entry {i + 1}")
            for i, entry in enumerate(found.entries)
        ]
        unlisted = names_in(found.folder) - {s.scene for s in here}
        here += [to_scene(found.folder, {"scene": n}, str(found.folder)) for n in unlisted]
        scenes += sorted(here, key=lambda s: s.scene)
    if not scenes:
        raise ManifestError(
            f"{root}: no scenes here: looked for S*_mono_mix.wav, S*_mix.wav and S*_mixed.wav in "
            "it, in scenes/ and in */scenes/"
        )
    return scenes


def load_scene(scene: Scene) -> SceneAudio:
    """Read mix and stems, each cut or zero-padded to the mix where at most 40 ms differ.

    Raises:
        MediaError: a file that is missing or unreadable.
        ManifestError: a stem whose length differs from the mix by more than one video frame.
    """
    mix = media.load_audio(scene.mix)
    return SceneAudio(
        mix, _stem(scene.reference, len(mix)), _stem(scene.interferer_audio, len(mix))
    )


def is_binaural(scene: Scene) -> bool:
    """Whether the mix that the scene names is AVSEC-4's of both ears (there is no mono one)."""
    return Path(scene.mix).name == f"{scene.scene}_mix.wav"


def load_ears(path: Path | str) -> Audio:
    """A recording of two channels as [2, T]: left and right ear, 16 kHz.

    Raises:
        MediaError: missing, unreadable, another number of channels, both silent.
    """
    left = media.load(path, channel=0, allow_silent=True)
    if left.source.channels_in != 2:
        raise MediaError(f"{path}: {left.source.channels_in} channels, where two ears are wanted")
    both = np.stack([left.samples, media.load_audio(path, channel=1, allow_silent=True)])
    if not both.any():
        raise MediaError(f"{path}: contains only digital silence at both ears")
    return both


def load_binaural(scene: Scene) -> SceneAudio:
    """Read the binaural mix and stems of a scene, also where it has mono ones.

    Raises:
        MediaError: no binaural mix, or a file that is unreadable or not of two channels.
        ManifestError: a stem whose length differs from the mix by more than one video frame.
    """
    folder = Path(scene.mix).parent
    mix, *stems = (folder / f"{scene.scene}_{x}.wav" for x in ("mix", "target", "interferer"))
    ears = load_ears(mix)
    target, interferer = (
        _fitted(load_ears(p), ears.shape[1], p) if p.is_file() else None for p in stems
    )
    return SceneAudio(ears, target, interferer)


def note(scene: Scene) -> Note:
    """The groups of a scene; talker and face come from the json of `build` where it is there.

    Elsewhere the talker is the target's name less its last part (LRS3 "clip_00013" -> "clip").
    """
    kinds = {"speech" if i.type == "speech" else "noise" for i in scene.interferers}
    kind = "unknown" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"
    extra = extras(Path(scene.mix).parent).get(scene.scene, {})
    stem = re.sub(r"[_/][^_/]*$", "", scene.target)
    return Note(
        kind,
        str(extra.get("talker") or stem or scene.scene),
        str(extra.get("face") or "unknown"),
        bool(extra.get("same_voice")),
    )


def rival_video(scene: Scene) -> str | None:
    """The picture of the interfering talker, where `build` wrote one."""
    path = Path(scene.mix).with_name(f"{scene.scene}_interferer_silent.mp4")
    return str(path) if path.is_file() else None


def check(root: Path | str) -> list[Finding]:
    """Everything that is wrong under `root`, never stopping at the first finding.

    Errors: unreadable json or file, missing mix, a stem missing where others have it, another
    sample rate, lengths that differ, a name that leaves the folder, a picture more than 0.5 s
    off. Warnings: clipping, stated SNR more than 3 dB off the active-level SNR, stems that do
    not add up to the mix, links out of the root, picture 3-12 frames off.
    """
    root = Path(root)
    findings: list[Finding] = []
    try:
        folders = walk(root, findings)
    except HearkenError as error:
        return [Finding("error", str(root), str(error))]
    if not folders:
        findings.append(Finding("error", str(root), "no scene folder found"))
    for found in folders:
        scenes = _check_listing(found, findings)
        anyone = {role: any(getattr(s, role) for s in scenes) for role in ("reference", "video")}
        for scene in scenes:
            findings += _check_scene(root, scene, anyone)
    return findings


def _check_listing(found: Found, findings: list[Finding]) -> list[Scene]:
    """The scenes of a folder, listed or not; what is wrong with the list goes to `findings`."""
    scenes: dict[str, Scene] = {}
    entries = [(e, f"{found.listing} entry {i + 1}") for i, e in enumerate(found.entries)]
    for entry, where in entries:
        try:
            scene = to_scene(found.folder, entry, where)
        except ManifestError as error:
            findings.append(Finding("error", where, str(error)))
            continue
        if scene.scene in scenes:
            findings.append(Finding("error", where, f"{scene.scene} is listed twice"))
        scenes[scene.scene] = scene
    for name in names_in(found.folder) - set(scenes):
        scenes[name] = to_scene(found.folder, {"scene": name}, str(found.folder))
        if found.listing:
            findings.append(Finding("warning", str(found.folder), f"{name} is not in the json"))
    return [scenes[name] for name in sorted(scenes)]


def _check_scene(root: Path, scene: Scene, anyone: Mapping[str, bool]) -> Iterator[Finding]:
    where = f"{Path(scene.mix).parent}/{scene.scene}"
    for role, needed in anyone.items():
        if needed and getattr(scene, role) is None:
            yield Finding("error", where, f"no {role} file, though other scenes have one")
    sounds: dict[str, Audio] = {}
    roles = {"mix": scene.mix, "target": scene.reference, "interferer": scene.interferer_audio}
    for role, path in roles.items():
        if path is None:
            continue
        if not Path(path).resolve().is_relative_to(root.resolve()):
            yield Finding("warning", path, "a link that leads out of the folder")
        try:
            clip = media.load(path)
        except (HearkenError, OSError) as error:
            yield Finding("error", path, str(error))
            continue
        sounds[role] = clip.samples
        if clip.source.sr_in != SAMPLE_RATE:
            yield Finding("error", path, f"{clip.source.sr_in} Hz, not {SAMPLE_RATE}")
        if _is_clipped(clip.samples):
            yield Finding("warning", path, "clipped: runs of samples at full scale")
    if "mix" in sounds:
        yield from _check_lengths(where, sounds, scene.duration)
        yield from _check_picture(scene, len(sounds["mix"]))
    yield from _check_levels(where, sounds, scene.snr_db)


def _check_lengths(where: str, sounds: Mapping[str, Audio], duration: int) -> Iterator[Finding]:
    n = len(sounds["mix"])
    for role, x in sounds.items():
        if abs(len(x) - n) > SAMPLES_PER_FRAME:
            yield Finding("error", where, f"{role} has {len(x)} samples, the mix {n}")
    if duration and abs(duration - n) > SAMPLES_PER_FRAME:
        yield Finding("error", where, f"json says {duration} samples, the mix has {n}")


def _check_levels(where: str, sounds: Mapping[str, Audio], stated_db: float) -> Iterator[Finding]:
    if "target" not in sounds or "interferer" not in sounds:
        return
    target, interferer = sounds["target"], sounds["interferer"]
    try:
        measured = snr_db(target, interferer)
    except ManifestError as error:
        yield Finding("error", where, f"a stem has no level: {error}")
        return
    if abs(measured - stated_db) > _SNR_TOLERANCE_DB:  # False for NaN: nothing stated
        yield Finding(
            "warning", where, f"json says {stated_db:.1f} dB SNR, stems have {measured:.1f}"
        )
    mix = sounds.get("mix")
    if mix is not None and len(mix) == len(target) == len(interferer):
        rest = float(np.square(mix - target - interferer, dtype=np.float64).sum())
        if rest > 1e-3 * float(np.square(mix, dtype=np.float64).sum()):
            yield Finding("warning", where, "target + interferer is not the mix")


def _check_picture(scene: Scene, samples: int) -> Iterator[Finding]:
    if scene.video is None:
        return
    try:
        frames = media.video_info(scene.video).frames_at_25
    except (HearkenError, OSError) as error:
        yield Finding("error", scene.video, str(error))
        return
    off = frames - samples / SAMPLES_PER_FRAME
    if abs(off) > 2:
        level = "error" if abs(off) > 12 else "warning"
        yield Finding(
            level,
            scene.video,
            f"{frames} frames for {samples / SAMPLES_PER_FRAME:.1f} frames of sound",
        )


def _is_clipped(x: Audio) -> bool:
    full = np.abs(x) >= 32766 / 32768
    runs = np.convolve(full, np.ones(_CLIP_RUN), "valid") if len(x) >= _CLIP_RUN else np.zeros(1)
    return bool((runs > _CLIP_RUN - 0.5).any())


def _stem(path: str | None, n: int) -> Audio | None:
    return None if path is None else _fitted(media.load_audio(path), n, path)


def _fitted(x: Audio, n: int, path: Path | str) -> Audio:
    """[..., T] cut or padded to `n` samples."""
    if abs(x.shape[-1] - n) > SAMPLES_PER_FRAME:
        raise ManifestError(
            f"{path}: {x.shape[-1]} samples, but the mix has {n}: `hearken data check`"
        )
    ends = [(0, 0)] * (x.ndim - 1) + [(0, max(0, n - x.shape[-1]))]
    return np.pad(x[..., :n], ends)
