"""Bodies of 422 answers: bounded, and with a hint where a payload has lost its outer object."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError
from support.runtime_cli import Run
from tesseract_core.runtime.serve.errors import validation_error

pytestmark = pytest.mark.fast


class Inputs(BaseModel):
    a: int = 0


class Payload(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inputs: Inputs


def detail(value: Any) -> list[dict[str, Any]]:
    with pytest.raises(ValidationError) as caught:
        Payload.model_validate(value)
    entries: list[dict[str, Any]] = json.loads(validation_error(caught.value).body)["detail"]
    return entries


def test_the_number_of_errors_is_bounded() -> None:
    given = {"inputs": {}, **{f"key{number}": 0 for number in range(1000)}}
    entries = detail(given)
    assert entries[99]["input"] == 0
    assert len(entries) == 101
    assert entries[99]["loc"] == ["body", "key99"]
    assert entries[100] == {
        "type": "too_many_errors",
        "loc": ["body"],
        "msg": "900 more errors are not shown",
        "input": None,
        "ctx": {"more": 900},
    }
    assert len(detail({"inputs": {}, **dict.fromkeys(map(str, range(100)))})) == 100


@pytest.mark.parametrize("key", ["k{}", '"\\{{}}{}', "k" * 50_000 + "{}"], ids=["short", "quotes", "long"])
def test_thousands_of_errors_cost_little(key: str) -> None:
    given = {"inputs": {}, **{key.format(number): "x" * 1000 for number in range(5000 if len(key) < 100 else 1200)}}
    with pytest.raises(ValidationError) as caught:
        Payload.model_validate(given)
    tracemalloc.start()
    try:
        body = validation_error(caught.value).body
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    entries = json.loads(body)["detail"]
    assert len(entries) <= 101
    assert len(body) < 300_000
    assert entries[0]["type"] == "extra_forbidden"
    assert entries[-1]["ctx"] == {"more": len(given) - len(entries)}
    if key == "k{}":
        assert peak < 2_000_000


def test_the_length_of_an_error_is_bounded() -> None:
    (entry,) = detail({"inputs": {}, "k" * 1_000_000: "v" * 1_000_000})
    assert len(json.dumps(entry)) < 3000
    assert entry["loc"][1].endswith("… (1000000 characters)")


def test_inputs_without_their_outer_object() -> None:
    missing, extra = detail({"a": 1})
    assert (missing["type"], missing["loc"]) == ("missing", ["body", "inputs"])
    assert missing["msg"].startswith("Field required: ")
    assert '{"inputs": {…}}' in missing["msg"]
    assert extra["msg"] == "Extra inputs are not permitted"
    assert detail({})[0]["msg"] == "Field required"


def test_inputs_without_their_outer_object_on_the_command_line(run: Run) -> None:
    done = run("apply", '{"x": [1, 2]}')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == 'put the inputs under the key "inputs": {"inputs": {…}}'
    assert "put the inputs" not in run("apply", '{"inputs": {"y": 1}}').stderr
