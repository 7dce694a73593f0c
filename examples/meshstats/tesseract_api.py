"""Volume and surface of a tetrahedral mesh, differentiable by finite differences.

Stands for a simulation that has no derivatives of its own: `apply` is a black box, and three one-line endpoints give it
a Jacobian, JVP and VJP.

tesseract run meshstats apply @examples/meshstats/inputs.json
"""

from itertools import combinations

import numpy as np
from pydantic import BaseModel, Field, model_validator
from tesseract_core.runtime import Array, Differentiable, Float64, Int64, ShapeDType
from tesseract_core.runtime.experimental import (
    finite_difference_jacobian,
    finite_difference_jvp,
    finite_difference_vjp,
)


class Mesh(BaseModel):
    points: Differentiable[Array[(None, 3), Float64]] = Field(description="Coordinates of the points, in metres.")
    cells: Array[(None, 4), Int64] = Field(description="Tetrahedra: four indices into points each.")

    @model_validator(mode="after")
    def cells_name_points(self) -> "Mesh":
        """Only with values at hand: abstract_eval sees shapes."""
        if isinstance(self.cells, np.ndarray) and not np.all((self.cells >= 0) & (self.cells < len(self.points))):
            raise ValueError(f"cells must hold indices from 0 to {len(self.points) - 1}")
        return self


class InputSchema(BaseModel):
    mesh: Mesh = Field(description="The mesh to measure.")


class OutputSchema(BaseModel):
    volume: Differentiable[Float64] = Field(description="Sum of the volumes of all cells, in cubic metres.")
    surface: Differentiable[Float64] = Field(description="Area of the faces that belong to one cell, in square metres.")
    centroid: Differentiable[Array[(3,), Float64]] = Field(description="Mean of the points, in metres.")


def apply(inputs: InputSchema) -> OutputSchema:
    """Measure a tetrahedral mesh."""
    points, cells = inputs.mesh.points, inputs.mesh.cells
    corners = points[cells]  # (cells, 4, 3)
    edges = corners[:, 1:] - corners[:, :1]
    volume = np.abs(np.linalg.det(edges)).sum() / 6

    faces = np.sort(np.concatenate([cells[:, face] for face in combinations(range(4), 3)]), axis=1)
    faces, uses = np.unique(faces, axis=0, return_counts=True)
    a, b, c = np.moveaxis(points[faces[uses == 1]], 1, 0)
    surface = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2

    return OutputSchema(volume=volume, surface=surface, centroid=points.mean(axis=0))


# The mesh is some metres wide: a step of a tenth of a millimetre.
EPS = 1e-4


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]):
    return finite_difference_jacobian(apply, inputs, jac_inputs, jac_outputs, eps=EPS)


def jacobian_vector_product(inputs: InputSchema, jvp_inputs: set[str], jvp_outputs: set[str], tangent_vector: dict):
    return finite_difference_jvp(apply, inputs, jvp_inputs, jvp_outputs, tangent_vector, eps=EPS)


def vector_jacobian_product(inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict):
    return finite_difference_vjp(apply, inputs, vjp_inputs, vjp_outputs, cotangent_vector, eps=EPS)


def abstract_eval(abstract_inputs):
    """Two scalars and a point, whatever the mesh is."""
    scalar = ShapeDType(shape=(), dtype="float64")
    return {"volume": scalar, "surface": scalar, "centroid": ShapeDType(shape=(3,), dtype="float64")}
