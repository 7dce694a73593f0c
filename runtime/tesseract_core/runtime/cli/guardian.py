"""A call on the command line runs in a child process, so that somebody is left to say how it ended.

A crash in native code takes everything with it: what the run has printed last, which is still in a pipe, the run's
record, and any word about what happened. The parent has imported nothing of the user's and waits.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.ended import Endings, as_shells_count
from tesseract_core.runtime.logs import flush_all
from tesseract_core.runtime.pipe_reader import SharedPipe

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_SI_KERNEL = 0x80  # of a terminal, which has sent it to the child, too


@contextmanager
def in_child(endpoint: str) -> Iterator[None]:
    """Run the block in a child process. This one ends with the child's exit status, after it has said what that cannot.

    A child that ends before the block does has no result, whatever its exit status (`os._exit(0)` in compiled code).

    Args:
        endpoint: What is called, for the run's record.
    """
    done = mmap.mmap(-1, 1)  # shared, and out of reach of code that closes all descriptors
    _continue_in_child(endpoint, done)
    try:
        yield
    finally:
        done[0] = 1


def _continue_in_child(endpoint: str, done: mmap.mmap) -> None:
    pipe = SharedPipe()
    endings, started, parent = Endings(), time.time(), os.getpid()
    flush_all()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*_FORWARDED, signal.SIGCHLD))
    pid = os.fork()
    if pid == 0:
        from tesseract_core.runtime.parent import die_with_parent

        die_with_parent(parent)
        pipe.lend()
        faulthandler.enable(os.dup(2), all_threads=False)  # past the pipe, which nobody reads in a crash
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    status = _wait(pid)
    if os.WIFSIGNALED(status) or not done[0]:
        _tell(Path(get_config().output_path), endpoint, started, endings.describe(status), pipe.rest())
    os._exit(as_shells_count(status) or (0 if done[0] else 1))


def _wait(pid: int) -> int:
    """Return the child's wait status. Meanwhile, signals for this process go to the child."""
    while True:
        received = signal.sigwaitinfo((*_FORWARDED, signal.SIGCHLD))
        if received.si_signo != signal.SIGCHLD:
            if received.si_code != _SI_KERNEL:
                os.kill(pid, received.si_signo)
            continue
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status


def _tell(run: Path, endpoint: str, started: float, how: str, last_words: bytes) -> None:
    from tesseract_core.runtime.mpa.record import record_death

    sys.stderr.flush()
    os.write(2, last_words)
    print(f"Error: {endpoint} died ({how})", file=sys.stderr, flush=True)
    record_death(run, endpoint, started, how, last_words)
