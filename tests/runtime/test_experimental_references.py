"""`TesseractReference`: what it accepts, from whom, and how it calls."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import BaseModel, ValidationError
from tesseract_core import Tesseract
from tesseract_core.client import loopback
from tesseract_core.runtime.config import override_config, update_config
from tesseract_core.runtime.experimental import TesseractReference
from tesseract_core.runtime.tracing import trace_call
from tesseract_core.runtime.trust import network_payload

pytestmark = pytest.mark.fast

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class In(BaseModel):
    helper: TesseractReference


@pytest.fixture(autouse=True)
def _blank_configuration() -> Iterator[None]:
    with override_config():
        yield


def test_calls_a_tesseract_in_this_process() -> None:
    reference = {"type": "api_path", "ref": str(EXAMPLES / "helloworld" / "tesseract_api.py")}
    helper = In(helper=reference).helper
    assert helper.apply({"name": "Ada"}) == {"greeting": "Hello Ada!"}
    assert "apply" in helper.available_endpoints


def test_nothing_happens_before_first_use() -> None:
    for kind in ("api_path", "image", "url"):
        model = In(helper={"type": kind, "ref": "does/not/exist"})
        assert json.loads(model.model_dump_json()) == {"helper": {"type": kind, "ref": "does/not/exist"}}
        assert model.model_dump() == {"helper": {"type": kind, "ref": "does/not/exist"}}
        assert kind in repr(model.helper)
        assert In(helper=model.helper).helper is model.helper
        assert model.model_copy(deep=True).helper is model.helper
        assert not hasattr(model.helper, "shape")
        update_config(tracing=True)
        trace_call("apply", model)


@pytest.mark.parametrize(
    "value",
    [
        "http://localhost:8000",
        {"type": "url"},
        {"type": "url", "ref": 5},
        {"type": "file", "ref": "x"},
        {"type": "url", "ref": "x", "more": 1},
        {"type": ["url"], "ref": "x"},
        None,
    ],
)
def test_malformed_references(value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        In(helper=value)
    assert caught.value.errors()[0]["type"] == "value_error"


def test_made_in_code_cannot_be_serialised() -> None:
    model = In(helper=TesseractReference(object()))  # type: ignore[arg-type]
    with pytest.raises(Exception, match="cannot be serialised"):
        model.model_dump_json()


def test_requests_may_name_what_the_operator_allows(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    module = tmp_path / "evil.py"
    module.write_text(f"open({str(marker)!r}, 'w')")
    url = {"type": "url", "ref": "http://helper:8000"}
    with network_payload():
        for kind in ("api_path", "image"):
            with pytest.raises(ValidationError, match="TESSERACT_ALLOWED_REFERENCES"):
                In(helper={"type": kind, "ref": str(module)})
        with pytest.raises(ValidationError, match="TESSERACT_ALLOWED_URL_PREFIXES"):
            In(helper=url)
        update_config(allowed_url_prefixes=("http://helper:8000",), allowed_references=("url", "image"))
        In(helper=url)
        In(helper={"type": "url", "ref": "helper:8000"})
        In(helper={"type": "image", "ref": "vectoradd"})
        with pytest.raises(ValidationError, match="TESSERACT_ALLOWED_URL_PREFIXES"):
            In(helper={"type": "url", "ref": "http://helper:80001"})
        update_config(allowed_references=())
        with pytest.raises(ValidationError, match="TESSERACT_ALLOWED_REFERENCES"):
            In(helper=url)
    assert not marker.exists()


def test_json_schema() -> None:
    for mode in ("validation", "serialization"):
        schema = In.model_json_schema(mode=mode)["properties"]["helper"]  # type: ignore[arg-type]
        assert schema["title"] == "TesseractReference"
        assert schema["type"] == "object"
        assert schema["required"] == ["type", "ref"]
        assert schema["additionalProperties"] is False
        assert schema["properties"]["type"]["enum"] == ["api_path", "image", "url"]
        assert schema["x-tesseract-type"] == "TesseractReference"


def test_loopback_in_a_container_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "_CONTAINER_MARKS", (str(tmp_path),))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        In(helper={"type": "url", "ref": f"http://127.0.0.1:{port}"})
    for ref in (f"http://127.0.0.1:{port}", f"localhost:{port}"):
        with pytest.raises(ValidationError, match=rf"{ref} is this container itself, where nothing listens; serve"):
            In(helper={"type": "url", "ref": ref})
    In(helper={"type": "url", "ref": "http://elsewhere.invalid:8000"})
    with pytest.raises(requests.exceptions.ConnectionError) as caught:
        Tesseract.from_url(f"http://127.0.0.1:{port}").health()
    assert caught.value.__notes__ == [
        f"http://127.0.0.1:{port} is this container itself; serve the other Tesseract in the same --network, and name "
        "it as http://ALIAS:8000 by its --network-alias"
    ]
    monkeypatch.setattr(loopback, "_CONTAINER_MARKS", ())
    In(helper={"type": "url", "ref": f"http://127.0.0.1:{port}"})
