"""Pictures on the clock of the sound, and new sound into old videos."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from hearken import media
from hearken.errors import LimitError, MediaError
from hearken.media import Limits

Array = NDArray[np.float32]
ENCODERS = {".webm": ("libvpx", "libopus"), ".avi": ("mpeg4", "pcm_s16le")}
SRT_LINE = b"hello, talker"
ASS_HEADER = (
    b"[Script Info]\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,Arial,16\n"
    b"[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)


def film(
    path: Path,
    times_s: Sequence[float],
    samples: Array | None,
    *,
    sound_s: float = 0.0,
    rate: Fraction = Fraction(25),
    second: Array | None = None,
    subtitles: bool = False,
    rotate: int = 0,
) -> Path:
    """A video whose grey level is its time (2 levels a frame of 1/25 s), with B-frames in H.264.

    Args:
        path: its suffix names the container.
        times_s: when each frame is shown.
        samples: mono 16 kHz sound, from `sound_s` on.
        sound_s: the start of the sound.
        rate: nominal frame rate.
        second: a second sound stream.
        subtitles: add a text subtitle stream.
        rotate: degrees that a player turns the picture by.
    """
    picture_codec, sound_codec = ENCODERS.get(path.suffix, ("libx264", "aac"))
    tick = Fraction(1, 1000) if path.suffix != ".avi" else 1 / rate
    with av.open(str(path), "w") as container:
        picture = container.add_stream(picture_codec, rate=rate)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        picture.codec_context.time_base = tick
        if picture_codec == "libx264":
            picture.options = {"crf": "4", "bf": "3", "g": "30"}
        else:
            picture.bit_rate = 4_000_000
            picture.options = (
                {"deadline": "realtime", "cpu-used": "8"} if "vpx" in picture_codec else {}
            )
        picture.codec_context.thread_count = 1
        if rotate:
            picture.set_display_rotation(rotate)
        tracks = [
            (container.add_stream(sound_codec, rate=48_000, layout="mono"), x)
            for x in (samples, second)
            if x is not None
        ]
        words = None
        if subtitles:
            words = container.add_stream("srt" if path.suffix == ".mkv" else "mov_text")
            words.codec_context.subtitle_header = ASS_HEADER
        for stream, x in tracks:
            x48 = media.resample(x, 16_000, 48_000)[None]
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(x48), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 48_000, round(sound_s * 48_000)
            change = av.AudioResampler(format=stream.format.name, layout="mono", rate=48_000)
            for ready in [*change.resample(frame), *change.resample(None), None]:
                container.mux(stream.encode(ready))
        for at_s in times_s:
            level = np.full((48, 64, 3), 20 + round(at_s * 50), np.uint8)
            level[:24, :32] = 255  # a corner that shows which way is up
            frame = av.VideoFrame.from_ndarray(level, format="rgb24")
            frame.pts, frame.time_base = round(at_s / tick), tick
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if words is not None:
            packet = av.Packet(SRT_LINE if path.suffix == ".mkv" else b"\0\x0d" + SRT_LINE)
            packet.stream, packet.time_base = words, Fraction(1, 1000)
            packet.pts = packet.dts = 500
            packet.duration = 800
            container.mux(packet)
    return path


def shown_s(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """The time that each frame's grey level tells."""
    return np.array([(float(f[30:, 40:].mean()) - 20) / 50 for f in frames])


def voice(seconds: float, seed: int = 0) -> Array:
    """Noise in bursts: its lag can be found to the sample."""
    n = int(16_000 * seconds)
    x = np.random.default_rng(seed).standard_normal(n) * (np.sin(np.arange(n) / 3_000) > 0)
    x = np.convolve(x, np.hanning(9) / 4, "same")
    return (0.1 * x).astype(np.float32)


def lag_samples(a: Array, b: Array) -> int:
    n = len(a) + len(b)
    cross = np.fft.irfft(np.fft.rfft(b, n) * np.conj(np.fft.rfft(a, n)), n)
    lag = int(np.argmax(cross))
    return lag - n if lag > n // 2 else lag


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov", ".avi"])
@pytest.mark.parametrize("rate", ["24", "25", "30000/1001", "30", "60"])
def test_frames_of_any_rate_come_on_the_25_fps_clock(
    tmp_path: Path, suffix: str, rate: str
) -> None:
    fps = Fraction(rate)
    times = [float(v / fps) for v in range(int(3 * fps))]
    path = film(tmp_path / f"a{suffix}", times, voice(3.0), rate=fps)
    frames = list(media.iter_frames(path))
    info = media.video_info(path)
    assert len(frames) == info.frames_at_25
    assert abs(len(frames) - 75) <= 1
    assert info.fps == pytest.approx(float(fps), rel=0.01)
    assert (info.width, info.height) == (64, 48)
    error_s = shown_s(frames) - np.arange(len(frames)) / 25
    assert np.abs(error_s).max() <= 0.5 / float(fps) + 0.03
    assert abs(error_s.mean()) <= 0.01


def test_frames_of_a_varying_rate(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([0.02, 0.033, 0.04, 0.1, 0.3], 40))
    times = times - times[0]
    path = film(tmp_path / "a.mkv", times.tolist(), None, rate=Fraction(30))
    frames = list(media.iter_frames(path))
    clock = np.arange(len(frames)) / 25
    nearest_s = np.abs(times[None] - clock[:, None]).min(axis=1)
    assert (np.abs(shown_s(frames) - clock) <= nearest_s + 0.035).all()
    assert len(frames) == media.video_info(path).frames_at_25


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
@pytest.mark.parametrize("sound_s", [0.4, 0.0])
def test_frame_0_is_at_the_first_sample(tmp_path: Path, suffix: str, sound_s: float) -> None:
    times = [v / 25 for v in range(75)]
    path = film(tmp_path / f"a{suffix}", times, voice(2.0), sound_s=sound_s)
    frames = list(media.iter_frames(path))
    told_s = shown_s(frames) - np.arange(len(frames)) / 25
    # An mp4 whose sound starts late shows the AAC encoder's 1024 samples of run-in, too.
    start_s = sound_start(path)
    assert start_s == pytest.approx(sound_s, abs=0.025)
    np.testing.assert_allclose(told_s, start_s, atol=0.045)
    assert abs(told_s.mean() - start_s) <= 0.025
    assert len(frames) == media.video_info(path).frames_at_25
    assert abs(len(frames) - (75 - 25 * start_s)) <= 0.5


def test_a_picture_that_starts_late_is_led_in_by_its_first_frame(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [1.0 + v / 25 for v in range(25)], voice(2.0))
    frames = list(media.iter_frames(path))
    assert len(frames) == 50
    np.testing.assert_allclose(shown_s(frames[:25]), 1.0, atol=0.025)
    assert shown_s(frames[-1:])[0] == pytest.approx(1.96, abs=0.03)


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_phone_held_upright_gives_upright_frames(tmp_path: Path, turn: int) -> None:
    path = film(tmp_path / "a.mp4", [v / 25 for v in range(5)], voice(0.2), rotate=turn)
    frame = next(media.iter_frames(path))
    plain = next(media.iter_frames(film(tmp_path / "b.mp4", [0.0, 0.04], voice(0.2))))
    assert frame.shape == ((64, 48) if turn % 180 else (48, 64))
    np.testing.assert_allclose(frame.astype(int), np.rot90(plain, turn // 90), atol=4)
    info = media.video_info(path)
    assert (info.height, info.width) == frame.shape


def test_colour_frames_are_rgb(tmp_path: Path) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 250
    media.write_video(tmp_path / "a.mp4", [red] * 5)
    frames = list(media.iter_frames(tmp_path / "a.mp4", colour=True))
    assert len(frames) == 5
    np.testing.assert_allclose(frames[0].mean(axis=(0, 1)), [250, 0, 0], atol=8)


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("libmp3lame", rate=16_000, layout="mono")
        cover = container.add_stream("png")
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        image = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 90, np.uint8), format="rgb24")
        container.mux(cover.encode(image))
        container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(voice(1.0)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    assert not media.has_video(path)
    assert not media.load(path).source.has_video
    with pytest.raises(MediaError, match="has no moving picture"):
        next(media.iter_frames(path))


def test_picture_limits_are_named(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [v / 25 for v in range(50)], voice(2.0))
    for limit, value in [("max_pixels", 64 * 48 - 1), ("max_frames", 49), ("max_seconds", 1.5)]:
        limits = Limits(**{limit: value})
        with pytest.raises(LimitError, match=rf"Limits\({limit}=\.\.\.\)"):
            list(media.iter_frames(path, limits=limits))
        with pytest.raises(LimitError, match=limit):
            media.video_info(path, limits=limits)


# --- mux -------------------------------------------------------------------------------------


def packets(path: Path, kind: str, index: int = 0) -> list[tuple[float, bytes]]:
    """(time, bytes) of every packet of one stream, in time order from its first."""
    with av.open(str(path)) as container:
        stream = [s for s in container.streams if s.type == kind][index]
        got = [
            (float((p.pts or 0) * p.time_base), bytes(p)) for p in container.demux(stream) if p.size
        ]
    return got


def sound_start(path: Path) -> float:
    """When the first decoded sample plays, on the container's clock."""
    with av.open(str(path)) as container:
        return float(next(container.decode(audio=0)).time or 0.0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov", ".avi"])
@pytest.mark.parametrize("sound_s", [0.0, 0.3])
def test_mux_copies_the_picture_and_keeps_the_sound_in_time(
    tmp_path: Path, suffix: str, sound_s: float
) -> None:
    old = film(tmp_path / f"a{suffix}", [v / 25 for v in range(75)], voice(2.5), sound_s=sound_s)
    new, sound = tmp_path / f"b{suffix}", voice(2.5, seed=1)
    before = media.load(old)
    media.mux(old, sound, new)
    after = media.load(new)
    assert after.source.has_video
    before_P, after_P = packets(old, "video"), packets(new, "video")
    assert [p for _, p in before_P] == [p for _, p in after_P]
    # Picture against picture and sound against sound, both on the containers' own clocks.
    shift_s = after_P[0][0] - before_P[0][0]
    np.testing.assert_allclose(
        [t for t, _ in after_P], [t + shift_s for t, _ in before_P], atol=0.002
    )
    start_before, start_after = (sound_start(p) for p in (old, new))
    assert lag_samples(sound, after.samples) / 16_000 + start_after - shift_s == pytest.approx(
        start_before, abs=0.0015
    )
    assert abs(len(after.samples) - len(sound)) <= 1_000
    assert abs(len(list(media.iter_frames(new))) - len(list(media.iter_frames(old)))) <= 1
    assert before.source.sha256 != after.source.sha256
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_mux_keeps_the_other_streams(tmp_path: Path, suffix: str) -> None:
    times = [v / 25 for v in range(50)]
    old = film(
        tmp_path / f"a{suffix}", times, voice(2.0), second=voice(2.0, seed=5), subtitles=True
    )
    media.mux(old, voice(2.0, seed=1), tmp_path / f"b{suffix}")
    new = tmp_path / f"b{suffix}"
    with av.open(str(old)) as a, av.open(str(new)) as b:
        assert [s.type for s in a.streams] == [s.type for s in b.streams]
        assert a.format.name == b.format.name
    assert [p for _, p in packets(old, "audio", 1)] == [p for _, p in packets(new, "audio", 1)]
    assert [p for _, p in packets(old, "subtitle")] == [p for _, p in packets(new, "subtitle")]
    assert any(SRT_LINE in p for _, p in packets(new, "subtitle"))


def test_mux_takes_a_wav_and_a_silent_video_and_may_overwrite(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [v / 25 for v in range(50)], None)
    media.write_audio(tmp_path / "n.wav", voice(2.0))
    media.mux(path, tmp_path / "n.wav", path)
    clip = media.load(path)
    assert clip.source.has_video
    assert abs(lag_samples(voice(2.0), clip.samples)) <= 1


def test_mux_goes_by_content_where_the_suffix_lies(tmp_path: Path) -> None:
    film(tmp_path / "a.mkv", [0.0, 0.04], voice(0.5)).rename(tmp_path / "a.mp4")
    media.mux(tmp_path / "a.mp4", voice(0.5), tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert "matroska" in container.format.name


def test_a_failed_mux_leaves_nothing(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [v / 25 for v in range(50)], voice(2.0))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:-3_000])
    media.write_audio(tmp_path / "s.wav", voice(1.0))
    for source, sound in [
        (cut, voice(1.0)),
        (tmp_path / "s.wav", voice(1.0)),
        (path, np.full(9, np.nan, np.float32)),
        (path, tmp_path / "none.wav"),
        (tmp_path / "none.mp4", voice(1.0)),
    ]:
        with pytest.raises(MediaError):
            media.mux(source, sound, tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "cut.mp4", "s.wav"]


@pytest.mark.parametrize("codec", ["aac", "flac"])
def test_write_video_keeps_sound_and_picture_together(tmp_path: Path, codec: str) -> None:
    frames = [np.full((48, 64, 3), 20 + 2 * v, np.uint8) for v in range(50)]
    media.write_video(tmp_path / "a.mp4", frames, voice(2.0), sound_codec=codec)
    got = media.load(tmp_path / "a.mp4")
    assert abs(lag_samples(voice(2.0), got.samples)) <= 1
    np.testing.assert_allclose(
        shown_s(list(media.iter_frames(tmp_path / "a.mp4"))), np.arange(50) / 25, atol=0.025
    )
    if codec == "flac":
        np.testing.assert_allclose(got.samples, voice(2.0), atol=2**-15)
    with pytest.raises(MediaError, match="no frames"):
        media.write_video(tmp_path / "b.mp4", [], voice(1.0))
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.data
def test_real_talkers_keep_their_picture_and_time(data_dir: Path, tmp_path: Path) -> None:
    for path in sorted((data_dir / "av").glob("*.mp4"))[::150]:
        clip = media.load(path)
        assert media.video_info(path).frames_at_25 == len(list(media.iter_frames(path)))
        media.mux(path, clip.samples, tmp_path / path.name)
        np.testing.assert_allclose(media.load_audio(tmp_path / path.name), clip.samples, atol=1e-4)
        assert packets(path, "video") == packets(tmp_path / path.name, "video")
