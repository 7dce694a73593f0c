"""Progress bars in a log: text that a carriage return overwrites becomes lines, about one a second."""

from __future__ import annotations

PAUSE_S = 1.0
_LONGEST = 64 * 1024  # longer text is no state of a progress bar


class Overwriting:
    r"""Turns a stream in which lines are overwritten (`\r`) into one whose lines can be read one by one.

    Of the states that a line has, the last one is kept, and meanwhile the latest about every `PAUSE_S` seconds, each as
    a line of its own. Anything else is passed on as it comes, `\r\n` as `\n`.
    """

    def __init__(self) -> None:
        self._line_is_open = False  # what was passed on did not end with a newline
        self._ended_early = False  # it did, but the line itself has not ended yet
        self._overwritten = False  # the current line has had a carriage return
        self._state = b""  # what came after the last carriage return
        self._latest = b""  # the latest state that is not blank
        self._said: bytes | None = None  # the state that was passed on last
        self._next = 0.0

    @property
    def waits(self) -> bool:
        """Whether something is held back, which `tick` passes on when it is time."""
        return self._overwritten and (self._current() != self._said or self._line_is_open)

    def feed(self, data: bytes, now: float) -> bytes:
        """Return what is to be passed on once `data` has come, at the time `now` (seconds of any steady clock)."""
        if not self._overwritten and b"\r" not in data:
            if data:
                self._line_is_open = not data.endswith(b"\n")
            return data
        first, *others = data.split(b"\n")
        passed = [self._part(first)]
        for part in others:
            passed += [self._end_of_line(), self._part(part)]
        passed.append(self.tick(now))
        return b"".join(passed)

    def tick(self, now: float) -> bytes:
        """Return what is to be passed on by now although nothing has come."""
        if now < self._next or not self.waits:
            return b""
        self._next = now + PAUSE_S
        return self._say()

    def end(self) -> bytes:
        """Return what is left at the end of the stream."""
        return self._end_of_line() if self.waits else b""

    def _part(self, part: bytes) -> bytes:
        """Take a part of a line."""
        passed, *states = part.split(b"\r") if not self._overwritten else (b"", *(self._state + part).split(b"\r"))
        self._line_is_open = self._line_is_open or bool(passed)
        if states:
            self._overwritten = True
            *over, self._state = states
            self._latest = next((state for state in reversed(over) if state.strip()), self._latest)
        if len(self._state) > _LONGEST:
            passed += (b"\n" if self._line_is_open else b"") + self._state
            self._forget_line(is_open=True)
        return passed

    def _current(self) -> bytes | None:
        state = self._state if self._state.strip() else self._latest
        return state.rstrip() if state else None

    def _say(self) -> bytes:
        state, before = self._current(), b"\n" if self._line_is_open else b""
        self._ended_early = True
        self._line_is_open = False
        if state is None or state == self._said:
            return before
        self._said = state
        return before + state + b"\n"

    def _end_of_line(self) -> bytes:
        if self._overwritten and (self._line_is_open or self._ended_early or self._current() is not None):
            passed = self._say()
        else:
            passed = b"\n"
        self._forget_line(is_open=False)
        return passed

    def _forget_line(self, *, is_open: bool) -> None:
        self._line_is_open = is_open
        self._overwritten = self._ended_early = False
        self._state = self._latest = b""
        self._said = None
