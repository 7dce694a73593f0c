"""JAX recipes: right derivatives, compiled once, the same with and without the VJP cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from tesseract_core.runtime import Array, Differentiable, Float32, Int32, ShapeDType
from tesseract_core.runtime.experimental import set_jax_vjp_cache_size

eqx = pytest.importorskip("equinox")
jax = pytest.importorskip("jax")

from tesseract_core.runtime.jax_recipes import (  # noqa: E402
    as_jax_array,
    as_jax_arrays,
    jax_abstract_eval,
    jax_apply,
    jax_jacobian,
    jax_jvp,
    jax_vjp,
)

pytestmark = pytest.mark.fast

Vector = Differentiable[Array[(None,), Float32]]


class Part(BaseModel):
    x: Vector


class Inputs(BaseModel):
    parts: list[Part]
    table: dict[str, Vector]
    power: int = 2
    index: Int32 = 0
    label: str | None = None


class AbstractPart(BaseModel):
    x: ShapeDType


traced: list[str] = []


@eqx.filter_jit
def apply_jit(inputs: dict[str, Any]) -> dict[str, Any]:
    traced.append("apply")
    x, t = inputs["parts"][1]["x"], inputs["table"]["k.1"]
    return {"y": x ** inputs["power"] * t, "nested": {"total": x.sum()}, "count": inputs["index"] + 1, "text": "static"}


@pytest.fixture
def inputs() -> Inputs:
    return Inputs(parts=[{"x": [0.0]}, {"x": [1.0, 2.0, 3.0]}], table={"k.1": [4.0, 5.0, 6.0]}, index=np.int32(3))


@pytest.fixture(autouse=True)
def _no_cache() -> Iterator[None]:
    yield
    set_jax_vjp_cache_size(0)


X, T, Y, TOTAL = "parts.[1].x", "table.{k.1}", "y", "nested.total"
x = np.array([1.0, 2.0, 3.0])
t = np.array([4.0, 5.0, 6.0])


def test_apply(inputs: Inputs) -> None:
    result = jax_apply(apply_jit, inputs)
    np.testing.assert_allclose(result["y"], x**2 * t)
    assert result["count"] == 4
    assert result["text"] == "static"


def test_jacobian(inputs: Inputs) -> None:
    result = jax_jacobian(apply_jit, inputs, {X, T}, {Y, TOTAL})
    np.testing.assert_allclose(result[Y][X], np.diag(2 * x * t))
    np.testing.assert_allclose(result[Y][T], np.diag(x**2))
    np.testing.assert_allclose(result[TOTAL][X], np.ones(3))
    np.testing.assert_allclose(result[TOTAL][T], np.zeros(3))


def test_jvp(inputs: Inputs) -> None:
    result = jax_jvp(apply_jit, inputs, {X, T}, {Y, TOTAL}, {X: np.ones(1), T: np.array([1.0, 0.0, 0.0])})
    np.testing.assert_allclose(result[Y], 2 * x * t + x**2 * [1, 0, 0])
    assert result[TOTAL] == 3.0


@pytest.mark.parametrize("cached", [False, True])
def test_vjp(inputs: Inputs, cached: bool) -> None:
    if cached:
        set_jax_vjp_cache_size(2)
        result = jax_apply(apply_jit, inputs)
        np.testing.assert_allclose(result["y"], x**2 * t)
        assert result["text"] == "static"
        assert result["count"] == 4
    cotangent = {Y: np.array([1.0, 2.0, 0.0]), TOTAL: np.float64(10.0)}
    for _ in range(2):  # an entry serves any number of calls
        result = jax_vjp(apply_jit, inputs, {X, T}, {Y, TOTAL}, cotangent)
        np.testing.assert_allclose(result[X], cotangent[Y] * 2 * x * t + 10)
        np.testing.assert_allclose(result[T], cotangent[Y] * x**2)
        result = jax_vjp(apply_jit, inputs, {X}, {TOTAL}, {TOTAL: np.float64(10.0)})
        np.testing.assert_allclose(result[X], np.full(3, 10.0))


def test_cache_is_used_for_exactly_equal_inputs(inputs: Inputs) -> None:
    calls = []

    def plain(tree: dict[str, Any]) -> dict[str, Any]:  # not jitted: runs whenever it is evaluated anew
        calls.append(tree)
        return {"y": tree["parts"][0]["x"] * tree["power"]}

    def gradient(of: Inputs) -> float:
        return float(jax_vjp(plain, of, {"parts.[0].x"}, {"y"}, {"y": np.ones(1)})["parts.[0].x"][0])

    set_jax_vjp_cache_size(1)
    jax_apply(plain, inputs)
    before = len(calls)
    assert gradient(inputs) == 2.0
    assert gradient(inputs.model_copy(deep=True)) == 2.0
    assert len(calls) == before
    assert gradient(inputs.model_copy(update={"power": 3})) == 3.0
    assert len(calls) > before

    jax_apply(plain, inputs.model_copy(update={"power": 5}))  # displaces the first entry
    before = len(calls)
    assert gradient(inputs.model_copy(update={"label": "other"})) == 2.0
    assert len(calls) > before
    with pytest.raises(ValueError):
        set_jax_vjp_cache_size(-1)


def test_compiled_once_per_shape(inputs: Inputs) -> None:
    jax_vjp(apply_jit, inputs, {X, T}, {Y}, {Y: np.ones(3)})
    count = len(traced)
    other = inputs.model_copy(update={"table": {"k.1": np.array([7.0, 8.0, 9.0], "float32")}})
    jax_vjp(apply_jit, other, {T, X}, {Y}, {Y: np.zeros(3)})
    assert len(traced) == count


def test_abstract_eval() -> None:
    class Abstract(BaseModel):
        parts: list[AbstractPart]
        table: dict[str, ShapeDType]
        power: int = 2
        index: ShapeDType = ShapeDType(shape=(), dtype="int32")

    leaf = {"shape": (7,), "dtype": "float32"}
    result = jax_abstract_eval(apply_jit, Abstract(parts=[{"x": leaf}, {"x": leaf}], table={"k.1": leaf}))
    assert result == {
        "y": {"shape": (7,), "dtype": "float32"},
        "nested": {"total": {"shape": (), "dtype": "float32"}},
        "count": {"shape": (), "dtype": "int32"},
        "text": "static",
    }


def test_conversion_leaves_everything_else_alone() -> None:
    tree = as_jax_arrays({"a": [np.ones(2), (np.float32(1), 2.0)], "b": None, "c": "text"})
    assert isinstance(tree["a"][0], jax.Array)
    assert isinstance(tree["a"][1][0], jax.Array)
    assert (tree["a"][1][1], tree["b"], tree["c"]) == (2.0, None, "text")
    assert isinstance(as_jax_array([1.0]), jax.Array)
