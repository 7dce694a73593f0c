"""Area inside a contour line of a field, measured on the lines that matplotlib draws, and the figure itself.

matplotlib is imported at the top, as in most scripts: it looks for its configuration and its font cache below HOME.
"""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from pydantic import BaseModel, Field, model_validator
from tesseract_core.runtime import Array, Differentiable, Float64
from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.experimental import (
    OutputPath,
    finite_difference_jacobian,
    finite_difference_vjp,
)

plt.rcParams.update({"figure.dpi": 80, "font.size": 9, "axes.grid": True})
EPS = 1e-4


class InputSchema(BaseModel):
    x: Array[(None,), Float64] = Field(description="Coordinates of the columns.")
    y: Array[(None,), Float64] = Field(description="Coordinates of the rows.")
    field: Array[(None, None), Float64] = Field(description="Values, one row for each y.")
    level: Differentiable[Float64] = Field(description="Value on the contour line.")
    title: str = "field"
    figure: str = Field(default="", description="Name of a PNG file to draw; none if empty.")

    @model_validator(mode="after")
    def shapes_fit(self) -> "InputSchema":
        if self.field.shape != (len(self.y), len(self.x)):
            raise ValueError(f"field is {self.field.shape}, but there are {len(self.y)} rows and {len(self.x)} columns")
        return self


class OutputSchema(BaseModel):
    area: Differentiable[Float64] = Field(description="Sum of the areas inside all closed contour lines.")
    lines: int = Field(description="Number of closed contour lines.")
    figure: OutputPath | None = Field(default=None, description="The figure, below the output path.")


def shoelace(vertices: np.ndarray) -> float:
    x, y = vertices[:, 0], vertices[:, 1]
    return 0.5 * abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])))


def closed_lines(axes: Any, inputs: InputSchema) -> list[np.ndarray]:
    drawn = axes.contour(inputs.x, inputs.y, inputs.field, levels=[float(inputs.level)])
    return [line for line in drawn.allsegs[0] if len(line) > 3 and np.allclose(line[0], line[-1])]


def apply(inputs: InputSchema) -> OutputSchema:
    """Draw the contour line, and measure what it encloses."""
    figure, axes = plt.subplots(figsize=(4, 3))
    try:
        lines = closed_lines(axes, inputs)
        path = None
        if inputs.figure:
            axes.set_title(inputs.title)
            axes.annotate(f"level {float(inputs.level):.3g}", (0.02, 0.02), xycoords="axes fraction")
            path = Path(get_config().output_path) / inputs.figure
            figure.savefig(path)
        return OutputSchema(area=sum(map(shoelace, lines)), lines=len(lines), figure=path)
    finally:
        plt.close(figure)


def without_figure(inputs: InputSchema) -> OutputSchema:
    return apply(inputs.model_copy(update={"figure": ""}))


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]) -> Any:
    return finite_difference_jacobian(without_figure, inputs, jac_inputs, jac_outputs, eps=EPS)


def vector_jacobian_product(
    inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, Any]
) -> Any:
    return finite_difference_vjp(without_figure, inputs, vjp_inputs, vjp_outputs, cotangent_vector, eps=EPS)
