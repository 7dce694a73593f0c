"""Requests made up from our own OpenAPI document: whatever is sent, the server itself never fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from support.served import Served, served

API = Path(__file__).parent / "apis" / "http_demo.py"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(API, tmp_path_factory.mktemp("schemathesis")) as running:
        yield running


@pytest.fixture(scope="module")
def api(server: Served) -> schemathesis.schemas.BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_made_from_the_document_is_a_server_error(case: schemathesis.Case) -> None:
    response = case.call()
    # A 500 is user code that raises because the request told it to.
    told_to = isinstance(case.body, dict) and isinstance(case.body.get("inputs"), dict) and "mode" in case.body["inputs"]
    assert response.status_code < 500 or told_to, response.text
