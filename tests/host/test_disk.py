"""A full disk: which file system, how much is missing, what can go."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tesseract import disk, errors
from tesseract.backends import fullness
from tesseract.backends.podman import builds
from tesseract.backends.refusals import engine_error
from tesseract.backends.spec import BuildSpec, ImageInfo
from tesseract.cli import circumstances
from tesseract.disk import Room
from tesseract.images.build import _explained

pytestmark = pytest.mark.fast

COPY = (
    'creating container storage: creating an ID-mapped copy of layer "2a6a": error during chown: '
    "storage-chown-by-maps: lchown usr/lib/locale/C.utf8/LC_CTYPE: no space left on device: exit status 1"
)
SMALL = Room("/srv", 7, free=29_000_000, size=330_000_000)


def image(size: int, root: Path) -> ImageInfo:
    attrs = {"GraphDriver": {"Data": {"UpperDir": f"{root}/overlay/0123/diff"}}}
    return ImageInfo("0123", ("x:latest",), {}, {}, size, attrs=attrs)


@pytest.mark.parametrize(
    "said",
    [
        COPY,
        "write /home/ada/.local/share/containers/storage/overlay-layers/.tmp-layers.json2: no space left on device",
        "localhost/seg: image not known: write /x: no space left on device",
        "No such image: seg: write /x: disk quota exceeded",
        "no such container: mkdir /x: no space left on device",
    ],
)
def test_a_full_disk_is_never_not_found(said: str) -> None:
    error = engine_error("Podman", said, 404)
    assert type(error) is errors.DiskFull
    assert said in str(error)
    assert "not found" not in str(error).replace(said, "")


def test_what_is_missing_is_a_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(disk, "room", lambda path: SMALL if path == f"{tmp_path}/overlay" else None)
    error = engine_error("Podman", COPY)
    assert isinstance(error, errors.DiskFull)
    told = str(fullness.with_room(error, "podman", image(129_000_000, tmp_path)))
    assert told.startswith(
        "The disk is full: /srv has 29 MB of 330 MB left, and a copy of the image for your user takes 129 MB: "
        "100 MB are missing ("
    )
    assert "`podman image prune`" in told
    assert COPY in told


def test_what_is_not_known_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "room", lambda path: None)
    error = errors.DiskFull("write /x: no space left on device")
    assert fullness.with_room(error, "podman") is error
    assert str(fullness.with_room(errors.DiskFull(COPY), "podman", None)).startswith("The disk is full (")


def test_the_path_that_was_written_to_tells_the_file_system() -> None:
    assert disk.named_in("write /srv/a/b.json: no space left on device") == "/srv/a/b.json"
    assert disk.named_in('mkdir "/srv/a b": no space') == "/srv/a"
    assert disk.named_in("lchown usr/lib/x: no space left on device") is None


def test_room_of_a_path_that_is_not_there_yet(tmp_path: Path) -> None:
    here, there = disk.room(tmp_path), disk.room(tmp_path / "a" / "b" / "c")
    assert here is not None
    assert there is not None
    assert (here.mount, here.device, here.size) == (there.mount, there.device, there.size)
    assert os.path.ismount(here.mount)
    assert here.device == tmp_path.stat().st_dev


def test_kinds_of_full() -> None:
    assert disk.shortage(SMALL) == "The disk is full: /srv has 29 MB of 330 MB left"
    assert disk.shortage(SMALL, 5) == disk.shortage(SMALL)
    assert "inodes" in disk.shortage(Room("/srv", 7, 10**9, 10**9, files_free=0))
    assert disk.shortage(SMALL, quota=True).startswith("Your quota on /srv is used up")


def test_what_of_ours_can_go_is_on_that_file_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = disk.room(tmp_path)
    assert found is not None
    assert disk.ours(found) == []
    for name, size in (("build", 3_000_000), ("inputs", 5_000_000)):
        (tmp_path / "tesseract" / name / "deep").mkdir(parents=True)
        (tmp_path / "tesseract" / name / "deep" / "file").write_bytes(os.urandom(size))
    builds, inputs = disk.ours(found)
    assert builds.startswith("`tesseract prune` (frees up to 3")
    assert inputs.startswith("`tesseract cache --clear` (frees up to 5")
    assert disk.ours(Room("/elsewhere", -1, 0, 0)) == []


def test_our_own_writes(tmp_path: Path) -> None:
    full = circumstances.explained(OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x")))
    found = disk.room(tmp_path)
    assert found is not None
    assert f"The disk is full: {found.mount} has " in str(full)
    assert f"{tmp_path}/x. Make room there" in str(full)
    assert "TMPDIR" in str(full)
    assert "quota" in str(circumstances.explained(OSError(errno.EDQUOT, "Disk quota exceeded")))


UV = "error: failed to write /root/.cache/uv/a: No space left on device (os error 28)"


def test_a_build_names_the_place_with_the_least_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = builds.failure(["STEP 2/3: RUN x", UV], 2)
    assert fullness.is_full(error)
    assert not fullness.is_full(builds.failure(["STEP 1/1: RUN false"], 1))
    rooms = {"/store": Room("/srv", 7, 50_000_000_000, 10**11), str(tmp_path): Room("/var", 8, 9_000_000, 10**9)}
    monkeypatch.setattr(disk, "room", lambda path: rooms.get(str(path)))
    told = fullness.build_with_room(error, "podman", "/store", tmp_path, None)
    for text in (told.headline, told.reason):
        assert "(os error 28). The disk is full: /var has 9 MB of 1 GB left. Make room there: " in text
        assert text.endswith("`podman image prune` or set TMPDIR to a directory with more space")
    rooms["/store"] = Room("/srv", 7, 0, 10**11)
    told = fullness.build_with_room(error, "podman", "/store", tmp_path, None)
    assert "The disk is full: /srv has 0 B of 100 GB left" in told.reason
    assert "TMPDIR" not in told.reason
    assert _explained(BuildSpec(tmp_path, tmp_path, ()), error) is error
