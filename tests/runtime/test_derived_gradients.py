"""Gradient endpoints derived from one another agree with the true derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from tesseract_core.runtime import Array, Differentiable, Float32, Float64, ShapeDType
from tesseract_core.runtime.experimental import (
    jacobian_from_jvp,
    jacobian_from_vjp,
    jvp_from_jacobian,
    vjp_from_jacobian,
)

pytestmark = pytest.mark.fast


class Inputs(BaseModel):
    x: Differentiable[Array[(2, 2), Float64]]
    s: Differentiable[Float64]


class Outputs(BaseModel):
    y: Differentiable[Array[(2, 2), Float64]]
    t: Differentiable[Float64]


def apply(inputs: Inputs) -> Outputs:
    return Outputs(y=inputs.s * inputs.x.T, t=inputs.x.sum() * inputs.s)


TRANSPOSE = np.einsum("il,jk->ijkl", np.eye(2), np.eye(2))
calls: list[str] = []


def jacobian(inputs: Inputs, jac_inputs: set[str], jac_outputs: set[str]) -> Any:
    assert isinstance(jac_inputs, set)
    assert isinstance(jac_outputs, set)
    calls.append("jacobian")
    full = {
        "y": {"x": inputs.s * TRANSPOSE, "s": inputs.x.T},
        "t": {"x": np.full((2, 2), inputs.s), "s": inputs.x.sum()},
    }
    return {out: {path: full[out][path] for path in jac_inputs} for out in jac_outputs}


def jvp(inputs: Inputs, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict[str, Any]) -> Any:
    calls.append("jvp")
    return jvp_from_jacobian(jacobian, inputs, jvp_inputs, jvp_outputs, tangent_vector)


def vjp(inputs: Inputs, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, Any]) -> Any:
    calls.append("vjp")
    return vjp_from_jacobian(jacobian, inputs, vjp_inputs, vjp_outputs, cotangent_vector)


@pytest.fixture
def inputs() -> Inputs:
    calls.clear()
    return Inputs(x=[[1.0, 2.0], [3.0, 4.0]], s=0.5)


def test_products_from_a_jacobian(inputs: Inputs) -> None:
    cotangent = {"y": np.array([[1.0, 0.0], [2.0, 0.0]]), "t": np.float64(10.0)}
    back = vjp_from_jacobian(jacobian, inputs, {"x", "s"}, {"y", "t"}, cotangent)
    np.testing.assert_allclose(back["x"], 0.5 * cotangent["y"].T + 5.0)
    assert back["s"] == pytest.approx((cotangent["y"] * inputs.x.T).sum() + 100.0)

    tangent = {"x": np.array([[0.0, 1.0], [0.0, 0.0]]), "s": np.float64(2.0)}
    forth = jvp_from_jacobian(jacobian, inputs, {"x", "s"}, {"y", "t"}, tangent)
    np.testing.assert_allclose(forth["y"], 0.5 * tangent["x"].T + 2 * inputs.x.T)
    assert forth["t"] == pytest.approx(0.5 + 20.0)
    assert calls == ["jacobian", "jacobian"]


def test_cotangents_and_tangents_broadcast(inputs: Inputs) -> None:
    back = vjp_from_jacobian(jacobian, inputs, {"x"}, {"y"}, {"y": np.ones((1, 2))})
    np.testing.assert_allclose(back["x"], np.full((2, 2), 0.5))
    forth = jvp_from_jacobian(jacobian, inputs, {"x"}, {"t"}, {"x": np.ones((1, 1))})
    assert forth["t"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    "eval_fn",
    [
        apply,
        lambda inputs: {"y": {"shape": [2, 2], "dtype": "float64"}, "t": {"shape": [], "dtype": "float64"}},
        lambda inputs: {"y": ShapeDType(shape=(2, 2), dtype="float64"), "t": ShapeDType(shape=(), dtype="float64")},
    ],
    ids=["model", "dicts", "ShapeDType"],
)
def test_jacobian_from_vjp(inputs: Inputs, eval_fn: Callable[[Any], Any]) -> None:
    result = jacobian_from_vjp(vjp, eval_fn, inputs, {"x", "s"}, {"y", "t"})
    expected = jacobian(inputs, {"x", "s"}, {"y", "t"})
    for out, row in expected.items():
        for path, block in row.items():
            np.testing.assert_allclose(result[out][path], block)
    assert calls.count("vjp") == 4 + 1  # one per output element


def test_jacobian_from_jvp(inputs: Inputs) -> None:
    result = jacobian_from_jvp(jvp, inputs, {"x", "s"}, {"y", "t"})
    expected = jacobian(inputs, {"x", "s"}, {"y", "t"})
    for out, row in expected.items():
        for path, block in row.items():
            np.testing.assert_allclose(result[out][path], block)
    assert calls.count("jvp") == 4 + 1  # one per input element


def test_result_of_jacobian_from_vjp_has_the_dtype_of_the_output() -> None:
    class Single(BaseModel):
        x: Differentiable[Array[(None,), Float32]]

    def back(inputs: Single, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, Any]) -> Any:
        assert cotangent_vector["y"].dtype == np.float32
        return {"x": 2 * cotangent_vector["y"]}

    result = jacobian_from_vjp(back, lambda i: {"y": 2 * i.x}, Single(x=np.ones(3, "float32")), {"x"}, {"y"})
    assert result["y"]["x"].dtype == np.float32
    np.testing.assert_array_equal(result["y"]["x"], 2 * np.eye(3))


def test_inputs_without_elements() -> None:
    class Empty(BaseModel):
        x: Differentiable[Array[(None,), Float64]]

    def forth(inputs: Empty, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict[str, Any]) -> Any:
        return {"y": np.zeros(3) + tangent_vector["x"].sum()}

    assert jacobian_from_jvp(forth, Empty(x=[]), {"x"}, {"y"})["y"]["x"].shape == (3, 0)
