"""Shared fixtures: what a test needs, images that tests share, and the proof that nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import leaks, needs
from support.images import remove_image

ROOT = Path(__file__).resolve().parent.parent
BASE_IMAGE = "docker.io/library/debian:bookworm-slim"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needs.apply(items)


def pytest_sessionstart(session: pytest.Session) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background; children would ignore it, too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    leaks.remember(session)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    leaks.compare(session)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    leaks.report(terminalreporter)


@pytest.fixture(scope="session")
def root_dir() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary directory whose path is short enough for Unix sockets below it (107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="tt-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def base_image() -> str:
    """Reference of an image with Python 3 that is in the store."""
    if subprocess.run(["podman", "image", "exists", BASE_IMAGE], check=False).returncode:
        subprocess.run([ROOT / "containers/dev/base-image.sh"], check=True)
    return BASE_IMAGE


def _command(program: str) -> str:
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.exists() else shutil.which(program)
    assert found, f"{program} is not installed"
    return found


@pytest.fixture(scope="session")
def tesseract_cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed `tesseract` command and return its finished process (never raises on a non-zero status)."""

    def run(
        *args: str | Path, timeout: float = 300, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_command("tesseract"), *map(str, args)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def tesseract_image(
    base_image: str, tesseract_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> Iterator[Callable[[str], str]]:
    """Build `examples/PATH` once for the whole suite; returns the image's name. Removed when the suite ends."""
    built: set[str] = set()

    def build(path: str) -> str:
        name = Path(path).name
        if name not in built:
            result = tesseract_cli("--loglevel", "debug", "build", ROOT / "examples" / path, timeout=900)
            assert result.returncode == 0, result.stderr
            built.add(name)
        return name

    yield build
    if os.environ.get("TESSERACT_KEEP_IMAGES") != "1":
        for name in sorted(built):
            remove_image(name)
