"""A model trained elsewhere with scikit-learn, as package data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.foreign import Foreign
from tesseract_core import Tesseract

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

RECIPES = np.array([[350.0, 180.0, 28.0], [420.0, 165.0, 90.0], [280.0, 200.0, 7.0]])


def trained() -> tuple[Any, np.ndarray]:
    """A pipeline, and what it was trained on."""
    from sklearn.linear_model import Ridge  # not while tests are collected: it takes a second
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    random = np.random.default_rng(11)
    rows = random.uniform([200, 140, 3], [500, 220, 180], size=(200, 3))
    strength = 12 * np.sqrt(rows[:, 2]) * (rows[:, 0] / rows[:, 1] - 0.8) / 8 + random.normal(size=200)
    steps = [("scale", StandardScaler()), ("expand", PolynomialFeatures(degree=3)), ("fit", Ridge(alpha=0.1))]
    return Pipeline(steps).fit(rows, strength), rows


def test_regression(foreign: Callable[..., Foreign]) -> None:
    import joblib

    model, rows = trained()

    def put_model(folder: Path) -> None:
        (folder / "models").mkdir()
        joblib.dump(model, folder / "models/strength.joblib")
        about = {"features": ["cement", "water", "age"], "rows": len(rows)}
        about |= {"low": rows.min(axis=0).tolist(), "high": rows.max(axis=0).tolist()}
        (folder / "models/strength.json").write_text(json.dumps(about))

    regression = foreign("regression", put_model)
    expected = model.predict(RECIPES)

    value = regression.run("apply", {"inputs": {"recipes": RECIPES, "unit": "psi"}})
    np.testing.assert_allclose(value["strength"], expected * 145.037738, rtol=1e-9)
    assert (value["trained_rows"], value["outside"]) == (200, [])

    with Tesseract.from_image(regression.name, num_workers=2) as t:
        inputs = {"recipes": RECIPES}
        np.testing.assert_allclose(t.apply(inputs)["strength"], expected, rtol=1e-9)
        slopes = np.empty_like(RECIPES)
        for k, step in enumerate(np.diag([1e-3] * 3)):
            slopes[:, k] = (model.predict(RECIPES + step) - model.predict(RECIPES - step)) / 2e-3
        jacobian = t.jacobian(inputs, ["recipes"], ["strength"])["strength"]["recipes"]
        np.testing.assert_allclose(jacobian[np.arange(3), np.arange(3)], slopes, rtol=1e-5)
        assert np.count_nonzero(jacobian) == 9
        vjp = t.vector_jacobian_product(inputs, ["recipes"], ["strength"], {"strength": np.array([1.0, 0.0, -2.0])})
        np.testing.assert_allclose(vjp["recipes"], [[1], [0], [-2]] * slopes, rtol=1e-5)
