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
# What base images set for their own tools, none of which is there.
HOSTILE = """
ENV UV_SYSTEM_PYTHON=1 UV_PYTHON=/nowhere UV_PROJECT_ENVIRONMENT=/elsewhere UV_INDEX_URL=https://a.invalid/simple \
    PIP_CONSTRAINT=/nowhere.txt PIP_TARGET=/elsewhere PIP_INDEX_URL=https://nowhere.invalid/simple PIP_NO_DEPS=1 \
    SSL_CERT_FILE=/nowhere.pem REQUESTS_CA_BUNDLE=/nowhere.pem TMPDIR=/nowhere PYTHONUSERBASE=/nowhere HOME=/elsewhere
"""
# The packages lie in the installation, or in a virtual environment that comes first in PATH.
BASES = {
    "installation": "COPY packages /usr/local/lib/python3.11/dist-packages\n",
    "virtual environment": "RUN python3 -m venv --without-pip /opt/venv\n"
    "COPY packages /opt/venv/lib/python3.11/site-packages\nENV PATH=/opt/venv/bin:$PATH\n",
}
SHOW = (
    "python -c 'import numpy, idna, local, packaging; print(numpy.__version__, idna.__version__, packaging.__file__)'"
)


@pytest.mark.parametrize("place", BASES)
def test_packages_of_the_base_image(tesseract_cli: Cli, base_with_python: str, tmp_path: Path, place: str) -> None:
    """Versions that the base image has are kept, as far as they serve, and nothing is installed over them."""
    fetch(tmp_path / "packages", "--no-deps", "numpy==1.26.4", "idna==3.6")
    (tmp_path / "Containerfile").write_text(f"FROM {base_with_python}\n{BASES[place]}{HOSTILE}")
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
        assert inside("test-build-inherit", "ls -d /elsewhere /nowhere 2>/dev/null; true", "--user=0:0") == ""
    finally:
        remove_image("test-build-inherit")
        remove_image("test-inherit-base")
