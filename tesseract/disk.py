"""What to say when a file system is full: which one, how much is missing, and what of ours can go."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tesseract.dirs import cache_dir
from tesseract.sizes import human_size

_PATH = re.compile(r"(?<![^\s\"'])/[^\s\"':]+")


@dataclass(frozen=True)
class Room:
    """A file system: where it is mounted, its device number, bytes left for the caller and in all, files left."""

    mount: str
    device: int
    free: int
    size: int
    files_free: int = 1

    @property
    def is_full(self) -> bool:
        """Whether next to nothing can be written there."""
        return self.free < 2**20 or not self.files_free


def room(path: str | Path) -> Room | None:
    """The file system that holds a path, or would; None where that cannot be found out."""
    place = os.path.abspath(path)
    try:
        while not os.access(place, os.F_OK) and place != "/":
            place = os.path.dirname(place)
        state, device = os.statvfs(place), os.stat(place).st_dev
        while place != "/" and os.stat(os.path.dirname(place)).st_dev == device:
            place = os.path.dirname(place)
    except OSError:
        return None
    # Some file systems (btrfs) make room for files as they need it, and count none.
    files = state.f_favail if state.f_files else 1
    return Room(place, device, state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize, files)


def named_in(text: str) -> str | None:
    """The first absolute path in what a program said."""
    match = _PATH.search(text)
    return match[0] if match else None


def shortage(found: Room, needed: int = 0, what: str = "", quota: bool = False) -> str:
    """What is wrong, as a sentence without its end.

    Args:
        found: The file system.
        needed: Bytes that were to be written, if known.
        what: What needs them, for the sentence.
        quota: The caller's quota is used up, not the file system.
    """
    left = f"{found.mount} has {human_size(found.free)} of {human_size(found.size)} left"
    if quota:
        return f"Your quota on {found.mount} is used up ({left})"
    if not found.files_free:
        return f"{found.mount} is full: it has no room for further files (inodes)"
    if needed > found.free:
        missing = human_size(needed - found.free)
        return f"The disk is full: {left}, and {what} takes {human_size(needed)}: {missing} are missing"
    return f"The disk is full: {left}"


def ours(found: Room, build_cache: Path | None = None) -> list[str]:
    """What of ours on that file system can go, as the command and what it frees.

    Args:
        build_cache: Where the engine keeps what builds have fetched, if it is not where it usually is.
    """
    places = (("tesseract prune", build_cache or cache_dir("build")), ("tesseract cache --clear", cache_dir("inputs")))
    sizes = [(command, size_of(place)) for command, place in places if _device(place) == found.device]
    return [f"`{command}` (frees up to {human_size(size)})" for command, size in sizes if size]


def _device(place: Path) -> int | None:
    try:
        return place.stat().st_dev
    except OSError:
        return None


def size_of(directory: Path) -> int:
    """Bytes on disk below a directory. Files with several names count once, and what may not be read does not."""
    total, seen, waiting = 0, set(), [os.fspath(directory)]
    while waiting:  # not by `os.walk`, which fails a thousand levels deep
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            with suppress(OSError):  # removed meanwhile
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode):
                    waiting.append(entry.path)
                elif (facts.st_dev, facts.st_ino) not in seen:
                    seen.add((facts.st_dev, facts.st_ino))
                    total += facts.st_blocks * 512
    return total
