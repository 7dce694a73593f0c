"""The Rosenbrock function of two variables, with all derivatives by hand: a testbed for optimisers.

f(x, y) = (a - x)^2 + b (y - x^2)^2, with its minimum 0 at (a, a^2)
(H. H. Rosenbrock, The Computer Journal 3 (1960) 175-184).

tesseract run univariate apply '{"inputs": {"x": -1.2, "y": 1.0}}'
tesseract run univariate jacobian '{"inputs": {"x": 1, "y": 2}, "jac_inputs": ["x", "y"], "jac_outputs": ["result"]}'
tesseract-runtime check-gradients '{"inputs": {"x": -1.2, "y": 1.0}}'
"""

from pydantic import BaseModel, Field
from tesseract_core.runtime import Differentiable, Float64, ShapeDType
from tesseract_core.runtime.experimental import jvp_from_jacobian, vjp_from_jacobian


class InputSchema(BaseModel):
    x: Differentiable[Float64] = Field(description="First coordinate.", default=0.0)
    y: Differentiable[Float64] = Field(description="Second coordinate.", default=0.0)
    a: Float64 = Field(description="Where the minimum lies: at (a, a^2).", default=1.0)
    b: Float64 = Field(description="Steepness of the valley.", default=100.0)


class OutputSchema(BaseModel):
    result: Differentiable[Float64] = Field(description="Value of the function.")


def apply(inputs: InputSchema) -> OutputSchema:
    """Evaluate the Rosenbrock function."""
    x, y, a, b = inputs.x, inputs.y, inputs.a, inputs.b
    return OutputSchema(result=(a - x) ** 2 + b * (y - x**2) ** 2)


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]):
    """Partial derivatives: {output: {input: scalar}}."""
    x, y, a, b = inputs.x, inputs.y, inputs.a, inputs.b
    derivatives = {"x": -2 * (a - x) - 4 * b * x * (y - x**2), "y": 2 * b * (y - x**2)}
    return {output: {name: derivatives[name] for name in jac_inputs} for output in jac_outputs}


# One derivative written by hand is enough: the products follow from it.


def jacobian_vector_product(inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict):
    """Change of the result along a direction: {output: scalar}."""
    return jvp_from_jacobian(jacobian, inputs, jvp_inputs, jvp_outputs, tangent_vector)


def vector_jacobian_product(inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict):
    """Gradient, times the cotangent of the result: {input: scalar}."""
    return vjp_from_jacobian(jacobian, inputs, vjp_inputs, vjp_outputs, cotangent_vector)


def abstract_eval(abstract_inputs):
    """The result is a scalar whatever the inputs are."""
    return {"result": ShapeDType(shape=(), dtype="float64")}
