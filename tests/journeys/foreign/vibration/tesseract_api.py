"""Eigenfrequencies of masses on a string, and how they move with the springs.

Its helpers stand in `utils.py` beside this file, as in so many projects.
"""

from typing import Any

import numpy as np
import scipy.linalg
from pydantic import BaseModel, Field, model_validator
from tesseract_core.runtime import Array, Differentiable, Float64, ShapeDType
from utils import operator, symmetric


class InputSchema(BaseModel):
    stiffness: Differentiable[Array[(None,), Float64]] = Field(description="Of the n + 1 springs, in N/m.")
    masses: Array[(None,), Float64] = Field(description="Of the n masses, in kg.")
    modes: int = Field(default=2, ge=1, description="How many of the lowest frequencies to return.")

    @model_validator(mode="after")
    def sizes_fit(self) -> "InputSchema":
        springs, masses = self.stiffness.shape[0], self.masses.shape[0]  # arrays, or their shapes in abstract_eval
        if springs != masses + 1:
            raise ValueError(f"{masses} masses hang between {masses + 1} springs")
        if self.modes > masses:
            raise ValueError(f"{masses} masses have no {self.modes} modes")
        if isinstance(self.masses, np.ndarray) and np.any(self.masses <= 0):
            raise ValueError("a mass must be above 0")
        return self


class OutputSchema(BaseModel):
    frequencies: Differentiable[Array[(None,), Float64]] = Field(description="In rad/s, lowest first.")
    helper: str = Field(description="Whose helpers were used.")


def eigenpairs(inputs: InputSchema) -> tuple[np.ndarray, np.ndarray]:
    """Lowest eigenvalues and mass-normalised modes (one a column)."""
    matrix = symmetric(operator(inputs.stiffness), inputs.masses)
    values, vectors = scipy.linalg.eigh(matrix, subset_by_index=(0, inputs.modes - 1))
    return values, vectors / np.sqrt(inputs.masses)[:, None]


def kind() -> str:
    import utils  # inside of a function, as people do to break circles

    return utils.KIND


def apply(inputs: InputSchema) -> OutputSchema:
    """Solve the generalised eigenvalue problem."""
    values, _ = eigenpairs(inputs)
    return OutputSchema(frequencies=np.sqrt(values), helper=kind())


def sensitivity(inputs: InputSchema) -> np.ndarray:
    """d frequencies[m] / d stiffness[s]: half the squared elongation of spring s in mode m, over the frequency."""
    values, modes = eigenpairs(inputs)
    ends = np.zeros((1, inputs.modes))
    elongation = np.diff(np.concatenate([ends, modes, ends]), axis=0)
    return elongation.T**2 / (2 * np.sqrt(values))[:, None]


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]) -> dict[str, dict[str, np.ndarray]]:
    return {"frequencies": {"stiffness": sensitivity(inputs)}}


def jacobian_vector_product(
    inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict[str, Any]
) -> dict[str, np.ndarray]:
    return {"frequencies": sensitivity(inputs) @ tangent_vector["stiffness"]}


def vector_jacobian_product(
    inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, Any]
) -> dict[str, np.ndarray]:
    return {"stiffness": cotangent_vector["frequencies"] @ sensitivity(inputs)}


def abstract_eval(abstract_inputs: Any) -> dict[str, Any]:
    return {"frequencies": ShapeDType(shape=(abstract_inputs.modes,), dtype="float64"), "helper": kind()}
