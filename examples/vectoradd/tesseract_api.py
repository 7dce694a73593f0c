"""Add two vectors: typed arrays, differentiable fields and hand-written derivatives.

tesseract run vectoradd apply '{"inputs": {"a": [1, 2], "b": [3, 4]}}'
tesseract run vectoradd apply --output-path /tmp/output @examples/vectoradd/inputs.json
"""

import numpy as np
from pydantic import BaseModel, Field, model_validator
from tesseract_core.runtime import Array, Differentiable, Float64


class InputSchema(BaseModel):
    a: Differentiable[Array[(None,), Float64]] = Field(description="A vector of any length.")
    b: Differentiable[Array[(None,), Float64]] = Field(description="A vector of the same length as a.")

    @model_validator(mode="after")
    def lengths_agree(self) -> "InputSchema":
        """A mismatch is the caller's mistake: raised here, it is reported as one (HTTP 422)."""
        if self.a.shape != self.b.shape:
            raise ValueError(f"a and b must have the same length, got {self.a.shape[0]} and {self.b.shape[0]}")
        return self


class OutputSchema(BaseModel):
    result: Differentiable[Array[(None,), Float64]] = Field(description="The element-wise sum a + b.")


def apply(inputs: InputSchema) -> OutputSchema:
    """Add two vectors of equal length."""
    return OutputSchema(result=inputs.a + inputs.b)


# The sum is linear in both vectors, and its Jacobian with respect to either is the identity.


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]):
    """Derivatives as matrices: {output: {input: array of shape (*output, *input)}}."""
    identity = np.eye(len(inputs.a))
    return {output: dict.fromkeys(jac_inputs, identity) for output in jac_outputs}


def jacobian_vector_product(
    inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict[str, np.ndarray]
):
    """Change of the outputs for a change of the inputs: {output: array}."""
    change = sum(tangent_vector[name] for name in jvp_inputs)
    return dict.fromkeys(jvp_outputs, change)


def vector_jacobian_product(
    inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, np.ndarray]
):
    """Gradient with respect to the inputs for a gradient with respect to the outputs: {input: array}."""
    gradient = sum(cotangent_vector[name] for name in vjp_outputs)
    return dict.fromkeys(vjp_inputs, gradient)


def abstract_eval(abstract_inputs):
    """Shape and dtype of the result, without computing it (tesseract-jax asks for this)."""
    return {"result": abstract_inputs.a}
