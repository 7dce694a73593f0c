"""Rate of a first-order decay, fitted to all assays of a folder that is mounted into the container.

tesseract run foreign-assays apply --volume $PWD/testdata:/mnt/testdata:ro \\
    '{"inputs": {"assays": "@/mnt/testdata/*.json"}}'
"""

from typing import Any

import numpy as np
from pydantic import BaseModel, Field
from scipy.optimize import least_squares
from tesseract_core.runtime import Array, Differentiable, Float64
from tesseract_core.runtime.experimental import LazySequence

GUESS = (1.0, 0.1)


class Assay(BaseModel):
    """One vial, sampled some times."""

    hours: Array[(None,), Float64]
    concentration: Array[(None,), Float64]
    dilution: float = Field(default=1.0, gt=0, description="Factor by which the sample was thinned.")


class InputSchema(BaseModel):
    assays: LazySequence[Assay] = Field(description="Inline, or '@' and a pattern of file names.")
    background: Differentiable[Float64] = Field(default=0.0, description="Concentration that the blank shows.")
    keep: int | None = Field(default=None, ge=1, description="Use only the first so many assays.")


class OutputSchema(BaseModel):
    rate: Differentiable[Float64] = Field(description="Per hour.")
    amplitude: Differentiable[Float64] = Field(description="Concentration at the start, undiluted.")
    assays: int
    rms: float


def collected(inputs: InputSchema) -> tuple[np.ndarray, np.ndarray, int]:
    """Times and undiluted concentrations of all assays, and their number; one file is in memory at a time."""
    hours, values, count = [], [], 0
    for assay in inputs.assays:
        if inputs.keep is not None and count == inputs.keep:
            break
        hours.append(assay.hours)
        values.append((assay.concentration - float(inputs.background)) * assay.dilution)
        count += 1
    if not count:
        raise ValueError("there is no assay to fit")
    return np.concatenate(hours), np.concatenate(values), count


def residuals(parameters: np.ndarray, hours: np.ndarray, values: np.ndarray) -> np.ndarray:
    amplitude, rate = parameters
    return amplitude * np.exp(-rate * hours) - values


def sensitivities(parameters: np.ndarray, hours: np.ndarray, values: np.ndarray) -> np.ndarray:
    amplitude, rate = parameters
    decay = np.exp(-rate * hours)
    return np.column_stack([decay, -amplitude * hours * decay])


def fit(hours: np.ndarray, values: np.ndarray) -> np.ndarray:
    guess = (max(values.max(), GUESS[0]), GUESS[1])
    found = least_squares(residuals, guess, jac=sensitivities, args=(hours, values), xtol=1e-14, ftol=1e-14, gtol=1e-14)
    if not found.success:
        raise RuntimeError(f"the fit did not converge: {found.message}")
    return found.x


def apply(inputs: InputSchema) -> OutputSchema:
    """Fit one exponential to everything."""
    hours, values, count = collected(inputs)
    amplitude, rate = parameters = fit(hours, values)
    rms = float(np.sqrt(np.mean(residuals(parameters, hours, values) ** 2)))
    print(f"{count} assays, {len(hours)} samples: rate {rate:.6f} per hour")
    return OutputSchema(rate=rate, amplitude=amplitude, assays=count, rms=rms)


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]) -> dict[str, dict[str, Any]]:
    """Central differences in the background: two fits over all files."""
    step = 1e-5
    ends = []
    for sign in (1, -1):
        moved = inputs.model_copy(update={"background": np.asarray(float(inputs.background) + sign * step)})
        hours, values, _ = collected(moved)
        ends.append(fit(hours, values))
    amplitude, rate = (ends[0] - ends[1]) / (2 * step)
    found = {"rate": np.asarray(rate), "amplitude": np.asarray(amplitude)}
    return {output: {"background": found[output]} for output in jac_outputs}
