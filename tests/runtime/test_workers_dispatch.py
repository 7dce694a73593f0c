"""N workers: which process computes what, and what a slow, stuck or dying call costs the others.

Concurrency is judged by what the calls themselves report (which process, from when to when, by the machine's monotonic
clock), never by how long something took.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.served import Answer, Served, served

API = Path(__file__).parent / "apis" / "http_load.py"
N = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("workers")
    with served(API, directory, serve_options=("--num-workers", str(N))) as running:
        wait_for_all_workers(running)
        yield running


def wait_for_all_workers(server: Served) -> None:
    """Return once N calls really run in N processes: the first announces readiness, the others may come later."""
    for _ in range(100):
        if len({answer["pid"] for answer in results(at_once(server, [call("sleep", 0.3)] * N))}) == N:
            return
    raise AssertionError("the workers never computed at the same time")


def call(how: str, seconds: float = 0, **more: Any) -> dict[str, Any]:
    return {"inputs": {"how": how, "seconds": seconds, **more}}


def at_once(server: Served, payloads: list[Any], connect: Callable[[], Any] = lambda: None) -> list[Answer]:
    with ThreadPoolExecutor(len(payloads)) as pool:
        futures = [pool.submit(server.post, "/apply", payload, None, connect()) for payload in payloads]
        return [future.result() for future in futures]


def results(answers: list[Answer]) -> list[dict[str, Any]]:
    assert {answer.status for answer in answers} == {200}, [answer.body for answer in answers]
    return [answer.json for answer in answers]


def all_overlap(calls: list[dict[str, Any]]) -> bool:
    return max(item["started"] for item in calls) < min(item["ended"] for item in calls)


@pytest.mark.parametrize("how", ["sleep", "hold_gil"])
@pytest.mark.parametrize("connections", ["keep-alive", "new"])
def test_n_slow_calls_run_on_n_workers(server: Served, how: str, connections: str) -> None:
    """Whatever connections they come on, and although a connection belongs to one HTTP worker."""
    kept = [server.connect() for _ in range(N)]
    for _ in range(8):
        if connections == "keep-alive":
            spare = iter(kept)
            answers = at_once(server, [call(how, 0.3)] * N, lambda spare=spare: next(spare))
        else:
            answers = at_once(server, [call(how, 0.3)] * N)
        calls = results(answers)
        assert all_overlap(calls)
        assert len({item["pid"] for item in calls}) == N


def test_one_connection_reaches_every_worker(server: Served) -> None:
    """Requests that come one after the other on a connection do not stick to a busy process."""
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.post, "/apply", call("sleep", 1.5))
        connection = server.connect()
        quick = results([server.post("/apply", call("nothing"), connection=connection) for _ in range(20)])
        (held,) = results([slow.result()])
    assert held["pid"] not in {item["pid"] for item in quick if item["started"] > held["started"]}
    assert all(item["ended"] < held["ended"] for item in quick)


def test_health_and_schema_answer_while_every_worker_holds_its_lock(server: Served) -> None:
    with ThreadPoolExecutor(N) as pool:
        busy = [pool.submit(server.post, "/apply", call("hold_gil", 1.5)) for _ in range(N)]
        time.sleep(0.3)
        answered = []
        for path in ("/health", "/openapi.json", "/docs") * 5:
            assert server.get(path).status == 200
            answered.append(time.monotonic())
        calls = results([future.result() for future in busy])
    assert all_overlap(calls)
    assert max(answered) < min(item["ended"] for item in calls)


def test_user_code_is_never_entered_twice_in_a_process(server: Served) -> None:
    calls = results(at_once(server, [call("sleep", 0.05)] * (6 * N)))
    for pid in {item["pid"] for item in calls}:
        own = sorted((item["started"], item["ended"]) for item in calls if item["pid"] == pid)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(own))


def test_threads_blas_and_child_programs_work_as_in_a_plain_process(server: Served) -> None:
    assert server.post("/apply", call("threads")).json["value"] == 500
    assert server.post("/apply", call("child", 0.01)).status == 200
    assert server.post("/apply", call("pool")).json["value"] == 45


def test_a_forked_child_that_comes_back_ends_as_in_any_program(server: Served) -> None:
    def said() -> list[str]:
        return [line for line in server.log.splitlines() if "HTTP/1.1" not in line]

    before = said()
    answer = server.post("/apply", call("fork_and_return"))
    assert (answer.status, answer.json["value"]) == (200, 0)
    assert said() == before, "and nobody hears of it"


@pytest.mark.parametrize("how", ["kill", "segfault", "exit", "fork_then_die"])
def test_a_dying_call_costs_exactly_one_answer(server: Served, how: str) -> None:
    """`fork_then_die` leaves a child behind, which must not keep the request waiting."""
    payloads = [call("sleep", 0.2)] * 4 + [call(how, 3)] + [call("sleep", 0.2)] * 5
    answers = at_once(server, payloads)
    assert [answer.status for answer in answers] == [200] * 4 + [503] + [200] * 5
    failed = answers[4]
    assert "died" in failed.json["detail"]
    assert failed.headers["tesseract-run-id"]
    # The dead process is replaced: as many calls as before run at the same time again.
    wait_for_all_workers(server)


def test_a_client_that_leaves_withdraws_its_waiting_call(server: Served, tmp_path: Path) -> None:
    note = tmp_path / "note"
    with ThreadPoolExecutor(N) as pool:
        busy = [pool.submit(server.post, "/apply", call("sleep", 1.0)) for _ in range(N)]
        time.sleep(0.3)
        leaving = server.connect()
        leaving.request(
            "POST", "/apply", json_bytes(call("note", path=str(note))), {"Content-Type": "application/json"}
        )
        time.sleep(0.1)
        leaving.close()
        results([future.result() for future in busy])
    assert server.post("/apply", call("nothing")).status == 200
    assert not note.exists()
    assert server.post("/apply", call("note", path=str(note))).status == 200
    assert note.read_text() == "computed\n"


def test_a_full_queue_answers_503_with_retry_after(tmp_path: Path) -> None:
    with served(API, tmp_path, env={"TESSERACT_MAX_QUEUE": "2"}) as server:
        answers = at_once(server, [call("sleep", 0.7)] * 8)
        statuses = sorted(answer.status for answer in answers)
        assert statuses == [200] * 3 + [503] * 5  # one runs, two wait
        refused = next(answer for answer in answers if answer.status == 503)
        assert int(refused.headers["retry-after"]) > 0
        assert "TESSERACT_MAX_QUEUE" in refused.json["detail"]
        assert server.post("/apply", call("nothing")).status == 200


def test_large_arrays_both_ways(server: Served) -> None:
    import base64

    import numpy as np

    data = np.random.default_rng(0).random(10_000_000)
    encoded = {
        "object_type": "array",
        "shape": [data.size],
        "dtype": "float64",
        "data": {"buffer": base64.b64encode(data.tobytes()).decode(), "encoding": "base64"},
    }
    answer = server.post("/apply", call("nothing", data=encoded), {"Accept": "application/json+base64"})
    assert answer.status == 200
    back = answer.json["data"]
    assert np.frombuffer(base64.b64decode(back["data"]["buffer"])).tobytes() == data.tobytes()


def test_bodies_that_trickle_in(server: Served) -> None:
    """Chunked, in pieces, with pauses: nothing waits for them but their own connection."""
    body = json_bytes(call("nothing"))

    def pieces() -> Iterator[bytes]:
        for index in range(0, len(body), 7):
            time.sleep(0.02)
            yield body[index : index + 7]

    def slow() -> int:
        connection = server.connect()
        connection.request("POST", "/apply", pieces(), {"Content-Type": "application/json"}, encode_chunked=True)
        return connection.getresponse().status

    with ThreadPoolExecutor(1) as pool:
        trickling: Future[int] = pool.submit(slow)
        assert results([server.post("/apply", call("nothing")) for _ in range(5)])
        assert trickling.result() == 200


def test_many_clients_at_once(server: Served) -> None:
    """More waiting calls than the kernel's queue holds, and more than the usual limit of open files."""
    count, threads = 1200, 60
    done: list[int] = []
    lock = threading.Lock()

    def client() -> None:
        connection = server.connect()
        for _ in range(count // threads):
            status = server.post("/apply", call("nothing"), connection=connection).status
            with lock:
                done.append(status)

    clients = [threading.Thread(target=client) for _ in range(threads)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert done == [200] * count


def json_bytes(payload: Any) -> bytes:
    import json

    return json.dumps(payload).encode()
