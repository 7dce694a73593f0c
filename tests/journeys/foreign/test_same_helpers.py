"""Two Tesseracts whose helpers have the same name, `utils.py`, in one client that has a `utils` of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.foreign import Foreign
from tesseract_core import Tesseract

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

LOAD = 1000 * np.sin(np.arange(1.0, 16.0))
BEAM = {"load": LOAD, "length": 3.0, "section": {"width": 0.1, "height": 0.2}}
STRING = {"stiffness": np.array([3.0, 1.0, 2.0, 5.0]), "masses": np.array([1.0, 2.0, 0.5]), "modes": 2}

CLIENT = """
import sys
import numpy as np
from tesseract_core import Tesseract
import utils

deflection = Tesseract.from_tesseract_api(sys.argv[1] + "/tesseract_api.py")
vibration = Tesseract.from_tesseract_api(sys.argv[2] + "/tesseract_api.py")
for _ in range(2):
    print(deflection.apply({"load": [1.0, 2.0, 3.0]})["helper"], end=" ")
    print(vibration.apply({"stiffness": [1.0, 1.0], "masses": [1.0], "modes": 1})["helper"], end=" ")
    print(utils.KIND, sys.modules["utils"] is utils)
"""


def beam() -> tuple[np.ndarray, np.ndarray]:
    """Matrices from the load to the bending moment and to the deflection, by Green's functions of the differences."""
    n, spacing = len(LOAD), 3.0 / (len(LOAD) + 1)
    i = np.arange(1, n + 1)
    low, high = np.minimum(i[:, None], i[None]), np.maximum(i[:, None], i[None])
    green = spacing**2 * low * (n + 1 - high) / (n + 1)
    return green, green @ green / (210e9 * 0.1 * 0.2**3 / 12)


def frequencies(stiffness: np.ndarray) -> np.ndarray:
    matrix = np.diag(stiffness[:-1] + stiffness[1:]) - np.diag(stiffness[1:-1], 1) - np.diag(stiffness[1:-1], -1)
    return np.sort(np.sqrt(np.linalg.eigvals(matrix / STRING["masses"][:, None]).real))[:2]


def test_same_helpers(foreign: Callable[..., Foreign], tmp_path: Path) -> None:
    deflection, vibration = foreign("deflection"), foreign("vibration")
    to_moment, to_deflection = beam()
    table = np.empty((2, 4))
    for s, step in enumerate(1e-6 * np.eye(4)):
        table[:, s] = (frequencies(STRING["stiffness"] + step) - frequencies(STRING["stiffness"] - step)) / 2e-6

    (tmp_path / "utils.py").write_text('KIND = "client"\n')
    (tmp_path / "client.py").write_text(CLIENT)
    words = [sys.executable, "client.py", deflection.folder, vibration.folder]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("deflection vibration client True\n" * 2, 0), done.stderr

    bent = deflection.run("apply", {"inputs": BEAM})
    assert bent["helper"] == "deflection"
    np.testing.assert_allclose(bent["deflection"], to_deflection @ LOAD, rtol=1e-9)
    swung = vibration.run("apply", {"inputs": STRING})
    assert swung["helper"] == "vibration"
    np.testing.assert_allclose(swung["frequencies"], frequencies(STRING["stiffness"]), rtol=1e-9)

    with Tesseract.from_image(deflection.name) as first, Tesseract.from_image(vibration.name) as second:
        assert (first.apply(BEAM)["helper"], second.apply(STRING)["helper"]) == ("deflection", "vibration")
        jacobian = first.jacobian(BEAM, ["load"], ["deflection", "moment"])
        np.testing.assert_allclose(jacobian["deflection"]["load"], to_deflection, rtol=1e-9)
        np.testing.assert_allclose(jacobian["moment"]["load"], to_moment, rtol=1e-9)
        shapes = {name: {"shape": list(STRING[name].shape), "dtype": "float64"} for name in ("stiffness", "masses")}
        abstract = second.abstract_eval({**shapes, "modes": 2})
        assert abstract == {"frequencies": {"shape": [2], "dtype": "float64"}, "helper": "vibration"}
        vjp = second.vector_jacobian_product(
            STRING, ["stiffness"], ["frequencies"], {"frequencies": np.array([1.0, -2.0])}
        )
        np.testing.assert_allclose(vjp["stiffness"], np.array([1.0, -2.0]) @ table, rtol=1e-5)
