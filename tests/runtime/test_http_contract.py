"""The HTTP contract, row by row, over a real server."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.served import Answer, Served, served

API = Path(__file__).parent / "apis" / "http_demo.py"
A = {"a": [1.0, 2.0, 3.0]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(API, tmp_path_factory.mktemp("http"), env={"TESSERACT_NAME": "demo"}) as running:
        yield running


@pytest.fixture(scope="module")
def debug_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(API, tmp_path_factory.mktemp("debug"), options=("--debug", "--debugpy-port", "0")) as running:
        yield running


def encoded(shape: list[int], buffer: Any) -> dict[str, Any]:
    return {"object_type": "array", "shape": shape, "dtype": "float64", "data": {"buffer": buffer, "encoding": "json"}}


def apply(server: Served, headers: dict[str, str] | None = None, path: str = "/apply", **inputs: Any) -> Answer:
    return server.post(path, {"inputs": {**A, **inputs}}, headers)


def errors(answer: Answer, status: int = 422) -> list[dict[str, Any]]:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json) == ["detail"]
    return list(answer.json["detail"])


# Routes


def test_apply(server: Served) -> None:
    answer = apply(server)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    result = {"y": encoded([3], [2.0, 4.0, 6.0]), "stats": {"mean": encoded([], 4.0)}, "note": "default"}
    # Compact, one object, no newline, keys in their order.
    assert answer.body == json.dumps(result, separators=(",", ":")).encode()


def test_unset_defaults_of_a_returned_dict_are_absent(server: Served) -> None:
    assert "note" not in apply(server, mode="dict").json


def test_jacobian(server: Served) -> None:
    answer = server.post("/jacobian", {"inputs": A, "jac_inputs": ["a"], "jac_outputs": ["y"]})
    assert answer.json == {"y": {"a": encoded([3, 3], [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])}}


def test_jacobian_vector_product(server: Served) -> None:
    payload = {"inputs": A, "jvp_inputs": ["a"], "jvp_outputs": ["y"], "tangent_vector": {"a": [1.0, 0.0, 1.0]}}
    assert server.post("/jacobian_vector_product", payload).json == {"y": encoded([3], [2.0, 0.0, 2.0])}


def test_vector_jacobian_product(server: Served) -> None:
    payload = {"inputs": A, "vjp_inputs": ["a"], "vjp_outputs": ["y"], "cotangent_vector": {"y": [1.0, 0.0, 1.0]}}
    assert server.post("/vector_jacobian_product", payload).json == {"a": encoded([3], [2.0, 0.0, 2.0])}


def test_abstract_eval_is_plain_json_without_a_run_directory(server: Served) -> None:
    before = list(server.output.iterdir())
    payload = {"inputs": {"a": {"shape": [3], "dtype": "float64"}}}
    answer = server.post("/abstract_eval?run_id=abstract", payload, {"Accept": "text/html"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "y": {"shape": [3], "dtype": "float64"},
        "stats": {"mean": {"shape": [], "dtype": "float64"}},
    }
    assert list(server.output.iterdir()) == before


def test_health(server: Served) -> None:
    answer = server.get("/health")
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
    assert answer.headers["content-type"] == "application/json"


def test_openapi(server: Served) -> None:
    answer = server.get("/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "demo"
    assert set(document["paths"]) == {
        "/apply",
        "/jacobian",
        "/jacobian_vector_product",
        "/vector_jacobian_product",
        "/abstract_eval",
        "/health",
    }
    assert document["x-supported-gpu-transports"] == ["none"]
    assert document["x-supported-compressions"] == ["none", "lz4"]


@pytest.mark.parametrize(
    "path", ["/", "/redoc", "/nothing", "/apply/extra", "/docs/none.js", "/docs/../apply", "/test"]
)
def test_unknown_routes(server: Served, path: str) -> None:
    for method in ("GET", "POST"):
        answer = server.request(method, path)
        assert (answer.status, answer.body) == (404, b'{"detail":"Not Found"}')
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/apply", "POST"),
        ("HEAD", "/apply", "POST"),
        ("PUT", "/jacobian", "POST"),
        ("OPTIONS", "/apply", "POST"),
        ("OPTIONS", "/health", "GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/openapi.json", "GET, HEAD"),
        ("PROPFIND", "/docs", "GET, HEAD"),
    ],
)
def test_wrong_methods(server: Served, method: str, path: str, allowed: str) -> None:
    answer = server.request(method, path)
    assert answer.status == 405
    assert answer.headers["allow"] == allowed
    assert answer.body == (b"" if method == "HEAD" else b'{"detail":"Method Not Allowed"}')


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/docs"])
def test_head_is_get_without_its_body(server: Served, path: str) -> None:
    get, head = server.get(path), server.request("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(get.body))
    assert head.headers["content-type"] == get.headers["content-type"]


def test_trailing_slash_is_redirected(server: Served) -> None:
    answer = server.request("POST", "/apply/?run_id=x", b"{}")
    assert (answer.status, answer.headers["location"]) == (307, "/apply?run_id=x")
    assert server.get("/health/").headers["location"] == "/health"
    assert server.get("/nothing/").status == 404


def test_keep_alive_connections_serve_many_requests(server: Served) -> None:
    connection = server.connect()
    for _ in range(3):
        assert server.post("/apply", {"inputs": A}, connection=connection).status == 200
        assert server.post("/apply", {}, connection=connection).status == 422


def test_no_cors(server: Served) -> None:
    answer = server.get("/health", {"Origin": "http://elsewhere.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_requests_are_logged_but_no_health_checks(tmp_path: Path) -> None:
    with served(API, tmp_path) as server:
        apply(server)
        server.get("/health")
        server.get("/nothing")
        end = time.monotonic() + 10
        while '"GET /nothing HTTP/1.1" 404' not in server.log and time.monotonic() < end:
            time.sleep(0.05)
        lines = [line for line in server.log.splitlines() if "HTTP/1.1" in line]
    assert lines == ['[INFO] 127.0.0.1 - "POST /apply HTTP/1.1" 200', '[INFO] 127.0.0.1 - "GET /nothing HTTP/1.1" 404']


# Negotiation


@pytest.mark.parametrize("accept", [None, "", "*/*", "application/*", "application/json", "foo/json", "json"])
def test_json_by_default(server: Served, accept: str | None) -> None:
    answer = apply(server, {} if accept is None else {"Accept": accept})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["y"]["data"]["encoding"] == "json"


def test_base64(server: Served) -> None:
    answer = apply(server, {"Accept": "application/json;q=0.5, application/json+base64"})
    assert answer.headers["content-type"] == "application/json+base64"
    data = answer.json["y"]["data"]
    assert set(data) == {"buffer", "encoding"}
    assert struct.unpack("3d", base64.b64decode(data["buffer"])) == (2, 4, 6)


def test_compression(server: Served) -> None:
    import lz4.frame

    answer = apply(server, {"Accept": "application/json+base64; compression=lz4; gpu_transport=none"})
    assert answer.headers["content-type"] == "application/json+base64"
    data = answer.json["y"]["data"]
    assert data["compression"] == "lz4"
    assert struct.unpack("3d", lz4.frame.decompress(base64.b64decode(data["buffer"]))) == (2, 4, 6)


def test_binref_is_relative_to_the_output_path(server: Served) -> None:
    answer = apply(server, {"Accept": "application/json+binref"}, "/apply?run_id=abc2")
    assert answer.headers["content-type"] == "application/json+binref"
    path, offset = answer.json["y"]["data"]["buffer"].rsplit(":", 1)
    assert path.startswith("run_abc2/")
    content = (server.output / path).read_bytes()[int(offset) :]
    assert struct.unpack("3d", content[:24]) == (2, 4, 6)


def test_configured_format_and_compression(tmp_path: Path) -> None:
    options = ("--output-format", "json+base64", "--compression", "lz4")
    with served(API, tmp_path, options=options) as server:
        answer = apply(server)
        assert answer.headers["content-type"] == "application/json+base64"
        assert answer.json["y"]["data"]["compression"] == "lz4"
        answer = apply(server, {"Accept": "application/*; compression=none"})
        assert "compression" not in answer.json["y"]["data"]


def test_not_acceptable_before_running(server: Served) -> None:
    answer = apply(server, {"Accept": "text/html"}, mode="raise")
    assert answer.status == 406
    assert answer.json == {
        "detail": {
            "message": "Cannot produce any encoding accepted by 'text/html'",
            "available_formats": ["json", "json+base64", "json+binref"],
            "available_gpu_transports": ["none"],
            "available_compressions": ["none", "lz4"],
        }
    }
    assert apply(server, {"Accept": "application/json; gpu_transport=cuda_ipc"}).status == 406


def test_validation_comes_before_negotiation(server: Served) -> None:
    assert server.post("/apply", {}, {"Accept": "text/html"}).status == 422


# Validation errors


def test_malformed_json(server: Served) -> None:
    answer = server.post("/apply", b'{"inputs":')
    assert answer.body == (
        b'{"detail":[{"type":"json_invalid","loc":["body",10],"msg":"JSON decode error","input":{},'
        b'"ctx":{"error":"Expecting value"}}]}'
    )
    assert answer.status == 422


@pytest.mark.parametrize("body", [b"\xff\xfe\xff", b"[" * 100_000, b"1" * 5_000, b'{"inputs": {"a": [1,]}}'])
def test_hostile_json_is_malformed_json(server: Served, body: bytes) -> None:
    (error,) = errors(server.post("/apply", body))
    assert (error["type"], error["loc"][0]) == ("json_invalid", "body")


@pytest.mark.parametrize("body", [b"", b"null"])
def test_empty_body(server: Served, body: bytes) -> None:
    answer = server.post("/apply", body)
    assert answer.body == b'{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}'


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_incomplete_body(server: Served, framing: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(b"POST /apply HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\nno chunk\r\n")
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b'{"detail":"The request body is incomplete"}')


def test_missing_field(server: Served) -> None:
    answer = server.post("/apply", {})
    expected = b'{"detail":[{"type":"missing","loc":["body","inputs"],"msg":"Field required","input":{}}]}'
    assert (answer.status, answer.body) == (422, expected)


@pytest.mark.parametrize("body", [b"[1]", b'"text"', b"5"])
def test_json_that_is_no_object(server: Served, body: bytes) -> None:
    (error,) = errors(server.post("/apply", body))
    assert (error["type"], error["loc"], error["input"]) == ("model_attributes_type", ["body"], json.loads(body))


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/jsonx", "", "json"])
def test_other_content_types_make_the_body_a_string(server: Served, content_type: str) -> None:
    (error,) = errors(server.post("/apply", {"inputs": A}, {"Content-Type": content_type}))
    assert (error["type"], error["loc"]) == ("model_attributes_type", ["body"])
    assert error["input"] == json.dumps({"inputs": A})


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/ld+json", "Application/JSON"])
def test_json_content_types(server: Served, content_type: str) -> None:
    assert server.post("/apply", {"inputs": A}, {"Content-Type": content_type}).status == 200


def test_extra_key(server: Served) -> None:
    parts = [{"x": [[1.0, 2.0]], "q": 3}]
    assert errors(apply(server, parts=parts)) == [
        {
            "type": "extra_forbidden",
            "loc": ["body", "inputs", "parts", 0, "q"],
            "msg": "Extra inputs are not permitted",
            "input": 3,
        }
    ]


def test_array_errors_as_in_the_contract(server: Served) -> None:
    assert errors(apply(server, a=[1, 2])) == [
        {
            "type": "array_shape_mismatch",
            "loc": ["body", "inputs", "a"],
            "msg": "Array shape (2,) is incompatible with expected shape (3,)",
            "input": [1, 2],
            "ctx": {"actual_shape": [2], "expected_shape": [3]},
        }
    ]
    assert errors(apply(server, a=5)) == [
        {
            "type": "array_dimensionality_mismatch",
            "loc": ["body", "inputs", "a"],
            "msg": "Array has wrong number of dimensions: got 0D, expected 1D",
            "input": 5,
            "ctx": {"actual_dims": 0, "expected_dims": 1},
        }
    ]


def test_exceptions_in_the_context_become_empty_objects(server: Served) -> None:
    payload = {"inputs": A, "jvp_inputs": ["a"], "jvp_outputs": ["y"], "tangent_vector": {"s": 1}}
    error = next(e for e in errors(server.post("/jacobian_vector_product", payload)) if e["loc"][1] == "tangent_vector")
    assert (error["type"], error["ctx"]) == ("value_error", {"error": {}})


def test_large_inputs_are_described_not_echoed(server: Served) -> None:
    answer = apply(server, a=[1.5] * 200_000, text="x" * 100_000, parts=[{"x": [[0.0] * 1000], "y": 0}])
    assert len(answer.body) < 10_000
    inputs = {tuple(error["loc"][2:]): error["input"] for error in errors(answer)}
    assert inputs["a",] == "<array of 200000 items>"
    assert inputs["text",].startswith("<100000 characters")
    assert inputs["parts", 0, "y"] == 0
    (error,) = errors(server.post("/apply", {"inputs": {"text": "y" * 2000}}))
    assert (error["type"], error["input"]) == ("missing", "<object with 1 keys: text>")


@pytest.mark.parametrize("value", [float("nan"), 10**40, "\ud800", {"\ud800": 1}, [float("inf")]])
def test_inputs_without_a_plain_json_form_are_reported_too(server: Served, value: Any) -> None:
    (error,) = errors(apply(server, mode=value))
    assert error["loc"] == ["body", "inputs", "mode"]


# Runs


def test_every_answer_of_an_endpoint_names_its_run(server: Served) -> None:
    for answer in (apply(server), apply(server, mode="raise"), server.post("/apply", {})):
        assert uuid.UUID(answer.headers["tesseract-run-id"]).version == 4
    assert apply(server, path="/apply?run_id=mine").headers["tesseract-run-id"] == "mine"


def test_a_named_run_has_a_directory(server: Served) -> None:
    assert apply(server, path="/apply?run_id=named-1", mode="print").status == 200
    log = (server.output / "run_named-1" / "logs" / "tesseract.log").read_text()
    assert log == "printed by user code\nwritten to descriptor 2\n"
    assert "[run named-1] printed by user code" in server.log


def test_an_unnamed_run_leaves_nothing_unless_it_prints_or_fails(server: Served) -> None:
    for answer in (apply(server), apply(server, {"Accept": "text/html"})):
        assert not (server.output / f"run_{answer.headers['tesseract-run-id']}").exists()
    for mode in ("print", "raise"):
        run_id = apply(server, mode=mode).headers["tesseract-run-id"]
        assert (server.output / f"run_{run_id}" / "logs" / "tesseract.log").exists()


@pytest.mark.parametrize(
    "run_id", ["", ".", "..", "x/../../evil", "/../../../evil", "%2e%2e%2fevil", "a%00b", "x" * 129, "a%0d%0ab", "ä"]
)
def test_run_ids_are_one_path_component(server: Served, run_id: str) -> None:
    from urllib.parse import quote

    before = sorted(server.output.parent.rglob("*"))
    (error,) = errors(apply(server, path=f"/apply?run_id={quote(run_id, safe='%/')}"))
    assert error["loc"] == ["query", "run_id"]
    assert sorted(server.output.parent.rglob("*")) == before


# Failures of user code


FAILING = ["raise", "value_error", "validation_error", "exit", "cancelled", "interrupted", "invalid_output"]


@pytest.mark.parametrize("mode", FAILING)
def test_failing_user_code_is_a_500(server: Served, mode: str) -> None:
    answer = apply(server, mode=mode)
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    run_id = answer.headers["tesseract-run-id"]
    assert f"[run {run_id}] apply failed in run {run_id}\n[run {run_id}] Traceback" in server.log


def test_user_code_that_breaks_the_settings_breaks_its_own_calls_only(tmp_path: Path) -> None:
    with served(API, tmp_path) as server:
        for _ in range(2):
            assert apply(server, mode="break_settings").status == 500
        assert "TESSERACT_OUTPUT_FORMAT" in server.log or "output_format" in server.log
        assert "compute process" not in server.log
        assert server.get("/health").status == 200


def test_the_log_of_a_named_run_has_the_traceback(server: Served) -> None:
    apply(server, path="/apply?run_id=failing", mode="raise")
    assert "RuntimeError: kaboom" in (server.output / "run_failing" / "logs" / "tesseract.log").read_text()


def test_debug_sends_tracebacks(debug_server: Served) -> None:
    answer = apply(debug_server, mode="raise")
    assert answer.status == 500
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.startswith(b"Traceback")
    assert answer.body.decode().rstrip().endswith("RuntimeError: kaboom")
    page = apply(debug_server, {"Accept": "text/html, */*"}, mode="raise")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"RuntimeError: kaboom" in page.body


def test_debug_offers_regression_tests(debug_server: Served) -> None:
    assert "/test" in debug_server.get("/openapi.json").json["paths"]
    case = {"endpoint": "apply", "payload": {"inputs": A}, "expected_exception": "ValueError"}
    answer = debug_server.post("/test", case)
    assert answer.status == 200
    assert answer.json["status"] == "failed"
    assert errors(debug_server.post("/test", {"endpoint": "apply", "payload": {"inputs": A}}))
