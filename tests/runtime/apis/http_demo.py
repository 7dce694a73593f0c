"""A Tesseract whose calls do what the request says, for tests of the HTTP contract."""

import asyncio
import os
import sys
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field
from tesseract_core.runtime import Array, Differentiable, Float64, ShapeDType


class Part(BaseModel):
    x: Differentiable[Array[(1, 2), Float64]]


class InputSchema(BaseModel):
    a: Differentiable[Array[(3,), Float64]]
    s: Differentiable[Float64] = 2.0
    parts: list[Part] = []
    mode: Literal[
        *("plain", "print", "raise", "value_error", "validation_error", "exit", "cancelled", "interrupted"),
        *("invalid_output", "dict", "break_settings"),
    ] = "plain"
    text: str = Field("", max_length=5_000)


class Stats(BaseModel):
    mean: Differentiable[Float64]


class OutputSchema(BaseModel):
    y: Differentiable[Array[(3,), Float64]]
    stats: Stats
    note: str = "default"


def apply(inputs: InputSchema) -> OutputSchema:
    """Double `a`."""
    y = inputs.a * 2
    stats = {"mean": y.mean()}
    match inputs.mode:
        case "print":
            print("printed by user code")
            os.write(2, b"written to descriptor 2\n")
        case "raise":
            raise RuntimeError("kaboom")
        case "value_error":
            raise ValueError("raised by user code")
        case "validation_error":
            Part(x="no array")
        case "exit":
            sys.exit(7)
        case "cancelled":
            raise asyncio.CancelledError
        case "interrupted":
            raise KeyboardInterrupt
        case "break_settings":
            os.environ["TESSERACT_OUTPUT_FORMAT"] = "nonsense"
        case "invalid_output":
            return {"y": [1.0, 2.0], "stats": stats}
        case "dict":
            return {"y": y, "stats": stats}
    return OutputSchema(y=y, stats=stats)


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]):
    factor = {"y": {"a": 2 * np.eye(3)}, "stats.mean": {"a": np.full(3, 2 / 3)}}
    return {out: {path: factor[out][path] for path in jac_inputs} for out in jac_outputs}


def jacobian_vector_product(inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector):
    y = 2 * tangent_vector["a"]
    return {out: {"y": y, "stats.mean": y.mean()}[out] for out in jvp_outputs}


def vector_jacobian_product(inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector):
    back = {"y": lambda c: 2 * c, "stats.mean": lambda c: np.full(3, 2 / 3) * c}
    return {path: sum(back[out](cotangent_vector[out]) for out in vjp_outputs) for path in vjp_inputs}


def abstract_eval(abstract_inputs):
    a = abstract_inputs.a
    return {"y": ShapeDType(shape=a.shape, dtype=a.dtype), "stats": {"mean": ShapeDType(shape=(), dtype="float64")}}
