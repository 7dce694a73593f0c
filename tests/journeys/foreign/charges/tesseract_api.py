"""Energy of point charges in a harmonic trap; the loops are compiled by numba and cached on disk.

The cache lies where numba puts it by itself: beside this module if it can, below HOME otherwise.
"""

from typing import Any

import numba
import numpy as np
from pydantic import BaseModel, Field, model_validator
from tesseract_core.runtime import Array, Differentiable, Float64, ShapeDType

SOFTENING = 1e-3


@numba.njit(cache=True)
def pair_energy(positions: np.ndarray, charges: np.ndarray) -> float:
    """Sum of q_i q_j / |r_i - r_j| over all pairs, softened at short distance."""
    energy = 0.0
    n = positions.shape[0]
    for i in range(n):
        for j in range(i):
            r2 = SOFTENING**2
            for k in range(3):
                d = positions[i, k] - positions[j, k]
                r2 += d * d
            energy += charges[i] * charges[j] / np.sqrt(r2)
    return energy


@numba.njit(cache=True, fastmath=False)
def pair_forces(positions: np.ndarray, charges: np.ndarray) -> np.ndarray:
    """Gradient of the pair energy with respect to all positions, shape (n, 3)."""
    n = positions.shape[0]
    gradient = np.zeros((n, 3))
    for i in range(n):
        for j in range(i):
            r2 = SOFTENING**2
            for k in range(3):
                d = positions[i, k] - positions[j, k]
                r2 += d * d
            factor = -charges[i] * charges[j] / (r2 * np.sqrt(r2))
            for k in range(3):
                d = factor * (positions[i, k] - positions[j, k])
                gradient[i, k] += d
                gradient[j, k] -= d
    return gradient


# A first, tiny call while the module is imported: nobody waits for the compiler later.
pair_energy(np.zeros((2, 3)), np.ones(2))
pair_forces(np.eye(3)[:2], np.ones(2))


class InputSchema(BaseModel):
    positions: Differentiable[Array[(None, 3), Float64]] = Field(description="In nanometres.")
    charges: Array[(None,), Float64] = Field(description="In elementary charges.")
    stiffness: Differentiable[Float64] = Field(default=1.0, description="Of the trap, in units of energy per nm².")

    @model_validator(mode="after")
    def one_charge_each(self) -> "InputSchema":
        positions, charges = self.positions.shape[0], self.charges.shape[0]  # arrays, or their shapes in abstract_eval
        if positions != charges:
            raise ValueError(f"{positions} positions, but {charges} charges")
        return self


class OutputSchema(BaseModel):
    energy: Differentiable[Float64]
    compiled: bool = Field(description="Whether the loops ran as machine code.")


def apply(inputs: InputSchema) -> OutputSchema:
    """Energy of the charges in the trap."""
    trap = 0.5 * float(inputs.stiffness) * float(np.sum(inputs.positions**2))
    energy = trap + pair_energy(inputs.positions, inputs.charges)
    return OutputSchema(energy=energy, compiled=bool(pair_energy.signatures))


def gradients(inputs: InputSchema) -> dict[str, np.ndarray]:
    positions = float(inputs.stiffness) * inputs.positions + pair_forces(inputs.positions, inputs.charges)
    return {"positions": positions, "stiffness": np.asarray(0.5 * np.sum(inputs.positions**2))}


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]) -> dict[str, dict[str, np.ndarray]]:
    found = gradients(inputs)
    return {output: {name: found[name] for name in jac_inputs} for output in jac_outputs}


def vector_jacobian_product(
    inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, Any]
) -> dict[str, np.ndarray]:
    found = gradients(inputs)
    return {name: cotangent_vector["energy"] * found[name] for name in vjp_inputs}


def abstract_eval(abstract_inputs: Any) -> dict[str, Any]:
    return {"energy": ShapeDType(shape=(), dtype="float64"), "compiled": True}
