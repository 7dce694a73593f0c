"""Need a file from the start: weights of a model, read once when the Tesseract starts.

Without the file the Tesseract does not start, and says which one is missing:

cd examples/required_files
tesseract run required_files apply --input-path ./input '{"inputs": {"values": [1, 1]}}'
"""

import json

import numpy as np
from pydantic import BaseModel, Field
from tesseract_core.runtime import Array, Float64
from tesseract_core.runtime.experimental import require_file

WEIGHTS_FILE = require_file("weights.json")  # relative to the input path


class InputSchema(BaseModel):
    values: Array[(None,), Float64] = Field(description="One value per weight.")


class OutputSchema(BaseModel):
    result: Float64 = Field(description="The weighted sum of the values.")


def load_weights() -> np.ndarray:
    """Read the file. Not while importing: the image build, too, imports this module, and has no input files."""
    return np.array(json.loads(WEIGHTS_FILE.read_text()), dtype=float)


def apply(inputs: InputSchema) -> OutputSchema:
    """Sum the values, each times its weight."""
    weights = load_weights()
    if inputs.values.shape != weights.shape:
        raise ValueError(f"expected {len(weights)} values, one per weight, got {len(inputs.values)}")
    return OutputSchema(result=weights @ inputs.values)
