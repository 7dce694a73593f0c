"""Regression tests: verdicts, their messages, and what a test case may not make the runtime do."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tesseract_core.runtime.core import create_endpoints, load_module_from_path
from tesseract_core.runtime.testing.comparison import compare
from tesseract_core.runtime.testing.regression import TestOutputSchema, TestSpec, regress_test_case

pytestmark = pytest.mark.fast

SOURCE = """
from pydantic import BaseModel
from tesseract_core.runtime import Array, Differentiable, Float64
from tesseract_core.runtime.experimental import OutputPath

class Trouble(Exception):
    pass

class Part(BaseModel):
    name: str
    values: list[float]

class InputSchema(BaseModel):
    a: Differentiable[Array[(None,), Float64]]
    fail: str = ""

class OutputSchema(BaseModel):
    y: Differentiable[Array[(None,), Float64]]
    part: Part = Part(name="n", values=[1.0])
    path: OutputPath | None = None

def apply(inputs):
    print("user output")
    if inputs.fail == "own":
        raise Trouble("code 42")
    if inputs.fail == "exit":
        raise SystemExit(3)
    if inputs.fail == "value":
        raise ValueError("bad value")
    return OutputSchema(y=2 * inputs.a)
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "tesseract_api_regression.py"
    path.write_text(SOURCE)
    return load_module_from_path(path)


@pytest.fixture
def verdict(module: ModuleType) -> Any:
    def run(**case: Any) -> TestOutputSchema:
        spec = {"endpoint": "apply", "payload": {"inputs": {"a": [1.0, 2.0, 3.0]}}, **case}
        return regress_test_case(module, create_endpoints(module), TestSpec.model_validate(spec))

    return run


def test_passed(verdict: Any) -> None:
    result = verdict(expected_outputs={"y": [2.0, 4.0, 6.0]})
    assert result.model_dump() == {"status": "passed", "message": "", "endpoint": "apply"}


def test_values_are_compared_within_tolerances(verdict: Any) -> None:
    result = verdict(expected_outputs={"y": [2.0, 4.0, 7.0]})
    assert result.status == "failed"
    assert result.message == (
        "Values are not sufficiently close.\n\ny\nShape: (3,)\n  Number of differences: 1 / 3 (33.3%)\n"
        "  Individual errors:\n"
        "          Index              Obtained              Expected            Difference\n"
        "              2                   6.0                   7.0                  -1.0\n\n"
    )
    assert verdict(expected_outputs={"y": [2.0, 4.0, 7.0]}, atol=1.0).status == "passed"
    assert verdict(expected_outputs={"y": [2.0, 4.0, 7.0]}, rtol=0.2).status == "passed"


def test_other_leaves_are_compared_too(verdict: Any) -> None:
    part = {"name": "other", "values": [1.5]}
    message = verdict(expected_outputs={"y": [2.0, 4.0, 6.0], "part": part}).message
    assert message.startswith("Values are not sufficiently close.")
    assert "part.name\n  Obtained: 'n'\n  Expected: 'other'" in message
    assert "part.values.[0]" in message


def test_structure_comes_first(verdict: Any) -> None:
    part = {"name": "other", "values": [1.0, 2.0]}
    message = verdict(expected_outputs={"y": [2.0, 4.0], "part": part}).message
    assert message.startswith("Structure mismatch.")
    assert "y: obtained shape (3,), expected (2,)" in message
    assert "part.values: obtained 1 items, expected 2" in message


def test_expected_outputs_are_checked_strictly(verdict: Any) -> None:
    for wrong in ({"y": [2, 4, 6]}, {"z": 1}, {"y": "text"}, {"y": [2.0], "path": "nothing.txt"}):
        result = verdict(expected_outputs=wrong)
        assert result.status == "failed"
        assert result.message.startswith("expected_outputs does not conform to OutputSchema")
    skipped = verdict(expected_outputs={"y": [2.0, 4.0, 6.0], "path": "nothing.txt"}, skip_output_path_checks=True)
    assert skipped.message.startswith("Structure mismatch.")


def test_inputs_and_endpoint(verdict: Any) -> None:
    result = verdict(payload={"inputs": {"a": "x"}}, expected_outputs={"y": [1.0]})
    assert (result.status, result.message.startswith("inputs do not conform to InputSchema")) == ("failed", True)
    for name in ("nothing", "health"):
        result = verdict(endpoint=name, expected_outputs={"y": [1.0]})
        assert result.status == "failed"
        assert result.message.startswith(f"Endpoint {name!r} not found. Available endpoints: apply")


def test_unexpected_exception_is_an_error(verdict: Any) -> None:
    result = verdict(payload={"inputs": {"a": [1.0], "fail": "value"}}, expected_outputs={"y": [1.0]})
    assert (result.status, result.message) == ("error", "ValueError: bad value")
    result = verdict(payload={"inputs": {"a": [1.0], "fail": "exit"}}, expected_outputs={"y": [1.0]})
    assert (result.status, result.message) == ("error", "SystemExit: 3")


@pytest.mark.parametrize(
    ("fail", "name", "regex", "message"),
    [
        ("value", "ValueError", None, ""),
        ("value", "Exception", "bad", ""),
        ("value", "ValueError", "good", "Exception message does not match regex"),
        ("value", "KeyError", None, "Expected KeyError, but got ValueError: bad value"),
        ("own", "tesseract_api_regression.Trouble", r"\d+", ""),
        ("", "ValueError", None, "Expected ValueError, but no exception was raised"),
        ("exit", "SystemExit", "^3$", ""),
        ("own", "json.JSONDecodeError", None, "Expected json.JSONDecodeError, but got Trouble"),
    ],
)
def test_expected_exceptions(verdict: Any, fail: str, name: str, regex: str | None, message: str) -> None:
    payload = {"inputs": {"a": [1.0], "fail": fail}}
    result = verdict(payload=payload, expected_exception=name, expected_exception_regex=regex)
    assert result.message.startswith(message)
    assert result.status == ("failed" if message else "passed")


def test_input_validation_may_be_what_is_expected(verdict: Any) -> None:
    assert verdict(payload={"inputs": {}}, expected_exception="pydantic.ValidationError").status == "passed"


@pytest.mark.parametrize("name", ["antigravity.X", "planted.Error", "sys.path", "json.loads", "..", "os.x"])
def test_no_module_is_imported_because_a_test_case_says_so(
    verdict: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text("class Error(Exception): pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = verdict(expected_exception=name)
    assert result.status == "failed"
    assert result.message.startswith(f"Unknown exception {name!r}")
    assert "antigravity" not in sys.modules
    assert "planted" not in sys.modules


def test_an_exception_may_be_given_as_a_class(verdict: Any) -> None:
    class Local(Exception): ...

    payload = {"inputs": {"a": [1.0], "fail": "value"}}
    assert verdict(payload=payload, expected_exception=ValueError).status == "passed"
    result = verdict(payload=payload, expected_exception=Local)
    assert (result.status, result.message) == ("failed", "Expected Local, but got ValueError: bad value")
    with pytest.raises(ValidationError):
        verdict(payload=payload, expected_exception=int)


def test_a_builtin_exception_that_does_not_exist_is_refused(verdict: Any) -> None:
    with pytest.raises(ValidationError, match=r"no builtin exception 'ValueErro' .*; the nearest is ValueError"):
        verdict(expected_exception="ValueErro")
    with pytest.raises(ValidationError, match="no builtin exception 'int'"):
        verdict(expected_exception="int")


def test_as_other_code_calls_it(module: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "y.bin").write_bytes(np.array([2.0, 4.0, 7.0, 9.0]).tobytes())
    functions = {function.__name__: function for function in create_endpoints(module)}
    y = {"object_type": "array", "shape": [4], "dtype": "float64", "data": {"buffer": "y.bin", "encoding": "binref"}}
    payload = {"inputs": {"a": [1.0, 2.0, 3.0, 4.0]}}
    spec = {"endpoint": "apply", "payload": payload, "expected_outputs": {"y": y}}
    result = regress_test_case(module, functions, spec, base_dir=tmp_path / "files", threshold=1)
    assert result.status == "failed"
    assert "Number of differences: 2 / 4" in result.message
    assert "... and 1 more" in result.message


def test_exactly_one_expectation() -> None:
    for extra in ({}, {"expected_outputs": {}, "expected_exception": "ValueError"}):
        with pytest.raises(ValidationError) as caught:
            TestSpec.model_validate({"endpoint": "apply", "payload": {}, **extra})
        assert caught.value.errors()[0]["type"] == "value_error"


def test_regex_must_be_one() -> None:
    with pytest.raises(ValidationError, match="not a regular expression"):
        TestSpec(endpoint="apply", payload={}, expected_exception="ValueError", expected_exception_regex="(")


def test_every_key_of_a_test_case() -> None:
    case = {
        "endpoint": "apply",
        "payload": {"inputs": {}},
        "expected_outputs": {"y": 1},
        "expected_exception": None,
        "expected_exception_regex": None,
        "atol": 1e-8,
        "rtol": 1e-5,
        "skip_output_path_checks": False,
        "cli_config": {"input_path": None, "volume_mounts": None, "user": None},
    }
    assert TestSpec.model_validate(case).model_dump() == case


def test_nan_equals_nan_in_arrays_only() -> None:
    nan = float("nan")
    assert compare(np.array([nan]), np.array([nan]), rtol=0, atol=0) == ""
    assert compare(nan, nan, rtol=0, atol=0) != ""


def test_many_differences_are_summarised() -> None:
    report = compare(np.zeros((20, 10)), np.ones((20, 10)), rtol=0, atol=0)
    assert "Number of differences: 200 / 200 (100.0%)" in report
    assert "Absolute error: max 1, mean 1, median 1" in report
    assert "(9, 9)" in report
    assert "(10, 0)" not in report
    assert "... and 100 more" in report


def test_integers_and_booleans_are_compared_exactly() -> None:
    assert "-1" in compare(np.array([254], "uint8"), np.array([255], "uint8"), rtol=1, atol=1)
    assert compare(np.array([True]), np.array([False]), rtol=1, atol=1) != ""
    assert compare({"a": (1, "x")}, {"a": (1, "x")}, rtol=0, atol=0) == ""
    assert "dtype" in compare(np.array([1.0], "float32"), np.array([1.0]), rtol=0, atol=0)
    assert "missing b" in compare({"a": 1}, {"b": 1}, rtol=0, atol=0)
