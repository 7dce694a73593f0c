"""The progress of transfers: on a terminal, for what takes a while, and nowhere else."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from tesseract.transfer import progress

pytestmark = pytest.mark.fast


class Stream(io.StringIO):
    """A stderr that is, or is not, a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def said(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    """What appears while 1 of 2 MB arrives."""
    stream = Stream(terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.shown("Fetching") as on_progress:
        on_progress("mesh.vtk", 1_000_000, 2_000_000)
        on_progress("mesh.vtk", 2_000_000, 2_000_000)
    return stream.getvalue()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything takes a while."""
    monkeypatch.setattr(progress, "_MOMENT", 0)


def test_a_bar_on_a_terminal(slow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = said(True, monkeypatch)
    assert "Fetching: mesh.vtk" in shown
    assert "2.0/2.0 MB" in shown


def test_nothing_in_a_pipe(slow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(False, monkeypatch) == ""


def test_nothing_for_what_is_done_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(True, monkeypatch) == ""


def test_nothing_where_only_warnings_are_wanted(slow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("tesseract"), "level", logging.WARNING)
    assert said(True, monkeypatch) == ""
