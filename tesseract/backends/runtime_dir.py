"""The directory for our sockets: the caller's alone, whatever the login session provides."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tesseract.errors import EngineUnavailable

logger = logging.getLogger("tesseract.backends")

_MAX_SOCKET_PATH = 107  # sun_path of unix(7)


def runtime_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Our directory for sockets: ours alone (0700). Without XDG_RUNTIME_DIR, Podman's own fallbacks, with a warning.

    Raises: EngineUnavailable if no candidate is usable.
    """
    uid = os.getuid()
    configured = environ.get("XDG_RUNTIME_DIR")
    fallbacks = [Path(f"/run/user/{uid}"), Path(environ.get("TMPDIR", "/tmp")) / f"podman-run-{uid}",
                 Path(environ.get("HOME", "/")) / "rundir"]  # fmt: skip
    candidates = [*([Path(configured)] if configured else []), *([Path("/run")] if uid == 0 else []), *fallbacks]
    for base in candidates:
        path = base / "tesseract"
        if (
            len(str(path)) + len("/podman-12345678.sock") <= _MAX_SOCKET_PATH
            and _private(base, uid)
            and _make(path, uid)
        ):
            if base != candidates[0] or (not configured and uid != 0):
                reason = f"XDG_RUNTIME_DIR ({configured}) is not usable" if configured else "XDG_RUNTIME_DIR is not set"
                logger.warning("%s; using %s. A login session (ssh, machinectl shell) sets it.", reason, base)
                if environ is os.environ:  # Podman and its storage library would fall back to different directories
                    os.environ["XDG_RUNTIME_DIR"] = str(base)
            return path
    raise EngineUnavailable(
        f"No directory for Podman's sockets is usable (tried {', '.join(map(str, candidates))}): set XDG_RUNTIME_DIR "
        "to a directory of yours with mode 0700, or log in through ssh or 'machinectl shell' instead of su or sudo."
    )


def _private(base: Path, uid: int) -> bool:
    """Whether the directory is ours and closed to others, as Podman asks of it; makes it where that is our right."""
    with suppress(OSError):
        base.mkdir(mode=0o700)
    return _owned(base, uid) and os.access(base, os.W_OK | os.X_OK)


def _make(path: Path, uid: int) -> bool:
    with suppress(OSError):
        path.mkdir(mode=0o700)
    return _owned(path, uid) and not path.stat().st_mode & 0o077


def _owned(path: Path, uid: int) -> bool:
    try:
        state = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(state.st_mode) and state.st_uid == uid and not state.st_mode & 0o022
