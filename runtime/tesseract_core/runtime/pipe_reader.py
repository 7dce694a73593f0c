"""The thread that reads the pipes of all captures of output in this process."""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable
from contextlib import suppress

from tesseract_core.overwriting import PAUSE_S

Pump = Callable[[], bool]
"""Reads what there is, and returns whether it wants to be called again after a while, even if nothing comes."""


class PipeReader:
    """One thread that reads pipes: starting one for each run would cost more than the run."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[int, Pump] = {}
        self._thread = threading.Thread(target=self._run, name="tesseract-stdio", daemon=True)
        self._thread.start()

    def works(self) -> bool:
        """Whether it still reads; user code may have closed its descriptors."""
        return self._thread.is_alive()

    def add(self, fd: int, pump: Pump) -> None:
        self._selector.register(fd, selectors.EVENT_READ, pump)

    def remove(self, fd: int) -> None:
        self._waiting.pop(fd, None)
        with suppress(KeyError):
            self._selector.unregister(fd)

    def _run(self) -> None:
        while True:
            ready = {key.fd: key.data for key, _ in self._selector.select(PAUSE_S / 2 if self._waiting else None)}
            for fd, pump in {**self._waiting, **ready}.items():
                if pump():
                    self._waiting[fd] = pump
                else:
                    self._waiting.pop(fd, None)


_the_reader: PipeReader | None = None


def the_reader() -> PipeReader:
    """The reader of this process."""
    global _the_reader
    if _the_reader is None or not _the_reader.works():
        _the_reader = PipeReader()
    return _the_reader


def _forget() -> None:
    global _the_reader
    _the_reader = None  # its thread did not survive the fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
