"""Following a log file while it grows."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest
from tesseract_core.client.logs import LogTail, sink_for

pytestmark = pytest.mark.fast


def test_lines_arrive_while_the_file_grows(tmp_path: Path) -> None:
    path, lines = tmp_path / "run" / "log", queue.Queue()
    with LogTail(path, lines.put):
        path.parent.mkdir()
        with path.open("wb", buffering=0) as file:
            file.write(b"one\ntw")
            assert lines.get(timeout=10) == "one"
            file.write("o\nthr\u00e9".encode()[:-1])
            assert lines.get(timeout=10) == "two"
            file.write("\u00e9".encode()[-1:])
    assert lines.get_nowait() == "thr\u00e9"  # drained on exit, unterminated
    assert lines.empty()


def test_an_earlier_run_of_that_name_is_not_told_again(tmp_path: Path) -> None:
    path, lines = tmp_path / "log", []
    path.write_text("old\n")
    with LogTail(path, lines.append):
        pass
    assert lines == []
    with LogTail(path, lines.append):
        path.write_text("new 1\nnew 2\n")
    assert lines == ["new 1", "new 2"]


def test_destinations(capsys: pytest.CaptureFixture[str]) -> None:
    sink = sink_for(True)
    assert sink is not None
    sink("hello")
    assert capsys.readouterr().err == "hello\n"
    assert sink_for(False) is None
    with pytest.raises(ValueError, match="stream_logs"):
        sink_for("yes")  # type: ignore[arg-type]
