"""A solver in C behind a thin Python API: heat conduction in a rod.

The image build compiles heat.c (see tesseract_config.yaml). Without a container:

gcc -O2 -shared -fPIC -o examples/heat_c/libheat.so examples/heat_c/heat.c

tesseract run heat_c apply '{"inputs": {"temperature": [0, 0, 100, 0, 0], "spacing": 0.01, "duration": 0.5}}'
"""

import ctypes
import math
from functools import cache
from pathlib import Path

import numpy as np
from numpy.ctypeslib import ndpointer
from pydantic import BaseModel, Field
from tesseract_core.runtime import Array, Differentiable, Float64
from tesseract_core.runtime.experimental import (
    finite_difference_jacobian,
    finite_difference_jvp,
    finite_difference_vjp,
)


class InputSchema(BaseModel):
    temperature: Differentiable[Array[(None,), Float64]] = Field(
        description="Initial temperatures along the rod, in kelvin; the ends keep theirs."
    )
    spacing: float = Field(description="Distance between two of them, in metres.", gt=0)
    duration: float = Field(description="Time to simulate, in seconds.", ge=0)
    diffusivity: float = Field(description="In square metres per second; copper's by default.", default=1.11e-4, gt=0)


class OutputSchema(BaseModel):
    temperature: Differentiable[Array[(None,), Float64]] = Field(description="Final temperatures, in kelvin.")
    steps: int = Field(description="Number of time steps taken.")


@cache
def library() -> ctypes.CDLL:
    path = Path(__file__).with_name("libheat.so")
    if not path.exists():
        source = path.with_name("heat.c")
        raise FileNotFoundError(f"{path} is missing; compile it: gcc -O2 -shared -fPIC -o {path} {source}")
    lib = ctypes.CDLL(str(path))
    vector = ndpointer(dtype=np.float64, ndim=1, flags="C_CONTIGUOUS")
    lib.heat_steps.argtypes = [vector, vector, ctypes.c_size_t, ctypes.c_double, ctypes.c_size_t]
    lib.heat_steps.restype = None
    return lib


def apply(inputs: InputSchema) -> OutputSchema:
    """Let the rod cool for a while."""
    courant = inputs.diffusivity * inputs.duration / inputs.spacing**2
    steps = math.ceil(courant / 0.5)  # stable up to one half per step
    temperature = np.array(inputs.temperature, dtype=np.float64)
    library().heat_steps(temperature, np.empty_like(temperature), len(temperature), courant / max(steps, 1), steps)
    return OutputSchema(temperature=temperature, steps=steps)


# The final temperatures are linear in the initial ones, so that a step of one kelvin is exact.
EPS = 1.0


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]):
    return finite_difference_jacobian(apply, inputs, jac_inputs, jac_outputs, eps=EPS)


def jacobian_vector_product(inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict):
    return finite_difference_jvp(apply, inputs, jvp_inputs, jvp_outputs, tangent_vector, eps=EPS)


def vector_jacobian_product(inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict):
    return finite_difference_vjp(apply, inputs, vjp_inputs, vjp_outputs, cotangent_vector, eps=EPS)
