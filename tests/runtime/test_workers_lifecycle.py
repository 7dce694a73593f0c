"""The server's processes from start to end: readiness, signals, exit statuses, and nothing left behind."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.served import Served, descendants, eventually, free_port, served, start, stop, wait_until_healthy

APIS = Path(__file__).parent / "apis"
API = APIS / "http_load.py"
PATIENCE_S = 60


def alive(pids: set[int]) -> set[int]:
    """Those of `pids` that still run (zombies do not)."""
    running = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            running.add(pid)
    return running


def call(how: str, seconds: float = 0, **more: object) -> dict[str, object]:
    return {"inputs": {"how": how, "seconds": seconds, **more}}


def write_api(directory: Path, prelude: str) -> Path:
    """An API file that does something at import and offers http_load's endpoint."""
    api = directory / "tesseract_api.py"
    api.write_text(f"{prelude}\n{API.read_text()}")
    return api


# Start


def test_the_port_is_closed_until_user_code_is_there(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    api = write_api(tmp_path, f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)")
    server = start(api, tmp_path)
    try:
        eventually(lambda: len(descendants(server.process.pid)) >= 1, "the compute process starts")
        time.sleep(1)
        with pytest.raises(ConnectionRefusedError):
            server.get("/health")
        gate.touch()
        wait_until_healthy(server)
        assert server.get("/openapi.json").json["paths"]["/apply"]
    finally:
        assert stop(server) == 0


def test_a_failing_import_prints_its_traceback_and_ends_the_server(tmp_path: Path) -> None:
    server = start(
        write_api(tmp_path, "raise RuntimeError('no solver here')"), tmp_path, serve_options=("--num-workers", "3")
    )
    assert server.process.wait(PATIENCE_S) == 1
    assert server.log.count("Traceback") == 1
    assert "RuntimeError: no solver here" in server.log


def test_a_module_that_is_no_tesseract_is_one_line(tmp_path: Path) -> None:
    api = tmp_path / "tesseract_api.py"
    api.write_text("from pydantic import BaseModel\nclass InputSchema(BaseModel): ...\ndef apply(inputs): ...\n")
    server = start(api, tmp_path)
    assert server.process.wait(PATIENCE_S) == 1
    (line,) = server.log.splitlines()
    assert "OutputSchema" in line
    assert str(api) in line


def test_an_import_that_kills_its_process_ends_the_server(tmp_path: Path) -> None:
    server = start(write_api(tmp_path, "import os; os.abort()"), tmp_path)
    assert server.process.wait(PATIENCE_S) == 1
    assert "died while it imported the Tesseract: crashed: aborted (SIGABRT)" in server.log


def test_a_signal_during_the_import_stops_the_server(tmp_path: Path) -> None:
    server = start(write_api(tmp_path, "import time; time.sleep(600)"), tmp_path)
    eventually(lambda: descendants(server.process.pid), "the compute process starts")
    children = descendants(server.process.pid)
    assert stop(server) == 0
    assert not alive(children)


def test_the_death_of_the_http_side_during_the_import_ends_the_server(tmp_path: Path) -> None:
    note = tmp_path / "importing"
    prelude = f"import pathlib, time\npathlib.Path({str(note)!r}).touch()\ntime.sleep(600)"
    server = start(write_api(tmp_path, prelude), tmp_path)
    eventually(note.exists, "the module is imported")
    children = descendants(server.process.pid)
    os.kill(min(children), signal.SIGKILL)
    assert server.process.wait(PATIENCE_S) == 1
    assert "The HTTP process ended before it served: killed by signal 9" in server.log
    assert not alive(children)


def test_a_taken_port_is_one_line_and_status_3(tmp_path: Path) -> None:
    with served(API, tmp_path / "first") as first:
        second = start(API, tmp_path / "second", port=first.port)
        assert second.process.wait(PATIENCE_S) == 3
        (line,) = second.log.splitlines()
        assert str(first.port) in line
        assert "Address already in use" in line
        assert first.post("/apply", call("nothing")).status == 200


def test_a_port_shared_with_so_reuseport_is_taken(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        assert start(API, tmp_path, port=stranger.getsockname()[1]).process.wait(PATIENCE_S) == 3


def test_an_unknown_host_is_one_line_and_status_3(tmp_path: Path) -> None:
    server = start(API, tmp_path, serve_options=("--host", "no.such.host.invalid"))
    assert server.process.wait(PATIENCE_S) == 3
    assert len(server.log.splitlines()) == 1


def test_a_server_restarts_on_the_port_it_has_just_left(tmp_path: Path) -> None:
    port = free_port()
    for _ in range(3):
        with served(API, tmp_path, port=port) as server:
            assert server.post("/apply", call("nothing")).status == 200


def test_all_workers_see_the_command_line(tmp_path: Path) -> None:
    """Not only what the environment says."""
    options = ("--name", "from the command line", "--output-format", "json+base64")
    with served(API, tmp_path, options=options, serve_options=("--num-workers", "2")) as server:
        assert server.get("/openapi.json").json["info"]["title"] == "from the command line"
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: server.post("/apply?run_id=x", call("sleep", 0.3)), range(2)))
        assert {answer.headers["content-type"] for answer in answers} == {"application/json+base64"}
        assert (server.output / "run_x").is_dir()
        assert not (server.output.parent / "run_x").exists()


def test_ipv6(tmp_path: Path) -> None:
    server = start(API, tmp_path, serve_options=("--host", "::1"))
    try:
        eventually(lambda: f"http://[::1]:{server.port}" in server.log, "the server says where it listens")
        connection = http.client.HTTPConnection("::1", server.port, timeout=30)
        eventually(lambda: connects(connection), "the server answers")
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
    finally:
        assert stop(server) == 0


def connects(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.connect()
    except OSError:
        return False
    return True


def test_the_debugger_listens_in_one_worker(tmp_path: Path) -> None:
    port = free_port()
    options = {"options": ("--debug", "--debugpy-port", str(port)), "serve_options": ("--num-workers", "2")}
    with served(API, tmp_path, **options) as server:
        eventually(lambda: "Debugger listening" in server.log, "the debugger listens")
        wait_until_healthy(server)
        assert [line for line in server.log.splitlines() if "ebugger" in line] == [
            f"Debugger listening on 127.0.0.1:{port}"
        ]
        assert server.post("/apply", call("nothing")).status == 200


# Unix socket


def unix_get(path: Path, target: str = "/health") -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: any.name\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def answers(path: Path) -> bool:
    try:
        return b"200 OK" in unix_get(path)
    except OSError:
        return False


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    on_socket = ("--uds", str(path))
    first = start(API, tmp_path / "first", serve_options=on_socket)
    eventually(lambda: answers(path), "the server answers on its socket")
    assert path.stat().st_mode & 0o777 == 0o600
    second = start(API, tmp_path / "second", serve_options=on_socket)
    assert second.process.wait(PATIENCE_S) == 3
    assert len(second.log.splitlines()) == 1
    assert answers(path)
    # Killed, it leaves its file behind; the next server takes the place.
    first.process.kill()
    first.process.wait()
    eventually(lambda: not answers(path), "the killed server is gone")
    assert path.exists()
    third = start(API, tmp_path / "third", serve_options=on_socket)
    eventually(lambda: answers(path), "the next server answers")
    assert stop(third) == 0
    assert not path.exists()


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("precious")
    assert start(API, tmp_path, serve_options=("--uds", str(path))).process.wait(PATIENCE_S) == 3
    assert path.read_text() == "precious"


# End


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_and_waiting_calls_are_finished(tmp_path: Path, number: signal.Signals) -> None:
    with served(API, tmp_path, serve_options=("--num-workers", "2")) as server, ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(server.post, "/apply", call("sleep", 0.5)) for _ in range(5)]
        time.sleep(0.3)
        children = descendants(server.process.pid)
        server.process.send_signal(number)
        assert [future.result().status for future in calls] == [200] * 5
        assert server.process.wait(PATIENCE_S) == 0
        assert not alive(children)
        assert "Traceback" not in server.log


def test_a_second_ctrl_c_stops_at_once_a_second_sigterm_does_not(tmp_path: Path) -> None:
    with served(API, tmp_path / "term") as server, ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.post, "/apply", call("sleep", 1))
        time.sleep(0.3)
        server.process.terminate()
        time.sleep(0.1)
        server.process.terminate()
        assert running.result().status == 200
    with served(API, tmp_path / "int") as server, ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.post, "/apply", call("sleep", 600))
        time.sleep(0.3)
        children = descendants(server.process.pid)
        for _ in range(2):
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert server.process.wait(PATIENCE_S) == 0
        eventually(lambda: not alive(children), "the kernel ends HTTP workers whose parent was killed")
        with pytest.raises(OSError):
            running.result()


def test_a_signal_right_after_the_start_stops_all_workers(tmp_path: Path) -> None:
    server = start(API, tmp_path, serve_options=("--num-workers", "4"), env={"TESSERACT_SHUTDOWN_TIMEOUT": "600"})
    eventually(lambda: "Serving" in server.log, "the server starts")
    assert stop(server) == 0


def test_draining_ends_at_the_shutdown_timeout(tmp_path: Path) -> None:
    with served(API, tmp_path, env={"TESSERACT_SHUTDOWN_TIMEOUT": "1"}) as server, ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(server.post, "/apply", call("hold_gil", 600))
        time.sleep(0.5)
        children = descendants(server.process.pid)
        server.process.terminate()
        assert server.process.wait(PATIENCE_S) == 0
        assert not alive(children)
        with pytest.raises(OSError):
            stuck.result()


def test_the_death_of_the_main_process_leaves_no_orphans(tmp_path: Path) -> None:
    with served(API, tmp_path, serve_options=("--num-workers", "2")) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.post, "/apply", call("hold_gil", 600))
        time.sleep(0.3)
        children = descendants(server.process.pid)
        assert len(children) >= 5  # granian's main, two HTTP workers, two compute processes
        server.process.kill()
        server.process.wait()
        eventually(lambda: not alive(children), "all processes of the killed server end")


def test_the_death_of_the_http_side_ends_the_server(tmp_path: Path) -> None:
    with served(API, tmp_path) as server:
        children = descendants(server.process.pid)
        (http,) = [pid for pid in children if descendants(pid)]
        os.kill(http, signal.SIGKILL)
        assert server.process.wait(PATIENCE_S) != 0
        assert not alive(children)


def test_an_http_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with served(API, tmp_path) as server:
        (http,) = [pid for pid in descendants(server.process.pid) if descendants(pid)]
        for worker in descendants(http):
            os.kill(worker, signal.SIGKILL)
        wait_until_healthy(server)
        assert server.post("/apply", call("nothing")).status == 200


def test_three_failed_restarts_end_the_server(tmp_path: Path) -> None:
    """A Tesseract that cannot be imported any more (its data are gone, say) is not restarted for ever."""
    data = tmp_path / "data"
    data.touch()
    with served(write_api(tmp_path, f"open({str(data)!r})"), tmp_path) as server:
        data.unlink()
        assert server.post("/apply", call("kill")).status == 503
        assert server.process.wait(PATIENCE_S) == 1
        assert server.log.count("Traceback") == 3
        assert "giving up" in server.log


def test_exit_hooks_of_user_code_run(tmp_path: Path) -> None:
    note = tmp_path / "note"
    api = write_api(tmp_path, f"import atexit, pathlib\natexit.register(pathlib.Path({str(note)!r}).touch)")
    with served(api, tmp_path):
        assert not note.exists()
    assert note.exists()


def test_the_server_stops_when_the_process_behind_the_parent_pipe_dies(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    server = start(API, tmp_path, serve_options=("--parent-pipe-fd", str(read_end)), pass_fds=(read_end,))
    os.close(read_end)
    wait_until_healthy(server)
    os.close(write_end)
    assert server.process.wait(PATIENCE_S) == 0


def test_debug_on_a_public_address_is_warned_of(tmp_path: Path) -> None:
    def warning(server: Served) -> bool:
        return "debug" in server.log.lower() and "tracebacks" in server.log

    debug = ("--debug", "--debugpy-port", "0")
    with served(API, tmp_path / "public", options=debug, serve_options=("--host", "0.0.0.0")) as server:
        assert warning(server)
    with served(API, tmp_path / "local", options=debug) as server:
        assert not warning(server)
