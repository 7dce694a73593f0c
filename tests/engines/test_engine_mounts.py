"""What containers see of the host, and what they can do to it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerSpec, Mount, UserMapping

Python = Callable[..., ContainerSpec]
Run = Callable[[ContainerSpec], tuple]

TRY_TO_WRITE = """
import os, pathlib, sys
for path in sys.argv[1:]:
    try:
        pathlib.Path(path).write_text("broken in")
        print("written")
    except OSError as exc:
        print(exc.strerror)
"""


@pytest.fixture
def volume(backend: Backend) -> Iterator[str]:
    name = f"contract-{secrets.token_hex(4)}"
    yield name
    if name in backend.volumes():
        backend.remove_volume(name)


def test_a_writable_bind_belongs_to_the_caller_on_both_sides(python: Python, run: Run, shared_dir: Path) -> None:
    (shared_dir / "private").write_text("for my eyes only")
    (shared_dir / "private").chmod(0o600)
    code = "import pathlib, os; p = pathlib.Path('/data'); print((p/'private').read_text()); (p/'new').write_text('x')"
    status, out, err, _ = run(python(code, mounts=(Mount("bind", str(shared_dir), "/data"),)))
    assert (status, out) == (0, b"for my eyes only\n"), err
    state = (shared_dir / "new").stat()
    assert (state.st_uid, state.st_gid) == (os.getuid(), os.getgid())


@pytest.mark.parametrize("root", [False, True], ids=["caller", "container-root"])
def test_a_read_only_bind(python: Python, run: Run, shared_dir: Path, caller: UserMapping, root: bool) -> None:
    (shared_dir / "inputs").mkdir()
    (shared_dir / "inputs/file").write_text("precious")
    (shared_dir / "inputs/link").symlink_to("/inputs/file")
    (shared_dir / "inputs").chmod(0o777)
    (shared_dir / "inputs/file").chmod(0o666)
    user = UserMapping(caller.caller_uid, caller.caller_gid, 0, 0) if root else caller
    mounts = (Mount("bind", str(shared_dir / "inputs"), "/inputs", read_only=True),)
    targets = ("/inputs/file", "/inputs/new", "/inputs/link")
    status, out, err, _ = run(python(TRY_TO_WRITE, *targets, mounts=mounts, user=user))
    assert out.decode().splitlines() == ["Read-only file system"] * 3, err
    assert status == 0
    assert (shared_dir / "inputs/file").read_text() == "precious"


def test_file_systems_mounted_below_a_read_only_source_are_read_only_too(
    backend: Backend, python: Python, run: Run
) -> None:
    if os.access("/dev/shm", os.W_OK) and os.path.ismount("/dev/shm"):
        source, inner = Path("/dev"), "shm"
    else:
        pytest.skip("no file system is mounted below a directory that both can see")
    mounts = (Mount("bind", str(source), "/inputs", read_only=True),)
    name = f"contract-{secrets.token_hex(4)}"
    _, out, err, _ = run(python(TRY_TO_WRITE, f"/inputs/{inner}/{name}", mounts=mounts))
    assert out == b"Read-only file system\n", err
    assert not (source / inner / name).exists()


def test_a_missing_source_is_never_created(backend: Backend, python: Python, shared_dir: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        backend.start(python("", mounts=(Mount("bind", str(shared_dir / "absent"), "/data"),)))
    assert str(shared_dir / "absent") in str(caught.value)
    assert not (shared_dir / "absent").exists()


def test_a_volume_is_made_once(backend: Backend, volume: str) -> None:
    backend.ensure_volume(volume)
    backend.ensure_volume(volume)
    assert backend.volumes().count(volume) == 1


def test_a_named_volume_is_writable_and_lasts(backend: Backend, python: Python, run: Run, volume: str) -> None:
    mounts = (Mount("volume", volume, "/cache"),)
    status, _, err, _ = run(python("open('/cache/x', 'w').write('kept')", mounts=mounts))
    assert status == 0, err
    assert volume in backend.volumes()
    assert run(python("print(open('/cache/x').read())", mounts=mounts))[1] == b"kept\n"
    read_only = (Mount("volume", volume, "/cache", read_only=True),)
    assert run(python(TRY_TO_WRITE, "/cache/y", mounts=read_only))[1] == b"Read-only file system\n"


def test_tmpfs(python: Python, run: Run) -> None:
    mounts = (Mount("tmpfs", "", "/scratch", options=("size=1m", "mode=1777")),)
    code = "import os; s = os.statvfs('/scratch'); open('/scratch/x','w').write('x'); print(s.f_blocks * s.f_frsize)"
    status, out, err, _ = run(python(code, mounts=mounts))
    assert (status, out) == (0, b"1048576\n"), err


def test_engine_arguments_keep_mounts(python: Python, run: Run, shared_dir: Path) -> None:
    inputs = shared_dir / "run at 12:30"
    inputs.mkdir()
    (inputs / "a file").write_text("x")
    mounts = (Mount("bind", str(inputs), "/data", read_only=True), Mount("tmpfs", "", "/t", options=("mode=1777",)))
    code = "import os; print(os.listdir('/data')); open('/t/x', 'w'); open('/data/new', 'w')"
    status, out, err, _ = run(python(code, mounts=mounts, raw_args=("--env=A=1",)))
    assert (status, out) == (1, b"['a file']\n")
    assert b"Read-only file system" in err
