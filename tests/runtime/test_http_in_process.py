"""`create_rest_api` and `app_http`: the same contract without a server, for programs that bring their own."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tesseract_core.runtime.config import override_config, update_config
from tesseract_core.runtime.core import load_module_from_path
from tesseract_core.runtime.serve import create_rest_api

APIS = Path(__file__).parent / "apis"
A = {"inputs": {"a": [1.0, 2.0, 3.0]}}


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Path]:
    with override_config():
        update_config(output_path=str(tmp_path))
        yield tmp_path


@pytest.fixture
def app(output: Path) -> Callable[..., Awaitable[None]]:
    return create_rest_api(load_module_from_path(APIS / "http_demo.py"))


class Client:
    """Calls an ASGI application as a server would. `left` is set when the client closes its connection."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app
        self.left = asyncio.Event()

    async def request(self, method: str, target: str, payload: Any = None, **headers: str) -> tuple[int, bytes]:
        path, _, query = target.partition("?")
        body = b"" if payload is None else json.dumps(payload).encode()
        given = {"content-type": "application/json", "content-length": str(len(body)), **headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "server": ("test", 80),
            "client": ("test", 1),
            "state": {},
        }
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            for message in messages:
                return message
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return (sent[0]["status"] if sent else 0), b"".join(message.get("body", b"") for message in sent)


def test_endpoints_documents_and_errors(app: Callable[..., Awaitable[None]], output: Path) -> None:
    async def scenario() -> None:
        client = Client(app)
        status, body = await client.request("POST", "/apply?run_id=here", A)
        assert (status, json.loads(body)["y"]["data"]["buffer"]) == (200, [2.0, 4.0, 6.0])
        assert (output / "run_here").is_dir()
        assert await client.request("GET", "/health") == (200, b'{"status":"ok"}')
        assert "/apply" in json.loads((await client.request("GET", "/openapi.json"))[1])["paths"]
        assert (await client.request("POST", "/apply", {}))[0] == 422
        assert (await client.request("POST", "/apply", A, accept="text/html"))[0] == 406
        assert (await client.request("GET", "/apply"))[0] == 405
        assert (await client.request("GET", "/nothing"))[0] == 404
        assert (await client.request("GET", "/health", host="any.name"))[0] == 200

    asyncio.run(scenario())


def test_calls_run_one_after_the_other_beside_the_event_loop(output: Path) -> None:
    app = create_rest_api(load_module_from_path(APIS / "http_load.py"))

    async def scenario() -> None:
        client = Client(app)
        payload = {"inputs": {"how": "sleep", "seconds": 0.2}}
        calls = [asyncio.ensure_future(client.request("POST", "/apply", payload)) for _ in range(3)]
        await asyncio.sleep(0)
        assert (await client.request("GET", "/health"))[0] == 200
        assert not any(call.done() for call in calls)
        results = [json.loads(body) for _, body in await asyncio.gather(*calls)]
        spans = sorted((item["started"], item["ended"]) for item in results)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))

    asyncio.run(scenario())


def test_a_client_that_leaves_withdraws_its_waiting_call(output: Path, tmp_path: Path) -> None:
    app = create_rest_api(load_module_from_path(APIS / "http_load.py"))
    note = tmp_path / "note"

    async def scenario() -> None:
        stays, leaves = Client(app), Client(app)
        slow = asyncio.ensure_future(stays.request("POST", "/apply", {"inputs": {"how": "sleep", "seconds": 0.3}}))
        gone = leaves.request("POST", "/apply", {"inputs": {"how": "note", "path": str(note)}})
        waiting = asyncio.ensure_future(gone)
        await asyncio.sleep(0.1)
        leaves.left.set()
        assert await waiting == (0, b"")
        assert (await slow)[0] == 200
        assert (await stays.request("POST", "/apply", {"inputs": {"how": "nothing"}}))[0] == 200

    asyncio.run(scenario())
    assert not note.exists()


def test_app_http_loads_the_configured_module(tmp_path: Path) -> None:
    script = (
        "import sys; from tesseract_core.runtime.app_http import app; print(callable(app), 'http_demo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"TESSERACT_API_PATH": str(APIS / "http_demo.py")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True True\n"


def test_importing_the_package_loads_no_web_stack() -> None:
    script = (
        "import sys, tesseract_core.runtime.serve\n"
        "heavy = {'litestar', 'granian', 'mlflow', 'fsspec', 'requests', 'tesseract'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.filterwarnings("ignore:Using `httpx`")
def test_starlettes_test_client(output: Path) -> None:
    """It leaves out what ASGI lets it leave out."""
    from starlette.testclient import TestClient

    module = load_module_from_path(APIS / "http_demo.py")
    with TestClient(create_rest_api(module), base_url="http://localhost") as client:
        answer = client.post("/apply", json=A)
        assert (answer.status_code, answer.json()["y"]["data"]["buffer"]) == (200, [2.0, 4.0, 6.0])
        assert client.post("/apply", content=b"").status_code == 422
        assert client.post("/apply", content=iter([b'{"inputs": ', b"{}}"])).status_code == 422
        assert client.get("/openapi.json").status_code == 200


def test_the_document(output: Path) -> None:
    app = create_rest_api(load_module_from_path(APIS / "http_demo.py"))
    _, body = asyncio.run(Client(app).request("GET", "/openapi.json"))
    assert app.openapi() == json.loads(body)
    assert "/apply" in app.openapi()["paths"]


def test_events_without_what_asgi_makes_optional(app: Callable[..., Awaitable[None]]) -> None:
    events = iter(
        [{"type": "http.request", "more_body": True}, {"type": "http.request", "body": json.dumps(A).encode()}]
    )
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        for event in events:
            return event
        await asyncio.Event().wait()
        raise AssertionError

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/apply",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 200
