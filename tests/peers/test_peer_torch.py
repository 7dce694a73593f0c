"""tesseract-torch from the package index, unchanged, on a served Tesseract of ours. PyTorch itself takes 3 GB."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from peers.environment import python_with, version
from support.served import served
from tesseract_core import __version__

pytestmark = [pytest.mark.large, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
import torch
from tesseract_core import Tesseract
from tesseract_torch import apply_tesseract

tesseract = Tesseract.from_url(sys.argv[1])
a = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
b = torch.tensor([4.0, 5.0, 6.0], dtype=torch.float64)
result = apply_tesseract(tesseract, {"a": a, "b": b})["result"]
torch.testing.assert_close(result, a + b)
(result ** 2).sum().backward()
torch.testing.assert_close(a.grad, 2 * (a + b).detach())
torch.testing.assert_close(torch.from_numpy(tesseract.apply({"a": a, "b": b})["result"]), (a + b).detach())
print("all agree")
"""


def test_values_and_gradients(tmp_path: Path) -> None:
    python = python_with("tesseract-torch")
    assert version(python, "tesseract-core") == __version__
    with served(ROOT / "examples/vectoradd/tesseract_api.py", tmp_path) as server:
        done = subprocess.run([python, "-c", PROGRAM, server.url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "all agree\n"
