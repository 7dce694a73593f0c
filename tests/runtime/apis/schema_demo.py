"""A Tesseract with one of everything that schemas can hold, shaped after the examples of the contract."""

import numpy as np
from pydantic import BaseModel, Field, field_validator
from tesseract_core.runtime import Array, Differentiable, Float32, Float64, ShapeDType
from tesseract_core.runtime.tree_transforms import get_at_path

validations: list[str] = []
seen: dict[str, object] = {}


class Part(BaseModel):
    x: Differentiable[Array[(None, 2), Float32]]
    k: int = 1

    def doubled(self) -> int:
        return 2 * self.k


class InputSchema(BaseModel):
    a: Differentiable[Array[(3,), Float64]] = Field(description="Vec")
    s: Differentiable[Float64] = 2.0
    parts: list[Part] = []
    table: dict[str, Differentiable[Array[(None,), Float64]]] = {}
    pair: tuple[Differentiable[Float64], int] | None = None
    maybe: Differentiable[Array[(None,), Float64]] | None = None
    mode: str = "plain"


class Stats(BaseModel):
    mean: Differentiable[Float64]


class OutputSchema(BaseModel):
    y: Differentiable[Array[(3,), Float64]]
    stats: Stats
    any: Array[..., None]
    note: str = Field("unset", alias="remark")

    @field_validator("note")
    @classmethod
    def _count(cls, value: str) -> str:
        validations.append(value)
        return value + "!"


def apply(inputs: InputSchema):
    """Double a vector."""
    seen["inputs"] = inputs
    result = {"y": inputs.a * inputs.s, "stats": {"mean": np.mean(inputs.a) * inputs.s}, "any": [[0, 1], [2, 3]]}
    if inputs.mode == "dict":
        return result
    if inputs.mode == "extra":
        return {**result, "more": 1}
    if inputs.mode == "bad":
        return {**result, "y": [1.0, 2.0]}
    if inputs.mode == "none":
        return None
    return OutputSchema(**{**result, "stats": Stats(**result["stats"]), "remark": "said"})


def _block(inputs, out, path):
    shape = (3,) * (out == "y") + np.shape(get_at_path(inputs, path))
    match out, path:
        case "y", "a":
            return inputs.s * np.eye(3)
        case "y", "s":
            return inputs.a
        case "stats.mean", "a":
            return np.full(3, inputs.s / 3)
        case "stats.mean", "s":
            return np.mean(inputs.a)
    return np.zeros(shape)


def jacobian(inputs, jac_inputs, jac_outputs):
    seen["jacobian"] = (inputs, jac_inputs, jac_outputs)
    if inputs.mode == "bad":
        return {out: {path: np.zeros(7) for path in jac_inputs} for out in jac_outputs}
    if inputs.mode == "missing":
        return {}
    return {out: {path: _block(inputs, out, path) for path in jac_inputs} for out in jac_outputs}


def jacobian_vector_product(inputs, jvp_inputs, jvp_outputs, tangent_vector):
    seen["jvp"] = tangent_vector
    if inputs.mode == "missing":
        return {}
    return {out: [1, 2, 3] if out == "y" else 1 for out in jvp_outputs}


def vector_jacobian_product(inputs, vjp_inputs, vjp_outputs, cotangent_vector):
    seen["vjp"] = cotangent_vector
    return {path: np.zeros(np.shape(get_at_path(inputs, path))) for path in vjp_inputs}


def abstract_eval(abstract_inputs):
    seen["abstract"] = abstract_inputs
    return {
        "y": abstract_inputs.a,
        "stats": {"mean": ShapeDType(shape=(), dtype="float64")},
        "any": {"shape": (2, 2), "dtype": "int64"},
    }
