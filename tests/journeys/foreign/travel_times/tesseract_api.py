"""Travel times of seismic rays from the surface to the bottom of a stack of layers.

The physics lies in a package of the group's own, `layers`, which stands beside this file and is installed from there.
"""

from typing import Annotated, Any, Literal

import numpy as np
from layers import VELOCITIES, Stack, shoot, travel_time
from pydantic import BaseModel, Field
from tesseract_core.runtime import Array, Differentiable, Float64

Rock = Literal["soil", "sandstone", "limestone", "granite"]


class Named(BaseModel):
    kind: Literal["rock"] = "rock"
    rock: Rock
    thickness: Differentiable[Float64]


class Measured(BaseModel):
    kind: Literal["measured"] = "measured"
    velocity: float = Field(gt=0, description="In m/s.")
    thickness: Differentiable[Float64]


Layer = Annotated[Named | Measured, Field(discriminator="kind")]


class InputSchema(BaseModel):
    layers: list[Layer] = Field(min_length=1, description="From the surface down.")
    offsets: Array[(None,), Float64] = Field(description="Horizontal distances of the receivers, in m.")


class OutputSchema(BaseModel):
    times: Differentiable[Array[(None,), Float64]] = Field(description="In s.")
    parameters: Array[(None,), Float64] = Field(description="Ray parameters, in s/m.")


def stack_of(inputs: InputSchema) -> Stack:
    thickness = np.array([float(layer.thickness) for layer in inputs.layers])
    velocity = np.array([VELOCITIES[x.rock] if isinstance(x, Named) else x.velocity for x in inputs.layers])
    if np.any(thickness <= 0):
        raise ValueError("a layer must have a thickness above 0")
    return Stack(thickness, 1 / velocity)


def rays(inputs: InputSchema) -> tuple[Stack, np.ndarray]:
    stack = stack_of(inputs)
    return stack, np.array([shoot(stack, distance) for distance in inputs.offsets])


def apply(inputs: InputSchema) -> OutputSchema:
    """Shoot one ray to each receiver."""
    stack, parameters = rays(inputs)
    times = np.array([travel_time(stack, p) for p in parameters])
    return OutputSchema(times=times, parameters=parameters)


def sensitivity(inputs: InputSchema) -> np.ndarray:
    """d times[i] / d thickness[j]: by Fermat's principle, the ray may be held fixed, and q = sqrt(u² - p²) is left."""
    stack, parameters = rays(inputs)
    return np.sqrt(stack.slowness[None] ** 2 - parameters[:, None] ** 2)


def index_of(path: str) -> int:
    """Of 'layers.[3].thickness' the 3."""
    return int(path.split("[")[1].split("]")[0])


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]) -> dict[str, dict[str, np.ndarray]]:
    table = sensitivity(inputs)
    return {"times": {path: table[:, index_of(path)] for path in jac_inputs}}


def vector_jacobian_product(
    inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, Any]
) -> dict[str, np.ndarray]:
    pulled = cotangent_vector["times"] @ sensitivity(inputs)
    return {path: np.asarray(pulled[index_of(path)]) for path in vjp_inputs}
