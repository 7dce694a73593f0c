"""Hamiltonian Monte Carlo on a legacy model: NumPy 1.26, gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.foreign import Foreign
from tesseract_core import Tesseract

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

MONTHS = np.arange(48.0)
PHASE = 2 * np.pi * MONTHS / 12
DESIGN = np.column_stack([np.ones(48), MONTHS, np.cos(PHASE), np.sin(PHASE)])
OBSERVED = DESIGN @ [1.5, 0.02, 0.8, -0.4] + 0.1 * np.sin(37 * MONTHS) + 0.05 * np.cos(91 * MONTHS)


def density(point: np.ndarray) -> float:
    weights, log_sigma = point[:4], point[4]
    misfit = np.sum((OBSERVED - DESIGN @ weights) ** 2) / 2 / np.exp(2 * log_sigma)
    return -misfit - 48 * log_sigma - np.sum(weights**2) / 200 - (log_sigma + 2) ** 2 / 2


def gradient(point: np.ndarray) -> np.ndarray:
    weights, log_sigma = point[:4], point[4]
    residuals, precision = OBSERVED - DESIGN @ weights, np.exp(-2 * log_sigma)
    by_weights = precision * DESIGN.T @ residuals - weights / 100
    return np.append(by_weights, precision * residuals @ residuals - 48 - (log_sigma + 2))


def chain(
    density: Callable[[np.ndarray], float], gradient: Callable[[np.ndarray], np.ndarray], steps: int = 5
) -> np.ndarray:
    """Hamiltonian Monte Carlo with five leapfrog steps per proposal; the same random numbers each time."""
    random, scale = np.random.default_rng(7), np.array([0.01, 0.0005, 0.01, 0.01, 0.05])
    point = np.array([1.4, 0.02, 0.7, -0.3, -1.5])
    visited = [point]
    for _ in range(steps):
        momentum, place = random.normal(size=5), point
        start = density(place) - momentum @ momentum / 2
        momentum = momentum + 0.5 * scale * gradient(place)
        for leap in range(5):
            place = place + scale * momentum
            momentum = momentum + (1.0 if leap < 4 else 0.5) * scale * gradient(place)
        accepted = np.log(random.uniform()) < density(place) - momentum @ momentum / 2 - start
        point = place if accepted else point
        visited.append(point)
    return np.array(visited)


def inputs(point: np.ndarray) -> dict[str, Any]:
    return {"weights": point[:4], "log_sigma": point[4]}


def test_posterior(foreign: Callable[..., Foreign]) -> None:
    posterior = foreign("posterior")
    point = np.array([1.4, 0.021, 0.7, -0.3, -1.2345678])

    value = posterior.run("apply", {"inputs": inputs(point)})
    assert value["log_posterior"] == pytest.approx(density(point), rel=1e-12)
    np.testing.assert_allclose(value["residuals"], OBSERVED - DESIGN @ point[:4])

    with Tesseract.from_image(posterior.name, num_workers=2) as t:

        def served_density(at: np.ndarray) -> float:
            return float(t.apply(inputs(at))["log_posterior"])

        def served_gradient(at: np.ndarray) -> np.ndarray:
            names = ["weights", "log_sigma"]
            found = t.vector_jacobian_product(inputs(at), names, ["log_posterior"], {"log_posterior": 1.0})
            return np.append(found["weights"], found["log_sigma"])

        np.testing.assert_allclose(served_gradient(point), gradient(point), rtol=1e-5)
        jacobian = t.jacobian(inputs(point), ["log_sigma"], ["log_posterior", "residuals"])
        assert float(jacobian["log_posterior"]["log_sigma"]) == pytest.approx(gradient(point)[4], rel=1e-5)
        assert not jacobian["residuals"]["log_sigma"].any()
        abstract = {"weights": {"shape": [4], "dtype": "float64"}, "log_sigma": {"shape": [], "dtype": "float64"}}
        assert t.abstract_eval(abstract)["residuals"] == {"shape": [48], "dtype": "float64"}
        ours, theirs = chain(served_density, served_gradient), chain(density, gradient)
    assert len(np.unique(theirs[:, 0])) > 3  # the chain moves
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
