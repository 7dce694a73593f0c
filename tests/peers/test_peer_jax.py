"""tesseract-jax from the package index, unchanged, on a served Tesseract of ours."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.environment import python_with, version
from support.served import served
from tesseract_core import __version__

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
import jax
import jax.numpy as jnp
import numpy as np
jax.config.update("jax_enable_x64", True)
from tesseract_core import Tesseract
from tesseract_jax import apply_tesseract

with Tesseract.from_url(sys.argv[1]) as tesseract:
    a, b = jnp.array([1.0, 2.0, 3.0]), jnp.array([4.0, 5.0, 6.0])

    def total(a, b):
        return (apply_tesseract(tesseract, {"a": a, "b": b})["result"] ** 2).sum()

    np.testing.assert_allclose(total(a, b), 155.0)
    np.testing.assert_allclose(jax.jit(total)(a, b), 155.0)
    np.testing.assert_allclose(jax.grad(total)(a, b), 2 * (a + b))
    np.testing.assert_allclose(jax.jit(jax.grad(total, argnums=1))(a, b), 2 * (a + b))
    value, tangent = jax.jvp(lambda a: total(a, b), (a,), (jnp.ones(3),))
    np.testing.assert_allclose(tangent, (2 * (a + b)).sum())
    np.testing.assert_allclose(
        jax.jacobian(lambda a: apply_tesseract(tesseract, {"a": a, "b": b})["result"])(a), np.eye(3)
    )
    print("all agree")
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(ROOT / "examples/vectoradd/tesseract_api.py", tmp_path_factory.mktemp("server")) as server:
        yield server.url


def test_values_gradients_and_compilation(url: str) -> None:
    python = python_with("tesseract-jax")
    assert version(python, "tesseract-core") == __version__
    done = subprocess.run([python, "-c", PROGRAM, url], capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all agree\n"
