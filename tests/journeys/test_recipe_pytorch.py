"""The pytorch recipe, built with PyTorch's own package (3 GB with its CUDA libraries), served and differentiated.

Only the line that names PyTorch's index of CPU packages is left out of what `init` writes, as not every network has it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.images import remove_image
from tesseract_core import Tesseract

pytestmark = [pytest.mark.large, pytest.mark.needs_engine("podman"), pytest.mark.timeout(3600)]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
NAME = "test-recipe-pytorch"


def test_recipe_serves_values_and_gradients(tesseract_cli: Cli, base_image: str, tmp_path: Path) -> None:
    assert tesseract_cli("init", "--name", NAME, "--recipe", "pytorch", "--target-dir", tmp_path).returncode == 0
    requirements = tmp_path / "tesseract_requirements.txt"
    lines = requirements.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("--extra-index-url")]
    assert len(kept) == len(lines) - 1
    requirements.write_text("".join(kept))
    try:
        built = tesseract_cli("build", tmp_path, timeout=3000)
        assert built.returncode == 0, built.stderr
        with Tesseract.from_image(NAME, startup_timeout=120) as served:
            inputs = {"example": 3.0}
            assert served.apply(inputs) == inputs
            jacobian = served.jacobian(inputs, jac_inputs=["example"], jac_outputs=["example"])
            assert jacobian == {"example": {"example": 1.0}}
            tangent = {"jvp_inputs": ["example"], "jvp_outputs": ["example"], "tangent_vector": {"example": 2.0}}
            assert served.jacobian_vector_product(inputs, **tangent) == {"example": 2.0}
            cotangent = {"vjp_inputs": ["example"], "vjp_outputs": ["example"], "cotangent_vector": {"example": 4.0}}
            assert served.vector_jacobian_product(inputs, **cotangent) == {"example": 4.0}
    finally:
        remove_image(NAME)
