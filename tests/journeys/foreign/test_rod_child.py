"""A solver that is a program of its own: compiled in the build, run as a child, its errors passed on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.foreign import Foreign
from tesseract_core import Tesseract

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

CONDUCTIVITY = 1 + 0.5 * np.sin(np.arange(21.0))
SOURCE = np.cos(np.arange(20.0))
MATRIX = (
    np.diag(CONDUCTIVITY[:-1] + CONDUCTIVITY[1:]) - np.diag(CONDUCTIVITY[1:-1], 1) - np.diag(CONDUCTIVITY[1:-1], -1)
)


def test_rod_child(foreign: Callable[..., Foreign]) -> None:
    rod = foreign("rod_child")
    inputs = {"conductivity": CONDUCTIVITY, "source": SOURCE}
    expected = np.linalg.solve(MATRIX, SOURCE)

    value = rod.run("apply", {"inputs": inputs})
    np.testing.assert_allclose(value["temperature"], expected, rtol=1e-12)
    assert value["said"] == "thomas: solved 20 rows"

    with Tesseract.from_image(rod.name, num_workers=2) as t:
        np.testing.assert_allclose(t.apply(inputs)["temperature"], expected, rtol=1e-12)
        jacobian = t.jacobian(inputs, ["source"], ["temperature"])["temperature"]["source"]
        np.testing.assert_allclose(jacobian, np.linalg.inv(MATRIX), rtol=1e-10)
        weights = np.arange(20.0)
        vjp = t.vector_jacobian_product(inputs, ["source"], ["temperature"], {"temperature": weights})
        np.testing.assert_allclose(vjp["source"], np.linalg.solve(MATRIX.T, weights), rtol=1e-10)
        with pytest.raises(RuntimeError, match="thomas ended with status 3: thomas: singular in row 0"):
            t.apply({"conductivity": np.zeros(21), "source": SOURCE})
        np.testing.assert_allclose(t.apply(inputs)["temperature"], expected, rtol=1e-12)
