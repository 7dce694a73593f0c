"""Image builds by `podman build`: secrets, SSH agents and live output are not in the API of podman 4.3."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tesseract import proc
from tesseract.backends.base import LineSink
from tesseract.backends.podman import leftovers
from tesseract.backends.spec import BuildSpec
from tesseract.backends.text import build_failure, build_words
from tesseract.dirs import cache_dir
from tesseract.errors import BuildError, EngineUnavailable


def build_arguments(spec: BuildSpec) -> list[str]:
    """The words after the executable. Pure."""
    return ["build", "--layers", f"--pull={spec.pull}", *build_words(spec)]


def build(command: Sequence[str], version: str, spec: BuildSpec, on_line: LineSink) -> str:
    """Run the build and return the image's id. Raises: BuildError with the whole log, EngineUnavailable."""
    if not command:
        raise EngineUnavailable("Building an image needs the podman executable. Install podman, or put it on PATH.")
    with tempfile.TemporaryDirectory(prefix="tesseract-build-") as directory:
        id_file = Path(directory) / "id"
        first, *rest = build_arguments(spec)
        mark, env = f"tesseract-build-{secrets.token_hex(8)}", build_environment(version)
        argv = [*command, first, f"--iidfile={id_file}", f"--secret=id={mark},src={spec.containerfile}", *rest]
        try:
            status, log = proc.stream(argv, on_line, env=env)
            if status != 0 or not id_file.exists():
                raise failure(log, status)
        except BaseException:
            leftovers.remove(command, mark, {**os.environ, **env})
            raise
        return id_file.read_text().strip().removeprefix("sha256:")


def build_environment(version: str) -> dict[str, str]:
    """Variables for a build. Before podman 5, cache mounts of all users share one directory below TMPDIR, which the
    first user then owns: give each user an own one."""
    if int(re.match(r"\d+", version)[0] if re.match(r"\d+", version) else 0) >= 5:  # type: ignore[index]
        return {}
    cache = cache_dir("build")
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        return {}
    return {"TMPDIR": str(cache)}


def failure(log: Sequence[str], status: int) -> BuildError:
    """The error of a failed build, with the line that says why. Pure."""
    begun = [index for index, line in enumerate(log) if re.match(r"STEP \d+/\d+: ", line)]
    step = log[begun[-1]].split(": ", 1)[1] if begun else ""
    output = list(log[begun[-1] + 1 :] if begun else log)
    said = next((line for line in reversed(output) if line.startswith("Error: ")), "")
    if said:
        del output[output.index(said) :]
    # The engine repeats the step, and for what it does not understand prints all that it knows.
    reason = re.sub(r'^Error: (building at STEP ".*?": )?(Build error: )?', "", said).split(" &imagebuilder")[0]
    ended = re.search(r"(exit status|signal) \d+$", said)
    return build_failure(log, step, output, ended[0] if ended else reason or f"exit status {status}")
