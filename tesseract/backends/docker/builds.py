"""Image builds by `docker build` with BuildKit: secrets and SSH agents are not in the API's own builder."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from tesseract import proc
from tesseract.backends.base import LineSink
from tesseract.backends.docker.endpoint import Endpoint
from tesseract.backends.docker.store import docker_reference
from tesseract.backends.spec import BuildSpec
from tesseract.backends.text import build_failure, build_words
from tesseract.errors import BuildError, EngineUnavailable


def build_arguments(spec: BuildSpec) -> list[str]:
    """The words after the executable. Pure. BuildKit pulls no base image that is there: `pull` needs no word."""
    return ["build", *build_words(replace(spec, tags=tuple(map(docker_reference, spec.tags))))]


def build(endpoint: Endpoint, spec: BuildSpec, on_line: LineSink) -> str:
    """Run the build and return the image's id. Raises: BuildError with the whole log, EngineUnavailable."""
    with tempfile.TemporaryDirectory(prefix="tesseract_id_", suffix=f".{spec.mark}") as directory:
        id_file = Path(directory) / "id"
        first, *rest = build_arguments(spec)
        argv = [*command(endpoint, builder=True), first, "--progress=plain", f"--iidfile={id_file}", *rest]
        status, log = proc.stream(argv, on_line, env={**environment(endpoint), "DOCKER_BUILDKIT": "1"})
        if status != 0 or not id_file.exists():
            raise failure(log, status)
        return id_file.read_text().strip()


def failure(log: Sequence[str], status: int) -> BuildError:
    """The error of a failed build, with the line that says why. Pure."""
    failed = next((match for line in log if (match := re.match(r"#(\d+) ERROR: (.*)", line))), None)
    if failed is None:
        last = next((line for line in reversed(log) if line.strip()), f"exit status {status}")
        return build_failure(log, "", (), re.sub(r"^(ERROR: )?(failed to (build|solve|create)[^:]*: )*", "", last))
    number, said = failed.groups()
    steps = (match[1] for line in log if (match := re.match(rf"#{number} \[[^]]*\] (.*)", line)))
    output = [match[1] for line in log if (match := re.match(rf"#{number} [\d.]+ (.*)", line))]
    ended = re.search(r"exit code: (\d+)$", said)
    return build_failure(log, next(steps, ""), output, f"exit status {ended[1]}" if ended else said)


def command(endpoint: Endpoint, builder: bool = False) -> list[str]:
    """The words that start Docker's command line; `builder` asks for one that has BuildKit.

    Raises:
        EngineUnavailable: There is none.
    """
    words = list(endpoint.executable)
    if not words:
        raise EngineUnavailable("This needs the docker executable. Install docker, or put it on PATH.")
    if builder and Path(words[0]).name == "docker":
        words[0] = _with_buildkit(words[0])
    return words


def environment(endpoint: Endpoint) -> dict[str, str]:
    """Variables that lead the command line to the same daemon."""
    return {} if endpoint.dial else {"DOCKER_HOST": endpoint.url}


@cache
def _with_buildkit(first: str) -> str:
    """A docker executable that can build with BuildKit: built in before 23.0, by its buildx plugin since then."""
    others = [str(Path(directory) / "docker") for directory in os.environ.get("PATH", "").split(os.pathsep)]
    for candidate in dict.fromkeys([first, *others]):
        if os.access(candidate, os.X_OK) and _builds(candidate):
            return candidate
    raise EngineUnavailable(
        "No docker executable here builds with BuildKit. Install docker-buildx (Debian, Ubuntu: docker-buildx-plugin)."
    )


def _builds(executable: str) -> bool:
    version = re.search(r"version (\d+)", _output([executable, "--version"]))
    return (version is not None and int(version[1]) < 23) or "buildx" in _output([executable, "buildx", "version"])


def _output(argv: Sequence[str]) -> str:
    done = proc.run(argv, timeout=20)
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""
