"""The list of a data folder, and its split."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearken.data.manifest import Entry, films, read, split, unit_hash
from hearken.errors import ManifestError

HEAD = "path,kind,speaker_or_class,source,seconds\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    return path


def entry(kind: str, group: str, name: str) -> Entry:
    return Entry(Path(f"/data/{name}"), kind, group, "test", 1.0)


def test_reads_rows_in_order_with_absolute_paths(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "a/b.flac,speech,LS-1,libri,2.5\nc d.wav,noise,Rain,esc,5\n")
    rows = read(path)
    assert rows == read(tmp_path)
    assert [r.path for r in rows] == [tmp_path / "a/b.flac", tmp_path / "c d.wav"]
    assert (rows[0].kind, rows[0].group, rows[0].source, rows[0].seconds) == (
        "speech", "LS-1", "libri", 2.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("path,kind,source,seconds\n", "speaker_or_class"),
        ("", "path"),
        (HEAD + "../up.wav,speech,a,b,1\n", "line 2.*not inside"),
        (HEAD + "/etc/passwd,speech,a,b,1\n", "not inside"),
        (HEAD + ",speech,a,b,1\n", "not inside"),
        (HEAD + "x.wav,music,a,b,1\n", "line 2.*kind"),
        (HEAD + "x.wav,speech,a,b,1\ny.wav,speech,a,b,long\n", "line 3.*seconds"),
        (HEAD + "x.wav,speech,a,b,nan\n", "seconds"),
        (HEAD + "x.wav,speech,,b,1\n", "speaker_or_class"),
        (HEAD + "x.wav\n", "kind"),
    ],
)
def test_bad_manifests_name_the_place(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ManifestError, match=match):
        read(written(tmp_path, text))


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"manifest\.csv"):
        read(tmp_path)
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(ManifestError):
        read(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"\xef\xbb\xbf" + HEAD.encode() + b"x.wav,rir,r,s,1\n")
    assert read(tmp_path)[0].kind == "rir"


def test_fixed_rules_of_the_split() -> None:
    entries = [
        *(entry("speech", "PV-unknown", f"pv{k}.flac") for k in range(50)),
        *(entry("speech", "LJ", f"lj{k}.flac") for k in range(5)),
        entry("speech", "VCTK-p234", "v.flac"),
        entry("av", "GRID-s2", "s2.mp4"),
        *(entry("av", "GRID-s1", f"GRID-s1_{k}.mp4") for k in range(600)),
    ]
    parts = split(entries)
    assert {e.group for e in parts.train} == {"PV-unknown", "GRID-s1"}
    assert "GRID-s1" in {e.group for e in parts.valid}
    assert {e.group for e in parts.strangers} == {e.group for e in parts.valid} - {"GRID-s1"}
    held = [e for e in parts.valid if e.group == "GRID-s1"]
    assert 0.04 < len(held) / 600 < 0.12
    assert {e.group for e in parts.valid} == {"LJ", "VCTK-p234", "GRID-s2", "GRID-s1"}
    assert len(parts.train) + len(parts.valid) == len(entries)


def test_talkers_recordings_and_rooms_are_on_one_side() -> None:
    entries = [
        *(entry("speech", f"LS-{k // 3}", f"{k}.flac") for k in range(600)),
        *(entry("noise", "Rain", f"Rain__1-{k}-{take}.flac") for k in range(99) for take in "ABC"),
        *(
            entry("rir", f"house-{k}{variant}", f"{k}{variant}.wav")
            for k in range(60)
            for variant in ("", "-leveled", "-true-stereo", "-true-stereo-leveled")
        ),
    ]
    parts = split(entries)
    for name in (
        lambda e: e.group if e.kind == "speech" else None,
        lambda e: e.path.stem[:-2] if e.kind == "noise" else None,
        lambda e: "-".join(e.group.split("-")[:2]) if e.kind == "rir" else None,
    ):
        left, right = ({name(e) for e in side} - {None} for side in (parts.train, parts.valid))
        assert left
        assert right
        assert not left & right
    assert 0.05 < sum(e.kind == "speech" for e in parts.valid) / 600 < 0.15


def test_the_hash_is_the_same_on_every_machine() -> None:
    assert unit_hash("LS-103") == pytest.approx(0.754421417, abs=1e-9)
    assert unit_hash("LS-103", seed=1) != unit_hash("LS-103")
    entries = [entry("speech", f"LS-{k}", f"{k}.flac") for k in range(100)]
    assert split(entries) == split(list(entries))
    assert split(entries, seed=1) != split(entries)
    assert split(entries, held_out=0.0).valid == ()


@pytest.mark.data
def test_the_real_folder(data_dir: Path) -> None:
    entries = read(data_dir)
    assert len(entries) > 2_000
    assert all(e.path.is_file() for e in entries)
    parts = split(entries)
    assert {e.kind for e in parts.train} == {e.kind for e in parts.valid}


def test_films_are_the_videos_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no \.mp4"):
        films(tmp_path)
    for name in ("ann-002.mp4", "ann-001.mp4", "bob.mp4", "notes.txt"):
        (tmp_path / name).touch()
    found = films(tmp_path)
    assert [e.path.name for e in found] == ["ann-001.mp4", "ann-002.mp4", "bob.mp4"]
    assert [e.group for e in found] == ["ann", "ann", "bob"]
    assert {e.kind for e in found} == {"av"}
