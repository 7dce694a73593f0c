"""Stationary heat conduction in a rod with varying conductivity, solved by a compiled program that runs as a child.

Many codes are programs, not libraries: this one reads numbers from stdin and writes numbers to stdout.
"""

import shutil
import subprocess
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, model_validator
from tesseract_core.runtime import Array, Differentiable, Float64

PROGRAM = "thomas"
TIME_LIMIT_S = 60


class SolverFailed(RuntimeError):
    """The child ended with an error; the text is what it said on stderr."""


class InputSchema(BaseModel):
    conductivity: Array[(None,), Float64] = Field(description="Of the n + 1 cells between and beside the n nodes.")
    source: Differentiable[Array[(None,), Float64]] = Field(description="Heat source at each of the n nodes.")

    @model_validator(mode="after")
    def one_cell_more(self) -> "InputSchema":
        if len(self.conductivity) != len(self.source) + 1:
            raise ValueError(
                f"{len(self.source)} nodes need {len(self.source) + 1} cells, not {len(self.conductivity)}"
            )
        return self


class OutputSchema(BaseModel):
    temperature: Differentiable[Array[(None,), Float64]] = Field(description="At the nodes; both ends are held at 0.")
    said: str = Field(description="What the program wrote to stderr.")


def diagonals(conductivity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower, main and upper diagonal of the stiffness matrix."""
    inner = conductivity[1:-1]
    lower = np.concatenate([[0.0], -inner])
    upper = np.concatenate([-inner, [0.0]])
    return lower, conductivity[:-1] + conductivity[1:], upper


def solve(conductivity: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, str]:
    """Run the child once; returns the solution and what the child said."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise SolverFailed(f"{PROGRAM} is not installed; the image build compiles it")
    rows = [str(len(right))]
    rows += [" ".join(map(repr, map(float, vector))) for vector in (*diagonals(conductivity), right)]
    done = subprocess.run(
        [program], input="\n".join(rows), capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
    )
    if done.returncode:
        raise SolverFailed(f"{PROGRAM} ended with status {done.returncode}: {done.stderr.strip()}")
    return np.array([float(line) for line in done.stdout.split()]), done.stderr.strip()


def apply(inputs: InputSchema) -> OutputSchema:
    """Temperatures that balance the sources."""
    temperature, said = solve(inputs.conductivity, inputs.source)
    return OutputSchema(temperature=temperature, said=said)


# The matrix is symmetric, so that both products are one more solve each.


def jacobian_vector_product(
    inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict[str, Any]
) -> dict[str, np.ndarray]:
    return {"temperature": solve(inputs.conductivity, tangent_vector["source"])[0]}


def vector_jacobian_product(
    inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, Any]
) -> dict[str, np.ndarray]:
    return {"source": solve(inputs.conductivity, cotangent_vector["temperature"])[0]}


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]) -> dict[str, dict[str, np.ndarray]]:
    columns = [solve(inputs.conductivity, unit)[0] for unit in np.eye(len(inputs.source))]
    return {"temperature": {"source": np.stack(columns, axis=1)}}
