"""A compute process: imports the user's module, then runs one request at a time in its main thread.

The module is imported after the fork, so that threads, BLAS, CUDA contexts and MPI live as in any Python process.
"""

from __future__ import annotations

import os
import signal
import socket
import traceback

from tesseract_core.runtime import debugger
from tesseract_core.runtime.serve.handler import Handler
from tesseract_core.runtime.serve.messages import Announcement
from tesseract_core.runtime.serve.processes import SHUTDOWN_SIGNALS
from tesseract_core.runtime.serve.queue import Job
from tesseract_core.runtime.trust import close_process
from tesseract_core.runtime.user_module import NotATesseract


def run(receiver: socket.socket, announce_fd: int, *, debuggable: bool = False) -> int:
    """Serve the queue until no HTTP worker is left; returns the exit status.

    An `Announcement` is written to the pipe `announce_fd`, which is then closed.
    In debug mode the process that is `debuggable` starts the debugger first: there is one port for it.
    """
    for number in SHUTDOWN_SIGNALS:
        signal.signal(number, _carry_on)
        signal.siginterrupt(number, False)
    close_process()
    if debuggable:
        debugger.listen()
    with open(announce_fd, "wb") as announce:
        try:
            handler = Handler.load()
        except BaseException as error:
            announce.write(Announcement(error=_explain(error)).encode())
            return 1
        announce.write(Announcement(handler.document, handler.endpoints).encode())

    current: Job | None = None

    def let_go() -> None:
        """Make a child that user code forks an ordinary process."""
        # The end-of-file of the reply's socket reports our death, so nobody else may hold it.
        receiver.close()
        if current is not None:
            current.close()
        for number in SHUTDOWN_SIGNALS:
            if signal.getsignal(number) is _carry_on:
                signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)

    os.register_at_fork(after_in_child=let_go)
    while (current := Job.take(receiver)) is not None:
        if not current.withdrawn():
            current.reply(handler.answer(current.request))
        current.close()
    return 0


def _carry_on(*_: object) -> None:
    """Handle a signal to stop: the HTTP side drains, and a process that computes just goes on.

    A handler rather than SIG_IGN, which programs that user code starts would inherit: nobody could terminate them.
    """


def _explain(error: BaseException) -> str:
    """Say why the Tesseract cannot be loaded: a line, after the traceback if it was user code that raised."""
    if isinstance(error, NotATesseract):
        return str(error)
    if isinstance(error, ImportError):
        cause = traceback.format_exception(error.__cause__) if error.__cause__ else []
        return "".join([*cause, str(error)])
    return "".join(traceback.format_exception(error))
