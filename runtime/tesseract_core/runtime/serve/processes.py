"""Forking the server's processes, and making sure that none outlives the main one."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from tesseract_core.endings import describe_status
from tesseract_core.runtime.ended import as_shells_count
from tesseract_core.runtime.parent import die_with_parent

SHUTDOWN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def default_signals() -> None:
    """Drop the handlers that this process has from the one that forked it."""
    for number in (*SHUTDOWN_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def wake_on_signals() -> tuple[socket.socket, socket.socket]:
    """Let each signal, and the end of each child, end a wait for the first of these sockets. Keep both."""
    wakeup, wake = socket.socketpair()
    wakeup.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wakeup, wake


_only_ours: set[int] = set()


def keep_from_children(fd: int) -> None:
    """Have `fork` close a descriptor in all children from here on."""
    _only_ours.add(fd)


def give_to_children(fd: int) -> None:
    """End what `keep_from_children` began, because the descriptor is closed and its number may be used again."""
    _only_ours.discard(fd)


def fork(target: Callable[[], int], *, own_session: bool = False, outlives: bool = False) -> int:
    """Run `target` in a child process and return the child's pid. The child exits with what `target` returns.

    The child leads a process group of its own, so that Ctrl-C reaches the main process only. It has none of the
    parent's signal handlers and exit hooks, and dies with the parent unless it `outlives` it.

    User code gets its `own_session` where there is a terminal, which it would share: what reads gets the end of the
    file instead of being stopped. Not elsewhere, because the kernel schedules sessions against each other
    (`sched_autogroup`): on a busy machine small calls take twice as long.
    """
    parent = os.getpid()
    gc.freeze()
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that reached the child before it has dropped the parent's handlers would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, SHUTDOWN_SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SHUTDOWN_SIGNALS)
        return pid
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        default_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SHUTDOWN_SIGNALS)
        if not outlives:
            die_with_parent(parent)
        os.setsid() if own_session and _has_terminal() else os.setpgid(0, 0)
        for fd in _only_ours:
            os.close(fd)
        _only_ours.clear()  # for children of its own
        _read_nothing()
        _forget_exit_hooks()
        status = target()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        leave(status)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _read_nothing() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _forget_exit_hooks() -> None:
    """Drop the exit hooks of the process that forked this one, except those that modules register for themselves."""
    atexit._clear()
    atexit.register(logging.shutdown)
    if "multiprocessing.util" in sys.modules:
        atexit.register(sys.modules["multiprocessing.util"]._exit_function)


def leave(status: int) -> NoReturn:
    """End this process as the interpreter would, but without unwinding and without taking down what was imported.

    The latter takes longer than stopping a server does, and serves nothing.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def reap(pid: int) -> int | None:
    """Return the wait status of a child that has ended, None while it runs. What is left of its group is killed."""
    if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return None
    end_group(pid)  # before its number may be given to another
    return os.waitpid(pid, 0)[1]


def status_of(pid: int, patience_s: float = 1.0) -> int | None:
    """Return the wait status of a child that is ending, without reaping it; None if it still runs after a while."""
    deadline = time.monotonic() + patience_s
    while (state := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
        if time.monotonic() > deadline:
            return None
        time.sleep(0.005)
    return state.si_status << 8 if state.si_code == os.CLD_EXITED else state.si_status


def end_group(group: int) -> None:
    """Kill all processes of a process group; those that have made a group of their own are not found."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def describe_exit(status: int) -> str:
    """Say how a process ended, given its wait status."""
    return describe_status(as_shells_count(status))
