"""Requests made up from our own OpenAPI document: whatever is sent, the server itself never fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from support.served import Served, served

API = Path(__file__).parent / "apis" / "http_demo.py"
ENDPOINTS = [
    "/apply",
    "/jacobian",
    "/jacobian_vector_product",
    "/vector_jacobian_product",
    "/abstract_eval",
    "/health",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(API, tmp_path_factory.mktemp("schemathesis")) as running:
        yield running


def test_every_route_is_covered(server: Served) -> None:
    assert sorted(server.get("/openapi.json").json["paths"]) == sorted(ENDPOINTS)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", ENDPOINTS)
def test_no_request_made_from_the_document_is_a_server_error(server: Served, path: str, mode: GenerationMode) -> None:
    (method,) = server.get("/openapi.json").json["paths"][path].values()
    documented = method["responses"]
    operation = schemathesis.openapi.from_url(f"{server.url}/openapi.json")[path][
        "GET" if path == "/health" else "POST"
    ]
    if mode is GenerationMode.NEGATIVE and path == "/health":
        pytest.skip("there is nothing about it that could be wrong")

    @given(case=operation.as_strategy(mode))
    @settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case) -> None:
        response = case.call()
        assert str(response.status_code) in (*documented, "404", "405"), response.status_code
        # In this Tesseract a 500 is user code that raises because "mode" told it to.
        told_to = response.status_code == 500 and "'mode'" in repr(case.body)
        assert response.status_code < 500 or told_to, f"{case.body!r}: {response.text}"

    check()
    assert "died" not in server.log
