"""Smooth a profile by one implicit step of the heat equation, with exact derivatives.

The smoothed profile u solves (I + s L) u = f, where f is the profile, s the strength, and L the second difference
matrix with insulated ends (rows like -1 2 -1, corners 1).

tesseract run smoother apply '{"inputs": {"profile": [0, 1, 0], "strength": 1.0}}'
"""

import numpy as np
from pydantic import BaseModel, Field
from tesseract_core.runtime import Array, Differentiable, Float64


class InputSchema(BaseModel):
    profile: Differentiable[Array[(None,), Float64]] = Field(description="Values at equally spaced points.")
    strength: Differentiable[Float64] = Field(description="Diffusivity * time / spacing^2; 0 changes nothing.", ge=0)


class OutputSchema(BaseModel):
    smoothed: Differentiable[Array[(None,), Float64]] = Field(description="The smoothed values; their sum is kept.")


def laplacian(size: int) -> np.ndarray:
    """Negative second differences with insulated ends, shape (size, size); symmetric."""
    steps = np.diff(np.eye(size), axis=0)
    return steps.T @ steps


def solve(inputs: InputSchema, right_hand_side: np.ndarray) -> np.ndarray:
    """(I + s L)^-1 applied to a vector. The matrix is symmetric: this is its own adjoint."""
    size = len(inputs.profile)
    return np.linalg.solve(np.eye(size) + inputs.strength * laplacian(size), right_hand_side)


def apply(inputs: InputSchema) -> OutputSchema:
    """Smooth the profile."""
    return OutputSchema(smoothed=solve(inputs, inputs.profile))


# From (I + s L) u = f follows (I + s L) du = df - ds L u.


def jacobian_vector_product(inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict):
    """Change of the smoothed profile for a change of profile or strength."""
    change = np.zeros(len(inputs.profile))
    if "profile" in jvp_inputs:
        change += tangent_vector["profile"]
    if "strength" in jvp_inputs:
        change -= tangent_vector["strength"] * (laplacian(len(change)) @ solve(inputs, inputs.profile))
    return {"smoothed": solve(inputs, change)}


def vector_jacobian_product(inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict):
    """Gradients with respect to profile and strength for a gradient with respect to the smoothed profile."""
    adjoint = solve(inputs, cotangent_vector["smoothed"])
    gradients = {"profile": adjoint}
    if "strength" in vjp_inputs:
        gradients["strength"] = -adjoint @ laplacian(len(adjoint)) @ solve(inputs, inputs.profile)
    return {name: gradients[name] for name in vjp_inputs}


def abstract_eval(abstract_inputs):
    """As many values come out as went in."""
    return {"smoothed": abstract_inputs.profile}
