"""Deflection of a simply supported beam under a distributed load: two Poisson problems, one after the other.

Its helpers stand in `utils.py` beside this file, as in so many projects.
"""

from typing import Any

import numpy as np
import utils
from pydantic import BaseModel, Field, field_validator
from tesseract_core.runtime import Array, Differentiable, Float64
from utils import MODULUS, second_moment


class Section(BaseModel):
    width: float = Field(default=0.1, gt=0, description="In m.")
    height: float = Field(default=0.2, gt=0, description="In m.")

    @property
    def stiffness(self) -> float:
        """Bending stiffness, in N·m²."""
        return MODULUS * second_moment(self.width, self.height)


class InputSchema(BaseModel):
    load: Differentiable[Array[(None,), Float64]] = Field(description="At the inner nodes, in N/m.")
    length: float = Field(default=4.0, gt=0, description="In m.")
    section: Section = Section()

    @field_validator("load")
    @classmethod
    def enough_nodes(cls, load: np.ndarray) -> np.ndarray:
        if len(load) < 3:
            raise ValueError("a beam needs at least 3 inner nodes")
        return load


class OutputSchema(BaseModel):
    deflection: Differentiable[Array[(None,), Float64]] = Field(description="At the inner nodes, in m.")
    moment: Differentiable[Array[(None,), Float64]] = Field(description="Bending moment there, in N·m.")
    helper: str = Field(description="Whose helpers were used.")


def influence(inputs: InputSchema) -> tuple[np.ndarray, np.ndarray]:
    """Matrices that map the load to the moment and to the deflection."""
    n = len(inputs.load)
    inverse = np.linalg.inv(utils.operator(n, inputs.length / (n + 1)))
    return inverse, inverse @ inverse / inputs.section.stiffness


def kind() -> str:
    from utils import KIND  # inside of a function, as people do to break circles

    return KIND


def apply(inputs: InputSchema) -> OutputSchema:
    """Bend the beam."""
    to_moment, to_deflection = influence(inputs)
    return OutputSchema(deflection=to_deflection @ inputs.load, moment=to_moment @ inputs.load, helper=kind())


def matrices(inputs: InputSchema) -> dict[str, np.ndarray]:
    to_moment, to_deflection = influence(inputs)
    return {"moment": to_moment, "deflection": to_deflection}


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]) -> dict[str, dict[str, np.ndarray]]:
    found = matrices(inputs)
    return {name: {"load": found[name]} for name in jac_outputs}


def jacobian_vector_product(
    inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict[str, Any]
) -> dict[str, np.ndarray]:
    found = matrices(inputs)
    return {name: found[name] @ tangent_vector["load"] for name in jvp_outputs}


def vector_jacobian_product(
    inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, Any]
) -> dict[str, np.ndarray]:
    found = matrices(inputs)
    return {"load": sum(found[name].T @ cotangent_vector[name] for name in vjp_outputs)}
