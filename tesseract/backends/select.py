"""Which engine: Podman unless something says otherwise. What is chosen carries the reason (`EngineInfo.why`)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Literal

from tesseract import proc
from tesseract.backends.base import Backend
from tesseract.errors import EngineUnavailable, InvalidValue
from tesseract.settings import ENGINES, HostConfig, get_config

EngineName = Literal["podman", "docker"]


def get_backend(engine: str | None = None) -> Backend:
    """The container engine to use. Nothing is contacted beyond a ping.

    In this order: the argument (`--engine`), `TESSERACT_ENGINE`, the program that `TESSERACT_DOCKER_EXECUTABLE`
    names, then `CONTAINER_HOST`, an installed Podman, `DOCKER_HOST`, an installed Docker.

    Args:
        engine: `podman`, `docker`, `auto` or None.

    Raises:
        InvalidValue: Unknown engine, or malformed settings.
        EngineUnavailable: No engine there.
    """
    if engine is not None and engine not in ENGINES:
        raise InvalidValue(f"Unknown engine '{engine}': must be one of {', '.join(ENGINES)}.")
    config = _config()
    executable = config.docker_executable if "docker_executable" in config.model_fields_set else None
    name, why = choose(engine, config, executable)
    if executable is not None and program_engine(executable) != name:
        executable = None  # it is the other engine's
    match name:
        case "podman":
            from tesseract.backends.podman.driver import PodmanBackend
            from tesseract.backends.podman.endpoint import find

            return PodmanBackend(find(executable, why))
        case "docker":
            from tesseract.backends.docker.driver import connect

            return connect(executable, why)


def choose(engine: str | None, config: HostConfig, executable: tuple[str, ...] | None) -> tuple[EngineName, str]:
    """The engine's name and the reason."""
    for wanted, origin in ((engine, "--engine"), (config.engine, "TESSERACT_ENGINE")):
        if wanted == "podman" or wanted == "docker":
            return ("podman" if wanted == "podman" else "docker"), f"{origin} says {wanted}"
    if executable is not None:
        return program_engine(executable), f"TESSERACT_DOCKER_EXECUTABLE is '{' '.join(executable)}'"
    if os.environ.get("CONTAINER_HOST"):
        return "podman", "auto"
    if shutil.which("podman"):
        return "podman", "auto: podman is installed"
    if os.environ.get("DOCKER_HOST"):
        return "docker", "auto: no podman, DOCKER_HOST is set"
    if shutil.which("docker"):
        return "docker", "auto: no podman, docker is installed"
    raise EngineUnavailable(
        "No container engine was found. Install Podman (Debian, Ubuntu: apt-get install podman uidmap slirp4netns; "
        "Fedora: dnf install podman), or point CONTAINER_HOST or DOCKER_HOST at one."
    )


def program_engine(words: tuple[str, ...]) -> EngineName:
    """Which engine a command line belongs to (`sudo podman`, `docker --context c`); an unknown program is asked."""
    for word in words:
        name = Path(word).name
        if name.startswith("podman"):
            return "podman"
        if name.startswith("docker"):
            return "docker"
    said = proc.run([*words, "--version"], timeout=20).stdout.decode(errors="replace").lower()
    if "podman" in said:
        return "podman"
    if "docker" in said:
        return "docker"
    raise InvalidValue(
        f"'{' '.join(words)}' is neither Podman nor Docker. Set TESSERACT_DOCKER_EXECUTABLE to one of them."
    )


def _config() -> HostConfig:
    try:
        return get_config()
    except ValueError as exc:  # pydantic's ValidationError is one
        problems: list[dict[str, Any]] = getattr(exc, "errors", list)()
        text = " ".join(f"TESSERACT_{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in problems)
        raise InvalidValue(text or str(exc)) from exc
