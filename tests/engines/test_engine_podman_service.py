"""Podman's private service: started on demand, replaced when dead, whatever the caller's environment lacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tesseract.backends.podman.driver import PodmanBackend
from tesseract.backends.podman.endpoint import Endpoint, find
from tesseract.backends.podman.ping import ping
from tesseract.backends.spec import ContainerSpec
from tesseract.errors import EngineError, EngineUnavailable

pytestmark = pytest.mark.needs_engine("podman")


@pytest.fixture(autouse=True)
def _nothing_left() -> None:
    """These tests bring their own engine."""


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """A private service of this test's own."""
    known = find(None, "test")
    private = Endpoint(f"unix://{tmp_path}/podman.sock", "test", known.executable, private=True)
    yield private
    for pid in _pids(private):
        os.kill(pid, signal.SIGKILL)


def _pids(endpoint: Endpoint) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and endpoint.url.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_started_on_demand_and_detached(endpoint: Endpoint) -> None:
    assert _pids(endpoint) == []
    backend = PodmanBackend(endpoint)
    assert backend.info().version.count(".") == 2
    assert backend.info().why == "test"
    for pid in _pids(endpoint):
        assert os.getsid(pid) != os.getsid(0)
    first = _pids(endpoint)
    PodmanBackend(endpoint).info()
    assert _pids(endpoint) == first, "a second one was started"


def test_two_processes_starting_it_at_once_share_one(endpoint: Endpoint) -> None:
    code = (
        "import sys\nfrom tesseract.backends.podman.driver import PodmanBackend\n"
        "from tesseract.backends.podman.endpoint import Endpoint\n"
        "print(PodmanBackend(Endpoint(sys.argv[1], 'test', (sys.argv[2],), private=True)).info().version)"
    )
    argv = [sys.executable, "-c", code, endpoint.url, endpoint.executable[0]]
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    outputs = [process.communicate(timeout=60) for process in started]
    assert {out for out, _ in outputs} == {outputs[0][0]} != {b""}, outputs
    services = set(_pids(endpoint))
    parents = {pid for pid in services if _parent(pid) not in services}
    assert len(parents) == 1


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


RUN = """
import os, sys
from tesseract.backends.podman.driver import PodmanBackend
from tesseract.backends.podman.endpoint import find
from tesseract.backends.spec import ContainerSpec
backend = PodmanBackend(find(None, "test"))
spec = ContainerSpec(sys.argv[1], f"contract-{os.getpid()}", ("sh", "-c", "ulimit -n; nice; umask"))
backend.run(spec, sys.stdout.buffer.write, sys.stderr.buffer.write)
"""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may undo everything")
def test_limits_of_a_shell_do_not_stick_to_containers_of_others(base_image: str, short_path: Path) -> None:
    def run(shell: str, *words: str) -> tuple[list[str], str]:
        argv = ["bash", "-c", f'{shell}\nexec "$@"', "bash", *words, sys.executable, "-c", RUN, base_image]
        environ = {**os.environ, "XDG_RUNTIME_DIR": str(short_path)}
        done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environ)
        return done.stdout.split(), done.stderr

    short_path.chmod(0o700)
    try:
        limited, said = run("ulimit -n 200", "nice", "-n", "1")
        assert "200 open files (ulimit -n), nice" in said
        assert limited[0] == "200"
        undone, said = run("ulimit -S -n 200; umask 077")
        assert said == ""
        assert run("true") == (undone, "")
        assert undone[0] not in ("200", "")
        assert int(undone[1]) == int(limited[1]) - 1
    finally:
        for socket in (short_path / "tesseract").glob("podman*.sock"):
            for pid in _pids(Endpoint(f"unix://{socket}", "test")):
                os.kill(pid, signal.SIGKILL)
        for pause in short_path.rglob("pause.pid"):  # Podman 5 keeps a process for each runtime directory
            os.kill(int(pause.read_text()), signal.SIGKILL)


def test_a_stale_socket_is_replaced(endpoint: Endpoint) -> None:
    PodmanBackend(endpoint).info()
    for pid in _pids(endpoint):
        os.kill(pid, signal.SIGKILL)
    assert endpoint.socket is not None
    assert endpoint.socket.exists()
    assert ping(endpoint.url, 1) is None
    backend = PodmanBackend(endpoint)
    assert backend.images() is not None


def test_a_service_that_died_between_two_requests_is_started_again(endpoint: Endpoint) -> None:
    backend = PodmanBackend(endpoint)
    backend.info()
    backend.images()
    for pid in _pids(endpoint):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.1)
    assert backend.containers() is not None


def test_killed_in_the_middle_of_a_run(endpoint: Endpoint, base_image: str) -> None:
    backend = PodmanBackend(endpoint)
    name = f"contract-{os.getpid()}-killed"

    def kill(data: bytes) -> None:
        threading.Timer(0.1, lambda: [os.kill(pid, signal.SIGKILL) for pid in _pids(endpoint)]).start()

    spec = ContainerSpec(base_image, name, command=("sh", "-c", "echo up; sleep 600"))
    started = time.monotonic()
    with pytest.raises(EngineError) as caught:
        backend.run(spec, kill, lambda data: None)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 60
    assert name not in {container.name for container in backend.containers(all=True)}


def test_it_ends_with_nobody_to_serve(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tesseract.backends.podman.service.IDLE_SECONDS", 1)
    backend = PodmanBackend(endpoint)
    backend.images()
    (ended,) = _pids(endpoint)
    end = time.monotonic() + 30
    while _pids(endpoint) and time.monotonic() < end:
        time.sleep(0.1)
    assert _pids(endpoint) == []
    assert backend.images() is not None
    assert not Path(f"/proc/{ended}").exists(), "a program that runs for long keeps a zombie of each"


def test_container_host_that_does_not_answer(tmp_path: Path) -> None:
    endpoint = find(None, "test", {"CONTAINER_HOST": f"unix://{tmp_path}/nobody.sock"})
    with pytest.raises(EngineUnavailable) as caught:
        PodmanBackend(endpoint).info()
    assert f"{tmp_path}/nobody.sock" in str(caught.value)
    assert "CONTAINER_HOST" in str(caught.value)


def test_container_host_and_url_words_lead_to_the_same_service(endpoint: Endpoint) -> None:
    PodmanBackend(endpoint).info()
    by_env = find(None, "test", {"CONTAINER_HOST": endpoint.url})
    by_words = find((*endpoint.executable, "--url", endpoint.url), "test", {})
    for found in (by_env, by_words):
        backend = PodmanBackend(found)
        assert backend.info().rootless == (os.getuid() != 0)
        assert found.command == [*endpoint.executable, "--url", endpoint.url]


@pytest.mark.parametrize(
    ("hide", "expected"), [("newuidmap", "uidmap"), ("podman", "apt-get install podman")], ids=["newuidmap", "podman"]
)
def test_a_missing_program_is_explained(tmp_path: Path, hide: str, expected: str) -> None:
    """A PATH without it: nothing of the machine is changed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for directory in os.environ["PATH"].split(":"):
        for program in Path(directory).glob("*") if Path(directory).is_dir() else ():
            if program.name not in (hide, "docker") and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    code = (
        "from tesseract.backends.select import get_backend\n"
        "try: print(get_backend('podman').info())\nexcept Exception as e: print(type(e).__name__, e)"
    )
    # Another home and runtime directory: no pause process of the user's other containers holds a mapping there.
    env = {**os.environ, "PATH": str(programs), "XDG_RUNTIME_DIR": str(runtime), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    if done.stdout.startswith("EngineInfo"):
        pytest.skip("Podman's pause process holds the mapping already")
    assert done.stdout.startswith("EngineUnavailable"), done.stdout + done.stderr
    assert expected in done.stdout


def test_without_xdg_runtime_dir_a_fallback_and_a_warning() -> None:
    code = (
        "import logging, json; logging.basicConfig()\nfrom tesseract.backends.select import get_backend\n"
        "b = get_backend('podman'); print(json.dumps([b.info().endpoint, len(b.images())]))"
    )
    elsewhere = Path(f"/tmp/containers-user-{os.getuid()}")  # where Podman's storage library would keep a second state
    existed = elsewhere.exists()
    env = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    url, images = json.loads(done.stdout)
    assert url.startswith("unix:///")
    assert images > 0
    assert done.stderr.count("XDG_RUNTIME_DIR is not set") == 1
    assert elsewhere.exists() == existed
