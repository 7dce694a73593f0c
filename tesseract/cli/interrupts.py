"""Signals that are noticed at once.

A signal that arrives in the instant before a blocking system call, or in another thread, does not end that call: Python
runs the handler only when the call returns, which for the output of a container that computes may take hours. So
whenever a signal has come, a thread wakes the main thread until it has had every chance to run the handler.
"""

from __future__ import annotations

import os
import signal
import threading
import time

_WAKE = signal.SIGURG  # ignored by default, so it harms no program that we start
_PAUSES = (0.05, 0.2, 0.5)


def set_up() -> None:
    """Start to watch. Once per process, from its main thread."""
    if signal.getsignal(_WAKE) is _nothing or threading.current_thread() is not threading.main_thread():
        return
    signal.signal(_WAKE, _nothing)
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read_end, threading.get_ident()), daemon=True, name="signals").start()


def _nothing(number: int, frame: object) -> None:
    """Interrupts system calls, which is all it is for; Python repeats them."""


def _watch(read_end: int, main_thread: int) -> None:
    while came := os.read(read_end, 64):
        if set(came) == {_WAKE}:
            continue
        for pause in _PAUSES:
            time.sleep(pause)
            signal.pthread_kill(main_thread, _WAKE)
