"""Splitting dependency files: what lies on this machine travels in the build context, the rest is for the index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from tesseract.errors import StagingError, ValidationError
from tesseract.projects.report import yaml_fault

LOCAL_DIR = "local_requirements"
_EXTRAS = re.compile(r"^(?P<path>.*?)(?P<extras>\[[A-Za-z0-9._,\s-]*\])?$")
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

    def stage(self, requirement: str) -> str:
        match = _EXTRAS.match(requirement.strip())
        assert match is not None
        path, extras = match["path"].strip(), match["extras"] or ""
        if path.startswith("file:"):
            path = unquote(urlsplit(path).path)
        source = Path(path) if Path(path).is_absolute() else self._base / path
        source = source.resolve()
        if not source.exists():
            raise StagingError(f"local dependency not found: {path} (resolved to {source})")
        target = f"{LOCAL_DIR}/{self._free(source)}"
        self.staged.append(LocalDependency(source, target))
        return f"./{target}{extras}"

    def _free(self, source: Path) -> str:
        # An archive's name means something to the installer (wheel tags): a clash is settled by a folder.
        archive = source.is_file() and source.name.endswith(_ARCHIVE)
        name, count = source.name, 0
        while name in self._taken:
            count += 1
            name = f"{count}/{source.name}" if archive else f"{source.name}_{count}"
        self._taken.add(name)
        return name


def is_local(requirement: str) -> bool:
    """Whether a requirement names a path of this machine."""
    return requirement.startswith((".", "/", "file://"))


def pip_dependencies(path: Path) -> Dependencies:
    """Read a requirements file; included files (`-r`) are flattened. A missing file means no dependencies.

    Raises:
        StagingError: A local dependency does not exist.
        ValidationError: An included file does not exist, or cannot travel.
    """
    stager = _Stager(path.parent)
    lines = list(_read(path, stager, frozenset())) if path.is_file() else []
    ordered = [line for line in lines if not is_local(line)] + [line for line in lines if is_local(line)]
    return Dependencies(path.name, "".join(f"{line}\n" for line in ordered), tuple(stager.staged))


def _read(path: Path, stager: _Stager, seen: frozenset[Path]) -> Iterator[str]:
    """The lines of a requirements file as they are in the image."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValidationError(f"{path} is not UTF-8 text ({error.reason}).") from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ValidationError(f"No file found at {path}, which a requirements file includes.") from error
    for line in _logical_lines(text):
        yield from _rewritten(line, path, stager, seen | {path.resolve()})


def _rewritten(line: str, path: Path, stager: _Stager, seen: frozenset[Path]) -> Iterator[str]:
    """A line of the file `path`, or what takes its place."""
    include = re.match(r"(?:-r|--requirement)(?:\s+|=)(.+)$", line)
    constraint = re.match(r"(?:-c|--constraint)(?:\s+|=)(.+)$", line)
    editable = re.match(r"(?:-e|--editable)(?:\s+|=)(.+)$", line)
    if include and "://" not in include[1]:
        nested = (path.parent / include[1].strip()).resolve()
        if nested not in seen:
            yield from _read(nested, stager, seen)
    elif constraint and "://" not in constraint[1]:
        raise ValidationError(
            f"{path}: constraint files (-c {constraint[1].strip()}) cannot travel into the image. "
            "Write the pins into the requirements file."
        )
    elif editable and is_local(editable[1]):
        yield stager.stage(editable[1])  # an image has no source tree to edit
    elif named := re.match(r"[A-Za-z0-9._-]+\s*(?:(\[[^]]*\])\s*)?@\s*(file:[^;\s]+)(.*)$", line):
        yield stager.stage(named[2] + (named[1] or "")) + named[3]
    elif is_local(line):
        requirement, _, marker = line.partition(" ;")
        yield stager.stage(requirement) + (f" ;{marker}" if marker else "")
    else:
        yield line


def _logical_lines(text: str) -> list[str]:
    joined = re.sub(r"\\\r?\n\s*", " ", text)
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def lock_dependencies(path: Path) -> Dependencies:
    """Read a PEP 751 lock file, which is installed as it is."""
    return Dependencies(path.name, path.read_text(encoding="utf-8"))


def conda_dependencies(path: Path) -> Dependencies:
    """Read a conda environment; local entries of its `pip` list are staged.

    Raises:
        StagingError: A local dependency does not exist.
        ValidationError: The file is not a conda environment.
    """
    try:
        environment: Any = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise ValidationError(f"Invalid YAML in {path}: {yaml_fault(error)}") from error
    if not isinstance(environment, dict):
        raise ValidationError(f"{path} must contain a YAML mapping.")
    stager = _Stager(path.parent)
    for entry in environment.get("dependencies") or ():
        if isinstance(entry, dict) and isinstance(entry.get("pip"), list):
            items = [str(item) for item in entry["pip"]]
            entry["pip"] = [line for item in items for line in _rewritten(item, path, stager, frozenset())]
    text = yaml.safe_dump(environment, sort_keys=False, allow_unicode=True)
    return Dependencies(path.name, text, tuple(stager.staged))
