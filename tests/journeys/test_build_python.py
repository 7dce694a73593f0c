"""Which Python an image has: one that the project names, or the base image's, which must be new enough."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.builds import inside, podman, write_project
from support.images import remove_image
from support.interpreter import download_metadata, make_interpreter
from support.stores import http_server
from tesseract_core import Tesseract

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
CONFIG = """
name: test-build-python
build_config:
  base_image: BASE
  requirements: {python_version: "3.11"}
  build_env: {UV_PYTHON_DOWNLOADS_JSON_URL: "MIRROR/downloads.json"}
  custom_build_steps:
    - RUN apt-get purge -qq --allow-remove-essential $(dpkg-query -W -f '${Package}\\n' '*python3*') && rm -rf /root
"""
API = """
import sysconfig
import made_for_a_test
import numpy
from pydantic import BaseModel
class InputSchema(BaseModel): pass
class OutputSchema(BaseModel):
    headers: str = sysconfig.get_path("include")
    library: str = made_for_a_test.__file__
def apply(inputs: InputSchema) -> OutputSchema: return OutputSchema()
"""


def config(base_image: str, mirror: str) -> str:
    return CONFIG.replace("BASE", base_image).replace("MIRROR", mirror)


@pytest.fixture(scope="module")
def mirror(base_with_python: str) -> Iterator[str]:
    """A mirror of interpreters with one archive of our own making, in the layout of the official ones."""
    with tempfile.TemporaryDirectory(prefix="tt-") as path:
        folder = Path(path)
        version = make_interpreter(base_with_python, folder)
        archive = folder / "20260101/cpython.tar.gz"
        archive.parent.mkdir()
        subprocess.run(["tar", "-czf", archive, "-C", folder, "python"], check=True)
        (folder / "downloads.json").write_text(json.dumps(download_metadata(version, archive)))
        with http_server(folder) as url:
            yield url


def test_python_of_the_project(tesseract_cli: Cli, base_with_python: str, mirror: str, tmp_path: Path) -> None:
    """The image is served although its base image's Python and root's home are gone."""
    name = "test-build-python"
    project = write_project(tmp_path / "project", config(base_with_python, mirror), api=API)
    environment = {"UV_PYTHON_INSTALL_MIRROR": mirror, "TESSERACT_DOCKER_BUILD_ARGS": "--network=host"}
    try:
        built = tesseract_cli("build", project, env=environment, timeout=900)
        assert built.returncode == 0, built.stderr
        with Tesseract.from_image(name) as served:
            answer = served.apply({})
        assert all(path.startswith("/python-env/interpreter/") for path in answer.values())
        assert inside(name, f"test -e {answer['headers']}/Python.h && head -n 1 /python-env/bin/pip").startswith(
            "#!/pyt"
        )
        assert inside(name, "which -a python python3") == "/python-env/bin/python\n/python-env/bin/python3\n"
        assert inside(name, "find / -xdev -type f -perm -0002", "--user=0:0") == ""
    finally:
        remove_image(name)


def test_python_that_no_mirror_has(tesseract_cli: Cli, base_with_python: str, mirror: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", config(base_with_python, mirror).replace("3.11", "3.12"))
    refused = tesseract_cli("build", project, env={"TESSERACT_DOCKER_BUILD_ARGS": "--network=host"}, timeout=900)
    assert refused.returncode == 1
    assert "No download found for request: cpython-3.12" in refused.stderr.splitlines()[-2]


def test_base_image_with_an_old_python(tesseract_cli: Cli, base_with_python: str, tmp_path: Path) -> None:
    """The base image's `python3` claims to be 3.9, as that of Debian 11 is."""
    base = "localhost/test-build-old-python"
    (tmp_path / "python3").write_text(
        '#!/bin/sh\n[ "$1" != --version ] || { echo Python 3.9.2; exit; }\n'
        'exec /usr/bin/python3.11 -c "import sys; sys.version_info = (3, 9, 2); exec(sys.argv[2])" "$@"\n'
    )
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "Containerfile").write_text(f"FROM {base_with_python}\nCOPY python3 /usr/local/bin/python3\n")
    project = write_project(tmp_path / "project", f"name: old\nbuild_config: {{base_image: {base}}}\n")
    try:
        podman("build", "--quiet", "--tag", base, tmp_path)
        refused = tesseract_cli("build", project, timeout=900)
    finally:
        remove_image("test-build-old-python")
    assert refused.returncode == 1
    line = refused.stderr.splitlines()[-2]
    assert "the base image has Python 3.9.2, but Python 3.11 or newer is needed" in line
    assert "set build_config.requirements.python_version" in line
