"""`tesseract init`, then `tesseract build`, then a first call: the first minutes of a user."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.builds import inside
from tesseract_core import __version__

ROOT = Path(__file__).resolve().parents[2]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.fast
def test_init_writes_three_files_and_never_overwrites(tesseract_cli: Cli, tmp_path: Path) -> None:
    words = ["init", "--name", "hello", "--target-dir", tmp_path / "a/b"]
    result = tesseract_cli(*words)
    assert (result.returncode, result.stdout) == (0, "")
    names = ["tesseract_api.py", "tesseract_config.yaml", "tesseract_requirements.txt"]
    assert [line.split()[3] for line in result.stderr.splitlines()] == names
    (tmp_path / "a/b/tesseract_api.py").unlink()
    again = tesseract_cli(*words)
    assert (again.returncode, (tmp_path / "a/b/tesseract_api.py").exists()) == (1, False)
    assert "exists already" in again.stderr


@pytest.mark.fast
def test_init_needs_a_proper_name(tesseract_cli: Cli, tmp_path: Path) -> None:
    assert tesseract_cli("init", "--name", "a b", cwd=tmp_path).returncode == 2
    nameless = tesseract_cli("init", cwd=tmp_path)
    assert nameless.returncode == 2
    assert "Name must be provided" in nameless.stderr
    assert list(tmp_path.iterdir()) == []
    unbuildable = tesseract_cli("init", "--name", "MySolver", cwd=tmp_path)
    assert unbuildable.returncode == 0
    assert "[!] The name 'MySolver' cannot name an image. Use lowercase letters" in unbuildable.stderr


@pytest.mark.needs_engine("podman")
@pytest.mark.parametrize(
    ("recipe", "inputs"), [("base", {}), pytest.param("jax", {"example": 3.0}, marks=pytest.mark.timeout(900))]
)
def test_recipe_builds_and_answers(
    base_image: str, tesseract_cli: Cli, tmp_path: Path, recipe: str, inputs: dict[str, float]
) -> None:
    name = f"test-init-{recipe}"
    assert tesseract_cli("init", "--name", name, "--target-dir", tmp_path, "--recipe", recipe).returncode == 0
    if recipe == "jax":  # it depends on tesseract-core, which must stay ours
        with (tmp_path / "tesseract_requirements.txt").open("a") as file:
            file.write("tesseract-jax\n")
    try:
        built = tesseract_cli("build", tmp_path, timeout=900)
        assert built.returncode == 0, built.stderr
        assert json.loads(built.stdout)[-1] == f"{name}:latest"
        answer = tesseract_cli("run", name, "apply", json.dumps({"inputs": inputs}))
        assert answer.returncode == 0, answer.stderr
        assert set(json.loads(answer.stdout)) == set(inputs)
        listed = inside(
            name, "pip list --format freeze; cat /python-env/lib/python3*/site-packages/tesseract_core/__init__.py"
        )
        assert re.findall("^tesseract-core==(.*)", listed, re.MULTILINE) == [__version__]
        assert ("tesseract-jax==" in listed) is (recipe == "jax")
        assert (ROOT / "runtime/tesseract_core/__init__.py").read_text() in listed
    finally:
        tags = [f"localhost/{name}:{tag}" for tag in ("latest", "unknown", "0.1.0")]
        subprocess.run(["podman", "rmi", "-f", *tags], capture_output=True, check=False)
