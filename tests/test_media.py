"""Sound in and out: every kind of file, every kind of bad file, and the limits."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hearken import media
from hearken.errors import HearkenError, LimitError, MediaError, UsageError
from hearken.media import Limits

Array = NDArray[np.float32]


def encode(path: Path, x: Array, codec: str, sr: int, layout: str = "mono") -> Path:
    """Write [T] through PyAV with `codec`, in the container that the suffix names."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=sr)
        stream.layout = layout
        at = 0
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(np.atleast_2d(x)), format="fltp", layout=layout
        )
        frame.sample_rate, frame.pts = sr, at
        change = av.AudioResampler(format=stream.format.name, layout=layout, rate=sr)
        for ready in [*change.resample(frame), *change.resample(None)]:
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return path


def lag_and_match(a: Array, b: Array) -> tuple[int, float]:
    """By how many samples b is late on a, and their correlation there."""
    n = min(len(a), len(b))
    cross = np.fft.irfft(np.fft.rfft(b[:n], 2 * n) * np.conj(np.fft.rfft(a[:n], 2 * n)))
    lag = int(np.argmax(cross))
    lag = lag - 2 * n if lag > n else lag
    a, b = (a[: n - lag], b[lag:n]) if lag >= 0 else (a[-lag:n], b[: n + lag])
    return lag, float(np.corrcoef(a, b)[0, 1])


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "codec", "sr", "least"),
    [
        (".wav", "pcm_s16le", 16_000, 0.99999),
        (".wav", "pcm_s24le", 48_000, 0.999),
        (".flac", "flac", 44_100, 0.999),
        (".mp3", "libmp3lame", 44_100, 0.99),
        (".m4a", "aac", 48_000, 0.98),
        (".mp4", "flac", 16_000, 0.99999),
        (".opus", "libopus", 48_000, 0.98),
        (".webm", "libopus", 48_000, 0.98),
        (".mka", "aac", 32_000, 0.98),
        (".aiff", "pcm_s16be", 22_050, 0.999),
        (".avi", "pcm_s16le", 8_000, 0.9),
    ],
)
def test_load_reads_any_format_at_its_own_time(
    tmp_path: Path, speechlike: Array, suffix: str, codec: str, sr: int, least: float
) -> None:
    x = media.resample(speechlike, 16_000, sr)
    clip = media.load(encode(tmp_path / f"a{suffix}", x, codec, sr))
    assert clip.samples.dtype == np.float32
    assert clip.source.sr_in == sr
    assert clip.source.channels_in == 1
    assert len(clip.source.sha256) == 64
    assert not clip.source.has_video
    assert abs(len(clip.samples) - len(speechlike)) <= 2400
    lag, match = lag_and_match(speechlike, clip.samples)
    assert abs(lag) <= 1, "decoder delay was not taken out"
    assert match >= least


def test_load_decodes_by_content_not_by_name(tmp_path: Path, speechlike: Array) -> None:
    encode(tmp_path / "a.mp3", speechlike, "libmp3lame", 16_000).rename(tmp_path / "a.wav")
    assert len(media.load(tmp_path / "a.wav").samples) >= 48_000
    media.write_audio(tmp_path / "b.flac", speechlike)
    (tmp_path / "b.flac").rename(tmp_path / "b.mp4")
    assert len(media.load_audio(tmp_path / "b.mp4")) == 48_000


@pytest.mark.parametrize("name", ["concat:a|b.wav", "http:x.wav", "%03d.wav", "-i.wav", "π 𝄞.wav"])
def test_load_takes_names_as_data(tmp_path: Path, speechlike: Array, name: str) -> None:
    path = tmp_path / name
    media.write_audio(path, speechlike)
    assert len(media.load_audio(path)) == 48_000
    assert len(media.load_audio(path.read_bytes())) == 48_000


def test_load_chooses_the_channel(tmp_path: Path, speechlike: Array) -> None:
    both = np.stack([speechlike, 0.5 * speechlike], axis=1)
    media.write_audio(tmp_path / "a.wav", both, subtype="FLOAT")
    for channel, gain in [("mix", 0.75), ("left", 1), ("right", 0.5), (1, 0.5), ("0", 1)]:
        got = media.load(tmp_path / "a.wav", channel=channel).samples
        np.testing.assert_allclose(got, gain * speechlike, atol=1e-6)
    with pytest.raises(MediaError, match=r"no channel 2: it has 2, numbered from 0"):
        media.load(tmp_path / "a.wav", channel=2)
    with pytest.raises(UsageError, match="'centre' is not known"):
        media.load(tmp_path / "a.wav", channel="centre")


def test_load_takes_an_array_only_with_its_rate(speechlike: Array) -> None:
    with pytest.raises(UsageError, match="no rate, and none is guessed"):
        media.load(speechlike)  # type: ignore[arg-type]
    np.testing.assert_array_equal(media.load((speechlike, 16_000)).samples, speechlike)
    integers = np.round(speechlike * 32_767).astype(np.int16)
    np.testing.assert_allclose(media.load((integers, 16_000)).samples, speechlike, atol=5e-5)
    by_channel = np.stack([speechlike, speechlike])  # [C, T], as torchaudio has it
    np.testing.assert_array_equal(media.load((by_channel, 16_000)).samples, speechlike)
    with pytest.raises(MediaError, match="swapped"):
        media.load((speechlike, 16))


def test_blocks_joined_are_the_clip(tmp_path: Path, speechlike: Array) -> None:
    path = encode(tmp_path / "a.mp3", media.resample(speechlike, 16_000, 44_100), "mp3", 44_100)
    blocks = list(media.read_blocks(path, 0.7))
    assert {len(b) for b in blocks[:-1]} == {11_200}
    np.testing.assert_array_equal(np.concatenate(blocks), media.load(path).samples)


@pytest.mark.parametrize("channel", ["mix", 1])
def test_scan_tells_what_load_tells(tmp_path: Path, speechlike: Array, channel: str | int) -> None:
    wide = media.resample(speechlike, 16_000, 44_100)
    path = tmp_path / "a.wav"
    media.write_audio(path, np.stack([wide, 0.1 * wide], axis=1), 44_100)
    for source in (path, path.read_bytes()):
        clip = media.load(source, channel=channel)
        assert media.scan(source, channel=channel) == (clip.source, len(clip.samples))


def test_scan_holds_no_sound(tmp_path: Path, speechlike: Array) -> None:
    path = tmp_path / "a.wav"
    media.write_audio(path, np.tile(speechlike, 40))
    whole = 4 * media.scan(path)[1]
    tracemalloc.start()
    try:
        media.scan(path)
        assert tracemalloc.get_traced_memory()[1] < whole / 4
    finally:
        tracemalloc.stop()


def test_scan_refuses_what_load_refuses(tmp_path: Path, speechlike: Array) -> None:
    late = np.append(speechlike, np.float32(np.nan))
    for name, sound in {"late": late, "silent": 0 * speechlike}.items():
        soundfile.write(tmp_path / f"{name}.wav", sound, 16_000, "FLOAT")
    with pytest.raises(MediaError, match="NaN"):
        media.scan(tmp_path / "late.wav")
    with pytest.raises(MediaError, match="digital silence"):
        media.scan(tmp_path / "silent.wav")
    media.write_audio(tmp_path / "a.wav", speechlike)
    with pytest.raises(LimitError, match="max_seconds"):
        media.scan(tmp_path / "a.wav", limits=Limits(max_seconds=0.5))


@pytest.mark.parametrize("top_hz", [3_400, 7_000, 12_000])
def test_bandwidth_is_what_was_kept_not_the_rate(speechlike: Array, top_hz: int) -> None:
    noisy = np.random.default_rng(0).standard_normal(48_000 * 2).astype(np.float32) * 0.05
    low = media.resample(media.resample(noisy, 48_000, 2 * top_hz), 2 * top_hz, 48_000)
    assert media.effective_bandwidth_hz(noisy, 48_000) == pytest.approx(24_000, abs=200)
    assert media.effective_bandwidth_hz(low, 48_000) == pytest.approx(top_hz, rel=0.06)
    assert media.load((low, 48_000)).source.effective_bandwidth_hz == pytest.approx(
        media.effective_bandwidth_hz(low, 48_000)
    )
    assert media.effective_bandwidth_hz(np.zeros(4_000, np.float32), 16_000) == 0.0


def test_resample_keeps_time_and_level() -> None:
    t = np.arange(44_100) / 44_100
    tone = (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    down = media.resample(tone, 44_100, 16_000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert down.dtype == np.float32
    np.testing.assert_allclose(down[200:-200], expected[200:-200], atol=1e-4)


# --- refusing --------------------------------------------------------------------------------


def wav(seconds: float = 1.0, **changes: int) -> bytes:
    """A 16-bit WAV whose header may lie."""
    body = (np.sin(np.arange(int(16_000 * seconds)) / 9) * 9_000).astype("<i2").tobytes()
    sr, channels = changes.get("sr", 16_000), changes.get("channels", 1)
    size = changes.get("claims", len(body))
    head = struct.pack(
        "<4sI4s4sIHHIIHH",
        b"RIFF",
        min(36 + size, 2**32 - 1),
        b"WAVE",
        b"fmt ",
        16,
        1,
        channels,
        sr,
        sr * 2 * channels % 2**32,
        2 * channels,
        16,
    )
    return head + struct.pack("<4sI", b"data", size) + body


def nan_wav() -> bytes:
    x = np.zeros(16_000, np.float32)
    x[4_000] = np.nan
    file = io.BytesIO()
    soundfile.write(file, x, 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def big_float_wav() -> bytes:
    file = io.BytesIO()
    x = np.float32(20_000) * np.sin(np.arange(16_000, dtype=np.float32))
    soundfile.write(file, x, 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx"
    b"\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"\0", "cannot be read as sound or video"),
        (b"hello, I am a text file and not a sound" * 40, "cannot be read as sound or video"),
        (wav(0.0), r"holds no sound \(zero samples\)"),
        (wav(0.0, claims=2**32 - 1), r"holds no sound \(zero samples\)"),
        (wav(0.0, claims=2**31 - 1), r"holds no sound \(zero samples\)"),
        (wav(0.0, claims=10**9), "is cut short: it promises"),
        (wav(1.0, claims=64_000), "is cut short: it promises"),
        (wav(1.0)[:20_000], "is cut short: it promises"),
        (wav(1.0)[:30], "cannot be read as sound or video"),
        (wav(1.0, sr=1), "sample rate 1 Hz is outside"),
        (wav(1.0, sr=2**31), "sample rate|cannot be read"),
        (wav(1.0, channels=1_000), "channels"),
        (nan_wav(), r"NaN or infinite samples, the first at 0\.250 s"),
        (big_float_wav(), r"samples reach 2e\+04, but float sound lies in \[-1, 1\]"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "cannot be read as sound or video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n", "cannot be read"),
        (PNG, "no sound|cannot be read"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    started = time.process_time()
    with pytest.raises(MediaError, match=message) as caught:
        media.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.process_time() - started < 2.0
    with pytest.raises(MediaError, match=message):
        list(media.read_blocks(path))


def test_missing_directory_device_and_nul_are_refused(tmp_path: Path) -> None:
    for path, message in [
        (tmp_path / "none.wav", "no such file"),
        (tmp_path, "is a directory"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path / "a\0b", "no such file|cannot be opened"),
        ("", "no such file"),
    ]:
        with pytest.raises(MediaError, match=message):
            media.load(path)
        with pytest.raises(MediaError, match=message):
            media.has_video(path)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".flac", "flac"),
        (".mp3", "libmp3lame"),
        (".m4a", "aac"),
        (".mka", "flac"),
        (".opus", "libopus"),
        (".avi", "pcm_s16le"),
    ],
)
def test_a_file_cut_in_half_is_refused(
    tmp_path: Path, speechlike: Array, suffix: str, codec: str
) -> None:
    sr = 48_000
    path = encode(tmp_path / f"a{suffix}", media.resample(speechlike, 16_000, sr), codec, sr)
    assert media.load(path).duration_s > 2.9
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"cut short|cannot be read|damaged"):
        media.load(path)


def test_silence_is_refused_unless_allowed(tmp_path: Path) -> None:
    media.write_audio(tmp_path / "a.wav", np.zeros(16_000, np.float32))
    with pytest.raises(MediaError, match="contains only digital silence"):
        media.load(tmp_path / "a.wav")
    clip = media.load(tmp_path / "a.wav", allow_silent=True)
    assert len(clip.samples) == 16_000
    assert clip.source.effective_bandwidth_hz == 0.0


def test_overload_within_12_db_is_clipped_as_a_player_would(tmp_path: Path) -> None:
    tone = (1.5 * np.sin(np.arange(16_000) / 5)).astype(np.float32)
    media.write_audio(tmp_path / "a.wav", tone, subtype="FLOAT")
    got = media.load(tmp_path / "a.wav").samples
    np.testing.assert_array_equal(got, np.clip(tone, -1, 1))


# --- limits ----------------------------------------------------------------------------------


def test_each_limit_is_named_with_the_way_to_raise_it(tmp_path: Path, speechlike: Array) -> None:
    path = tmp_path / "a.wav"
    media.write_audio(path, np.stack([speechlike] * 3, axis=1))
    for limit, value in [("max_bytes", 1_000), ("max_seconds", 2.5), ("max_channels", 2)]:
        with pytest.raises(LimitError) as caught:
            media.load(path, limits=Limits(**{limit: value}))
        message = str(caught.value)
        assert str(path) in message
        assert f"Limits({limit}=...)" in message
        assert f"--{limit.replace('_', '-')}" in message


def test_a_small_opus_that_expands_is_stopped_while_streaming(tmp_path: Path) -> None:
    path = tmp_path / "bomb.opus"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, options={"vbr": "on", "dtx": "1"})
        stream.layout = "mono"
        stream.bit_rate = 6_000
        silence = np.zeros((1, 48_000), np.float32)
        for second in range(60):
            frame = av.AudioFrame.from_ndarray(silence, format="flt", layout="mono")
            frame.sample_rate, frame.pts = 48_000, second * 48_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert path.stat().st_size < 60_000
    started = time.process_time()
    with pytest.raises(LimitError, match="max_seconds"):
        media.load(path, limits=Limits(max_seconds=20))
    assert time.process_time() - started < 0.5


# --- writing ---------------------------------------------------------------------------------


def test_write_audio_keeps_every_bit_or_says_no(tmp_path: Path, speechlike: Array) -> None:
    for name in ("a.wav", "a.flac", "A.WAV"):
        media.write_audio(tmp_path / "deep" / name, speechlike)
        np.testing.assert_allclose(
            media.load_audio(tmp_path / "deep" / name), speechlike, atol=2**-15
        )
    with pytest.raises(UsageError, match=r"use \.wav or \.flac"):
        media.write_audio(tmp_path / "a.mp3", speechlike)
    with pytest.raises(MediaError, match="NaN"):
        media.write_audio(tmp_path / "n.wav", np.full(9, np.nan))
    with pytest.raises(MediaError, match="is a directory"):
        media.write_audio(tmp_path / "deep", speechlike)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        "A.WAV",
        "a.flac",
        "a.wav",
    ]


def test_atomic_leaves_the_old_file_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with media.atomic(path) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with media.atomic(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_told_without_loading_a_decoder() -> None:
    code = (
        "import sys; from hearken import media\n"
        "try: media.load('nothing.wav')\n"
        "except Exception as e: print(e)\n"
        "print([m for m in ('av','soundfile','soxr','torch','scipy','cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "nothing.wav: no such file\n[]\n"


# --- anything at all -------------------------------------------------------------------------

QUIET = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def survives(call: Callable[[], object]) -> None:
    """Either it works or it is one of our own errors."""
    try:
        call()
    except HearkenError as error:
        message = str(error)
    else:
        return
    assert "\n" not in message


@given(st.binary(max_size=400))
@example(b"ID3")
@QUIET
def test_any_bytes_are_a_clip_or_a_media_error(content: bytes) -> None:
    survives(lambda: media.load(content))


@given(
    kind=st.sampled_from(["wav", "flac", "mp3", "m4a", "opus", "mka"]),
    at=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
    keep=st.floats(0.05, 1.0),
)
@QUIET
def test_damaged_files_never_escape(
    samples_of_formats: dict[str, bytes], kind: str, at: list[tuple[float, int]], keep: float
) -> None:
    content = bytearray(samples_of_formats[kind])
    for place, value in at:
        content[min(int(place * len(content)), len(content) - 1)] = value
    survives(lambda: media.load(bytes(content[: max(1, int(keep * len(content)))])))


@pytest.fixture(scope="module")
def samples_of_formats(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("formats")
    x = (np.random.default_rng(0).standard_normal(24_000) * 0.1).astype(np.float32)
    codecs = {
        "wav": "pcm_s16le",
        "flac": "flac",
        "mp3": "libmp3lame",
        "m4a": "aac",
        "opus": "libopus",
        "mka": "aac",
    }
    return {k: encode(folder / f"a.{k}", x, c, 48_000).read_bytes() for k, c in codecs.items()}


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int16, np.uint8, np.int32, np.complex64]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40),
    ),
    st.one_of(st.integers(-5, 10**7), st.floats(allow_nan=True)),
)
@QUIET
def test_any_array_is_a_clip_or_an_error(x: NDArray[np.generic], sr: float) -> None:
    def call() -> None:
        clip = media.load((x, sr))  # type: ignore[arg-type]
        assert np.isfinite(clip.samples).all()
        assert np.abs(clip.samples).max() <= 1.0

    survives(call)
