"""The end of a long output, however long it is."""

from __future__ import annotations

import logging
import tracemalloc
from pathlib import Path

import pytest
from tesseract_core.client.logs import LineSplitter

from tesseract import tail
from tesseract.cli import console

pytestmark = pytest.mark.fast


def end_of(*pieces: bytes) -> str:
    end = tail.Tail()
    for piece in pieces:
        end.feed(piece)
    return end.text


def test_what_is_short_is_whole() -> None:
    assert end_of() == ""
    assert end_of(b"a\nb", b"c\r\n") == "a\nbc"
    assert "\n".join(map(str, range(100))) == end_of("\n".join(map(str, range(100))).encode())


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_at_most_a_hundred_lines_and_a_note(size: int) -> None:
    data = b"".join(b"%d\n" % number for number in range(1000))
    lines = end_of(*(data[at : at + size] for at in range(0, len(data), size))).split("\n")
    assert lines == ["[... only the last 100 lines are shown ...]", *map(str, range(900, 1000))]


def test_at_most_64_kib() -> None:
    long = end_of(*[b"x" * 30_000 + b"\n"] * 10)
    assert len(long) < 64 * 1024 + 100
    assert long.startswith("[... only the last 2 lines are shown ...]\nx")
    assert len(end_of(b"y" * 10_000_000)) < 64 * 1024 + 100


def test_the_end_of_a_file(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"y\n" * 1_000_000 + b"why\n")
    with log.open("rb") as file:
        assert tail.of_file(file).split("\n")[-2:] == ["y", "why"]


def peak_of_logging(pieces: int, piece: bytes) -> int:
    log = console.LineLog(logging.INFO)
    tracemalloc.start()
    for _ in range(pieces):
        log(piece)
    log.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert piece.decode().strip()[-10:] in log.text
    return peak


@pytest.mark.parametrize("piece", [b"a line of output\n" * 60, b"output without any end" * 100])
def test_what_a_container_prints_is_not_collected(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty times as much output takes no more memory, hence no copies that grow with it."""
    monkeypatch.setattr(console.logger, "disabled", True)
    assert peak_of_logging(20_000, piece) < 1.5 * peak_of_logging(1_000, piece) + 1_000_000


@pytest.mark.timeout(60)  # what is not linear takes hours
@pytest.mark.parametrize("piece", [b"x", b"x\r", b"\r", b"y\n", b"\xff\r\n"])
def test_streams_of_any_kind_are_split_in_linear_time(piece: bytes) -> None:
    count = 0

    def sink(line: str) -> None:
        nonlocal count
        count += 1

    for size in (1, 10_000):
        lines = LineSplitter(sink)
        for _ in range(60_000 if size == 1 else 60):
            lines.feed(piece * size)
        lines.end()
    assert count or not piece.strip()


def test_a_line_without_end_comes_in_pieces() -> None:
    seen: list[str] = []
    lines = LineSplitter(seen.append)
    for _ in range(300):
        lines.feed(b"x" * 10_000)
    lines.end()
    assert len(seen) > 1
    assert "".join(seen) == "x" * 3_000_000


def test_each_line_of_a_container_has_its_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    console.set_up()
    try:
        log = console.LineLog(logging.INFO, str.upper)
        assert log.empty
        for piece in (b"o", b"ne\r\ntwo\n\nth", b"r\xc3", b"\xa9e\nfour"):
            log(piece)
        log.close()
    finally:
        logging.getLogger("tesseract").handlers.clear()
        logging.getLogger("tesseract").propagate = True
    assert capsys.readouterr().err == " [i] ONE\n [i] TWO\n [i] \n [i] THRÉE\n [i] FOUR\n"
    assert log.text == "ONE\nTWO\n\nTHRÉE\nFOUR"
    assert not log.empty
