"""Plain signal detectors: is there anything in the sound that a named fault would have left?

    evidence(samples, fault)     True it is there, False it cannot be there, None no opinion

Each detector measures one physical thing and has two thresholds: above the upper one it agrees,
below the lower one it contradicts, between them it abstains. A contradiction takes a fault out
of the timeline, so the lower thresholds are set on planted training clips to be wrong in about
two of a hundred faults (held out: none to five); `benchmarks/verify.py` prints it for each.
No detector here can tell a competing talker, a room, a codec, musical noise, over-suppression,
a robotic voice or a wrong tempo from clean speech with that safety: on those, no opinion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hearken.nouns import FAULT_TYPES, SAMPLE_RATE, Audio, Fault

__all__ = ["DETECTORS", "active_db", "evidence", "frame_levels_db", "lone_impulses_db"]

Array = NDArray[np.float64]
Detector = Callable[[Array, float, float], bool | None]

CONTEXT_S = 4.0
"""How far around a span its neighbourhood reaches."""

LONGEST_S = 20.0
"""Longer spans are judged in pieces, so that memory and the detectors' statistics stay as set."""

SHORTEST_S = 0.5
"""Sound shorter than this says too little about what is usual in it."""

RESOLUTION_S = 0.1
"""The step of the critic's grammar: an honest time may be wrong by this much."""

STUTTER_S = 0.15
"""Holes closer together than this may be named as one dropout."""

SILENT_DB = -90.0
"""Level of full-scale 16-bit rounding: below it a frame is digital silence."""

CLICK = 160
"""Samples: two impulses this close are one click."""

_LSB = 1.6 / 32768  # samples of 16 bits this close are equal
_ACTIVE_DB = 35.0  # speech is what lies within this of the 95th percentile frame


def evidence(samples: Audio, fault: Fault) -> bool | None:
    """What the signal says of one fault.

    Args:
        samples: [T] at 16 kHz, the clip that the fault was named in.
        fault: with times in seconds of that clip; they may reach beyond its ends.

    Returns:
        True: the trace of such a fault is there; False: it cannot be there; None: no opinion,
        also for sound that is too short, silent or not finite.
    """
    detector = DETECTORS.get(fault.type)
    seconds = len(samples) / SAMPLE_RATE
    start_s, end_s = max(0.0, fault.start_s), min(seconds, fault.end_s)
    if detector is None or seconds < SHORTEST_S or end_s <= start_s:
        return None
    if not (np.isfinite(samples).all() and samples.any()):
        return None
    if FAULT_TYPES[fault.type].localised:
        if end_s - start_s > LONGEST_S:
            return None
        first = max(0.0, start_s - CONTEXT_S)
        around = _cut(samples, first, end_s + CONTEXT_S)
        return detector(around, start_s - first, end_s - first)
    return _any_piece(samples, start_s, end_s, detector)


def _any_piece(samples: Audio, start_s: float, end_s: float, detector: Detector) -> bool | None:
    """One piece that agrees is enough; only all pieces together can contradict."""
    edges = np.linspace(start_s, end_s, int(np.ceil((end_s - start_s) / LONGEST_S)) + 1)
    found: list[bool | None] = []
    for a, b in pairwise(edges):
        piece = _cut(samples, a, b)
        long_enough = len(piece) >= SHORTEST_S * SAMPLE_RATE and piece.any()
        found.append(detector(piece, 0.0, b - a) if long_enough else None)
    if any(found):
        return True
    return None if None in found else False


# --- faults of the whole span: [T] is the span itself ----------------------------------------


def background_noise(x: Array, start_s: float, end_s: float) -> bool | None:
    """The floor of each frequency against its peaks, as a mean over frequency.

    Speech leaves each bin alone for a tenth of the time or more; what is then still there is
    noise (minimum statistics, Martin 2001). Silent frames (lost sound) are left out.
    """
    power_FK = _power(x, 512, 256)
    power_FK = power_FK[power_FK.sum(axis=1) > 1e-9]
    if len(power_FK) < 20:
        return None
    floor_K, peak_K = np.quantile(power_FK, (0.1, 0.95), axis=0)
    floor_db = float(np.mean(10 * np.log10((floor_K + 1e-13) / (peak_K + 1e-12))))
    return _verdict(floor_db, deny=-44.0, agree=-29.0)


def hum(x: Array, start_s: float, end_s: float) -> bool | None:
    """Multiples of 50 or 60 Hz against the frequencies halfway between them, in quiet moments.

    Frames of 0.4 s; of each bin the lower quartile over time, in which a voice is absent and
    the mains are not. Mean excess of the first 15 multiples, dB.
    """
    size = round(0.4 * SAMPLE_RATE)
    if len(x) < size + SAMPLE_RATE // 5:
        return None
    power_FK = _power(x, size, SAMPLE_RATE // 10, bins_per_hz=1)
    quiet_db = 10 * np.log10(np.quantile(power_FK, 0.25, axis=0) + 1e-12)
    near_db = np.max([quiet_db[:-2], quiet_db[1:-1], quiet_db[2:]], axis=0)  # +-1 Hz, from 1 Hz
    excess_db = []
    for mains_hz in (50, 60):
        k = np.arange(1, 16)
        between = near_db[(np.arange(16) * mains_hz + mains_hz // 2) - 1]
        over = near_db[k * mains_hz - 1] - (between[:-1] + between[1:]) / 2
        excess_db.append(float(np.mean(np.clip(over, -10.0, 30.0))))
    return _verdict(max(excess_db), deny=3.0, agree=4.5)


def clipping(x: Array, start_s: float, end_s: float) -> bool | None:
    """Flat tops: runs of three equal samples at the local peak, whatever the gain.

    Where later processing has rounded the tops off, clipped speech still has low peaks: only a
    crest factor (peak over active level) of untouched speech contradicts.
    """
    from scipy.ndimage import maximum_filter1d

    size = np.abs(x)
    peak = float(np.quantile(size, 0.9995))
    equal = np.abs(np.diff(x)) <= _LSB
    run = equal[:-1] & equal[1:]
    top = (size > 0.9 * maximum_filter1d(size, SAMPLE_RATE // 5)) & (size > 0.15 * peak)
    if np.count_nonzero(run & top[1:-1]) >= 2:
        return True
    speech_db = active_db(frame_levels_db(x))
    if speech_db is None:
        return None
    crest_db = 20 * np.log10(peak + 1e-9) - speech_db
    return False if crest_db > 17.0 else None


def band_limiting(x: Array, start_s: float, end_s: float) -> bool | None:
    """The steepest fall of the speech spectrum within 1 kHz, with nothing above it.

    Bands of 125 Hz; the upper quartile over time, softest frames left out, so that a few clicks
    do not fill the empty bands.
    """
    power_FK = _power(x, 512, 256)
    total_F = power_FK.sum(axis=1)
    loud_FK = power_FK[total_F > 0.05 * np.median(total_F)]
    bands_FB = loud_FK[:, :256].reshape(len(loud_FK), 64, 4).sum(axis=2)
    level_B = 10 * np.log10(np.quantile(bands_FB, 0.75, axis=0) + 1e-12)
    smooth = np.convolve(level_B, np.ones(4) / 4, mode="valid")
    falls = [smooth[i] - smooth[i + 8 :].max() for i in range(6, len(smooth) - 9)]
    return _verdict(float(max(falls)), deny=24.0, agree=48.0)


# --- faults with a time of their own: [T] is the span and its neighbourhood ------------------


def dropout(x: Array, start_s: float, end_s: float) -> bool | None:
    """Holes: 15 ms or more, 35 dB below the speech, with an edge that no voice makes.

    A hole somewhere else does not count: hole and span, both widened by the resolution of the
    critic's times, must share a third of their union.
    """
    holes = _holes(x)
    if holes is None:
        return None
    rows: list[tuple[float, float]] = []  # several holes in a row may be named as one
    for a, b in holes:
        joined = bool(rows) and a - rows[-1][1] < STUTTER_S
        rows.append((rows[-1][0] if joined else a, b))
    shared = max((_iou(hole, (start_s, end_s)) for hole in holes + rows), default=0.0)
    return _verdict(shared, deny=0.3, agree=0.5)


def clicks(x: Array, start_s: float, end_s: float) -> bool | None:
    """The second strongest lone impulse: curvature against that of 3-15 ms around it.

    A voice has a pulse every few milliseconds; a click has none beside it.
    """
    lone_db = lone_impulses_db(x)
    if lone_db is None:
        return None
    span_db = lone_db[_index(start_s - RESOLUTION_S) : _index(end_s + RESOLUTION_S)]
    strongest = int(np.argmax(span_db))
    span_db[max(0, strongest - CLICK) : strongest + CLICK] = -60.0
    return _verdict(float(span_db.max()), deny=11.0, agree=16.0)


def unnatural_pause(x: Array, start_s: float, end_s: float) -> bool | None:
    """How far the level sinks for four fifths of the span, as a share of how far it can sink.

    1 is the floor of the clip, 0 the level of its speech.
    """
    levels_db = frame_levels_db(x)
    speech_db = active_db(levels_db)
    if speech_db is None:
        return None
    floor_db = float(np.percentile(levels_db[levels_db > SILENT_DB], 5))
    span_db = levels_db[_frame(start_s - RESOLUTION_S) : _frame(end_s + RESOLUTION_S)]
    length = min(len(span_db), max(10, round(0.8 * (end_s - start_s) * 100)))
    if length == 0:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(span_db, length)
    sunk_db = speech_db - float(np.percentile(windows, 85, axis=1).min())
    return _verdict(sunk_db / max(6.0, speech_db - floor_db), deny=0.12, agree=0.88)


def gain_jump(x: Array, start_s: float, end_s: float) -> bool | None:
    """The smaller of the steps at both edges, plus how much louder or softer the span's peaks are.

    A leap of the level has both; a voice that begins or ends has one of them.
    """
    levels_db = frame_levels_db(x)
    time_s = (np.arange(len(levels_db)) + 1) / 100
    inside = levels_db[(time_s > start_s + 0.05) & (time_s < end_s - 0.05)]
    outside = levels_db[(time_s < start_s - 0.05) | (time_s > end_s + 0.05)]
    if len(inside) < 5 or len(outside) < 20:
        return None
    peaks = np.percentile(inside, (90, 97)) - np.percentile(outside, (90, 97))
    step_db = min(_step_db(levels_db, start_s), _step_db(levels_db, end_s))
    return _verdict(step_db + abs(float(peaks.mean())), deny=9.0, agree=32.0)


def noise_event(x: Array, start_s: float, end_s: float) -> bool | None:
    """Does any band hold more in the quieter moments of the span than outside it?

    30th percentile over time in 17 bands; the highest difference, dB. More is no proof of an
    event, as a voice may do that too: this only contradicts.
    """
    hop = SAMPLE_RATE // 200
    power_FK = _power(x, 400, hop, bins=512)
    edges = (2, 5, 8, 12, 17, 23, 30, 38, 47, 58, 71, 86, 104, 126, 152, 184, 220, 250)
    bands = [power_FK[:, a + 1 : b + 1].mean(axis=1) for a, b in pairwise(edges)]
    level_FB = 10 * np.log10(np.stack(bands, axis=1) + 1e-9)
    time_s = (np.arange(len(level_FB)) * hop + 200) / SAMPLE_RATE
    inside = level_FB[(time_s > start_s) & (time_s < end_s)]
    outside = level_FB[(time_s < start_s - RESOLUTION_S) | (time_s > end_s + RESOLUTION_S)]
    if len(inside) < 10 or len(outside) < 40:
        return None
    rise_B = np.quantile(inside, 0.3, axis=0) - np.quantile(outside, 0.3, axis=0)
    return False if float(rise_B.max()) < 1.0 else None


def packet_loss(x: Array, start_s: float, end_s: float) -> bool | None:
    """Frames of 20 ms that are zero, or the frame before them again; concealment is not visible."""
    span = x[_index(start_s - RESOLUTION_S) : _index(end_s + RESOLUTION_S)]
    frame = SAMPLE_RATE // 50
    if len(span) < 3 * frame:
        return None
    if _longest_run(np.abs(span) <= 1.1 / 32768) > 0.8 * frame:
        return True
    now, before = span[frame:], span[:-frame]
    window = np.ones(frame - 40)
    both, own, other = (np.convolve(p, window, "valid") for p in (now * before, now**2, before**2))
    loud = own > len(window) * (10 / 32768) ** 2
    likeness = np.where(loud, both / np.sqrt(own * other + 1e-12), 0.0)
    return True if float(likeness.max()) > 0.998 else None


DETECTORS: Mapping[str, Detector] = MappingProxyType(
    {
        "background_noise": background_noise,
        "noise_event": noise_event,
        "hum": hum,
        "clipping": clipping,
        "band_limiting": band_limiting,
        "packet_loss": packet_loss,
        "clicks": clicks,
        "gain_jump": gain_jump,
        "dropout": dropout,
        "unnatural_pause": unnatural_pause,
    }
)
"""Fault type -> its detector; types that are not here are never contradicted."""


# --- measurements ----------------------------------------------------------------------------


def _verdict(value: float, *, deny: float, agree: float) -> bool | None:
    return True if value >= agree else False if value < deny else None


def _cut(samples: Audio, start_s: float, end_s: float) -> Array:
    return np.asarray(samples[_index(start_s) : _index(end_s)], np.float64)


def _index(second: float) -> int:
    return max(0, round(second * SAMPLE_RATE))


def _frame(second: float) -> int:
    """Index of a frame of `frame_levels_db`."""
    return max(0, int(second * 100))


def frame_levels_db(x: Array, size: int = 320, hop: int = 160) -> Array:
    """[F] level of frames, dB of full scale; the default is 20 ms every 10 ms."""
    total = np.concatenate([[0.0], np.cumsum(np.square(x))])
    starts = np.arange(0, max(1, len(x) - size + 1), hop)
    stops = np.minimum(starts + size, len(x))
    power = np.maximum(total[stops] - total[starts], 0.0) / size
    return 10 * np.log10(power + 1e-12)


def active_db(levels_db: Array) -> float | None:
    """Level of the active speech, None where all is silent."""
    heard = levels_db[levels_db > SILENT_DB]
    if len(heard) == 0:
        return None
    active = heard[heard > np.percentile(heard, 95) - _ACTIVE_DB]
    return float(10 * np.log10(np.mean(10 ** (active / 10))))


def _power(x: Array, size: int, hop: int, *, bins_per_hz: int = 0, bins: int = 0) -> Array:
    """[F, K] power spectra of Hann frames; `bins_per_hz` pads them to that resolution."""
    padded = np.pad(x, (0, max(0, size - len(x))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    n = SAMPLE_RATE * bins_per_hz or bins or size
    return np.asarray(np.abs(np.fft.rfft(frames * np.hanning(size), n, axis=1)) ** 2)


def lone_impulses_db(x: Array) -> Array | None:
    """[T] how far the curvature of each sample exceeds that of 3-15 ms around it, dB."""
    from scipy.ndimage import maximum_filter1d

    speech_db = active_db(frame_levels_db(x))
    if speech_db is None:
        return None
    bend = np.abs(np.diff(x, 2, prepend=[x[0], x[0]]))
    gap, reach = 48, 240  # 3 and 15 ms
    beside = maximum_filter1d(bend, reach - gap)
    shift = (reach + gap) // 2
    around = np.maximum(np.roll(beside, shift), np.roll(beside, -shift))
    ratio = bend / (around + 0.01 * 10 ** (speech_db / 20))
    return np.asarray(20 * np.log10(ratio + 1e-3))


def _holes(x: Array) -> list[tuple[float, float]] | None:
    """Start and end, seconds, of each stretch where the sound is gone with a hard edge."""
    speech_db = active_db(frame_levels_db(x))
    if speech_db is None:
        return None
    fine_db = frame_levels_db(x, 80, 16)  # 5 ms every 1 ms
    bounds = np.flatnonzero(np.diff(np.r_[0, fine_db < speech_db - _ACTIVE_DB, 0]))
    holes = []
    for a, b in zip(bounds[::2], bounds[1::2], strict=True):
        if b - a < 14:
            continue
        first = np.ptp(fine_db[max(0, a - 12) : a + 5]), fine_db[max(0, a - 12) : a + 1].max()
        last = np.ptp(fine_db[max(0, b - 5) : b + 12]), fine_db[b - 1 : b + 12].max()
        if any(fall > 30.0 and beside > speech_db - 25.0 for fall, beside in (first, last)):
            holes.append((a / 1000, (b + 4) / 1000))
    return holes


def _iou(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Overlap over union, both widened by half the resolution at each end."""
    overlap = min(a[1], b[1]) - max(a[0], b[0]) + RESOLUTION_S
    return max(0.0, overlap) / (max(a[1], b[1]) - min(a[0], b[0]) + RESOLUTION_S)


def _step_db(levels_db: Array, at_s: float) -> float:
    """The largest change of the loud level from 100 ms before to 100 ms after, near `at_s`."""
    steps = [0.0]
    for i in range(_frame(at_s - 0.15), _frame(at_s + 0.15) + 1, 2):
        before, after = levels_db[max(0, i - 12) : max(0, i - 1)], levels_db[i + 1 : i + 12]
        if min(len(before), len(after)) >= 6:
            steps.append(abs(float(np.percentile(before, 80) - np.percentile(after, 80))))
    return max(steps)


def _longest_run(flags: NDArray[np.bool_]) -> int:
    """Length of the longest stretch of True."""
    bounds = np.flatnonzero(np.diff(np.r_[0, flags.view(np.int8), 0]))
    return int(np.max(bounds[1::2] - bounds[::2], initial=0))
