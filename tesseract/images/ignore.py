"""The project's ignore file (`.containerignore`, else `.dockerignore`), read as container engines read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

# Never of use in an image, whatever the project says.
ALWAYS = (
    "**/__pycache__",
    "**/.venv",
    "**/.tesseract-venv*",
    "**/.git",
    "**/.vscode",
    "**/.idea",
    "**/*.swp",
    "**/.#*",
    "**/.DS_Store",
)
_FILES = (".containerignore", ".dockerignore")


class Ignore:
    """Patterns of ignored paths; the last one that matches decides, `!` takes a path back in.

    Args:
        patterns: Lines of an ignore file.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._rules = [rule for line in (*ALWAYS, *patterns) if (rule := _rule(line)) is not None]
        self._takes_back = any(not excludes for excludes, _ in self._rules)

    def __call__(self, relative: PurePosixPath) -> bool:
        """Whether the path, relative to the project folder, is left out."""
        ignored = False
        candidates = [str(path) for path in (relative, *relative.parents) if path.parts]
        for excludes, pattern in self._rules:
            if any(pattern.fullmatch(candidate) for candidate in candidates):
                ignored = excludes
        return ignored

    def prunes(self, relative: PurePosixPath) -> bool:
        """Whether nothing below that folder can be wanted."""
        return not self._takes_back and self(relative)


def of_project(src_dir: Path) -> Ignore:
    """The ignore rules of a project folder."""
    for name in _FILES:
        path = src_dir / name
        if path.is_file():
            return Ignore(path.read_text(encoding="utf-8").splitlines())
    return Ignore()


def _rule(line: str) -> tuple[bool, re.Pattern[str]] | None:
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    excludes = not text.startswith("!")
    text = text.lstrip("!").strip().strip("/").removeprefix("./")
    return (excludes, re.compile(_regex(text))) if text and text != "." else None


def _regex(pattern: str) -> str:
    """Go's filepath.Match with `**` for any number of folders, as a regular expression."""
    result, index = "", 0
    while index < len(pattern):
        if pattern.startswith("**/", index):
            result, index = result + "(?:.*/)?", index + 3
        elif pattern.startswith("**", index):
            result, index = result + ".*", index + 2
        elif pattern[index] == "*":
            result, index = result + "[^/]*", index + 1
        elif pattern[index] == "?":
            result, index = result + "[^/]", index + 1
        elif pattern[index] == "[" and (end := pattern.find("]", index + 2)) > 0:
            result, index = result + pattern[index : end + 1].replace("[!", "[^"), end + 1
        elif pattern[index] == "\\" and index + 1 < len(pattern):
            result, index = result + re.escape(pattern[index + 1]), index + 2
        else:
            result, index = result + re.escape(pattern[index]), index + 1
    return result
