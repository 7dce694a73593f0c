"""Image builds by `podman build`: secrets, SSH agents and live output are not in the API of podman 4.3."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tesseract import proc
from tesseract.backends.base import LineSink
from tesseract.backends.podman import leftovers
from tesseract.backends.spec import BUILD_MARK, BuildSpec
from tesseract.backends.text import build_failure, build_words
from tesseract.dirs import cache_dir
from tesseract.errors import BuildError, EngineUnavailable


def new_mark() -> str:
    """A word that is in the command line of one build, and in what the engine notes of it."""
    return f"{BUILD_MARK}{secrets.token_hex(8)}"


def build_arguments(spec: BuildSpec) -> list[str]:
    """The words after the executable. Pure."""
    return ["build", "--layers", f"--pull={spec.pull}", *build_words(spec)]


def build(command: Sequence[str], version: str, spec: BuildSpec, on_line: LineSink) -> str:
    """Run the build and return the image's id. Raises: BuildError with the whole log, EngineUnavailable."""
    if not command:
        raise EngineUnavailable("Building an image needs the podman executable. Install podman, or put it on PATH.")
    mark, env = spec.mark or new_mark(), build_environment(version)
    with tempfile.TemporaryDirectory(prefix="tesseract_id_", suffix=f".{mark}") as directory:
        id_file = Path(directory) / "id"
        first, *rest = build_arguments(spec)
        argv = [*command, first, f"--iidfile={id_file}", f"--secret=id={mark},src={spec.containerfile}", *rest]
        try:
            status, log = proc.stream(argv, on_line, env=env)
            if status != 0 or not id_file.exists():
                raise failure(log, status)
        except BaseException:
            leftovers.remove(command, mark, {**os.environ, **env})
            raise
        return id_file.read_text().strip().removeprefix("sha256:")


def end(command: Sequence[str], version: str, mark: str) -> None:
    """End the build with that mark, whose starter is gone, and remove what it was making."""
    proc.end_groups(f"--secret=id={mark},")
    leftovers.remove(command, mark, {**os.environ, **build_environment(version)})


def build_environment(version: str) -> dict[str, str]:
    """Variables for a build, with the directory that they name. See `scratch`."""
    place = scratch(version)
    if _separates_users(version):
        return {}
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.lstat()
    except OSError:
        return {}
    # Below a TMPDIR that others may write to, too, what is there need not be ours.
    return {"TMPDIR": str(place)} if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() else {}


def scratch(version: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where Podman keeps cache mounts and what steps need while they run: below TMPDIR, or in its own place.

    Before podman 5, cache mounts of all users share one directory there, which the first user then owns: each user
    gets an own one.
    """
    if _separates_users(version):
        return Path(environ.get("TMPDIR") or "/var/tmp")
    chosen = environ.get("TMPDIR")
    return Path(chosen) / f"containers-build-{os.getuid()}" if chosen else cache_dir("build")


def cache_mounts(version: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of the cache mounts: packages that builds have fetched."""
    name = f"buildah-cache-{os.getuid()}" if _separates_users(version) else "buildah-cache"
    return scratch(version, environ) / name


def clear_cache_mounts(command: Sequence[str], version: str) -> None:
    """Remove the cache mounts, files of users of containers included. A build that begins meanwhile makes new ones."""
    place = cache_mounts(version)
    if place.is_dir():
        place.rename(place.with_name(f"{place.name}-old-{secrets.token_hex(4)}"))
    for old in place.parent.glob(f"{place.name}-old-*"):
        shutil.rmtree(old, ignore_errors=True)
        if old.exists() and command:
            proc.run([*command, "unshare", "rm", "-rf", str(old)], timeout=600)


def _separates_users(version: str) -> bool:
    major = re.match(r"\d+", version)
    return major is not None and int(major[0]) >= 5


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
