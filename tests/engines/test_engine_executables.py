"""Executables of several words: another user's engine, reached under the words given."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ssh import ssh_server

from tesseract.backends.docker.driver import DockerBackend
from tesseract.backends.docker.endpoint import find as find_docker
from tesseract.backends.podman import tunnel
from tesseract.backends.podman.driver import PodmanBackend
from tesseract.backends.podman.endpoint import find as find_podman
from tesseract.backends.select import get_backend
from tesseract.backends.spec import ContainerSpec
from tesseract.errors import EngineUnavailable


@pytest.fixture(autouse=True)
def _nothing_left() -> None:
    """These tests bring their own engine."""


@pytest.fixture
def doas(tmp_path: Path) -> str:
    """Stands where `sudo` would, with its own rights."""
    path = tmp_path / "doas"
    path.write_text('#!/bin/sh\nexec "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.needs_engine("podman")
def test_sudo_podman(doas: str, base_image: str, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    endpoint = find_podman((doas, "podman"), "test", {"XDG_RUNTIME_DIR": str(runtime)})
    assert endpoint.private
    backend = PodmanBackend(endpoint)
    try:
        assert backend.info().rootless == (os.getuid() != 0)
        out = bytearray()
        spec = ContainerSpec(
            base_image, f"contract-{os.getpid()}-doas", ("echo", "through"), raw_args=("--hostname=a",)
        )
        assert backend.run(spec, out.extend, lambda data: None)[0] == 0
        assert out == b"through\n"
    finally:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if endpoint.url.encode() in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGTERM)
            except OSError:
                continue


@pytest.fixture
def ssh(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An SSH server that lets the caller in, and an `ssh` that knows its key."""
    with ssh_server(short_path) as address:
        known = f"-o UserKnownHostsFile={short_path}/known_hosts -o StrictHostKeyChecking=accept-new"
        (short_path / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {known} -i {short_path}/key "$@"\n')
        (short_path / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{short_path}:{os.environ['PATH']}")
        yield address
        tunnel.close_all()


@pytest.mark.needs("sshd")
@pytest.mark.needs_engine("podman")
def test_podman_behind_ssh(ssh: str, base_image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = get_backend("podman").info().endpoint.removeprefix("unix://")  # which also starts it
    monkeypatch.setenv("CONTAINER_HOST", f"{ssh}{own}")
    backend = get_backend("podman")
    assert backend.info().endpoint == f"{ssh}{own}"
    out = bytearray()
    spec = ContainerSpec(base_image, f"contract-{os.getpid()}-ssh", ("echo", "through"))
    assert backend.run(spec, out.extend, lambda data: None)[0] == 0
    assert out == b"through\n"


@pytest.mark.needs("ssh")
@pytest.mark.needs_engine("podman")
def test_a_host_that_lets_nobody_in_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_HOST", "ssh://nobody@127.0.0.1:9/run/podman.sock")
    with pytest.raises(EngineUnavailable) as caught:
        get_backend("podman").info()
    assert "Connection refused" in str(caught.value)
    assert "ssh nobody@127.0.0.1:9 true" in str(caught.value)


@pytest.mark.needs_engine("podman", "docker")
def test_sudo_docker(doas: str, base_image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", os.environ["TESSERACT_DOCKER_TEST_HOST"])
    docker = shutil.which("docker")
    assert docker is not None
    endpoint = find_docker((doas, docker), "test")
    assert endpoint.url == ""
    backend = DockerBackend(endpoint)
    assert backend.info().name == "docker"
    with subprocess.Popen(["podman", "save", base_image], stdout=subprocess.PIPE) as saved:
        subprocess.run(["docker", "load", "-q"], stdin=saved.stdout, check=True, capture_output=True)
    out, err = bytearray(), bytearray()
    spec = ContainerSpec(base_image, f"contract-{os.getpid()}-dial", ("sh", "-c", "echo out; echo err >&2"))
    status, info = backend.run(spec, out.extend, err.extend)
    assert (status, bytes(out), bytes(err)) == (0, b"out\n", b"err\n")
    assert info.exit_code == 0
    backend.close()
