"""The suite proves that it cleans up: what the engine and the file system hold is compared before and after."""

from __future__ import annotations

import gc
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from support.needs import HOSTS

# Images that tests share and keep: the base image and what stands for it.
SHARED_IMAGES = (
    "localhost/tesseract-mlflow-server",
    "docker.io/library/debian",
    "localhost/base",
    "localhost/podman-pause",
    "localhost/debian",
    "debian",
)

_before: dict[str, Counter[str]] = {}
_leaks: list[str] = []


def _lines(*command: str, host: str | None = None) -> Counter[str]:
    env = os.environ if host is None else {**os.environ, "DOCKER_HOST": host}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        _leaks.append(f"nothing is known of it: '{shlex.join(command)}' failed: {done.stderr.strip()}")
    return Counter(line for line in done.stdout.splitlines() if line.strip())


def _engines() -> dict[str, tuple[tuple[str, ...], str | None]]:
    """The engines that tests may use: how to start their command line, and where it has to connect to."""
    found: dict[str, tuple[tuple[str, ...], str | None]] = {}
    if shutil.which("podman"):
        found["podman"] = ("podman",), None
    for name, variable in HOSTS.items():
        host = os.environ.get(variable)
        if host and "docker" in name:
            found[name] = ("docker",), host
        elif host:
            found[name] = ("podman", "--remote", "--url", host), None
    return found


def _held(words: tuple[str, ...], host: str | None) -> dict[str, Counter[str]]:
    """What an engine holds."""
    external = () if "docker" in words else ("--external",)
    images = _lines(*words, "images", "--format", "{{.Repository}}:{{.Tag}}", host=host)
    return {
        "container": _lines(*words, "ps", "-a", *external, "--format", "{{.Names}}", host=host),
        "volume": _lines(*words, "volume", "ls", "-q", host=host),
        "network": _lines(*words, "network", "ls", "--format", "{{.Name}}", host=host),
        # Layers that a build keeps as its cache have no name and show as <none>.
        "image": Counter({n: c for n, c in images.items() if not n.startswith((*SHARED_IMAGES, "<none>"))}),
    }


def _snapshot() -> dict[str, Counter[str]]:
    """Everything that a test could leave behind, by kind."""
    temp = Path(tempfile.gettempdir())
    uid = os.getuid()
    found = {
        "temporary directory": Counter(
            str(path)
            for path in temp.glob("*tesseract*")
            if path.exists() and path.stat().st_uid == uid and not path.name.startswith("pytest-of-")
        )
    }
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR")
    if runtime_dir:
        sockets = Path(runtime_dir, "tesseract").rglob("*")
        # The private service's own socket, lock and log belong to the user, not to a command; it ends by itself.
        found["socket or runtime file"] = Counter(
            str(p) for p in sockets if p.is_file() or p.is_socket() if "podman" not in p.name
        )
    for engine, where in _engines().items():
        found |= {f"{kind} of {engine}": names for kind, names in _held(*where).items()}
    return found


def _processes() -> Counter[str]:
    """The caller's processes that a test has started and that outlive what started them."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if not process.name.isdigit() or process.stat().st_uid != os.getuid():
                continue
            if int((process / "stat").read_text().rsplit(")", 1)[1].split()[1]) != 1:
                continue
            environ = (process / "environ").read_bytes()
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:  # gone, or somebody else's
            continue
        if b"PYTEST_CURRENT_TEST=" in environ and not _outlives_tests(words, environ):
            found.append(f"{process.name} {b' '.join(words).decode(errors='replace').strip()}")
    return Counter(found)


def _outlives_tests(words: list[bytes], environ: bytes) -> bool:
    """What ends by itself (Podman's services, its watchers of sessions that are over), and who keeps the namespace."""
    if (b"system" in words and b"service" in words) or b"--exit-delay" in words:
        return True
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR", "")
    return words[1:2] == [b"-P"] and f"XDG_RUNTIME_DIR={runtime_dir}".encode() in environ.split(b"\0")


def _wanted(session: pytest.Session) -> bool:
    worker = hasattr(session.config, "workerinput")
    return not worker and not session.config.option.collectonly


def remember(session: pytest.Session) -> None:
    if _wanted(session):
        _before.update(_snapshot(), process=_processes())


def compare(session: pytest.Session) -> None:
    if not _wanted(session) or not _before:
        return
    gc.collect()  # what only a caught exception's traceback still holds is no leak
    end = time.monotonic() + 5
    while (running := _processes()) - _before["process"] and time.monotonic() < end:
        time.sleep(0.1)
    for kind, after in {**_snapshot(), "process": running}.items():
        for name, count in (after - _before[kind]).items():
            _leaks.append(f"{kind} left behind: {name}" + (f" ({count} times)" if count > 1 else ""))
    if _leaks and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def report(terminal: pytest.TerminalReporter) -> None:
    if _leaks:
        terminal.section("LEAKS", red=True)
        for line in _leaks:
            terminal.line(line)
