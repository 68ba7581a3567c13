from __future__ import annotations

import io
from pathlib import Path

import pytest

from hearken.app.inputs import expand, file_name
from hearken.errors import ManifestError, UsageError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.wav", "a.flac", "sub/a.mp4", ".hidden.wav", "notes.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "in"


def test_a_folder_is_walked_in_order_and_only_for_media(tree: Path) -> None:
    found = expand([str(tree)])
    assert [Path(i.path).relative_to(tree).as_posix() for i in found] == [
        "a.flac",
        "b.wav",
        "sub/a.mp4",
    ]
    assert [i.folder for i in found] == ["", "", "sub"]
    assert all(i.error is None for i in found)


def test_keys_are_stems_unless_two_share_one(tree: Path) -> None:
    keys = [i.key for i in expand([str(tree)])]
    assert keys[1] == "b"
    assert keys[0].endswith("in/a.flac")
    assert keys[2].endswith("in/sub/a.mp4")


def test_the_same_file_twice_is_two_rows(tree: Path) -> None:
    name = str(tree / "b.wav")
    assert [i.key for i in expand([name, name])] == [name, name + "#2"]


def test_what_leads_nowhere_is_a_row_with_an_error(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "zero.wav").write_bytes(b"")
    (tmp_path / "nothing").mkdir()
    names = [
        str(tree / "gone.wav"),
        str(tree / "*.ogg"),
        str(tmp_path / "zero.wav"),
        str(tmp_path / "nothing"),
        "/dev/zero",
        "x" * 5000,
        "nul\0byte.wav",
    ]
    found = expand(names)
    assert len(found) == len(names)
    wanted = ("no such file", "no file matches", "empty", "no audio", "regular", "", "")
    for item, words in zip(found, wanted, strict=True):
        assert item.error is not None
        assert words in item.error


def test_a_glob_finds_its_files(tree: Path) -> None:
    assert [Path(i.path).name for i in expand([str(tree / "**" / "a.*")])] == ["a.flac", "a.mp4"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tree: Path) -> None:
    (tree / "take[1].wav").write_bytes(b"x")
    assert expand([str(tree / "take[1].wav")])[0].error is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.scp", "one b.wav\ntwo sub/a.mp4\n"),
        ("l.jsonl", '{"key": "one", "path": "b.wav"}\n\n{"id": "two", "audio": "sub/a.mp4"}\n'),
        ("l.csv", "key,Path\none,b.wav\ntwo,sub/a.mp4\n"),
    ],
)
def test_lists_give_keys_and_paths_from_their_own_folder(tree: Path, name: str, text: str) -> None:
    (tree / name).write_text(text)
    found = expand([str(tree / name)])
    assert [i.key for i in found] == ["one", "two"]
    assert [i.error for i in found] == [None, None]


def test_a_listed_path_may_not_leave_its_root(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(b"x")
    (tree / "l.csv").write_text(f"path\n../secret.wav\n{tmp_path / 'secret.wav'}\nb.wav\n")
    found = expand([str(tree / "l.csv")])
    assert [i.error is None for i in found] == [False, False, True]
    assert "--root" in str(found[0].error)
    allowed = expand([str(tree / "l.csv")], root=str(tmp_path))
    assert [i.error for i in allowed] == [None, None, None]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("l.scp", "one sox in.wav -t wav - |\n", "never run"),
        ("l.scp", "lonely\n", "line 1"),
        ("l.jsonl", '{"path": "a"}\n{oops\n', "line 2"),
        ("l.jsonl", '{"size": 3}\n', "no path"),
        ("l.csv", "name,size\na,3\n", "column"),
    ],
)
def test_a_broken_list_names_the_place(tree: Path, name: str, text: str, words: str) -> None:
    (tree / name).write_text(text)
    with pytest.raises(ManifestError, match=words):
        expand([str(tree / name)])


def test_standard_input_is_a_list_or_one_clip(tree: Path) -> None:
    listed = expand(["-"], stdin=io.BytesIO(f"{tree}/b.wav\n\n{tree}/gone.wav\n".encode()))
    assert [i.error is None for i in listed] == [True, False]
    clip = expand(["-"], stdin=io.BytesIO(b"RIFF\x24\0\0\0WAVE"))
    assert clip[0].data == b"RIFF\x24\0\0\0WAVE"
    assert clip[0].key == "stdin"
    assert expand(["-"], stdin=io.BytesIO(b""))[0].error is not None


def test_nothing_to_do_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="no input"):
        expand([])
    with pytest.raises(UsageError, match="twice"):
        expand(["-", "-"])


@pytest.mark.parametrize(
    "key", ["../../etc/x", "/abs/x", "..", "", ".ssh", "a\0b", "a:b", "x" * 999]
)
def test_a_key_never_names_another_folder(key: str) -> None:
    name = file_name(key)
    assert name
    assert not set(name) & set('/\\:\0"<>|?*')
    assert not name.startswith(".")
    assert len(name) < 200


def test_two_keys_never_share_a_file() -> None:
    assert file_name("a/b") != file_name("a_b") != file_name("a:b")
