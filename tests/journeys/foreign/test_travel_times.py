"""The physics in a local package beside the module, with data of its own and a tagged union as input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.foreign import Foreign
from tesseract_core import Tesseract

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

OFFSETS = np.array([0.0, 50.0, 300.0, 1500.0])
LAYERS = [
    {"kind": "rock", "rock": "soil", "thickness": 12.0},
    {"kind": "measured", "velocity": 1800.0, "thickness": 130.0},
    {"kind": "rock", "rock": "granite", "thickness": 400.0},
]
THICKNESS, VELOCITY = np.array([12.0, 130.0, 400.0]), np.array([600.0, 1800.0, 5600.0])


def fastest(distance: float, thickness: np.ndarray) -> float:
    """Fermat: the least time over all points where the ray may cross from one layer into the next."""
    from scipy.optimize import minimize

    def time(inner: np.ndarray) -> float:
        across = np.append(inner, distance - inner.sum())
        return float(np.sum(np.hypot(across, thickness) / VELOCITY))

    start = distance * thickness[:-1] / thickness.sum()
    return float(minimize(time, start, method="BFGS", options={"gtol": 1e-12}).fun)


def test_travel_times(foreign: Callable[..., Foreign]) -> None:
    travel = foreign("travel_times")
    inputs = {"layers": LAYERS, "offsets": OFFSETS}
    expected = np.array([fastest(distance, THICKNESS) for distance in OFFSETS])
    assert expected[0] == pytest.approx(np.sum(THICKNESS / VELOCITY))

    np.testing.assert_allclose(travel.run("apply", {"inputs": inputs})["times"], expected, rtol=1e-9)

    paths = [f"layers.[{i}].thickness" for i in range(3)]
    with Tesseract.from_image(travel.name, num_workers=2) as t:
        np.testing.assert_allclose(t.apply(inputs)["times"], expected, rtol=1e-9)
        jacobian = t.jacobian(inputs, paths, ["times"])["times"]
        for i, path in enumerate(paths):
            step = 0.05 * np.eye(3)[i]
            slope = [(fastest(d, THICKNESS + step) - fastest(d, THICKNESS - step)) / 0.1 for d in OFFSETS]
            np.testing.assert_allclose(jacobian[path], slope, rtol=1e-5, atol=1e-12)
        vjp = t.vector_jacobian_product(inputs, paths[:1], ["times"], {"times": np.ones(4)})
        assert float(vjp[paths[0]]) == pytest.approx(float(jacobian[paths[0]].sum()))
