"""What user code may do to its process: what its client is told, what goes on, and that nothing is left behind."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.served import Served, free_port, served, start, stop, wait_until_healthy
from tesseract_core.runtime import ended
from tesseract_core.runtime.serve.board import Board

API = Path(__file__).parent / "apis" / "harm.py"
RUNTIME = Path(sys.executable).parent / "tesseract-runtime"
PATIENCE_S = 60
BUS_ERROR = "bus error: /dev/shm is full"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(API, tmp_path_factory.mktemp("deaths")) as running:
        yield running


def harm(how: str, **more: Any) -> dict[str, Any]:
    return {"inputs": {"how": how, **more}}


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("segfault", "crashed: segmentation fault"),
        ("abort", "crashed: aborted"),
        ("kill", "killed by signal 9 (SIGKILL)"),
        ("bus_error", BUS_ERROR),
        ("close_ours", "it could not go on: OSError: [Errno 9] Bad file descriptor"),
        ("close_all", "it could not go on: OSError: [Errno 9] Bad file descriptor"),
    ],
)
def test_the_client_the_record_and_the_log_say_how_the_process_died(server: Served, how: str, words: str) -> None:
    answer = server.post(f"/apply?run_id={how}", harm(how))
    assert answer.status == 503
    assert f"died ({words}" in answer.json["detail"]
    record = server.output / f"run_{how}/logs/run.json"
    eventually(lambda: record.exists() and "reason" in record.read_text(), "the death is recorded")
    recorded = json.loads(record.read_text())
    assert recorded["status"] == "failed"
    assert recorded["endpoint"] == "apply"
    assert recorded["reason"].startswith(words)
    assert f"died in run {how} of apply: {words}" in server.log
    assert server.post(f"/apply?run_id={how}", harm("nothing")).status == 200
    assert json.loads(record.read_text())["status"] == "succeeded"


@pytest.mark.parametrize(
    ("how", "status", "words"), [("exit", 503, "exited with status 0"), ("raise", 500, "RuntimeError: no idea")]
)
def test_a_failed_run_that_printed_nothing_is_recorded(server: Served, how: str, status: int, words: str) -> None:
    before = set(server.output.glob("run_*"))
    assert server.post("/apply", harm(how)).status == status
    eventually(lambda: new(server, before), "the run has a directory")
    (run,) = new(server, before)
    eventually((run / "logs/run.json").exists, "the run is recorded")
    recorded = json.loads((run / "logs/run.json").read_text())
    assert recorded["status"] == "failed"
    assert words in recorded.get("reason", "") + (run / "logs/tesseract.log").read_text()


def new(server: Served, before: set[Path]) -> set[Path]:
    return set(server.output.glob("run_*")) - before


def test_a_crash_shows_where_it_happened(server: Served) -> None:
    before = len(server.log)
    assert server.post("/apply", harm("segfault")).status == 503
    assert "Fatal Python error: Segmentation fault" in server.log[before:]
    assert "harm.py" in server.log[before:]


def test_what_a_run_printed_before_the_crash_is_not_lost(server: Served) -> None:
    assert server.post("/apply", harm("nothing")).status == 200
    assert server.post("/apply?run_id=last", harm("segfault")).status == 503
    eventually((server.output / "run_last/logs/run.json").exists, "the run is recorded")
    assert (server.output / "run_last/logs/tesseract.log").read_text() == "the last words\n"
    assert "[run last] the last words\n" in server.log


def test_a_process_without_descriptors_is_replaced(server: Served) -> None:
    assert server.post("/apply", harm("nothing")).status == 200  # imports what is imported when it is needed
    first = server.post("/apply", harm("leak"))
    assert first.status == 200
    unanswered = server.post("/apply?run_id=leaked", harm("nothing"))
    assert unanswered.status == 503
    assert "Too many open files" in unanswered.json["detail"]
    again = server.post("/apply", harm("nothing"))
    assert again.status == 200
    assert again.json["pid"] != first.json["pid"]


def test_memory_that_ran_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([3, 4, 4])
    monkeypatch.setattr(ended, "_oom_kills", lambda: next(counts))
    told = ended.Endings()
    assert told.describe(signal.SIGKILL) == "killed: out of memory"
    assert told.describe(signal.SIGKILL) == "killed by signal 9 (SIGKILL)"


def test_a_board_tells_what_its_processes_wrote() -> None:
    board = Board(2)
    board.begin(1, "r" * 255, "apply")
    assert board.take(0) is None
    begun = board.take(1)
    assert begun is not None
    assert (begun.run_id, begun.endpoint) == ("r" * 255, "apply")
    assert board.take(1) is None
    board.tell(1, "r" * 255, "x" * 5000)
    assert board.told("other") is None
    assert (board.told("r" * 255) or "").startswith("xxx")


# Children


def replace_watcher(server: Served) -> None:
    """Kill the process that watches over the main one, and wait until there is another."""
    before = children_of(server)
    idle = [pid for pid in before if os.readlink(f"/proc/{pid}/fd/1") == os.devnull]
    assert len(idle) == 1, "the watcher alone writes nowhere"
    os.kill(idle[0], signal.SIGKILL)
    eventually(lambda: idle[0] not in children_of(server) and len(children_of(server)) == len(before), "a new watcher")


def children_of(server: Served) -> list[int]:
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("wait_for_child", "stop"),
        ("wait_for_child", "kill the main process"),
        ("wait_for_pool", "kill the main process"),
        ("wait_for_child", "kill the watcher, then the main process"),
        ("wait_for_child", "kill the compute process"),
        ("wait_for_pool", "kill the compute process"),
    ],
)
def test_children_of_user_code_end_with_it(tmp_path: Path, how: str, end: str) -> None:
    pids = tmp_path / "pids"
    with (
        served(API, tmp_path, env={"TESSERACT_SHUTDOWN_TIMEOUT": "1"}) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        compute = server.post("/apply", harm("nothing")).json["pid"]
        call = pool.submit(server.post, "/apply", harm(how, path=str(pids)))
        eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2, "both children have started")
        children = [int(pid) for pid in pids.read_text().split()]
        assert all(map(running, children))
        if end == "stop":
            assert stop(server) == 0
        elif end == "kill the main process":
            server.process.kill()
        elif end == "kill the watcher, then the main process":
            replace_watcher(server)
            server.process.kill()
        else:
            os.kill(compute, signal.SIGKILL)
            assert call.result().status == 503
        eventually(lambda: not any(map(running, children)), "the children end")
        if end != "kill the compute process":
            with pytest.raises(OSError):
                call.result()


# Terminals


@pytest.fixture(scope="module")
def in_a_terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that somebody started in a terminal, from which it could read."""
    directory = tmp_path_factory.mktemp("terminal")
    mine, its = pty.openpty()
    log = (directory / "server.log").open("ab")
    process = subprocess.Popen(
        [RUNTIME, "--output-path", str(directory), "serve", "--port", str(port := free_port())],
        env={**os.environ, "TESSERACT_API_PATH": str(API)},
        stdin=its,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    server = Served(process, port, directory, directory / "server.log")
    try:
        wait_until_healthy(server)
        yield server
    finally:
        stop(server)
        os.close(mine)
        os.close(its)
        log.close()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("input", "EOFError"),
        ("getpass", "EOFError"),
        ("breakpoint", "breakpoint() needs a terminal, and a server has none. Serve in debug mode and attach"),
    ],
)
def test_user_code_that_asks_somebody_fails(in_a_terminal: Served, how: str, words: str) -> None:
    assert in_a_terminal.post("/apply", harm(how)).status == 500
    assert words in in_a_terminal.log


@pytest.mark.parametrize("how", ["read", "stty"])
def test_programs_that_it_starts_cannot_read_the_terminal(in_a_terminal: Served, how: str) -> None:
    answer = in_a_terminal.post("/apply", harm(how))
    assert answer.status == 200
    assert int(answer.json["text"]) > 0


def test_user_code_leads_a_session_where_there_is_a_terminal(in_a_terminal: Served) -> None:
    pid = in_a_terminal.post("/apply", harm("nothing")).json["pid"]
    assert os.getsid(pid) == pid != os.getsid(in_a_terminal.process.pid)


def test_importing_without_terminal(tmp_path: Path) -> None:
    api = tmp_path / "tesseract_api.py"
    api.write_text("input()")
    server = start(api, tmp_path)
    assert server.process.wait(PATIENCE_S) == 1
    assert "EOFError" in server.log
