"""A compute process: imports the user's module, then runs one request at a time in its main thread.

The module is imported after the fork, so that threads, BLAS, CUDA contexts and MPI live as in any Python process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import signal
import socket
import sys
import traceback

from tesseract_core.runtime import debugger, stray_files
from tesseract_core.runtime.serve.board import Board
from tesseract_core.runtime.serve.handler import CannotGoOn, Handler
from tesseract_core.runtime.serve.messages import Announcement, RequestHead
from tesseract_core.runtime.serve.processes import SHUTDOWN_SIGNALS
from tesseract_core.runtime.serve.queue import Job
from tesseract_core.runtime.trust import close_process
from tesseract_core.runtime.user_module import NotATesseract


def run(receiver: socket.socket, announce_fd: int, worker: int, board: Board) -> int:
    """Serve the queue until no HTTP worker is left; returns the exit status.

    An `Announcement` is written to the pipe `announce_fd`, which is then closed. What is computed stands on `board`.
    In debug mode the first `worker` starts the debugger: there is one port for it.
    """
    # To the server's log: what a run prints goes through a pipe that this process itself reads.
    faulthandler.enable(os.dup(2), all_threads=False)
    for number in SHUTDOWN_SIGNALS:
        signal.signal(number, _carry_on)
        signal.siginterrupt(number, False)
    close_process()
    if not (worker == 0 and debugger.listen()) and "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _no_terminal
    with open(announce_fd, "wb") as announce:
        try:
            handler = Handler.load()
        except BaseException as error:
            announce.write(Announcement(error=_explain(error)).encode())
            return 1
        stray_files.watch()
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
    try:
        while (current := Job.take(receiver)) is not None:
            if not current.withdrawn():
                current.reply(handler.answer(current.request, functools.partial(_begin, board, worker)))
            board.end(worker)
            current.close()
    except BaseException as error:
        # Not user code, whose exceptions are answers: descriptors or memory are used up, or user code closed ours. The
        # client gets a 503 when we are gone, and the next process begins with none of this.
        cause = error.__cause__ if isinstance(error, CannotGoOn) and error.__cause__ else error
        board.give_up(worker, f"it could not go on: {type(cause).__name__}: {cause}")
        with contextlib.suppress(Exception):
            traceback.print_exception(cause)
        os._exit(1)
    return 0


def _begin(board: Board, worker: int, head: RequestHead) -> None:
    board.begin(worker, head.run_id, head.endpoint)


def _no_terminal(*_: object, **__: object) -> None:
    raise RuntimeError(
        "breakpoint() needs a terminal, and a server has none. Serve in debug mode and attach a debugger, or call the "
        "Tesseract in process (Tesseract.from_tesseract_api)"
    )


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
