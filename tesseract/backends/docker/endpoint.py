"""Where Docker's API is: what the user's words, `DOCKER_HOST` or the current context name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tesseract import proc
from tesseract.errors import EngineUnavailable

DEFAULT_URL = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Endpoint:
    """How to reach Docker.

    Attributes:
        url: `unix:///path`, `tcp://...` or `ssh://...`; empty where only `dial` leads there.
        why: How it was found, for people.
        executable: The words that start Docker's command line, options of the user included.
        dial: Words that connect their stdin and stdout with the API (`sudo docker system dial-stdio`).
    """

    url: str
    why: str
    executable: tuple[str, ...] = ()
    dial: tuple[str, ...] = ()

    @property
    def socket(self) -> Path | None:
        """Its Unix socket, if it has one."""
        return Path(self.url.removeprefix("unix://")) if self.url.startswith("unix://") else None


def find(executable: tuple[str, ...] | None, why: str, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Decide where to connect.

    Args:
        executable: The user's words for Docker (`docker --context c`, `sudo docker`), or None for plain `docker`.
        why: Why Docker was chosen.

    Raises:
        EngineUnavailable: An unknown context.
    """
    found = shutil.which("docker")
    words = executable or ((found,) if found else ())
    position = next((i for i, word in enumerate(words) if Path(word).name.startswith("docker")), 0)
    if position > 0:
        text = " ".join(words)
        return Endpoint("", f"{why}; through '{text}'", words, dial=(*words, "system", "dial-stdio"))
    url, context = _options(words[1:])
    if url:
        return Endpoint(url, f"{why}; host of '{' '.join(words)}'", words)
    if context:
        return Endpoint(_context_url(words, context), f"{why}; context of '{' '.join(words)}'", words)
    if environ.get("DOCKER_HOST"):
        return Endpoint(environ["DOCKER_HOST"], f"{why}; DOCKER_HOST is set", words)
    if named := environ.get("DOCKER_CONTEXT") or _current_context(environ):
        return Endpoint(_context_url(words, named), f"{why}; context '{named}'", words)
    own = Path(environ.get("XDG_RUNTIME_DIR", "/nonexistent")) / "docker.sock"
    if own.exists() and not os.access("/var/run/docker.sock", os.R_OK | os.W_OK):
        return Endpoint(f"unix://{own}", f"{why}; the user's own rootless daemon", words)
    return Endpoint(DEFAULT_URL, f"{why}; the default socket", words)


def _options(words: tuple[str, ...]) -> tuple[str | None, str | None]:
    url, context = None, None
    rest = iter(words)
    for word in rest:
        option, _, value = word.partition("=")
        if option in ("-H", "--host"):
            url = value or next(rest, None)
        elif option in ("-c", "--context"):
            context = value or next(rest, None)
    return url, context


def _current_context(environ: Mapping[str, str]) -> str | None:
    path = Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        name = json.loads(path.read_text()).get("currentContext")
    except (OSError, ValueError, AttributeError):
        return None
    return str(name) if name and name != "default" else None


def _context_url(words: tuple[str, ...], name: str) -> str:
    if not words:
        raise EngineUnavailable(f"Docker context '{name}' needs the docker executable. Install it, or set DOCKER_HOST.")
    done = proc.run([words[0], "context", "inspect", name], timeout=20)
    try:
        return str(json.loads(done.stdout)[0]["Endpoints"]["docker"]["Host"])
    except (ValueError, LookupError):
        raise EngineUnavailable(f"Docker knows no context '{name}'. See 'docker context ls'.") from None
