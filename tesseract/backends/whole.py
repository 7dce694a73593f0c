"""Requests that must not be left half done: an engine goes on with what it was asked, whoever hangs up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from tesseract.deadline import Deadline
from tesseract.errors import EngineTimeout

T = TypeVar("T")


class _Outcome(Generic[T]):
    """What the call in the other thread came to."""

    def __init__(self, call: Callable[[], T]) -> None:
        self.ended = threading.Event()
        self._call = call
        self._value: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value.append(self._call())
        except BaseException as error:
            self._error = error
        finally:
            self.ended.set()

    def get(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value[0]


def whole(call: Callable[[], T], what: str, deadline: Deadline | None = None, patience: float = 30.0) -> T:
    """Run `call`; if the caller is interrupted or out of time meanwhile, let it come to its end all the same.

    Only then can what it made be removed: Podman, told to remove a container that it is still making, forgets the half
    of it.

    Args:
        call: Runs in a thread of its own.
        what: For the message, should it take too long.
        deadline: Budget of the caller.
        patience: Seconds to wait for the end after an interruption.

    Raises:
        EngineTimeout: The deadline has passed.
    """
    outcome = _Outcome(call)
    threading.Thread(target=outcome.run, name=what, daemon=True).start()
    try:
        if not outcome.ended.wait(None if deadline is None else deadline.remaining()):
            raise EngineTimeout(
                f"{what} took longer than the time given. Give it more, or try again: it may be done now."
            )
    except BaseException:
        outcome.ended.wait(patience)
        raise
    return outcome.get()
