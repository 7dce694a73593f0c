"""Whose the files are, on every engine and for every way to say who runs: as `stat` sees it from outside.

Besides the engines of the contract suite: a rootless Podman whose store is on fuse-overlayfs, a rootful Podman and a
rootless Docker.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import needs

from tesseract.backends.base import Backend
from tesseract.backends.select import get_backend
from tesseract.backends.spec import BuildSpec, ContainerSpec, Mount, UserMapping

ME = (os.getuid(), os.getgid())
ENTRYPOINT = Path(__file__).parents[2] / "containers/image/entrypoint.sh"
LOOK = """
import json, os, pathlib, pwd

def works(action):
    try:
        action()
    except (OSError, KeyError):
        return False
    return True

def write(directory):
    return works(lambda: pathlib.Path(directory, "new").write_text("x"))

print(json.dumps({
    "ids": [os.getuid(), os.getgid()],
    "groups": sorted(os.getgroups()),
    "output": write("/data"),
    "private input": works(lambda: pathlib.Path("/private").read_text()),
    "home": write(os.environ["HOME"]),
    "tmp": write("/tmp"),
    "volume": write("/volume"),
    "name": works(lambda: pwd.getpwuid(os.getuid())),
}))
"""
MAPPINGS = {
    "default": UserMapping(*ME),
    "--user 0:0": UserMapping(*ME, uid=0, gid=0),
    "--user 4242:4242": UserMapping(*ME, uid=4242, gid=4242),
    "--userns host": UserMapping(*ME, userns="host"),
}
ENGINES = ["podman", "podman on fuse-overlayfs", "rootful podman", "docker", "rootless docker"]


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.needs_engine(name)) for name in ENGINES])
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def backend(engine_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The engine, with its variables in the environment."""
    name = "docker" if "docker" in engine_name else "podman"
    with pytest.MonkeyPatch.context() as patch:
        if engine_name in needs.HOSTS:
            patch.setenv("DOCKER_HOST" if name == "docker" else "CONTAINER_HOST", os.environ[needs.HOSTS[engine_name]])
        folder = None
        if "fuse" in engine_name:
            folder = tmp_path_factory.mktemp("store")
            (folder / "storage.conf").write_text(
                f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/containers/storage"\nrunroot = "{folder}/run"\n'
                '[storage.options.overlay]\nmount_program = "/usr/bin/fuse-overlayfs"\n'
            )
            patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
            # Else Podman notes in the caller's own store, for good, that it needs fuse-overlayfs.
            patch.setenv("XDG_DATA_HOME", str(folder))
        engine = get_backend(name)
        yield engine
        engine.close()
        if folder:
            subprocess.run(["podman", "unshare", "rm", "-rf", folder / "containers", folder / "run"], check=False)


@pytest.fixture(scope="module")
def image(
    backend: Backend, engine_name: str, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An image with the entry point of a Tesseract, a home for everybody and a user of its own."""
    words = [backend.info().name]
    if os.environ.get("CONTAINER_HOST"):
        words.append("--remote")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONTAINERS_STORAGE_CONF", "XDG_DATA_HOME", "CONTAINER_HOST"):
            patch.delenv(name, raising=False)
        saved = subprocess.Popen(["podman", "save", base_image], stdout=subprocess.PIPE)
    if engine_name != "podman":
        subprocess.run([*words, "load", "-q"], stdin=saved.stdout, check=True, capture_output=True)
    assert saved.stdout
    saved.stdout.close()
    saved.wait()
    context, tag = tmp_path_factory.mktemp("image"), f"contract-{secrets.token_hex(3)}:1"
    shutil.copy(ENTRYPOINT, context)
    (context / "home/everybody").mkdir(parents=True)
    (context / "home/everybody").chmod(0o1777)
    (context / "Containerfile").write_text(
        f"FROM {base_image}\nCOPY --chmod=0755 entrypoint.sh /entrypoint.sh\nCOPY home /home\n"
        'ENV HOME=/home/everybody\nENTRYPOINT ["/entrypoint.sh"]\nUSER 9999\n'
    )
    image_id = backend.build(
        BuildSpec(context, context / "Containerfile", (tag,), pull="never"), on_line=lambda line: None
    )
    yield image_id
    backend.remove_image(tag)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_identity(
    backend: Backend,
    image: str,
    mapping: str,
    engine_name: str,
    tmp_path: Path,
) -> None:
    private, output, volume = tmp_path / "private", tmp_path / "output", f"contract-{secrets.token_hex(4)}"
    private.write_text("secret")
    private.chmod(0o600)
    output.mkdir()
    output.chmod(0o777)
    tmp_path.chmod(0o755)
    mounts = (
        Mount("bind", str(private), "/private", read_only=True),
        Mount("bind", str(output), "/data"),
        Mount("volume", volume, "/volume"),
    )
    name = f"contract-{secrets.token_hex(4)}"
    command = ("python3", "-c", LOOK)
    spec = ContainerSpec(image, name, command=command, user=MAPPINGS[mapping], mounts=mounts)
    out, err = bytearray(), bytearray()
    try:
        status, _ = backend.run(spec, out.extend, err.extend)
    finally:
        if volume in backend.volumes():
            backend.remove_volume(volume)
    assert status == 0, err.decode()
    inside = json.loads(out)
    state = (output / "new").stat()
    owner = (state.st_uid, state.st_gid)
    print(f"{engine_name}, {mapping}: {inside}, owner outside {owner}")

    rootless, docker = backend.info().rootless, backend.info().name == "docker"
    asked = {"--user 0:0": (0, 0), "--user 4242:4242": (4242, 4242)}.get(mapping)
    root_is_caller = rootless and (docker or mapping == "--userns host")
    assert tuple(inside["ids"]) == (asked or ((0, 0) if root_is_caller else ME))
    stranger = rootless and docker and mapping == "--user 4242:4242"  # Docker maps one id to the caller: 0
    if stranger:
        assert owner != ME
    else:
        assert owner == (ME if rootless else asked or ME)
    # What is the caller's alone can be read by who is the caller outside; no capability helps root.
    assert inside["private input"] is (owner == ME)
    assert all(inside[place] for place in ("output", "home", "tmp", "volume", "name")), inside
    extra = set(os.getgroups()) - {os.getgid()}
    if extra and rootless and not docker:
        assert 65534 in inside["groups"], "a group that is not mapped shows as nogroup, and still counts"
    elif docker and not rootless:
        assert extra <= set(inside["groups"])


@pytest.mark.needs_engine("podman on fuse-overlayfs")
@pytest.mark.parametrize("engine_name", ["podman on fuse-overlayfs"], indirect=True)
def test_fuse_overlayfs_copies_nothing(backend: Backend, image: str) -> None:
    assert backend.prepare_mapping(image, MAPPINGS["default"]) is False
    assert backend.image(image).mapped_size == 0
