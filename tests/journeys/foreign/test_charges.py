"""Loops compiled by numba, with its cache on disk: built, run as the caller, served read-only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.foreign import Foreign
from tesseract_core import Tesseract

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

POSITIONS = np.random.default_rng(3).normal(size=(12, 3))
CHARGES = np.where(np.arange(12) % 3 == 0, -1.0, 1.0)
STIFFNESS = 0.7


def energy(positions: np.ndarray) -> float:
    distances = np.sqrt(np.sum((positions[:, None] - positions[None]) ** 2, axis=2) + 1e-6)
    pairs = np.triu(CHARGES[:, None] * CHARGES[None] / distances, k=1)
    return float(0.5 * STIFFNESS * np.sum(positions**2) + np.sum(pairs))


def slope(index: tuple[int, int], step: float = 1e-5) -> float:
    moved = np.zeros_like(POSITIONS)
    moved[index] = step
    return (energy(POSITIONS + moved) - energy(POSITIONS - moved)) / (2 * step)


def test_charges(foreign: Callable[..., Foreign]) -> None:
    charges = foreign("charges")
    inputs = {"positions": POSITIONS, "charges": CHARGES, "stiffness": STIFFNESS}
    expected = np.array([[slope((i, k)) for k in range(3)] for i in range(12)])

    value = charges.run("apply", {"inputs": inputs})
    assert value["compiled"] is True
    assert value["energy"] == pytest.approx(energy(POSITIONS), rel=1e-12)
    checked = charges.cli("run", charges.name, "check-gradients", charges.payload({"inputs": inputs}))
    assert checked.returncode == 0, checked.stderr

    with Tesseract.from_image(charges.name, num_workers=2) as t:
        assert float(t.apply(inputs)["energy"]) == pytest.approx(energy(POSITIONS), rel=1e-12)
        jacobian = t.jacobian(inputs, ["positions"], ["energy"])["energy"]["positions"]
        np.testing.assert_allclose(jacobian, expected, rtol=1e-6, atol=1e-6)
        vjp = t.vector_jacobian_product(inputs, ["positions", "stiffness"], ["energy"], {"energy": 2.0})
        np.testing.assert_allclose(vjp["positions"], 2 * expected, rtol=1e-6, atol=1e-6)
        assert float(vjp["stiffness"]) == pytest.approx(np.sum(POSITIONS**2))
        shapes = {"positions": [12, 3], "charges": [12], "stiffness": []}
        abstract = {name: {"shape": shape, "dtype": "float64"} for name, shape in shapes.items()}
        assert t.abstract_eval(abstract) == {"energy": {"shape": [], "dtype": "float64"}, "compiled": True}
