"""The one gateway to other programs: everything that is run is logged, bounded in time and reported in one line."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from tesseract.errors import EngineTimeout, EngineUnavailable

logger = logging.getLogger("tesseract.proc")


def run(
    argv: Sequence[str], *, timeout: float | None = 60, env: Mapping[str, str] | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end and collect its output.

    Args:
        argv: Program and arguments; no shell is involved.
        timeout: Seconds until it is killed.
        env: Variables to set over those of this process.
        stdin: What it reads.

    Raises:
        EngineUnavailable: The program does not exist or may not be executed.
        EngineTimeout: It took too long.
    """
    logger.debug("run: %s", shlex.join(argv))
    try:
        return subprocess.run(
            list(argv), input=stdin, capture_output=True, timeout=timeout, env=_environment(env), check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise EngineTimeout(f"'{shlex.join(argv)}' did not end within {timeout:g} s") from exc
    except OSError as exc:
        raise _not_runnable(argv, exc) from exc


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    keep: int = 10_000,
) -> tuple[int, list[str]]:
    """Run a program and hand over each line of its output (both streams, as they come).

    The program is ended when this call is interrupted.

    Args:
        keep: How many of the last lines are returned.

    Returns:
        Exit status and the last lines.
    """
    logger.debug("run: %s", shlex.join(argv))
    lines: deque[str] = deque(maxlen=keep)
    try:
        # A session of its own: Ctrl-C reaches us alone, and we end the whole group.
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as exc:
        raise _not_runnable(argv, exc) from exc
    assert process.stdout is not None
    try:
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            lines.append(line)
            on_line(line)
        return process.wait(), list(lines)
    finally:
        process.stdout.close()
        _end_group(process)


def spawn_detached(
    argv: Sequence[str], log: IO[bytes], env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program that outlives us: own session, no terminal, no directory of ours held; output goes to `log`."""
    logger.debug("start: %s", shlex.join(argv))
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(env),
            cwd="/",
            start_new_session=True,
        )
    except OSError as exc:
        raise _not_runnable(argv, exc) from exc


def spawn_on_socket(
    argv: Sequence[str], wire: socket.socket, log: IO[bytes] | int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a program whose stdin and stdout are a socket, and whose stderr goes to `log`."""
    logger.debug("connect: %s", shlex.join(argv))
    try:
        return subprocess.Popen(
            list(argv), stdin=wire.fileno(), stdout=wire.fileno(), stderr=log, start_new_session=True
        )
    except OSError as exc:
        raise _not_runnable(argv, exc) from exc


def leaders(word: str) -> Iterator[int]:
    """The caller's processes that lead a group, as those of `stream` do, and have the word in their command line."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            pid = int(entry.name)
            ours = entry.stat().st_uid == os.getuid() and os.getpgid(pid) == pid != os.getpid()
            if ours and word.encode() in (entry / "cmdline").read_bytes():
                yield pid


def end_groups(word: str, patience: float = 5.0) -> None:
    """End the groups of processes whose leader has the word in its command line; kill what does not end."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):  # a second one is what impatient people send
        for pid in leaders(word):
            with suppress(OSError):
                os.killpg(pid, number)
        until = time.monotonic() + patience
        while any(leaders(word)) and time.monotonic() < until:
            time.sleep(0.1)


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if extra is None else {**os.environ, **extra}


def _end_group(process: subprocess.Popen[bytes], grace: float = 10.0) -> None:
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _not_runnable(argv: Sequence[str], exc: OSError) -> EngineUnavailable:
    if isinstance(exc, FileNotFoundError):
        return EngineUnavailable(f"'{argv[0]}' was not found. Check that it is installed and on PATH.")
    return EngineUnavailable(f"'{argv[0]}' could not be run ({exc.strerror}). Check that it is an executable program.")
