"""Clips that a machine has repaired, with the truth about what it left and what it took.

A critic that judges enhancement must have heard enhancement: residual noise, chirping leftovers,
words whose ends are gone. None of that is set beforehand, but all of it can be measured, since a
mask is linear once it is chosen: the mask that the mixture called for is applied to the speech
alone and to the noise alone ("shadow filtering", Gustafsson, Martin, Jax and Vary 2002). What the
noise becomes is the residue, what the speech becomes tells what was taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hearken.data.faults_noise import at_snr
from hearken.data.faults_spectrum import active_frames, istft, stft
from hearken.data.mixing import loop_to
from hearken.data.planted import Planted, active_rms, digit
from hearken.data.ramps import RAMPS
from hearken.nouns import Audio, Fault

__all__ = ["CLASSIC", "Filter", "Machine", "repaired", "spectral_subtraction", "wiener"]

Filter = Callable[[Audio], Audio]
"""A linear filter that changes with time, [T] -> [T]: a mask that has been chosen."""

Machine = Callable[[Audio, np.random.Generator], Filter]
"""Hears a mixture [T], and chooses the mask for it."""

_AUDIBLE = 0.75  # severities below are rounded to 0, not up to 1
_TAKEN_DB = -10.0
_CHIRPING_DB = 4.0  # what a subtraction leaves sounds like the noise itself where it took less


def repaired(
    clean: Audio,
    noise: Audio,
    machine: Machine,
    rng: np.random.Generator,
    *,
    kind: str = "background_noise",
    name: str = "",
) -> Planted:
    """Speech in noise after a machine has worked on it.

    Args:
        clean: [T] speech.
        noise: [N] noise or another voice; repeated or cut to T.
        machine: chooses the mask.
        rng: of the signal to noise ratio (-5 to 20 dB) and of the machine's settings.
        kind: fault type of the noise: background_noise or competing_talker.
        name: the noise in words.

    Returns:
        The clip. Its faults are the noise that is left, if it can be heard ("musical_noise"
        where `spectral_subtraction` took 4 dB or more of it), and "over_suppression" where much
        of the speech is gone; `physics` has `residual_snr_db` and `suppressed_share` as measured.
    """
    clean = np.ascontiguousarray(clean, np.float32)
    snr_db = float(rng.uniform(-5.0, 20.0))
    added = at_snr(clean, loop_to(noise, len(clean), rng), snr_db)
    through = _tampered(machine(clean + added, rng), rng)
    speech, residue = through(clean), through(added)
    level = np.float32(active_rms(clean) / max(active_rms(speech), 1e-9))
    level = min(level, np.float32(8.0))
    speech, residue = speech * level, residue * level
    left = float(np.mean(np.square(residue, dtype=np.float64)))
    residual_db = float(20 * np.log10(active_rms(speech) / np.sqrt(left + 1e-20)))
    share = taken(clean, speech)
    physics = {"residual_snr_db": min(60.0, residual_db), "suppressed_share": share}
    musical = machine is spectral_subtraction and residual_db > snr_db + _CHIRPING_DB
    if musical:
        name = ""
        physics["musical_snr_db"] = snr_db
    severity = RAMPS["talker_snr_db" if kind == "competing_talker" else "background_snr_db"]
    clip = Planted(clean, (), clean, {}).having(speech + residue, **physics)
    clip = _with(clip, "musical_noise" if musical else kind, severity.severity(residual_db), name)
    clip = _with(clip, "over_suppression", RAMPS["suppressed_share"].severity(share), "")
    peak = float(np.abs(clip.audio).max())
    if peak > 0.99:
        scale = np.float32(0.99 / peak)
        clip = replace(clip, audio=clip.audio * scale, reference=clip.reference * scale)
    return clip


def taken(clean: Audio, speech: Audio) -> float:
    """Share of the bins of active speech that lie more than 10 dB below what they were."""
    before, after = np.abs(stft(clean)), np.abs(stft(speech))
    busy = active_frames(clean, len(before))
    floor = 1e-4 * before.max()
    gain = (after[busy] + 1e-12) / (before[busy] + 1e-12)
    counted = before[busy] > floor
    return float(np.mean(gain[counted] < 10 ** (_TAKEN_DB / 20))) if counted.any() else 0.0


def spectral_subtraction(mixture: Audio, rng: np.random.Generator) -> Filter:
    """Power subtraction with over-subtraction 1-3 and a low floor (Berouti et al. 1979)."""
    power = np.abs(stft(mixture)) ** 2
    noise_K = _noise_power(power, rng)
    alpha, floor = float(rng.uniform(1.0, 3.0)), 10 ** float(rng.uniform(-4.5, -2.0))
    gain = np.sqrt(np.maximum(1.0 - alpha * noise_K / (power + 1e-12), floor))
    return _filter(gain)


def wiener(mixture: Audio, rng: np.random.Generator) -> Filter:
    """Wiener gain with the decision-directed prior SNR (Ephraim and Malah 1984, eq. 51)."""
    power = np.abs(stft(mixture)) ** 2
    post = power / (_noise_power(power, rng) + 1e-12)
    keep = float(rng.uniform(0.85, 0.985))
    floor = 10 ** (float(rng.uniform(-30.0, -8.0)) / 20)
    gain = np.empty_like(power)
    before = np.ones(power.shape[1])
    for frame, now in enumerate(post):
        prior = keep * before + (1 - keep) * np.maximum(now - 1.0, 0.0)
        gain[frame] = np.maximum(prior / (1.0 + prior), floor)
        before = gain[frame] ** 2 * now
    return _filter(gain)


CLASSIC: Sequence[Machine] = (spectral_subtraction, wiener)
"""Machines that need no weights."""


def _noise_power(power_FK: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Per bin, the mean of the quietest frames, as a blind machine would take it, off by a bit."""
    quiet = np.sort(power_FK, axis=0)[: max(2, len(power_FK) // 4)]
    bias: NDArray[np.float64] = quiet.mean(axis=0) * 10 ** (float(rng.uniform(0.0, 6.0)) / 10)
    return bias


def _filter(gain_FK: NDArray[np.float64]) -> Filter:
    return lambda x: istft(stft(x) * gain_FK, len(x))


def _tampered(through: Filter, rng: np.random.Generator) -> Filter:
    """Now and then the mask twice (over-suppression), or some of the mixture left in."""
    draw = float(rng.random())
    if draw < 0.3:
        return lambda x: through(through(x))
    if draw < 0.5:
        dry = np.float32(rng.uniform(0.03, 0.3))
        return lambda x: (1 - dry) * through(x) + dry * x
    return through


def _with(clip: Planted, kind: str, severity: float, detail: str) -> Planted:
    if severity < _AUDIBLE:
        return clip
    return clip.having(clip.audio, Fault(kind, 0.0, clip.seconds, digit(severity), detail))
