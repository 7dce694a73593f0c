"""A base image with Python packages that the project's code is to use."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.builds import fetch, inside, podman, write_package, write_project
from support.images import remove_image

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
BASE = "localhost/test-inherit-base"
CONFIG = f"""
name: test-build-inherit
build_config:
  base_image: {BASE}
  inherit_base_image_packages: true
  build_env: {{PIP_NO_COMPILE: "1"}}
"""
SHOW = (
    "python -c 'import numpy, idna, local, packaging; print(numpy.__version__, idna.__version__, packaging.__file__)'"
)


def test_packages_of_the_base_image(tesseract_cli: Cli, base_image: str, tmp_path: Path) -> None:
    """Versions that the base image has are kept, as far as they serve, and nothing is installed over them."""
    fetch(tmp_path / "packages", "--no-deps", "numpy==1.26.4", "idna==3.6")
    (tmp_path / "Containerfile").write_text(
        f"FROM {base_image}\nENV UV_SYSTEM_PYTHON=1 UV_PYTHON=/nowhere UV_PROJECT_ENVIRONMENT=/elsewhere\n"
        "COPY packages /usr/local/lib/python3.11/dist-packages\n"
    )
    project = write_project(tmp_path / "project", CONFIG, "./local\nidna>=3\n")
    write_package(project / "local", "local", '["numpy", "packaging>=20"]')
    try:
        podman("build", "--quiet", "--tag", BASE, tmp_path)
        built = tesseract_cli("build", project, timeout=900)
        assert built.returncode == 0, built.stderr
        numpy, idna, packaging = inside("test-build-inherit", SHOW).split()
        assert (numpy, idna) == ("1.26.4", "3.6")
        assert packaging.startswith("/python-env/")
        assert (
            inside("test-build-inherit", "ls /python-env/lib/python3.11/site-packages | grep -e numpy -e idna; true")
            == ""
        )
    finally:
        remove_image("test-build-inherit")
        remove_image("test-inherit-base")
