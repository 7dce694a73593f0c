"""Finite-difference helpers: values, number of evaluations, what is copied, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, RootModel
from tesseract_core.runtime import Array, Differentiable, Float32, Float64
from tesseract_core.runtime.experimental import (
    finite_difference_jacobian,
    finite_difference_jvp,
    finite_difference_vjp,
)
from tesseract_core.runtime.finite_differences import moved

pytestmark = pytest.mark.fast

A = np.arange(15.0).reshape(3, 5) / 10


class Inputs(BaseModel):
    x: Differentiable[Array[(5,), Float64]]
    s: Differentiable[Float64] = 2.0
    other: str = "kept"


class Outputs(BaseModel):
    y: Differentiable[Array[(3,), Float64]]
    total: Differentiable[Float64]


class Counting:
    """y = s A x, total = sum(x^2) + s."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, inputs: Inputs) -> Outputs:
        self.calls += 1
        assert inputs.other == "kept"
        return Outputs(y=inputs.s * A @ inputs.x, total=inputs.x @ inputs.x + inputs.s)


@pytest.fixture
def inputs() -> Inputs:
    return Inputs(x=[1.0, -2.0, 3.0, 0.5, 0.0], s=1.5)


def exact(inputs: Inputs) -> dict[str, dict[str, np.ndarray]]:
    return {
        "y": {"x": inputs.s * A, "s": A @ inputs.x},
        "total": {"x": 2 * inputs.x, "s": np.asarray(1.0)},
    }


PATHS = ({"x", "s"}, {"y", "total"})


@pytest.mark.parametrize(("algorithm", "tolerance"), [("central", 1e-8), ("forward", 1e-3), ("stochastic", 1e-8)])
def test_jacobian_has_output_axes_first(inputs: Inputs, algorithm: Any, tolerance: float) -> None:
    # 10 samples for 6 elements: "stochastic" becomes "central"
    jacobian = finite_difference_jacobian(Counting(), inputs, *PATHS, algorithm=algorithm)
    for out, row in exact(inputs).items():
        for path, block in row.items():
            assert jacobian[out][path].dtype == np.float64
            assert jacobian[out][path].shape == block.shape
            np.testing.assert_allclose(jacobian[out][path], block, atol=tolerance)


@pytest.mark.parametrize("algorithm", ["central", "forward", "stochastic"])
def test_vjp_and_jvp_agree_with_the_jacobian(inputs: Inputs, algorithm: Any) -> None:
    tangent = {"x": np.array([0.1, 0.2, -0.3, 0.0, 1.0]), "s": 0.5}
    cotangent = {"y": np.array([1.0, 2.0, -1.0]), "total": 0.25}
    jvp = finite_difference_jvp(Counting(), inputs, *PATHS, tangent, algorithm=algorithm)
    vjp = finite_difference_vjp(Counting(), inputs, *PATHS, cotangent, algorithm=algorithm)
    j = exact(inputs)
    np.testing.assert_allclose(jvp["y"], j["y"]["x"] @ tangent["x"] + j["y"]["s"] * 0.5, atol=1e-3)
    np.testing.assert_allclose(jvp["total"], j["total"]["x"] @ tangent["x"] + 0.5, atol=1e-3)
    np.testing.assert_allclose(vjp["x"], cotangent["y"] @ j["y"]["x"] + 0.25 * j["total"]["x"], atol=1e-3)
    assert isinstance(vjp["s"], np.float64)
    assert vjp["s"] == pytest.approx(cotangent["y"] @ j["y"]["s"] + 0.25, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "evaluations"),
    [
        (lambda f, i: finite_difference_jacobian(f, i, *PATHS), 2 * 6 + 1),
        (lambda f, i: finite_difference_jacobian(f, i, *PATHS, algorithm="forward"), 6 + 1),
        (lambda f, i: finite_difference_jacobian(f, i, *PATHS, algorithm="stochastic", num_samples=3), 2 * 3 + 1),
        (lambda f, i: finite_difference_vjp(f, i, *PATHS, {"y": np.ones(3), "total": 1.0}), 2 * 6),
        (
            lambda f, i: finite_difference_vjp(f, i, *PATHS, {"y": np.ones(3), "total": 1.0}, algorithm="forward"),
            6 + 1,
        ),
        (lambda f, i: finite_difference_jvp(f, i, *PATHS, {"x": np.ones(5), "s": 1.0}), 2),
        (
            lambda f, i: finite_difference_jvp(f, i, *PATHS, {"x": np.ones(5), "s": 1.0}, eps={"x": 1e-3, "s": 1e-4}),
            4,
        ),
        (
            lambda f, i: finite_difference_jvp(f, i, *PATHS, {"x": np.ones(5), "s": 1.0}, algorithm="forward"),
            2,
        ),
    ],
)
def test_evaluations_do_not_grow_with_outputs(
    inputs: Inputs, call: Callable[[Counting, Inputs], Any], evaluations: int
) -> None:
    function = Counting()
    call(function, inputs)
    assert function.calls == evaluations


def test_ten_inputs_and_two_outputs_take_21_evaluations() -> None:
    class Ten(BaseModel):
        x: Differentiable[Array[(10,), Float64]]

    calls = []

    def apply(inputs: Ten) -> Outputs:
        calls.append(inputs)
        return Outputs(y=inputs.x[:3], total=inputs.x.sum())

    finite_difference_jacobian(apply, Ten(x=np.zeros(10)), {"x"}, {"y", "total"})
    assert len(calls) == 21


def test_stochastic_jacobian_is_seeded_and_right_on_average() -> None:
    class Many(BaseModel):
        x: Differentiable[Array[(None,), Float64]]

    def apply(inputs: Many) -> Outputs:
        return Outputs(y=inputs.x[:3], total=inputs.x.sum())

    many = Many(x=np.linspace(0, 1, 200))
    options: dict[str, Any] = {"algorithm": "stochastic", "num_samples": 100}
    first = finite_difference_jacobian(apply, many, {"x"}, {"total"}, **options, seed=1)["total"]["x"]
    again = finite_difference_jacobian(apply, many, {"x"}, {"total"}, **options, seed=1)["total"]["x"]
    other = finite_difference_jacobian(apply, many, {"x"}, {"total"}, **options, seed=2)["total"]["x"]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.mean() == pytest.approx(1.0, abs=0.5)
    vjp = finite_difference_vjp(apply, many, {"x"}, {"total"}, {"total": 2.0}, **options, seed=1)["x"]
    np.testing.assert_allclose(vjp, 2 * first)


def test_nested_paths_and_defaults() -> None:
    class Part(BaseModel):
        x: Differentiable[Array[(None,), Float64]] = np.array([1.0, 2.0])
        k: int = 3

    class Nested(BaseModel):
        parts: list[Part]
        table: dict[str, Differentiable[Float64]]
        spare: Part = Part()

    def apply(inputs: Nested) -> dict[str, Any]:
        assert inputs.parts[1].k == 7
        return {"y": inputs.parts[1].x * inputs.table["k.1"] + inputs.spare.x}

    nested = Nested(parts=[{}, {"x": [4.0, 5.0], "k": 7}], table={"k.1": 2.0, "other": 1.0})
    jacobian = finite_difference_jacobian(apply, nested, {"parts.[1].x", "table.{k.1}", "spare.x"}, {"y"})["y"]
    np.testing.assert_allclose(jacobian["parts.[1].x"], 2 * np.eye(2), atol=1e-8)
    np.testing.assert_allclose(jacobian["table.{k.1}"], [4.0, 5.0], atol=1e-8)
    np.testing.assert_allclose(jacobian["spare.x"], np.eye(2), atol=1e-8)


def test_moving_copies_only_what_lies_on_the_path() -> None:
    class Part(BaseModel):
        x: Array[(None,), Float64]

    class Whole(BaseModel):
        parts: list[Part]

    whole = Whole(parts=[{"x": [1.0]}, {"x": [2.0]}])
    after = moved(whole, {"parts.[1].x": np.array([3.0])})
    assert isinstance(after, Whole)
    assert after.parts[0] is whole.parts[0]
    assert after.parts[1].x[0] == 3.0
    assert whole.parts[1].x[0] == 2.0


def test_apply_may_change_its_inputs_in_place(inputs: Inputs) -> None:
    class Two(BaseModel):
        x: Differentiable[Array[(2,), Float64]]
        scale: Array[(2,), Float64]

    def apply(inputs: Two) -> dict[str, Any]:
        inputs.scale *= 2
        inputs.x *= inputs.scale
        return {"y": inputs.x}

    two = Two(x=[1.0, 2.0], scale=[3.0, 4.0])
    for algorithm in ("central", "forward"):
        jacobian = finite_difference_jacobian(apply, two, {"x"}, {"y"}, algorithm=algorithm)  # type: ignore[arg-type]
        np.testing.assert_allclose(jacobian["y"]["x"], np.diag([6.0, 8.0]), atol=1e-8)
    np.testing.assert_array_equal(two.scale, [3.0, 4.0])


def test_root_models_and_integer_keys() -> None:
    class Table(RootModel[dict[int, Array[(None,), Float64]]]):
        pass

    class Whole(BaseModel):
        table: Table

    whole = Whole(table={4: [1.0, 2.0]})
    after = moved(whole, {"table.root.{4}": np.array([5.0, 6.0])})
    np.testing.assert_array_equal(after.table.root[4], [5.0, 6.0])


def test_float32_inputs_use_the_step_that_was_really_taken() -> None:
    class Single(BaseModel):
        x: Differentiable[Float32]

    def apply(inputs: Single) -> dict[str, Any]:
        return {"y": np.float64(inputs.x) * 3}

    # 1000.0001 is not a float32: with the nominal step the slope would come out as 1.83
    jacobian = finite_difference_jacobian(apply, Single(x=np.float32(1000.0)), {"x"}, {"y"})
    assert jacobian["y"]["x"] == pytest.approx(3.0)
    with pytest.raises(ValueError, match="lost in rounding"):
        finite_difference_jacobian(apply, Single(x=np.float32(1e6)), {"x"}, {"y"})


def test_eps_per_path(inputs: Inputs) -> None:
    jacobian = finite_difference_jacobian(Counting(), inputs, *PATHS, eps={"x": 1e-3, "s": 1e-5})
    np.testing.assert_allclose(jacobian["y"]["x"], inputs.s * A, atol=1e-8)
    with pytest.raises(ValueError, match="no step for s"):
        finite_difference_jacobian(Counting(), inputs, *PATHS, eps={"x": 1e-3})
    with pytest.raises(ValueError, match="names z"):
        finite_difference_jacobian(Counting(), inputs, *PATHS, eps={"x": 1e-3, "s": 1e-3, "z": 1.0})
    with pytest.raises(ValueError, match="positive"):
        finite_difference_jacobian(Counting(), inputs, *PATHS, eps=0.0)


def test_unknown_algorithm(inputs: Inputs) -> None:
    with pytest.raises(ValueError, match="unknown algorithm 'secant'"):
        finite_difference_jacobian(Counting(), inputs, *PATHS, algorithm="secant")  # type: ignore[arg-type]


def test_empty_inputs_have_empty_jacobians() -> None:
    class Empty(BaseModel):
        x: Differentiable[Array[(None,), Float64]]

    jacobian = finite_difference_jacobian(lambda inputs: {"y": np.ones(2)}, Empty(x=[]), {"x"}, {"y"})
    assert jacobian["y"]["x"].shape == (2, 0)


class Scalar(BaseModel):
    x: Differentiable[Float64]
    y: Differentiable[Float64] = 0.0


@pytest.mark.parametrize("value", [1.2345678, np.float64(1.2345678)], ids=["python", "numpy"])
def test_steps_of_scalars_are_not_rounded_to_half_precision(value: Any) -> None:
    def square(inputs: Scalar) -> Scalar:
        return Scalar(x=inputs.x, y=inputs.x**2)

    # NumPy 1 looks at the value of a scalar, and finds that this one fits into float16.
    for inputs in (Scalar(x=value), Scalar.model_construct(x=value)):
        slope = finite_difference_jacobian(square, inputs, {"x"}, {"y"}, eps=1e-3)["y"]["x"]
        np.testing.assert_allclose(slope, 2.4691356, rtol=1e-7)


class Single(BaseModel):
    f: Differentiable[Float32]
    v: Differentiable[Array[(None,), Float32]] = []


def linear(inputs: Single) -> Scalar:
    return Scalar(x=3.0 * float(inputs.f) + 2.0 * float(np.sum(inputs.v, dtype="float64")))


@pytest.mark.parametrize("algorithm", ["central", "forward"])
def test_directions_use_the_step_that_was_really_taken(algorithm: Any) -> None:
    def product(path: str, **inputs: Any) -> float:
        given = Single(**{"f": 1.2345678, **inputs})
        tangent = {path: np.ones_like(getattr(given, path))}
        return float(finite_difference_jvp(linear, given, {path}, {"x"}, tangent, eps=1e-3, algorithm=algorithm)["x"])

    assert product("f") == pytest.approx(3.0, rel=1e-9)
    assert product("v", v=[1000.0]) == pytest.approx(2.0, rel=1e-9)
    with pytest.warns(RuntimeWarning, match=r"eps=0\.001 is little more than the rounding of v, which is float32"):
        product("v", v=[1000.0, 1.0])
    with pytest.raises(ValueError, match="lost in rounding: v is float32"):
        product("v", v=[1e6])


def test_lost_random_steps_are_errors() -> None:
    inputs = Single(f=0.0, v=np.linspace(500, 1000, 30))
    with pytest.raises(ValueError, match="lost in rounding: v is float32"):
        finite_difference_vjp(linear, inputs, {"v"}, {"x"}, {"x": 1.0}, algorithm="stochastic", eps=1e-6)


@pytest.mark.parametrize("eps", [float("inf"), float("nan"), 0.0])
def test_steps_are_positive_and_finite(eps: float) -> None:
    with pytest.raises(ValueError, match="eps must be positive and finite"):
        finite_difference_jacobian(linear, Single(f=1.0), {"f"}, {"x"}, eps=eps)
