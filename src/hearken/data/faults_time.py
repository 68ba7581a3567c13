"""Faults in time: tempo, pauses, lost packets, dropouts, clicks, level jumps.

Tempo and pauses move the time axis: the reference and every earlier fault move with it.
"""

from __future__ import annotations

import numpy as np

from hearken.data.codecs import OPUS_FRAME, opus_with_losses
from hearken.data.mixing import loop_to, time_stretch
from hearken.data.planted import (
    BLOCK,
    Planted,
    Sources,
    active_rms,
    busy_start,
    digit,
    fade,
    whole,
    working_gain,
)
from hearken.data.ramps import RAMPS
from hearken.nouns import SAMPLE_RATE, Audio, Fault

__all__ = [
    "clicks",
    "dropout",
    "gain_jump",
    "packet_loss",
    "speed_change",
    "unnatural_pause",
]


def speed_change(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """Faster or slower by `tempo_octaves`, pitch kept; detail "fast" or "slow"."""
    octaves = RAMPS["tempo_octaves"].at(severity)
    tempo = 2.0 ** (octaves if rng.random() < 0.5 else -octaves)
    n = max(1, round(len(clip.audio) / tempo))
    ratio = n / len(clip.audio)
    gain = working_gain(clip.reference)
    reference = time_stretch(clip.reference * gain, n) / gain
    same = clip.audio is clip.reference
    heard = reference if same else time_stretch(clip.audio * gain, n) / gain
    clip = clip.moved(reference, lambda second: second * ratio).having(heard)
    fault = whole(clip, "speed_change", severity, "fast" if tempo > 1 else "slow")
    return clip.having(heard, fault, tempo=tempo, tempo_octaves=octaves)


def unnatural_pause(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """`pause_s` of room tone put inside running speech; what follows comes later."""
    length = round(RAMPS["pause_s"].at(severity) * SAMPLE_RATE)
    margin = len(clip.audio) // 6
    span = SAMPLE_RATE // 5
    near = busy_start(clip.reference, span, rng, margin=margin)
    at = _quietest(clip.reference, near, near + span)
    tone = _room_tone(clip.audio, length, rng)
    same = clip.audio is clip.reference
    reference = _insert(clip.reference, _room_tone(clip.reference, length, rng), at)
    heard = _insert(clip.audio, tone, at)
    edge_s, pause_s = at / SAMPLE_RATE, length / SAMPLE_RATE
    clip = clip.moved(
        heard if same else reference, lambda second: second + pause_s * (second > edge_s)
    )
    fault = Fault("unnatural_pause", edge_s, edge_s + pause_s, digit(severity))
    return clip.having(heard, fault, pause_s=pause_s)


def packet_loss(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """20 ms packets lost in a stretch of the clip: `lost_ratio` of all the clip's packets.

    Losses come in bursts (a two-state Gilbert model: the next packet is lost too with
    probability 0.5) and are concealed by libopus, or, with detail "repeated" and "zero
    filled", by the packet before or by nothing. Start and end are those of the first and
    last lost packet.
    """
    packets = len(clip.audio) // OPUS_FRAME
    wanted = max(1, round(RAMPS["lost_ratio"].at(severity) * packets))
    share = float(rng.uniform(0.35, 0.75))  # of the packets of the stretch
    stretch = min(packets - 2, max(wanted, round(wanted / share)))
    wanted = min(wanted, stretch)
    first = 1 + busy_start(clip.reference, stretch * OPUS_FRAME, rng, margin=0) // OPUS_FRAME
    first = min(first, packets - stretch)
    lost = np.zeros(packets, bool)
    lost[first] = True
    while lost.sum() < wanted:
        k = first + int(rng.integers(stretch))
        while k < first + stretch and lost.sum() < wanted:
            lost[k] = True
            k += 1
            if rng.random() < 0.5:
                break
    how = str(rng.choice(["concealed", "repeated", "zero filled"], p=[0.5, 0.2, 0.3]))
    gain = working_gain(clip.audio)
    coded = opus_with_losses(clip.audio * gain, lost) if how == "concealed" else None
    if coded is None:
        how = "zero filled" if how == "concealed" else how
        heard, ahead = _drop_packets(clip.audio, np.flatnonzero(lost), how == "repeated"), 0
    else:
        heard, ahead = coded[0] / gain, coded[1]
    places = np.flatnonzero(lost)
    start = max(0, int(places[0]) * OPUS_FRAME - ahead)
    end = min(len(heard), (int(places[-1]) + 1) * OPUS_FRAME - ahead)
    fault = Fault("packet_loss", start / SAMPLE_RATE, end / SAMPLE_RATE, digit(severity), how)
    return clip.having(heard, fault, lost_ratio=float(lost.mean()))


def clicks(clip: Planted, severity: float, rng: np.random.Generator, sources: Sources) -> Planted:
    """Short bursts, `clicks_per_s` over the clip, in one stretch of it.

    Severity also raises their peak, from 8 to 22 dB above the active level. Start is the
    first sample of the first click, end the last sample of the last.
    """
    rate = RAMPS["clicks_per_s"].at(severity)
    n = len(clip.audio)
    count = max(2, round(rate * clip.seconds))
    stretch = int(n * min(0.95, float(rng.uniform(0.3, 0.9)) + 0.02 * count))
    left = int(rng.integers(0, n - stretch + 1))
    places = np.sort(left + rng.integers(0, max(1, stretch - 64), size=count))
    level = active_rms(clip.reference) * 10 ** ((8 + 3.5 * (severity - 1)) / 20)
    heard = clip.audio.copy()
    end = 0
    for at in places:
        size = min(int(rng.integers(2, 40)), n - int(at))
        shape = rng.standard_normal(size) * np.exp(-np.arange(size) / max(1.0, size / 4))
        shape[0] = float(rng.choice([-1.0, 1.0]))
        gain = level * float(rng.uniform(0.6, 1.4)) / np.abs(shape).max()
        heard[at : at + size] += (gain * shape).astype(np.float32)
        end = max(end, int(at) + size)
    start = int(places[0])
    fault = Fault("clicks", start / SAMPLE_RATE, end / SAMPLE_RATE, digit(severity))
    return clip.having(heard, fault, clicks_per_s=count / clip.seconds)


def gain_jump(
    clip: Planted, severity: float, rng: np.random.Generator, sources: Sources
) -> Planted:
    """The level leaps by `jump_db`, up or down, and comes back; edges of 5 ms."""
    jump_db = RAMPS["jump_db"].at(severity)
    sign = 1.0 if rng.random() < 0.4 else -1.0
    length = int(len(clip.audio) * float(rng.uniform(0.2, 0.5)))
    start = busy_start(clip.reference, length, rng, margin=len(clip.audio) // 8)
    length = min(length, len(clip.audio) - start)
    bump = fade(np.ones(length, np.float32), 80)
    gain_db = np.zeros(len(clip.audio))
    gain_db[start : start + length] = sign * jump_db * bump
    heard = clip.audio * (10 ** (gain_db / 20)).astype(np.float32)
    name = "louder" if sign > 0 else "quieter"
    times = start / SAMPLE_RATE, (start + length) / SAMPLE_RATE
    return clip.having(heard, Fault("gain_jump", *times, digit(severity), name), jump_db=jump_db)


def dropout(clip: Planted, severity: float, rng: np.random.Generator, sources: Sources) -> Planted:
    """`dropout_s` of sound gone, in one hole or two of equal length, edges of 1 ms."""
    total = min(round(RAMPS["dropout_s"].at(severity) * SAMPLE_RATE), len(clip.audio) // 2)
    holes = 2 if severity >= 2 and rng.random() < 0.35 else 1
    length = total // holes
    gain = np.ones(len(clip.audio), np.float32)
    faults = []
    for part in range(holes):  # each hole in its own half, so that they cannot touch
        share = len(clip.audio) // holes
        piece = clip.reference[part * share : (part + 1) * share]
        start = part * share + busy_start(piece, length, rng, margin=BLOCK)
        start = min(start, (part + 1) * share - length - 1)
        gain[start : start + length] = 1.0 - fade(np.ones(length, np.float32), 16)
        gain[start + 16 : start + length - 16] = 0.0
        edges = start / SAMPLE_RATE, (start + length) / SAMPLE_RATE
        faults.append(Fault("dropout", *edges, digit(severity)))
    return clip.having(clip.audio * gain, *faults, dropout_s=length * holes / SAMPLE_RATE)


def _drop_packets(x: Audio, lost: np.ndarray, repeat: bool) -> Audio:
    """Lost packets as silence, or as the packet before them, 6 dB softer each time."""
    y = x.copy()
    for k in lost:
        part = slice(int(k) * OPUS_FRAME, (int(k) + 1) * OPUS_FRAME)
        before = y[part.start - OPUS_FRAME : part.start]
        y[part] = 0.5 * before if repeat else 0.0
    return y


def _quietest(x: Audio, start: int, stop: int) -> int:
    """The centre of the softest 5 ms in [start, stop): where a cut makes no click."""
    size = SAMPLE_RATE // 200
    power = np.convolve(np.square(x[start:stop]), np.ones(size, np.float32), mode="valid")
    return start + int(np.argmin(power)) + size // 2


def _room_tone(x: Audio, length: int, rng: np.random.Generator) -> Audio:
    """`length` samples of the softest 100 ms of `x`, looped."""
    size = min(SAMPLE_RATE // 10, len(x) // 4)
    power = np.convolve(np.square(x), np.ones(size, np.float32), mode="valid")
    start = int(np.argmin(power))
    return loop_to(x[start : start + size], length, rng)


def _insert(x: Audio, piece: Audio, at: int) -> Audio:
    """`piece` put into `x` before sample `at`, with 4 ms fades on both sides of both seams."""
    left, right = fade(x[:at], 64), fade(x[at:], 64)
    left[:64], right[-64:] = x[:at][:64], x[at:][-64:]
    return np.concatenate([left, fade(piece, 64), right]).astype(np.float32)
