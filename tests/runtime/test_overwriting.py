"""Progress bars in logs: lines about once a second, and a file that can be read afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tesseract_core.client.logs import LineSplitter
from tesseract_core.overwriting import Overwriting
from tesseract_core.runtime.mpa import start_run

pytestmark = pytest.mark.fast


def stream(*pieces: tuple[float, bytes]) -> list[bytes]:
    """What is passed on after each piece, and at the end."""
    overwriting = Overwriting()
    return [*(overwriting.feed(data, now) for now, data in pieces), overwriting.end()]


@pytest.mark.parametrize(
    ("pieces", "passed"),
    [
        # Without carriage returns nothing changes, nor waits.
        ([(0, b"a\nb"), (0, b"c\n"), (0, b"d")], [b"a\nb", b"c\n", b"d", b""]),
        # As tqdm writes: the return comes first.
        ([(0, b"\r  0%"), (0.1, b"\r  1%"), (1.1, b"\r 10%"), (1.2, b"\r100%"), (1.3, b"\n")],
         [b"  0%\n", b"", b" 10%\n", b"", b"100%\n", b""]),
        # As curl and others write: the return comes last.
        ([(0, b" 1%\r"), (0.5, b" 2%\r"), (1.5, b" 3%\r"), (1.6, b" 4%\r"), (1.7, b"\n")],
         [b" 1%\n", b"", b" 3%\n", b"", b" 4%\n", b""]),
        # The last state is not said twice; a line after it is one.
        ([(0, b"\r50%"), (1, b"\r99%"), (1.5, b"\ndone\n")], [b"50%\n", b"99%\n", b"done\n", b""]),
        # A bar that is wiped off, and one that ends without newline.
        ([(0, b"\r50%\r   \rdone\n"), (9, b"x\r90%")], [b"done\n", b"x\n90%\n", b""]),
        ([(0, b"\r1%"), (0.1, b"\r2%")], [b"1%\n", b"", b"2%\n"]),
        # Windows' ends of lines, also in two pieces, and empty ones.
        ([(0, b"a\r\nb\r\n\r\n"), (0, b"c\r"), (0, b"\nd\n")], [b"a\nb\n\n", b"c\n", b"d\n", b""]),
        ([(0, b"\n\n\r\n")], [b"\n\n\n", b""]),
        # Text that begins the line is complete when it is overwritten.
        ([(0, b"loading "), (1, b"1%"), (2, b"\rloading 2%"), (2.1, b"\n")],
         [b"loading ", b"1%", b"\nloading 2%\n", b"", b""]),
    ],
)  # fmt: skip
def test_what_is_passed_on(pieces: list[tuple[float, bytes]], passed: list[bytes]) -> None:
    assert stream(*pieces) == passed


def test_a_bar_that_pauses_shows_its_latest_state() -> None:
    overwriting = Overwriting()
    assert overwriting.feed(b"\r1%", 0) == b"1%\n"
    assert not overwriting.waits
    assert overwriting.feed(b"\r2%", 0.2) == b""
    assert overwriting.waits
    assert overwriting.tick(0.9) == b""
    assert overwriting.tick(1.1) == b"2%\n"
    assert overwriting.tick(9) == b""


def test_many_states_cost_few_lines() -> None:
    lines = b"".join(stream(*((n / 1000, b"\r%5d" % n) for n in range(10_000)))).splitlines()
    assert 10 <= len(lines) <= 12
    assert lines[-1] == b" 9999"


def test_a_long_line_is_no_progress_bar() -> None:
    """It is passed on as it comes, and nothing is kept that grows."""
    passed = stream((0, b"a\r"), *((0, b"x" * 50_000) for _ in range(100)), (0, b"\n"))
    assert b"".join(passed) == b"a\n" + b"x" * 5_000_000 + b"\n"
    assert max(map(len, passed)) < 200_000


BAR = "import sys, time\nfor n in range(31): sys.stderr.write(f'\\rstep {n:2}'); sys.stderr.flush(); time.sleep(0.05)\n"


def test_a_run_hands_on_and_keeps_lines(tmp_path: Path) -> None:
    seen: list[str] = []
    with start_run(tmp_path, seen.append):
        subprocess.run([sys.executable, "-c", BAR + "print()"], check=True)
        during = list(seen)
    assert 1 <= len(during) < len(seen) + 1
    assert during[0].startswith("step")
    assert seen[-1] == "step 30"
    assert len(seen) < 10
    assert (tmp_path / "logs/tesseract.log").read_text().splitlines() == seen


def test_a_bar_that_a_run_ends_with(tmp_path: Path) -> None:
    seen: list[str] = []
    with start_run(tmp_path, seen.append):
        print("\r1%\r2%\r3%", end="", flush=True)
    assert seen[-1] == "3%"
    assert (tmp_path / "logs/tesseract.log").read_text().endswith("3%\n")


def test_the_client_splits_raw_logs_of_other_servers() -> None:
    seen: list[str] = []
    lines = LineSplitter(seen.append)
    for n in range(100):
        lines.feed(b"\r%d%%" % n)
    lines.feed(b"\nnext\n")
    lines.end()
    assert seen[0] == "0%"
    assert seen[-2:] == ["99%", "next"]
    assert len(seen) < 10
