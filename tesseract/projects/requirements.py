"""Splitting dependency files: what lies on this machine travels in the build context, the rest is for the index."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from tesseract.errors import StagingError, ValidationError
from tesseract.projects.report import yaml_fault

logger = logging.getLogger("tesseract")

LOCAL_DIR = "local_requirements"
_EXTRAS = re.compile(r"\[[A-Za-z0-9._,\s-]*\]")
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:(?P<extras>\[[^]]*\])\s*)?@\s*")
_SHORT = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-f": "--find-links",
    "-i": "--index-url",
    "--pypi-url": "--index-url",
}
_ARCHIVE = (".whl", ".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class LocalDependency:
    """A file or folder of this machine that the requirements name.

    Attributes:
        source: Absolute path.
        target: Path in the build context.
    """

    source: Path
    target: str


@dataclass(frozen=True)
class Dependencies:
    """A dependency file, made independent of this machine.

    Attributes:
        file_name: Name of the rewritten file.
        text: Its content.
        local: What it needs beside it.
        needs_git: Whether something comes from a version control system.
    """

    file_name: str
    text: str
    local: tuple[LocalDependency, ...] = ()

    @property
    def needs_git(self) -> bool:
        return (
            re.search(r"(^|[\s@\"'])git\+|^[ \t]*vcs\b.*git|type\s*=\s*['\"]git['\"]", self.text, re.MULTILINE)
            is not None
        )


class _Stager:
    """Gives each local dependency a place of its own in the context."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._taken: set[str] = set()
        self.staged: list[LocalDependency] = []

    def resolve(self, path: str) -> Path:
        """The absolute path that a path or a `file:` URL means."""
        if path.startswith("file:"):
            path = unquote(urlsplit(path).path)
        return _real(self._base / path)

    def stage(self, path: str) -> str:
        """Where the file or folder will be, as the rewritten requirements name it."""
        source = self.resolve(path)
        if not source.exists():
            raise StagingError(f"local dependency not found: {path} (resolved to {source})")
        target = f"{LOCAL_DIR}/{self._free(source)}"
        self.staged.append(LocalDependency(source, target))
        return f"./{target}"

    def _free(self, source: Path) -> str:
        # An archive's name means something to the installer (wheel tags): a clash is settled by a folder.
        archive = source.is_file() and source.name.endswith(_ARCHIVE)
        name, count = source.name, 0
        while name in self._taken:
            count += 1
            name = f"{count}/{source.name}" if archive else f"{source.name}_{count}"
        self._taken.add(name)
        return name


def _real(path: Path) -> Path:
    """As `Path.resolve`, which raises for a link to itself before Python 3.13."""
    return Path(os.path.realpath(path))


def pip_dependencies(path: Path) -> Dependencies:
    """Read a requirements file; included files (`-r`) are flattened. A missing file means no dependencies.

    Raises:
        StagingError: A local dependency does not exist.
        ValidationError: An included file does not exist, or a line names what cannot travel.
    """
    stager = _Stager(path.parent)
    lines = list(_read(path, stager, frozenset())) if path.is_file() else []
    ordered = [line for line in lines if not _is_path(line)] + [line for line in lines if _is_path(line)]
    return Dependencies(path.name, "".join(f"{line}\n" for line in ordered), tuple(stager.staged))


def _read(path: Path, stager: _Stager, seen: frozenset[Path]) -> Iterator[str]:
    """The lines of a requirements file as they are in the image."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValidationError(f"{path} is not UTF-8 text ({error.reason}).") from error
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        raise ValidationError(f"No file found at {path}, which a requirements file includes.") from error
    for number, line in _logical_lines(text):
        yield from _rewritten(line, path, f"{path}, line {number}", stager, seen | {_real(path)})


def _rewritten(line: str, path: Path, where: str, stager: _Stager, seen: frozenset[Path]) -> Iterator[str]:
    """A line of the file `path`, or what takes its place. `where` names it in messages."""
    option, value = _option(line)
    try:
        if option == "--requirement" and "://" not in value:
            nested = _real(path.parent / value)
            if nested not in seen:
                yield from _read(nested, stager, seen)
        elif option == "--constraint" and "://" not in value:
            raise ValidationError(
                f"constraint files (-c {value}) cannot travel into the image. "
                "Write the pins into the requirements file."
            )
        elif option in ("--index-url", "--extra-index-url") and not _is_remote(value):
            raise ValidationError(
                f"the package index {value} is a folder of this machine, which an image build cannot reach. "
                "Name a folder of wheels by --find-links instead, or an index by its URL."
            )
        elif option == "--find-links" and not _is_remote(value):
            if not stager.resolve(value).is_dir():
                raise StagingError(f"--find-links {value}: there is no such folder ({stager.resolve(value)}).")
            yield f"--find-links {stager.stage(value)}"
        elif option == "--editable" and not _is_remote(_taken_apart(value).path):
            yield _staged(value, stager)  # an image has no source tree to edit
        elif not option and _names_a_path(line):
            yield _staged(line, stager)
        else:
            yield line
    except (StagingError, ValidationError) as error:
        # Once: what an included file says names its own line already.
        raise error if error.args[0].startswith("/") else type(error)(f"{where}: {error}") from error.__cause__


def _option(line: str) -> tuple[str, str]:
    """The long name of the option that a line sets, and its value; empty where it is a requirement."""
    match = re.match(r"(--?[a-z-]+?)(?:\s+|=|(?<=^-[a-z])(?=[^\s=-]))(.*)$", line)
    return (_SHORT.get(match[1], match[1]), match[2].strip()) if match else ("", line)


def _is_remote(value: str) -> bool:
    return "://" in value and not value.startswith("file:")


def _is_path(requirement: str) -> bool:
    return requirement.startswith((".", "/", "file:"))


@dataclass(frozen=True)
class _Place:
    """A requirement taken apart: `name[extras] @ path` or `path[extras]`, and the marker and hashes behind it."""

    name: str
    path: str
    extras: str
    rest: str


def _taken_apart(requirement: str) -> _Place:
    end = re.search(r"\s(?:;|--[a-z])", requirement)  # a path may hold spaces
    whole, rest = (requirement[: end.start()], requirement[end.start() :]) if end else (requirement, "")
    named = _NAMED.match(whole)
    path = (whole[named.end() :] if named else whole).strip()
    begin = path.rfind("[")
    extras = path[begin:] if begin > 0 and _EXTRAS.fullmatch(path[begin:]) else ""
    path = path.removesuffix(extras).rstrip()
    return _Place(named["name"] if named else "", path, extras or (named["extras"] or "" if named else ""), rest)


def _names_a_path(requirement: str) -> bool:
    """Whether a requirement lies on this machine, by pip's rules: what has a slash, or is an archive's name."""
    path = _taken_apart(requirement).path
    if not path or _is_remote(path):
        return False
    return _is_path(path) or path.endswith(_ARCHIVE) or "/" in path.partition(";")[0]


def _staged(requirement: str, stager: _Stager) -> str:
    """The requirement with the place where what it names will be; extras, marker and hashes as they were."""
    place = _taken_apart(requirement)
    path, rest, fragment = place.path, place.rest, ""
    if path.startswith("file:"):
        path, _, fragment = path.partition("#")
    if "subdirectory=" in fragment:
        raise ValidationError(f"{requirement}: name the folder itself, without #subdirectory.")
    digest = re.search(r"\b(sha256|sha384|sha512)=([0-9a-fA-F]+)", fragment)
    if digest:
        rest += f" --hash={digest[1]}:{digest[2]}"
    if "--hash" in rest and stager.resolve(path).is_dir():
        raise ValidationError(f"{requirement}: a folder has no hash. Leave --hash out, or name an archive.")
    return f"{stager.stage(path)}{place.extras}{rest}"


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number of the first physical line, and the text without comments and continuations."""
    begun = 0
    parts: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        begun = begun if parts else number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            parts.append(line[:-1].strip())
            continue
        whole = re.sub(r"(^|\s)#.*$", "", " ".join([*parts, line.strip()])).strip()
        parts = []
        if whole:
            yield begun, whole
    if any(parts):
        yield begun, " ".join(parts)


def lock_dependencies(path: Path) -> Dependencies:
    """Read a PEP 751 lock file, which is installed as it is."""
    return Dependencies(path.name, path.read_text(encoding="utf-8"))


def conda_dependencies(path: Path) -> Dependencies:
    """Read a conda environment; local entries of its `pip` list are staged.

    Raises:
        StagingError: A local dependency does not exist.
        ValidationError: The file is not a conda environment, or a line names what cannot travel.
    """
    try:
        environment: Any = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise ValidationError(f"Invalid YAML in {path}: {yaml_fault(error)}") from error
    if not isinstance(environment, dict):
        raise ValidationError(f"{path} must contain a YAML mapping.")
    if environment.get("variables"):
        logger.warning("%s: nobody activates the environment in an image, so `variables` are not set. Use env.", path)
    stager = _Stager(path.parent)
    for entry in environment.get("dependencies") or ():
        if isinstance(entry, dict) and isinstance(entry.get("pip"), list):
            items = [str(item) for item in entry["pip"]]
            where = f"{path}, dependencies.pip"
            entry["pip"] = [line for item in items for line in _rewritten(item, path, where, stager, frozenset())]
    text = yaml.safe_dump(environment, sort_keys=False, allow_unicode=True)
    return Dependencies(path.name, text, tuple(stager.staged))
