"""Who the process is, and whose its files are: each cell is looked at from inside and from outside."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerSpec, Mount, UserMapping

Python = Callable[..., ContainerSpec]
Run = Callable[[ContainerSpec], tuple]
LOOK = """
import os, pathlib, pwd
print(os.getuid(), os.getgid())
pathlib.Path("/data/new").write_text("x")
pathlib.Path("/tmp/x").write_text("x")
print(pwd.getpwuid(os.getuid()).pw_name)
"""


@pytest.fixture
def look(backend: Backend, python: Python, run: Run, shared_dir: Path) -> Callable[[UserMapping], tuple]:
    """Run with a mapping; returns (uid, gid) inside and owner outside."""

    def run_as(user: UserMapping) -> tuple[tuple[int, ...], tuple[int, int]]:
        shared_dir.chmod(0o777)
        (shared_dir / "new").unlink(missing_ok=True)
        status, out, err, _ = run(python(LOOK, user=user, mounts=(Mount("bind", str(shared_dir), "/data"),)))
        assert status == 0, err
        state = (shared_dir / "new").stat()
        return tuple(map(int, out.splitlines()[0].split())), (state.st_uid, state.st_gid)

    return run_as


def mapping(**more: object) -> UserMapping:
    return UserMapping(os.getuid(), os.getgid(), **more)  # type: ignore[arg-type]


ME = (os.getuid(), os.getgid())


def test_by_default_the_process_is_the_caller(look: Callable[..., tuple]) -> None:
    assert look(mapping()) == (ME, ME)


def test_another_user(backend: Backend, look: Callable[..., tuple]) -> None:
    inside, outside = look(mapping(uid=4242, gid=4242))
    assert inside == (4242, 4242)
    # Rootful engines have no mapping: there the number counts outside, too.
    assert outside == (ME if backend.info().rootless else (4242, 4242))


def test_a_user_without_group(look: Callable[..., tuple]) -> None:
    assert look(mapping(uid=4242))[0] == (4242, 4242)


def test_root_inside(backend: Backend, look: Callable[..., tuple]) -> None:
    inside, outside = look(mapping(uid=0, gid=0))
    assert inside == (0, 0)
    assert outside == (ME if backend.info().rootless else (0, 0))


def test_the_engines_own_mapping(backend: Backend, look: Callable[..., tuple]) -> None:
    inside, outside = look(mapping(userns="host"))
    assert outside == ME
    assert inside == ((0, 0) if backend.info().rootless else ME)


def test_without_a_mapping_it_is_the_images_user(python: Python, run: Run) -> None:
    assert run(python("import os; print(os.getuid())", user=None))[1] == b"9999\n"


def test_supplementary_groups_go_along(backend: Backend, python: Python, run: Run, shared_dir: Path) -> None:
    extra = sorted({*os.getgroups()} - {os.getgid()})
    if not extra:
        pytest.skip(f"{pwd.getpwuid(os.getuid()).pw_name} has no supplementary groups")
    groups = set(json.loads(run(python("import os, json; print(json.dumps(os.getgroups()))"))[1]))
    if backend.info().rootless:
        assert 65534 in groups, "a group that is not mapped shows as nogroup, and still counts"
        return
    assert set(extra) <= groups
    project = shared_dir / "project"
    project.mkdir()
    os.chown(project, -1, extra[0])
    project.chmod(0o070)  # the group's alone
    mounts, stranger = (Mount("bind", str(project), "/project"),), mapping(uid=4242, gid=4242)
    status, _, err, _ = run(python("open('/project/x', 'w')", user=stranger, mounts=mounts))
    project.chmod(0o700)
    assert status == 0, err
