"""Serving: until the first healthy answer, and tearing many down."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import Ratio, command, paired

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "vectoradd"
IMAGE = "vectoradd"


def _serve() -> str:
    done = subprocess.run(["tesseract", "serve", IMAGE], capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["container_name"])


def _teardown(*names: str) -> None:
    subprocess.run(["tesseract", "teardown", *names], capture_output=True, check=True)


def _podman_rm(*names: str) -> None:
    subprocess.run(["podman", "rm", "-f", "-t3", *names], capture_output=True, check=True)


def _timed_serve() -> float:
    start = time.perf_counter()
    name = _serve()
    seconds = time.perf_counter() - start
    _teardown(name)
    return seconds


def _podman_to_first_answer() -> float:
    """`podman run -d` of the same image until `/health` answers 200."""
    start = time.perf_counter()
    run = ["podman", "run", "-d", "--init", "--userns=keep-id", "-p", "127.0.0.1::8000", f"localhost/{IMAGE}:latest"]
    name = subprocess.run(
        [*run, "serve", "--port", "8000", "--host", "0.0.0.0"], capture_output=True, text=True, check=True
    ).stdout.strip()
    address = subprocess.run(
        ["podman", "port", name, "8000"], capture_output=True, text=True, check=True
    ).stdout.strip()
    while True:
        try:
            if urllib.request.urlopen(f"http://{address}/health", timeout=5).status == 200:
                break
        except OSError:
            time.sleep(0.01)
    seconds = time.perf_counter() - start
    _podman_rm(name)
    return seconds


def _timed_removal(count: int, remove: Callable[..., None] = _teardown) -> float:
    """Seconds that `remove` takes for so many served Tesseracts."""
    names = [_serve() for _ in range(count)]
    start = time.perf_counter()
    remove(*names)
    return time.perf_counter() - start


def ratios() -> Iterator[Ratio]:
    command("tesseract", "build", str(EXAMPLE))()
    yield paired(
        "tesseract serve until healthy",
        _timed_serve,
        "podman run until /health answers",
        _podman_to_first_answer,
        budget=2.5,
        rounds=5,
    )
    yield paired(
        "tesseract teardown of 8",
        lambda: _timed_removal(8),
        "tesseract teardown of 1",
        lambda: _timed_removal(1),
        budget=2,
        rounds=5,
    )
    # The engine has a large part in the ratio above; this one, whose budget is our own, takes that part out.
    yield paired(
        "tesseract teardown of 8",
        lambda: _timed_removal(8),
        "podman rm -f of 8 like them",
        lambda: _timed_removal(8, _podman_rm),
        budget=2,
        rounds=5,
    )
