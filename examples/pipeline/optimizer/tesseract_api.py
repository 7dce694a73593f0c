"""Find how strongly a profile was smoothed, by asking another Tesseract: `smoother`.

Gauss-Newton: the smoother's derivative says how its output changes with the strength, and so which strength would
bring that output nearest to the measurement, were the dependence linear. Repeated until nothing changes.

It is served beside the smoother in one network; see the README of this example.
"""

import numpy as np
from pydantic import BaseModel, Field, model_validator
from tesseract_core import Tesseract
from tesseract_core.runtime import Array, Float64

# In a network of `tesseract serve --network`, an alias is a host name, and Tesseracts listen on port 8000.
SMOOTHER = "http://smoother:8000"


class InputSchema(BaseModel):
    profile: Array[(None,), Float64] = Field(description="The profile before it was smoothed.")
    measured: Array[(None,), Float64] = Field(description="The profile after it was smoothed; same length.")
    guess: Float64 = Field(description="A strength to start from.", default=1.0, gt=0)
    max_steps: int = Field(description="Give up after so many steps.", default=50, gt=0)
    smoother: str = Field(description="Where the smoother is served.", default=SMOOTHER)

    @model_validator(mode="after")
    def lengths_agree(self) -> "InputSchema":
        """A mismatch is the caller's mistake: raised here, it is reported as one (HTTP 422)."""
        if self.profile.shape != self.measured.shape:
            raise ValueError(f"profile has {len(self.profile)} values, but measured has {len(self.measured)}")
        return self


class OutputSchema(BaseModel):
    strength: Float64 = Field(description="The strength whose result is nearest to the measurement.")
    misfit: Float64 = Field(description="Euclidean distance that remains between result and measurement.")
    steps: int = Field(description="How many steps it took.")


def apply(inputs: InputSchema) -> OutputSchema:
    """Fit the strength."""
    smoother = Tesseract.from_url(inputs.smoother)
    steps, strength, change = 0, float(inputs.guess), np.inf
    while steps < inputs.max_steps and abs(change) > 1e-10 * strength:
        arguments = {"profile": inputs.profile, "strength": strength}
        residual = smoother.apply(arguments)["smoothed"] - inputs.measured
        slope = smoother.jacobian_vector_product(arguments, ["strength"], ["smoothed"], {"strength": 1.0})["smoothed"]
        change = -(slope @ residual) / (slope @ slope)
        # Half way to zero at most: a strength is positive.
        strength = max(strength + change, strength / 2)
        steps += 1
    return OutputSchema(strength=strength, misfit=np.linalg.norm(residual), steps=steps)
