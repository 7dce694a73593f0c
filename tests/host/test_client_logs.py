"""Following a log file while it grows."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable
from pathlib import Path

import pytest
from tesseract_core.client import logs
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


PLANTS: dict[str, Callable[[Path], None]] = {
    "file": lambda log: log.symlink_to("../../private/log"),
    "pipe": os.mkfifo,
    "endless": lambda log: log.symlink_to("/dev/zero"),
    "directory": lambda log: log.parent.rename(log.parent.parent / "old") and log.parent.symlink_to("../private"),
}


def follow(path: Path, lines: list[str], root: Path, plant: Callable[[Path], None]) -> None:
    with LogTail(path, lines.append, root):
        path.parent.mkdir()
        plant(path)


@pytest.mark.parametrize("plant", PLANTS)
def test_what_a_container_plants_is_not_read(tmp_path: Path, plant: str) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private/log").write_text("secret\n")
    run, lines = tmp_path / "output/run", []
    run.parent.mkdir()
    with pytest.warns(UserWarning, match="is not shown: it is a (symbolic link|named pipe)"):
        follow(run / "log", lines, tmp_path / "output", PLANTS[plant])
    assert lines == []


def test_a_log_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 3 << 20)
    lines: list[str] = []
    path = tmp_path / "log"
    with pytest.warns(UserWarning, match="up to its first"), LogTail(path, lines.append), path.open("wb") as file:
        file.truncate(1 << 40)
    assert 3 << 20 <= sum(map(len, lines)) < 5 << 20


def test_destinations(capsys: pytest.CaptureFixture[str]) -> None:
    sink = sink_for(True)
    assert sink is not None
    sink("hello")
    assert capsys.readouterr().err == "hello\n"
    assert sink_for(False) is None
    with pytest.raises(ValueError, match="stream_logs"):
        sink_for("yes")  # type: ignore[arg-type]
