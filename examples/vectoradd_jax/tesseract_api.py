"""Add two scaled vectors in JAX: every endpoint comes from one jitted function.

tesseract run vectoradd_jax apply '{"inputs": {"a": [1, 2], "b": [3, 4], "scale": 10}}'
"""

import equinox as eqx
from pydantic import BaseModel, Field, model_validator
from tesseract_core.runtime import Array, Differentiable, Float32
from tesseract_core.runtime.jax_recipes import (
    jax_abstract_eval,
    jax_apply,
    jax_jacobian,
    jax_jvp,
    jax_vjp,
)


class InputSchema(BaseModel):
    a: Differentiable[Array[(None,), Float32]] = Field(description="A vector of any length.")
    b: Differentiable[Array[(None,), Float32]] = Field(description="A vector of the same length as a.")
    scale: Differentiable[Float32] = Field(description="Factor of b.", default=1.0)
    normalise: bool = Field(description="Whether to divide the result by its length.", default=False)

    @model_validator(mode="after")
    def lengths_agree(self) -> "InputSchema":
        """A mismatch is the caller's mistake: raised here, it is reported as one (HTTP 422)."""
        if self.a.shape != self.b.shape:
            raise ValueError(f"a and b must have the same length, got {self.a.shape[0]} and {self.b.shape[0]}")
        return self


class OutputSchema(BaseModel):
    result: Differentiable[Array[(None,), Float32]] = Field(description="a + scale * b, perhaps normalised.")


@eqx.filter_jit
def apply_jit(inputs: dict) -> dict:
    """Arrays are traced; `normalise`, a plain bool, is static, so that Python's `if` works."""
    result = inputs["a"] + inputs["scale"] * inputs["b"]
    if inputs["normalise"]:
        result = result / (result @ result) ** 0.5
    return {"result": result}


def apply(inputs: InputSchema) -> OutputSchema:
    """Add two vectors, the second one scaled."""
    return jax_apply(apply_jit, inputs)


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]):
    return jax_jacobian(apply_jit, inputs, jac_inputs, jac_outputs)


def jacobian_vector_product(inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict):
    return jax_jvp(apply_jit, inputs, jvp_inputs, jvp_outputs, tangent_vector)


def vector_jacobian_product(inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict):
    return jax_vjp(apply_jit, inputs, vjp_inputs, vjp_outputs, cotangent_vector)


def abstract_eval(abstract_inputs):
    return jax_abstract_eval(apply_jit, abstract_inputs)
