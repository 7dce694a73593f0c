"""Log posterior density of a seasonal signal, written for Hamiltonian Monte Carlo.

A legacy model that was never ported to NumPy 2: its gradients are finite differences.
The observations are a trend and one harmonic with unknown amplitudes, seen through Gaussian noise of unknown size.
"""

from typing import Any

import numpy as np
from pydantic import BaseModel, Field, field_validator
from tesseract_core.runtime import Array, Differentiable, Float64
from tesseract_core.runtime.experimental import (
    finite_difference_jacobian,
    finite_difference_jvp,
    finite_difference_vjp,
)

if not np.__version__.startswith("1.26"):
    raise ImportError(f"this model is validated with NumPy 1.26, not with {np.__version__}")

N_OBSERVATIONS = 48
PERIOD = 12.0
TRUE_WEIGHTS = np.array([1.5, 0.02, 0.8, -0.4])
PRIOR_SCALE = 10.0
EPS = 1e-4


def design_matrix(months: np.ndarray) -> np.ndarray:
    """Columns of the model: constant, trend, cosine and sine. Shape (months, 4)."""
    phase = 2 * np.pi * months / PERIOD
    return np.column_stack([np.ones_like(months), months, np.cos(phase), np.sin(phase)])


def synthetic_observations() -> np.ndarray:
    """Observations with noise that needs no random numbers, so that everybody has the same ones."""
    months = np.arange(N_OBSERVATIONS, dtype=np.float64)
    noise = 0.1 * np.sin(37.0 * months) + 0.05 * np.cos(91.0 * months)
    return design_matrix(months) @ TRUE_WEIGHTS + noise


MONTHS = np.arange(N_OBSERVATIONS, dtype=np.float64)
DESIGN = design_matrix(MONTHS)
OBSERVED = synthetic_observations()


class InputSchema(BaseModel):
    weights: Differentiable[Array[(4,), Float64]] = Field(description="Constant, trend, cosine and sine amplitude.")
    log_sigma: Differentiable[Float64] = Field(description="Logarithm of the standard deviation of the noise.")
    temper: float = Field(default=1.0, gt=0, le=1, description="Exponent of the likelihood, for annealing.")

    @field_validator("weights")
    @classmethod
    def within_reach(cls, weights: np.ndarray) -> np.ndarray:
        if isinstance(weights, np.ndarray) and np.any(np.abs(weights) > 1e3):
            raise ValueError("the sampler left the plausible region: |weights| must not exceed 1000")
        return weights


class OutputSchema(BaseModel):
    log_posterior: Differentiable[Float64] = Field(description="Up to a constant.")
    residuals: Differentiable[Array[(N_OBSERVATIONS,), Float64]]


def log_likelihood(residuals: np.ndarray, log_sigma: float) -> float:
    sigma2 = np.exp(2 * log_sigma)
    return -0.5 * float(residuals @ residuals) / sigma2 - residuals.size * log_sigma


def log_prior(weights: np.ndarray, log_sigma: float) -> float:
    return -0.5 * float(weights @ weights) / PRIOR_SCALE**2 - 0.5 * (log_sigma + 2.0) ** 2


def apply(inputs: InputSchema) -> OutputSchema:
    """Evaluate the density at one point."""
    residuals = OBSERVED - DESIGN @ inputs.weights
    log_sigma = float(inputs.log_sigma)
    value = inputs.temper * log_likelihood(residuals, log_sigma) + log_prior(inputs.weights, log_sigma)
    return OutputSchema(log_posterior=value, residuals=residuals)


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]) -> Any:
    return finite_difference_jacobian(apply, inputs, jac_inputs, jac_outputs, eps=EPS)


def jacobian_vector_product(
    inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict[str, Any]
) -> Any:
    return finite_difference_jvp(apply, inputs, jvp_inputs, jvp_outputs, tangent_vector, eps=EPS)


def vector_jacobian_product(
    inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, Any]
) -> Any:
    return finite_difference_vjp(apply, inputs, vjp_inputs, vjp_outputs, cotangent_vector, eps=EPS)


def abstract_eval(abstract_inputs: Any) -> Any:
    return {
        "log_posterior": {"shape": [], "dtype": "float64"},
        "residuals": {"shape": [N_OBSERVATIONS], "dtype": "float64"},
    }
