"""Go through a data set that need not fit into memory: samples are read from files one at a time.

cd examples/dataloader
tesseract run dataloader apply --input-path ./testdata '{"inputs": {"data": "@sample_*.json"}}'
"""

import numpy as np
from pydantic import BaseModel, Field
from tesseract_core.runtime import Array, Float64
from tesseract_core.runtime.experimental import LazySequence

Sample = Array[(None, 3), Float64]


class InputSchema(BaseModel):
    data: LazySequence[Sample] = Field(
        description="Samples, each an array of points (n, 3): inline, or '@' and a pattern of file names."
    )


class OutputSchema(BaseModel):
    count: int = Field(description="Number of points in all samples.")
    mean: Array[(3,), Float64] = Field(description="Mean of all points.")
    largest: Float64 = Field(description="Largest distance of a point from the origin.")


def apply(inputs: InputSchema) -> OutputSchema:
    """Compute statistics over all samples, holding one of them in memory at a time."""
    count, total, largest = 0, np.zeros(3), 0.0
    for number, points in enumerate(inputs.data, start=1):  # this reads, decodes and checks one file
        print(f"sample {number} of {len(inputs.data)}: {len(points)} points")
        count += len(points)
        total += points.sum(axis=0)
        largest = max(largest, np.linalg.norm(points, axis=1).max(initial=0.0))
    if count == 0:
        raise ValueError("the data set holds no points")
    return OutputSchema(count=count, mean=total / count, largest=largest)
