"""Compressive strength of concrete from its recipe, by a pipeline that was trained with scikit-learn elsewhere.

The model is package data, loaded once per process when this module is imported.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
from pydantic import BaseModel, Field
from sklearn.pipeline import Pipeline
from tesseract_core.runtime import Array, Differentiable, Float64

FEATURES = ("cement", "water", "age")


def load() -> tuple[Pipeline, dict[str, Any]]:
    """The pipeline, and what was noted about its training."""
    path = Path(os.environ["MODEL_FILE"])
    about = json.loads(path.with_suffix(".json").read_text())
    if tuple(about["features"]) != FEATURES:
        raise ValueError(f"{path} was trained on {about['features']}, not on {list(FEATURES)}")
    model = joblib.load(path)
    if not isinstance(model, Pipeline):
        raise TypeError(f"{path} holds a {type(model).__name__}, not a pipeline")
    return model, about


MODEL, ABOUT = load()


class InputSchema(BaseModel):
    recipes: Differentiable[Array[(None, len(FEATURES)), Float64]] = Field(
        description="One recipe a row: cement and water in kg/m³, age in days."
    )
    unit: Literal["MPa", "psi"] = "MPa"
    clip: bool = Field(default=False, description="Cut off what lies outside of the range seen in training.")


class OutputSchema(BaseModel):
    strength: Differentiable[Array[(None,), Float64]]
    trained_rows: int
    outside: list[int] = Field(description="Rows that lie outside of the range seen in training.")


def clipped(inputs: InputSchema) -> tuple[np.ndarray, list[int]]:
    low, high = np.asarray(ABOUT["low"]), np.asarray(ABOUT["high"])
    bad = np.any((inputs.recipes < low) | (inputs.recipes > high), axis=1)
    recipes = np.clip(inputs.recipes, low, high) if inputs.clip else inputs.recipes
    return recipes, [int(row) for row in np.flatnonzero(bad)]


def scale(unit: str) -> float:
    return 145.037738 if unit == "psi" else 1.0


def apply(inputs: InputSchema) -> OutputSchema:
    """Predict the strength of each recipe."""
    recipes, outside = clipped(inputs)
    strength = scale(inputs.unit) * MODEL.predict(recipes)
    return OutputSchema(strength=strength, trained_rows=ABOUT["rows"], outside=outside)


def row_gradients(inputs: InputSchema) -> np.ndarray:
    """d strength[i] / d recipes[i, k], shape (rows, features), by the chain rule through the pipeline's steps."""
    recipes, _ = clipped(inputs)
    scaler, expand, ridge = (step for _, step in MODEL.steps)
    standard = scaler.transform(recipes)
    powers = expand.powers_
    gradients = np.empty_like(recipes)
    for k in range(recipes.shape[1]):
        lowered = powers.copy()
        lowered[:, k] = np.maximum(lowered[:, k] - 1, 0)
        terms = powers[:, k] * np.prod(standard[:, None, :] ** lowered[None], axis=2)
        gradients[:, k] = terms @ ridge.coef_ / scaler.scale_[k]
    if inputs.clip:
        gradients[recipes != inputs.recipes] = 0
    return scale(inputs.unit) * gradients


def jacobian(inputs: InputSchema, jac_inputs: set[str], jac_outputs: set[str]) -> dict[str, dict[str, np.ndarray]]:
    rows = row_gradients(inputs)
    full = np.zeros((len(rows), *rows.shape))
    full[np.arange(len(rows)), np.arange(len(rows))] = rows
    return {"strength": {"recipes": full}}


def vector_jacobian_product(
    inputs: InputSchema, vjp_inputs: set[str], vjp_outputs: set[str], cotangent_vector: dict[str, Any]
) -> dict[str, np.ndarray]:
    return {"recipes": cotangent_vector["strength"][:, None] * row_gradients(inputs)}
