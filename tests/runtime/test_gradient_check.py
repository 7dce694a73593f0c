"""Gradient checks find wrong gradients, and evaluate nothing twice."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tesseract_core.runtime.core import load_module_from_path
from tesseract_core.runtime.testing.finite_differences import check_gradients

pytestmark = pytest.mark.fast

SOURCE = """
import numpy as np
from pydantic import BaseModel
from tesseract_core.runtime import Array, Differentiable, Float64
from tesseract_core.runtime.experimental import jvp_from_jacobian, log_metric, vjp_from_jacobian

calls = []
wrong = set()

class Part(BaseModel):
    x: Differentiable[Array[(None,), Float64]]

class InputSchema(BaseModel):
    parts: list[Part]
    table: dict[str, Differentiable[Float64]]
    maybe: Differentiable[Float64] | None = None

class OutputSchema(BaseModel):
    y: Differentiable[Array[(None,), Float64]]
    total: Differentiable[Float64]

def apply(inputs):
    calls.append("apply")
    print("user output")
    log_metric("evaluations", 1.0)
    x, s = inputs.parts[0].x, inputs.table["k.1"]
    return OutputSchema(y=s * x**2, total=x.sum() * s)

def jacobian(inputs, jac_inputs, jac_outputs):
    calls.append("jacobian")
    if "raise" in wrong:
        raise RuntimeError("singular")
    if "interrupt" in wrong:
        raise KeyboardInterrupt
    x, s = inputs.parts[0].x, inputs.table["k.1"]
    factor = 3.0 if "factor" in wrong else 2.0
    full = {
        "y": {"parts.[0].x": np.diag(factor * s * x), "table.{k.1}": x**2},
        "total": {"parts.[0].x": np.full(len(x), s), "table.{k.1}": x.sum()},
    }
    return {out: {path: full[out][path] for path in jac_inputs} for out in jac_outputs}

def jacobian_vector_product(inputs, jvp_inputs, jvp_outputs, tangent_vector):
    calls.append("jvp")
    return jvp_from_jacobian(jacobian, inputs, jvp_inputs, jvp_outputs, tangent_vector)

def vector_jacobian_product(inputs, vjp_inputs, vjp_outputs, cotangent_vector):
    calls.append("vjp")
    return vjp_from_jacobian(jacobian, inputs, vjp_inputs, vjp_outputs, cotangent_vector)
"""

PAYLOAD = {"inputs": {"parts": [{"x": [1.0, 2.0, 3.0]}], "table": {"k.1": 0.5}}}
ALL = ["jacobian", "jacobian_vector_product", "vector_jacobian_product"]


@pytest.fixture
def module(tmp_path: Path) -> Any:
    path = tmp_path / "tesseract_api_gradients.py"
    path.write_text(SOURCE)
    return load_module_from_path(path)


def test_right_gradients_pass_and_nothing_is_evaluated_twice(
    module: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    results = list(check_gradients(module, PAYLOAD))
    assert [(name, failures) for name, failures, _ in results] == [(name, []) for name in ALL]
    # (3 + 1) input elements, two outputs; none is drawn twice
    assert [checks for _, _, checks in results] == [8, 8, 8]
    assert module.calls.count("apply") == 1 + 2 * 4
    assert module.calls.count("jvp") == 4
    assert module.calls.count("vjp") == 3 + 1
    assert "user output" not in "".join(capfd.readouterr())
    assert set(tmp_path.iterdir()) == before


def test_wrong_gradients_are_reported(module: Any) -> None:
    module.wrong.add("factor")
    ((name, failures, checks),) = check_gradients(module, PAYLOAD, endpoints=["jacobian"])
    assert (name, checks, len(failures)) == ("jacobian", 8, 3)
    failure = failures[1]
    assert (failure.in_path, failure.out_path, failure.idx, failure.exception) == ("parts.[0].x", "y", (1,), None)
    np.testing.assert_allclose(failure.grad_val, [0, 3, 0])
    np.testing.assert_allclose(failure.ref_val, [0, 2, 0], atol=1e-6)


def test_exceptions_are_failures(module: Any) -> None:
    module.wrong.add("raise")
    for name, failures, checks in check_gradients(module, PAYLOAD):
        assert (name in ALL, len(failures), checks) == (True, 8, 8)
        assert failures[0].exception == "RuntimeError: singular"


def test_an_interrupt_ends_one_endpoint(module: Any) -> None:
    module.wrong.add("interrupt")
    results = list(check_gradients(module, PAYLOAD, endpoints=["jacobian", "vector_jacobian_product"]))
    assert results == [("jacobian", [], 0), ("vector_jacobian_product", [], 0)]


def test_selection(module: Any) -> None:
    ((_, _, checks),) = check_gradients(
        module, PAYLOAD, endpoints=["jacobian"], input_paths=["parts.[0].x"], output_paths=["y"]
    )
    assert checks == 3
    ((_, failures, checks),) = check_gradients(
        module, PAYLOAD, endpoints=["vector_jacobian_product"], max_evals=2, max_output_samples=1, seed=3
    )
    assert (failures, checks) == ([], 2 * 2)  # one element of each input, two outputs
    assert module.calls.count("vjp") == 2


def test_steps_per_path(module: Any) -> None:
    eps = {"parts.[0].x": 1e-3, "table.{k.1}": 1e-2}
    assert all(not failures for _, failures, _ in check_gradients(module, PAYLOAD, eps=eps))
    with pytest.raises(ValueError, match="no step for"):
        list(check_gradients(module, PAYLOAD, eps={"parts.[0].x": 1e-3}))
    some = {"parts.[0].x": 1e-3}
    assert all(not failures for _, failures, _ in check_gradients(module, PAYLOAD, eps=1e-2, eps_for=some))
    with pytest.raises(ValueError, match=r"eps names nowhere, .*; choose among parts.\[0\].x, table.\{k.1\}$"):
        list(check_gradients(module, PAYLOAD, eps_for={"nowhere": 1.0}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoints": ["gradient"]}, "unknown gradient endpoint gradient"),
        ({"input_paths": ["maybe"]}, "unknown input path maybe"),
        ({"output_paths": ["z"]}, "unknown output path z"),
        ({"max_output_samples": 0}, "max_output_samples"),
    ],
)
def test_wrong_options(module: ModuleType, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(check_gradients(module, PAYLOAD, **options))


def test_nothing_to_check(tmp_path: Path) -> None:
    path = tmp_path / "tesseract_api_without.py"
    path.write_text(SOURCE[: SOURCE.index("def jacobian")])
    with pytest.raises(ValueError, match="no gradient endpoint"):
        list(check_gradients(load_module_from_path(path), PAYLOAD))
