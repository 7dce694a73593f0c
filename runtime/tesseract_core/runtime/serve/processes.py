"""Forking the server's processes, and making sure that none outlives the main one."""

from __future__ import annotations

import atexit
import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
SHUTDOWN_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies, however that happens.

    The kernel watches the *thread* that forked, so that must have been the parent's main thread.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def default_signals() -> None:
    """Drop the handlers that this process has from the one that forked it."""
    for number in (*SHUTDOWN_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def fork(target: Callable[[], int]) -> int:
    """Run `target` in a child process and return the child's pid. The child exits with what `target` returns.

    The child has a process group of its own, so that the Ctrl-C of a terminal reaches the main process only, and none
    of the parent's signal handlers and exit hooks.
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
        die_with_parent(parent)
        os.setpgid(0, 0)
        _forget_exit_hooks()
        status = target()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        leave(status)


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


def describe_exit(status: int) -> str:
    """Say how a process ended, given its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"was killed by signal {-code} ({signal.strsignal(-code)})"
    return f"exited with status {code}"
