"""matplotlib at import, a figure as output: built, run as the caller, served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.foreign import Foreign
from tesseract_core import Tesseract

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

X, Y = np.linspace(-2, 2, 161), np.linspace(-2.5, 2.5, 201)
BOWL = X[None] ** 2 + Y[:, None] ** 2  # the area inside of a level is pi times the level
PNG = b"\x89PNG\r\n\x1a\n"


def test_contours(foreign: Callable[..., Foreign], tmp_path: Path) -> None:
    contours = foreign("contours")
    inputs = {"x": X, "y": Y, "field": BOWL, "level": 1.5}
    drawn, served = tmp_path / "drawn", tmp_path / "served"
    payload = contours.payload({"inputs": {**inputs, "figure": "bowl.png"}})

    done = contours.cli("run", "--output-path", drawn, contours.name, "apply", payload)
    assert done.returncode == 0, done.stderr
    assert "writable" not in done.stderr  # matplotlib's word for a HOME it cannot use
    assert (drawn / "bowl.png").read_bytes().startswith(PNG)
    assert (drawn / "bowl.png").stat().st_uid == drawn.stat().st_uid

    served.mkdir()
    with Tesseract.from_image(contours.name, output_path=served) as t:
        value = t.apply({**inputs, "figure": "bowl.png"})
        assert value["lines"] == 1
        assert float(value["area"]) == pytest.approx(1.5 * np.pi, rel=1e-3)
        assert str(value["figure"]) == "bowl.png"
        assert (served / "bowl.png").read_bytes().startswith(PNG)
        jacobian = t.jacobian(inputs, ["level"], ["area"])
        assert float(jacobian["area"]["level"]) == pytest.approx(np.pi, rel=2e-2)
        vjp = t.vector_jacobian_product(inputs, ["level"], ["area"], {"area": 3.0})
        assert float(vjp["level"]) == pytest.approx(3 * float(jacobian["area"]["level"]))
        assert t.apply({**inputs, "level": 100.0})["lines"] == 0
