"""Reading what a container wrote, whatever it is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tesseract_core import untrusted
from tesseract_core.untrusted import Unfit, files, listed, open_regular, read_regular, socket_at

pytestmark = pytest.mark.fast


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A directory with one file of each kind, beside a private one."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private/key").write_text("secret")
    place = tmp_path / "output"
    (place / "deep/deeper").mkdir(parents=True)
    (place / "deep/deeper/file").write_text("inside")
    (place / "stolen").symlink_to(tmp_path / "private/key")
    (place / "elsewhere").symlink_to(tmp_path / "private")
    (place / "endless").symlink_to("/dev/zero")
    (place / "latest").symlink_to("deep/deeper/file")
    (place / "loop").symlink_to("loop")
    os.mkfifo(place / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(place / "socket"))
    return place


def test_a_regular_file_is_read_also_through_a_link_to_the_root(planted: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(planted)
    assert read_regular(tmp_path / "link", "deep/deeper/file", at_most=6) == b"inside"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("stolen", "a symbolic link"),
        ("elsewhere/key", "a symbolic link"),
        ("endless", "a symbolic link"),
        ("latest", "a symbolic link"),
        ("loop", "a symbolic link"),
        ("pipe", "a named pipe"),
        ("socket", "a socket"),
        ("deep", "a directory"),
        ("../private/key", "not a name"),
        ("deep/../../private/key", "not a name"),
        ("/etc/passwd", "not a name"),
        ("a\0b", "not a name"),
    ],
)
def test_nothing_else_is(planted: Path, name: str, what: str) -> None:
    with pytest.raises(Unfit, match=what):
        open_regular(planted, name)


@pytest.mark.parametrize(("name", "error"), [("missing", FileNotFoundError), ("pipe/x", NotADirectoryError)])
def test_what_is_not_there(planted: Path, name: str, error: type[OSError]) -> None:
    with pytest.raises(error):
        open_regular(planted, name)


def test_a_file_that_becomes_a_pipe_between_look_and_open(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = planted / "deep/deeper/file"
    monkeypatch.setattr(untrusted, "_lstat", lambda directory, name: planted.parent.joinpath("private/key").stat())
    file.unlink()
    os.mkfifo(file)
    monkeypatch.setattr(untrusted, "_require_directory", lambda state, name: None)
    with pytest.raises(Unfit, match="named pipe"):
        open_regular(planted, "deep/deeper/file")


def test_size_is_bounded(planted: Path) -> None:
    with pytest.raises(Unfit, match="more than 5 bytes"):
        read_regular(planted, "deep/deeper/file", at_most=5)


def test_without_directory_descriptors_links_are_refused_too(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted, "_BY_DESCRIPTOR", False)
    assert read_regular(planted, "deep/deeper/file", at_most=6) == b"inside"
    for name in ("stolen", "elsewhere/key"):
        with pytest.raises(Unfit, match="a symbolic link"):
            open_regular(planted, name)


def test_only_regular_files_are_found_and_the_rest_is_told(planted: Path) -> None:
    told: dict[str, str] = {}
    assert [found.name for found in files(planted, 100, told.__setitem__)] == ["deep/deeper/file"]
    links = ("stolen", "elsewhere", "endless", "latest", "loop")
    assert told == {**dict.fromkeys(links, "a symbolic link"), "pipe": "a named pipe", "socket": "a socket"}
    assert [found.name for found in files(planted, 100, below="deep/deeper")] == ["deep/deeper/file"]
    with pytest.raises(Unfit):
        listed(planted, "elsewhere", 100)


def test_a_link_to_a_socket_is_not_followed(planted: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "api.sock"))
        listener.listen()
        with socket_at(tmp_path / "api.sock") as address:
            client.connect(address)
    (tmp_path / "link").symlink_to("api.sock")
    for path, what in ((tmp_path / "link", "a symbolic link"), (planted / "pipe", "a named pipe")):
        with pytest.raises(Unfit, match=what), socket_at(path):
            pass


def test_number_and_depth_are_bounded(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"file{number}").touch()
    told: dict[str, str] = {}
    assert len(list(files(tmp_path, 3, told.__setitem__))) == 3
    assert told == {".": "more than 3 entries in all, the others are left out"}
    deep, told = tmp_path / "deep", {}
    for level in range(untrusted.DEEPEST + 3):
        deep = deep / str(level)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    assert len(list(files(tmp_path, 1000, told.__setitem__))) == 5
    assert list(told.values()) == ["more than 64 directories deep"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_directory_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    told: dict[str, str] = {}
    assert list(files(tmp_path, 10, told.__setitem__)) == []
    assert told == {"closed": "Permission denied"}
