from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hearken.data import online, stock
from hearken.data.fixed import fixed_scenes
from hearken.data.manifest import Entry
from hearken.data.online import Mixer
from hearken.errors import ManifestError


def _pcm(rng: np.random.Generator, seconds: float) -> np.ndarray:
    return (rng.standard_normal(int(16_000 * seconds)) * 3_000).astype(np.int16)


def _face(rng: np.random.Generator, name: str, group: str = "GRID-s1") -> stock.Face:
    crops = rng.integers(0, 256, (75, 96, 96)).astype(np.uint8)
    voices = tuple(_pcm(rng, 3) for _ in stock.FACTORS)
    return stock.Face(name, group, voices, crops, np.ones(75, bool))


@pytest.fixture
def some(rng: np.random.Generator) -> stock.Stock:
    room = np.zeros(2_000, np.int16)
    room[[10, 700]] = 20_000, 6_000
    return stock.Stock(
        faces=(*(_face(rng, f"a{i}") for i in range(3)), _face(rng, "b", "GRID-x")),
        voices=tuple(_pcm(rng, 5) for _ in range(3)),
        commands=(_pcm(rng, 1),),
        noises=(_pcm(rng, 5), np.zeros(80_000, np.int16)),
        rooms=(room,),
    )


def _envelope(clean: np.ndarray, frames: int) -> np.ndarray:
    level = np.resize(clean, frames * 640).reshape(frames, 640).std(axis=1)
    return np.repeat(level[:, None], 24, axis=1).astype(np.float32)


def _mixer(some: stock.Stock, **changes: object) -> Mixer:
    plain = Mixer(some, _envelope, lambda e, rng: e + 1, batch=6, frames=20, filmed=0.7)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def test_shapes(some: stock.Stock) -> None:
    batch = _mixer(some)(0)
    assert batch.mix.shape == batch.clean.shape == (6, 12_800)
    assert batch.crops.shape == (4, 20, 88, 88)
    assert batch.crops.dtype == np.uint8
    assert batch.drawn.shape == (4, 20, 24)
    assert batch.told.shape == (6, 20, 24)
    assert batch.seen.shape == (6, 20)
    assert not batch.told[:4].any()
    assert (batch.told[4:] >= 1).all()
    for field in dataclasses.fields(batch):
        assert np.isfinite(getattr(batch, field.name)).all()


def test_a_step_is_always_the_same_and_never_another(some: stock.Stock) -> None:
    mixer = _mixer(some)
    assert mixer(5).mix.tobytes() == mixer(5).mix.tobytes()
    assert mixer(5).crops.tobytes() == mixer(5).crops.tobytes()
    assert mixer(5).mix.tobytes() != mixer(6).mix.tobytes()
    assert mixer(5).mix.tobytes() != _mixer(some, seed=1)(5).mix.tobytes()


@pytest.mark.parametrize("filmed", [0.0, 1.0])
def test_all_or_none_may_be_filmed(some: stock.Stock, filmed: float) -> None:
    batch = _mixer(some, filmed=filmed)(0)
    assert len(batch.crops) == len(batch.drawn) == 6 * filmed


def test_half_the_scenes_keep_their_own_company(some: stock.Stock) -> None:
    """A tone that only the faces' company holds is what disturbs in about every other scene."""
    tone = (5_000 * np.sin(2 * np.pi * 3_000 * np.arange(48_000) / 16_000)).astype(np.int16)
    faces = [dataclasses.replace(f, company=tone, company_talks=True) for f in some.faces]
    mixer = _mixer(dataclasses.replace(some, faces=faces, rooms=()), filmed=1.0, batch=30)
    batch = mixer(0)
    power = np.abs(np.fft.rfft(batch.mix - batch.clean, axis=1)) ** 2
    at = round(3_000 * batch.mix.shape[1] / 16_000)
    share = power[:, at - 5 : at + 6].sum(axis=1) / power.sum(axis=1)
    assert 8 <= (share > 0.9).sum() <= 22
    assert not ((share > 0.1) & (share < 0.9)).any()


def test_silent_company_is_not_kept(some: stock.Stock) -> None:
    faces = [dataclasses.replace(f, company=np.zeros(48_000, np.int16)) for f in some.faces]
    batch = _mixer(dataclasses.replace(some, faces=faces), filmed=1.0)(0)
    assert (np.abs(batch.mix - batch.clean).max(axis=1) > 1e-3).all()


def test_blank_is_drawn_as_often_as_asked(some: stock.Stock) -> None:
    mixer = _mixer(some, blank=0.5, batch=40)
    unseen = np.mean([(mixer(i).seen.max(axis=1) == 0).mean() for i in range(3)])
    assert 0.3 < unseen < 0.7


def test_wrong_lips_are_shown_as_often_as_asked(some: stock.Stock) -> None:
    """Alone in the dry with a talker who is heard at one level: his envelope tells whose it is."""
    loud = dataclasses.replace(some.faces[0], crops=np.full((75, 96, 96), 200, np.uint8))
    dark = dataclasses.replace(some.faces[3], crops=np.zeros((75, 96, 96), np.uint8))
    silent = tuple(np.zeros(48_000, np.int16) for _ in stock.FACTORS)
    two = dataclasses.replace(some, faces=(loud, dataclasses.replace(dark, voices=silent)))
    # Two fifths of them are his own, out of step; of the others half are his by chance.
    for wrong, low, high in ((0.0, 0.0, 0.0), (1.0, 0.15, 0.45)):
        batch = _mixer(two, wrong=wrong, filmed=1.0, batch=60)(0)
        heard = np.abs(batch.clean).max(axis=1) > 0
        shown = batch.crops.mean(axis=(1, 2, 3)) > 80
        assert low <= np.mean(heard != shown) <= high


def test_a_faster_talker_has_faster_lips() -> None:
    rows = online._rows(np.arange(100)[:, None], 10, 20, 1.5)[:, 0]
    assert rows[[0, 2, 10]].tolist() == [10, 13, 25]
    assert online._rows(np.arange(30)[:, None], 10, 20, 1.5)[-1, 0] == 29  # the last is held
    tone = (3_000 * np.sin(2 * np.pi * 200 * np.arange(48_000) / 16_000)).astype(np.int16)
    fast = online._hurried(tone, 1_600, 16_000, 1.5)
    assert len(fast) == 16_000
    assert int(np.argmax(np.abs(np.fft.rfft(fast)))) == 300
    assert not online._hurried(tone, 47_000, 16_000, 1.5)[2_000:].any()


def test_mixtures_span_the_promised_range(some: stock.Stock) -> None:
    dry = dataclasses.replace(some, rooms=())
    batches = [_mixer(dry, batch=20)(i) for i in range(3)]
    snrs = [
        10 * np.log10(c.astype(float).var() / (m - c).astype(float).var())
        for b in batches
        for m, c in zip(b.mix, b.clean, strict=True)
    ]
    assert -10.1 < min(snrs) < -3
    assert 3 < max(snrs) < 20.1
    assert all(np.abs(b.mix).max() <= 0.96 for b in batches)


def _write(folder: Path, rng: np.random.Generator) -> list[Entry]:
    made = []
    for name, kind, group, seconds in (
        ("a", "av", "GRID-s1", 3.0),
        ("v", "speech", "LS-1", 4.0),
        ("c", "speech", "PV-unknown", 1.0),
        ("n", "noise", "Rain", 2.0),
        ("r", "rir", "house", 0.5),
    ):
        path = folder / f"{name}.wav"
        soundfile.write(path, _pcm(rng, seconds), 16_000)
        made.append(Entry(path, kind, group, "test", seconds))
    return made


def _load(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


def test_stock_sorts_shifts_and_caches(tmp_path: Path, rng: np.random.Generator) -> None:
    looked = []

    def crop(path: Path) -> tuple[np.ndarray, np.ndarray]:
        looked.append(path)
        return np.zeros((75, 96, 96), np.uint8), np.ones(75, bool)

    entries = _write(tmp_path, rng)
    for _ in range(2):
        held = stock.build(entries, tmp_path / "cache", load=_load, crop=crop, shifted=True)
        assert [len(x) for x in (held.voices, held.commands, held.noises, held.rooms)] == [1] * 4
        assert len(held.faces[0].voices) == len(stock.FACTORS)
        assert {len(v) for v in held.faces[0].voices} == {48_000}
        assert held.faces[0].frames == 75
    assert len(looked) == 1  # the second time everything came from the cache


def test_stock_without_faces_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    def nobody(path: Path) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((75, 96, 96), np.uint8), np.zeros(75, bool)

    with pytest.raises(ManifestError, match="0 videos"):
        stock.build(_write(tmp_path, rng), tmp_path / "c", load=_load, crop=nobody, shifted=False)


def test_fixed_scenes_are_fixed_and_show_the_wrong_face_too(some: stock.Stock) -> None:
    one, two = (fixed_scenes(some, "GRID-s1", 4) for _ in range(2))
    kinds = {s.kind for s in one}
    assert kinds == {
        "noise/known", "noise/unseen", "talker/known", "talker/unseen", "same_voice/known",
        "noise/unfilmed",
    }  # fmt: skip
    assert len(one) == 24
    for a, b in zip(one, two, strict=True):
        assert a.mix.tobytes() == b.mix.tobytes()
        assert a.mix.shape == a.clean.shape
        if a.crops is not None:
            assert a.wrong is not None
            assert a.crops.shape[1:] == (88, 88)
            assert not np.array_equal(a.crops, a.wrong)


def test_fixed_scenes_meet_every_clip_at_every_level(rng: np.random.Generator) -> None:
    faces = tuple(_face(rng, f"u{i}", "GRID-x") for i in range(5))
    held = stock.Stock(faces, (_pcm(rng, 5),), (), (_pcm(rng, 5),), ())
    scenes = [s for s in fixed_scenes(held, "GRID-s1", 15) if s.kind == "talker/unseen"]
    levels = {
        (s.clean.tobytes()[:64], round(10 * np.log10(s.clean.var() / (s.mix - s.clean).var())))
        for s in scenes
    }
    assert len(levels) == 15


def test_lips_out_of_step_are_late_by_what_cannot_help(
    some: stock.Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A click at frame 40 tells where the voice begins, the brightness where the picture does."""
    click = np.zeros(48_000, np.int16)
    click[40 * 640 + 320] = 30_000
    film = np.repeat(np.arange(75, dtype=np.uint8), 96 * 96).reshape(75, 96, 96)
    one = dataclasses.replace(some.faces[0], crops=film, voices=tuple(click for _ in stock.FACTORS))
    monkeypatch.setattr(online, "_shown", lambda crops, rng: crops[:, :88, :88])
    monkeypatch.setattr(online, "_SPEEDS", (1.0, 1.0))
    only = dataclasses.replace(some, faces=(one,), rooms=())
    for wrong, low, high in ((0.0, 0.0, 0.0), (1.0, 0.5, 0.95)):
        batch = _mixer(only, wrong=wrong, filmed=1.0, batch=60, frames=60)(0)
        begins = 40 - np.abs(batch.clean).argmax(axis=1) // 640
        shift = (batch.crops[:, 0, 0, 0] - begins) % 15
        assert low <= np.mean((shift >= 3) & (shift <= 11)) <= high
        assert wrong or not shift.any()
