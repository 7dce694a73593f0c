"""Clients that begin and do not go on, that send too much, that come in crowds; and workers that die."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from support.served import Served, descendants, eventually, served, start, stop, wait_until_healthy
from tesseract_core.runtime.serve.bodies import Bodies, BodyTooLarge, Budget, ClientLeft, GivenUp, NoRoom, Upload, Why
from tesseract_core.runtime.serve.queue import INLINE_LIMIT, Message

API = Path(__file__).parent / "apis" / "http_load.py"
CALL = {"inputs": {"how": "nothing"}}
LARGE_ANSWER = 12_000_000


def call(how: str, seconds: float = 0, **more: object) -> dict[str, object]:
    return {"inputs": {"how": how, "seconds": seconds, **more}}


# Bodies, by themselves


def pieces(*sizes: int, then: Callable[[], Awaitable[None]] | None = None) -> Callable[[], Awaitable[dict[str, Any]]]:
    """What a client sends: pieces of those sizes, then it waits for `then`, or that was all."""
    left = list(sizes)

    async def receive() -> dict[str, Any]:
        if not left:
            if then is not None:
                await then()
            return {"type": "http.disconnect"}
        size = left.pop(0)
        return {"type": "http.request", "body": b"x" * size, "more_body": bool(left) or then is not None}

    return receive


async def forever() -> None:
    await asyncio.Event().wait()


def read(bodies: Bodies, receive: Callable[[], Awaitable[dict[str, Any]]]) -> Awaitable[Upload]:
    return bodies.read({"headers": []}, receive, Message(b""))


LARGE = 2 * INLINE_LIMIT


@pytest.mark.fast
def test_one_body_always_fits_and_no_two_take_more_than_there_is() -> None:
    bodies = Bodies(Budget(LARGE), 30)

    async def scenario() -> None:
        first = await read(bodies, pieces(LARGE - 1, 1))
        with pytest.raises(NoRoom):
            await read(bodies, pieces(1, 0))
        first.release()
        first.release()
        (await read(bodies, pieces(LARGE))).release()
        with pytest.raises(BodyTooLarge):
            await read(bodies, pieces(LARGE, 1))
        with pytest.raises(ClientLeft):
            await read(bodies, pieces(LARGE, then=lambda: asyncio.sleep(0)))
        assert (await read(bodies, pieces(LARGE))).request.body_size == LARGE

    asyncio.run(scenario())


@pytest.mark.fast
def test_small_bodies_that_are_complete_take_nothing() -> None:
    bodies = Bodies(Budget(INLINE_LIMIT), 30)

    async def scenario() -> None:
        for _ in range(3):
            await read(bodies, pieces(INLINE_LIMIT))

    asyncio.run(scenario())


@pytest.mark.fast
def test_workers_share_the_budget_and_what_a_dead_one_held_is_free() -> None:
    budget = Budget(100, workers=2)
    budget.enter(1)
    assert budget.take(60)
    budget.enter(0)
    assert not budget.take(41)
    assert budget.take(40)
    budget.enter(1)  # the replacement
    assert budget.take(60)


@pytest.mark.fast
def test_unfinished_bodies_are_given_up() -> None:
    async def scenario() -> None:
        bodies = Bodies(Budget(LARGE), 0.01)
        waiting = [asyncio.ensure_future(read(bodies, pieces(size, then=forever))) for size in (500, 5000)]
        await asyncio.sleep(0.05)
        bodies.give_up_stalled()  # one has made progress since the last time
        with pytest.raises(GivenUp) as stalled:
            await waiting[0]
        assert stalled.value.why is Why.STALLED
        bodies.give_up_slowest(1)
        with pytest.raises(GivenUp) as crowded:
            await waiting[1]
        assert crowded.value.why is Why.CROWDED
        late = asyncio.ensure_future(read(bodies, pieces(1, then=forever)))
        await asyncio.sleep(0)
        bodies.stop()
        with pytest.raises(GivenUp) as stopping:
            await late
        assert stopping.value.why is Why.STOPPING
        assert (await read(bodies, pieces(LARGE))).request.body_size == LARGE  # nothing is held any more

    asyncio.run(scenario())


# Bodies, served


def begin(server: Served, sent: int, announced: int) -> socket.socket:
    """A request whose body is `announced` bytes long, of which `sent` have been sent."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = f"POST /apply HTTP/1.1\r\nHost: localhost\r\nContent-Length: {announced}\r\nContent-Type: application/json"
    connection.sendall(head.encode() + b"\r\n\r\n" + b" " * sent)
    return connection


def answer_to(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def answered(connections: list[socket.socket]) -> list[socket.socket]:
    """Those on which something can be read."""
    return select.select(connections, [], [], 0)[0]


def held(server: Served) -> int:
    """Bytes in memory files of the server's processes."""
    sizes = {}
    for pid in descendants(server.process.pid):
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if "memfd:tesseract-message" in os.readlink(descriptor):
                        status = descriptor.stat()
                        sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_unfinished_uploads_take_no_more_than_the_limit(tmp_path: Path, workers: str) -> None:
    limit = 1_000_000
    env = {"TESSERACT_MAX_BODY_SIZE": str(limit)}
    with served(API, tmp_path, serve_options=("--num-workers", workers), env=env) as server, ExitStack() as stack:
        uploads = [stack.enter_context(begin(server, 0, 400_000)) for _ in range(8)]
        for upload in uploads:
            upload.sendall(b" " * 399_000)
        eventually(lambda: held(server) > 2 * 399_000, "two bodies are nearly there")
        eventually(lambda: len(answered(uploads)) >= 6, "the others are refused")
        assert held(server) <= limit
        refused = answered(uploads)
        # With two workers both may have been refused who asked for the last bytes at once.
        assert len(refused) in ((6,) if workers == "1" else (6, 7))
        for upload in refused:
            status, headers, body = answer_to(upload)
            assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
            assert "1000000 bytes" in json.loads(body)["detail"]
        assert server.get("/health").status == 200
        assert server.post("/apply", CALL).status == 200
        for upload in uploads:
            upload.close()
        eventually(lambda: not held(server), "what the clients left is freed")
        assert server.post("/apply", json.dumps(CALL).encode().ljust(limit)).status == 200


def test_a_body_that_is_computed_takes_no_room(tmp_path: Path) -> None:
    with (
        served(API, tmp_path, env={"TESSERACT_MAX_BODY_SIZE": "1000000"}) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(server.post, "/apply?run_id=long", json.dumps(call("sleep", 2)).encode().ljust(900_000))
        eventually(lambda: list(server.output.iterdir()) and not held(server), "it is taken")
        time.sleep(0.3)
        assert not running.done()
        assert server.post("/apply", json.dumps(CALL).encode().ljust(900_000)).status == 200
        assert running.result().status == 200


def test_a_body_that_does_not_arrive_is_given_up_a_slow_one_is_not(tmp_path: Path) -> None:
    with served(API, tmp_path, env={"TESSERACT_BODY_TIMEOUT": "2"}) as server:
        body = json.dumps(CALL).encode().ljust(20 * 1100)
        with begin(server, 0, len(body)) as slow, begin(server, 500, 1000) as stuck, begin(server, 0, 10) as mute:
            for start in range(0, len(body), 1100):
                slow.sendall(body[start : start + 1100])
                time.sleep(0.25)
            assert answer_to(slow)[0] == 200
            for connection in (stuck, mute):
                status, headers, body = answer_to(connection)
                assert (status, headers["connection"]) == (408, "close")
                assert "TESSERACT_BODY_TIMEOUT" in json.loads(body)["detail"]


# The end


HALVES = {
    "nothing": b"",
    "half a line": b"POST /app",
    "half a head": b"POST /apply HTTP/1.1\r\nHost: localh",
    "half a small body": b"POST /apply HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
    "half a large body": b"POST /apply HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b" " * 100_000,
    "a second half": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea",
}


@pytest.mark.parametrize("over", ["tcp", "socket"])
def test_half_requests_do_not_keep_a_server_from_ending(tmp_path: Path, over: str) -> None:
    path = tmp_path / "api.sock"
    options = ("--uds", str(path)) if over == "socket" else ()
    env = {"TESSERACT_SHUTDOWN_TIMEOUT": "600"}

    def connect(server: Served) -> socket.socket:
        if over == "tcp":
            return socket.create_connection(("127.0.0.1", server.port))
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        return connection

    server = start_quietly(tmp_path, options, env)
    try:
        eventually(lambda: can_connect(lambda: connect(server)), "the server listens")
        with ExitStack() as stack:
            for half in HALVES.values():
                stack.enter_context(connect(server)).sendall(half)
            time.sleep(0.5)
            server.process.terminate()
            assert server.process.wait(60) == 0
        assert "refused" not in server.log
        assert "Traceback" not in server.log
    finally:
        stop(server)


def start_quietly(directory: Path, options: tuple[str, ...], env: dict[str, str]) -> Served:
    return start(API, directory, serve_options=options, env=env)


def can_connect(connect: Callable[[], socket.socket]) -> bool:
    try:
        connect().close()
    except OSError:
        return False
    return True


def test_half_requests_do_not_cost_those_that_compute(tmp_path: Path) -> None:
    """Nor what a slow client has not read yet of its answer."""
    with (
        served(API, tmp_path, serve_options=("--num-workers", "2")) as server,
        ExitStack() as stack,
        ThreadPoolExecutor(1) as pool,
    ):
        for half in HALVES.values():
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port))).sendall(half)
        size = 3_000_000
        large = json.dumps(
            call(
                "nothing",
                data={
                    "shape": [size],
                    "dtype": "float64",
                    "data": {"buffer": "A" * (size * 32 // 3), "encoding": "base64"},
                },
            )
        ).encode()
        reader = server.connect()
        headers = {"Content-Type": "application/json", "Accept": "application/json+base64"}
        reader.request("POST", "/apply", large, headers)
        response = reader.getresponse()
        assert response.status == 200
        running = pool.submit(server.post, "/apply", call("sleep", 1))
        time.sleep(0.3)
        server.process.terminate()
        assert running.result().status == 200
        time.sleep(1)
        assert len(json.loads(response.read())["data"]["data"]["buffer"]) == size * 32 // 3
        assert server.process.wait(60) == 0


# Crowds


def test_idle_connections_do_not_shut_others_out(tmp_path: Path) -> None:
    few = ("prlimit", "--nofile=256:256")
    with served(API, tmp_path, prefix=few) as server, ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.post, "/apply?run_id=long", call("sleep", 4))
        eventually((server.output / "run_long").exists, "the call runs")
        for number in range(400):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            if number % 3 == 0:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: local")
        assert server.get("/health").status == 200
        assert server.post("/apply", CALL).status == 200
        # Neither did it cost the call that was there before them all.
        assert running.result().status == 200


def test_busy_connections_do_not_shut_others_out(tmp_path: Path) -> None:
    few = ("prlimit", "--nofile=256:256")
    with served(API, tmp_path, prefix=few) as server, ExitStack() as stack:
        connections = [server.connect() for _ in range(90)]
        for connection in connections:
            stack.callback(connection.close)
        closed = 0
        until = time.monotonic() + 4
        while time.monotonic() < until:
            for connection in connections:  # a client connects again where it was told that the connection ends
                answer = server.request("GET", "/health", connection=connection)
                assert answer.status == 200
                closed += answer.headers.get("connection") == "close"
        assert closed


def test_unfinished_uploads_do_not_shut_others_out(tmp_path: Path) -> None:
    few = ("prlimit", "--nofile=256:256")
    with served(API, tmp_path, prefix=few) as server, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(begin(server, 10, 1000))
        assert server.get("/health").status == 200
        assert server.post("/apply", CALL).status == 200


def ask_and_do_not_read(server: Served) -> socket.socket:
    """Make a call whose answer is larger than what the kernel holds for a client that does not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", server.port))
    data = {"buffer": base64.b64encode(bytes(LARGE_ANSWER)).decode(), "encoding": "base64"}
    array = {"object_type": "array", "shape": [LARGE_ANSWER // 8], "dtype": "float64", "data": data}
    body = json.dumps({"inputs": {"how": "nothing", "data": array}}).encode()
    connection.sendall(
        b"POST /apply HTTP/1.1\r\nHost: localhost\r\nAccept: application/json+base64\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    return connection


def test_an_answer_that_nobody_reads_is_freed(tmp_path: Path) -> None:
    with served(API, tmp_path, env={"TESSERACT_BODY_TIMEOUT": "2"}) as server:
        with ask_and_do_not_read(server) as waiting:
            assert select.select([waiting], [], [], 60)[0], "the answer has begun"
            eventually(lambda: held(server) == 0, "it is freed")
        with ask_and_do_not_read(server) as slow:
            received, pauses = 0, 0
            while piece := slow.recv(1 << 16):
                received += len(piece)
                if received > (pauses + 1) * LARGE_ANSWER // 8:
                    pauses += 1
                    time.sleep(0.5)
            assert received > LARGE_ANSWER


def test_answers_that_nobody_reads_do_not_shut_others_out(tmp_path: Path) -> None:
    few = ("prlimit", "--nofile=100:100")
    with served(API, tmp_path, prefix=few) as server, ExitStack() as stack:
        for _ in range(18):  # as many as it accepts
            waiting = stack.enter_context(ask_and_do_not_read(server))
            select.select([waiting], [], [], 2)
        assert server.get("/health").status == 200
        assert server.post("/apply", CALL).status == 200


def test_waiting_calls_do_not_shut_out_health(tmp_path: Path) -> None:
    few = ("prlimit", "--nofile=256:256")
    with served(API, tmp_path, prefix=few) as server, ThreadPoolExecutor(130) as pool:
        calls = [pool.submit(server.post, "/apply", call("sleep", 0.05)) for _ in range(130)]
        assert server.get("/health").status == 200
        assert {future.result().status for future in calls} <= {200, 503}


# Workers that die


def http_workers(server: Served) -> set[int]:
    """The children of the child of main that has most: the HTTP process."""
    parents = [descendants(pid) for pid in descendants(server.process.pid)]
    return max(parents, key=len)


def test_http_workers_are_replaced_however_often_they_die(tmp_path: Path) -> None:
    with served(API, tmp_path) as server:
        for death in range(1, 6):
            workers = http_workers(server)
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
            eventually(lambda dead=death: server.log.count("The HTTP worker (pid") == dead, "its death is noticed")
            # Nobody is refused meanwhile: a client that connects waits for the next worker.
            assert server.get("/health").status == 200
            assert server.post("/apply", CALL).status == 200
            assert not workers & http_workers(server)
        wait_until_healthy(server)


def test_a_worker_that_never_serves_ends_the_http_side(tmp_path: Path) -> None:
    script = """
        import os, sys
        from tesseract_core.runtime.serve.http_server import _Workers

        def serve(number, ready_fd):
            if number == 0:
                os.write(ready_fd, b"1")
                import time
                time.sleep(600)
            return 7

        sys.exit(_Workers(serve, 2).run(600, ()))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("exited with status 7") == 3
    assert "failed to start 3 times; giving up" in done.stderr
