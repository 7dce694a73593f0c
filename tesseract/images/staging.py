"""Filling a build context: copies of what the build needs, and digests of it for the layer cache."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from tesseract.errors import StagingError, UserError

logger = logging.getLogger("tesseract")

SOURCE_DIR = "__tesseract_source__"
RUNTIME_DIR = "__tesseract_runtime__"
DATA_DIR = "__package_data__"

# Where links of tools that keep data elsewhere lead to.
_FETCHED_BY = {".git/annex/": "git annex get", ".dvc/cache/": "dvc pull"}
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# What stands in a repository for a file that Git LFS keeps elsewhere; never longer than this.
_LFS, _POINTER_SIZE = b"version https://git-lfs.github.com/spec/", 1024


def copy(
    source: Path, target: Path, leave_out: Callable[[PurePosixPath], bool] | None = None, strict: bool = True
) -> None:
    """Copy a file or a folder; symlinks are followed, times and modes are kept.

    Args:
        source: What to copy.
        target: The copy; its parent folders are made.
        leave_out: Says of a path relative to `source` whether it is not wanted.
        strict: What is no file is an error; else it is left out, with a warning.

    Raises: StagingError for what is no file: a link to nothing, a pipe, a socket, a device.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        _copy_folder(source, target, PurePosixPath(), leave_out or (lambda _: False), (source.resolve(),), strict)
    else:
        _copy_file(source, target, strict)


def _copy_folder(
    source: Path,
    target: Path,
    relative: PurePosixPath,
    leave_out: Callable[[PurePosixPath], bool],
    above: tuple[Path, ...],
    strict: bool,
) -> None:
    target.mkdir(exist_ok=True)
    for entry in sorted(source.iterdir()):
        inside = relative / entry.name
        if leave_out(inside):
            continue
        if entry.is_dir():
            real = entry.resolve()
            if real in above:
                raise StagingError(f"{entry} is a symbolic link to a folder that contains it. Remove it or ignore it.")
            _copy_folder(entry, target / entry.name, inside, leave_out, (*above, real), strict)
        else:
            _copy_file(entry, target / entry.name, strict)
    shutil.copystat(source, target)


def _copy_file(source: Path, target: Path, strict: bool) -> None:
    """Copy a file; whatever is none is an error, because an image without it would miss it without a word."""
    kind = lacking(source)
    if kind:
        line = f"{source} cannot be copied into the image: {kind}, or leave it out by .containerignore."
        if strict:
            raise StagingError(line)
        logger.warning("%s", line)
        return
    shutil.copy2(source, target)
    if source.stat().st_size < _POINTER_SIZE and source.read_bytes().startswith(_LFS):
        logger.warning(
            "%s is a Git LFS pointer, not the file itself, and goes into the image. Run git lfs pull.", source
        )


def lacking(path: Path) -> str | None:
    """Why a path is no file that can be copied, and what to do about it; None if it is one."""
    if path.is_file():
        return None
    if path.is_symlink():
        leads_to = os.readlink(path)
        how = next((f"Fetch it with `{command}`" for place, command in _FETCHED_BY.items() if place in leads_to), None)
        return f"it is a symbolic link to {leads_to}, which does not exist. {how or 'Fetch or remove it'}"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"{error.strerror}. Check the path"
    kind = next((name for test, name in _KINDS if test(mode)), "no regular file")
    return f"it is {kind}. Remove it"


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file that nobody writes to, or a copy where the file systems differ."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def digest(*parts: str | Path) -> str:
    """Short digest of texts, files and folders (names, modes and content; not times)."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(f"text {len(part)}\n{part}".encode())
        else:
            for path in sorted(part.rglob("*")) if part.is_dir() else [part]:
                name, facts = (path.relative_to(part) if part.is_dir() else path.name), path.stat()
                size = "folder" if path.is_dir() else facts.st_size
                total.update(f"file {name} {facts.st_mode & 0o777:o} {size}\n".encode(errors="surrogateescape"))
                if path.is_dir():
                    continue
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        total.update(block)
    return total.hexdigest()[:12]


def make_context_dir(path: Path) -> Path:
    """A folder chosen by the user: made if missing, emptied if it holds a context of ours. Raises: UserError."""
    path = path.absolute()
    if path.is_dir():
        ours = (path / "Containerfile").is_file() and (path / RUNTIME_DIR).is_dir()
        if any(path.iterdir()) and not ours:
            raise UserError(f"The build directory {path} holds something else. Choose an empty or a new one.")
        for entry in list(path.iterdir()):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        return path
    try:
        path.mkdir()
    except FileNotFoundError as error:
        raise UserError(f"The build directory {path} cannot be made: {path.parent} does not exist.") from error
    except FileExistsError as error:
        raise UserError(f"The build directory {path} is a file. Choose another one.") from error
    return path
