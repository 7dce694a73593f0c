"""Removing what a container has left: whatever it is, it goes, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tesseract.disk import size_of
from tesseract.remove_tree import remove_tree

pytestmark = pytest.mark.fast


def make_deep(directory: Path, levels: int) -> None:
    """Make a chain of directories that is deeper than a path may be long, as a program in a container can."""
    here = os.open(directory, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_closed_and_deep_directories_are_removed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("closed/below/file", "only-read/file", "moved-0/moved-0/file", "moved-1/file"):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_text("x")
    make_deep(tree / "moved-1", 3000)
    (tree / "only-read").chmod(0o500)
    (tree / "closed").chmod(0)
    assert size_of(tree) > 0
    tree.chmod(0)
    remove_tree(tree)
    assert list(tmp_path.iterdir()) == []
    remove_tree(tree)  # where there is nothing, there is nothing to do


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o500)
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    for place in (tree, tree / "below"):
        (place / "link").symlink_to(precious)
        (place / "dangling").symlink_to(tmp_path / "missing")
        os.mkfifo(place / "pipe")
    remove_tree(tree)
    assert list(tmp_path.iterdir()) == [precious]
    assert precious.stat().st_mode & 0o777 == 0o500
    tree.symlink_to(precious)
    with pytest.raises(OSError, match="tree"):
        remove_tree(tree)
    assert precious.is_dir()
