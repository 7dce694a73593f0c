"""Dependencies from conda: from a base image that has it, or with Miniforge fetched for the build.

No channel and no conda can be reached from everywhere, so both are made here: Python and pip as conda packages in a
local channel, and an installer of a program `conda` whose solver and linker are rattler's. All else is the real thing.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.builds import inside, podman, write_package, write_project
from support.conda import Channel, write_installer
from support.images import remove_image
from support.interpreter import make_interpreter
from support.stores import http_server
from tesseract_core import __version__

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
CONFIG = """
name: {name}
build_config:
  base_image: {base_image}
  requirements: {{provider: conda}}
  build_env: {{MINIFORGE_URL: "{url}", CONDA_PKGS_DIRS: /packages, PIP_NO_COMPILE: "1"}}
"""
ENVIRONMENT = """
name: of-the-author
channels: [/channel]
dependencies:
  - python
  - pip
  - idna=3.7
  - pip:
      - -r pip.txt
      - tesseract-core>=1.10
prefix: /home/author/envs/of-the-author
"""
API = """
from pydantic import BaseModel
import idna, localthing
class InputSchema(BaseModel): pass
class OutputSchema(BaseModel):
    idna: str = idna.__version__
    x: int = localthing.x
def apply(inputs: InputSchema) -> OutputSchema: return OutputSchema()
"""


@pytest.fixture(scope="module")
def folder(base_with_python: str) -> Iterator[Path]:
    """Holds a channel and an installer of conda."""
    with tempfile.TemporaryDirectory(prefix="tt-") as path:
        folder = Path(path)
        python = make_interpreter(base_with_python, folder)
        channel = Channel(folder / "channel")
        channel.add("python", python, folder / "python")
        for name, version in (("pip", "26.0"), ("idna", "3.7")):
            channel.add_from_index(name, version, folder)
        write_installer(folder / "channel/installer.sh", folder / "python")
        (folder / "packages").mkdir()
        yield folder


@pytest.fixture
def build(tesseract_cli: Cli, folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Build a project in a network and with volumes from which the channel can be reached."""
    volumes = f"--volume={folder}/channel:/channel:ro --volume={folder}/packages:/packages"

    def build(source: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        environment["TESSERACT_DOCKER_BUILD_ARGS"] = f"--network=host {volumes}"
        return tesseract_cli("build", source, env=environment, timeout=900)

    return build


def write(folder: Path, name: str, base_image: str, url: str, environment: str = ENVIRONMENT) -> Path:
    source = write_project(folder / name, CONFIG.format(name=name, base_image=base_image, url=url), api=API)
    (source / "tesseract_environment.yaml").write_text(environment)
    (source / "pip.txt").write_text("./my packages/localthing\n")
    write_package(source / "my packages/localthing", "localthing")
    return source


def test_conda_of_the_base_image(
    tesseract_cli: Cli, build: Cli, base_with_python: str, folder: Path, tmp_path: Path
) -> None:
    base, name = "localhost/test-conda-base", "test-build-conda"
    (folder / "Containerfile").write_text(
        f"FROM {base_with_python}\nENV PATH=/opt/conda/bin:$PATH\n"
        "RUN --mount=type=bind,target=/context sh /context/channel/installer.sh -b -p /opt/conda\n"
    )
    try:
        podman("build", "--quiet", "--tag", base, "--file", folder / "Containerfile", folder)
        built = build(write(tmp_path, name, base, url="http://127.0.0.1:9/not-needed"))
        assert built.returncode == 0, built.stderr
        answer = tesseract_cli("run", name, "apply", '{"inputs": {}}')
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout) == {"idna": "3.7", "x": 1}  # conda's version, not the one that we would take
        said = inside(name, "python -c 'import sys; print(sys.prefix)'; python -m pip show tesseract-core | grep ^Ver")
        assert said == f"/python-env\nVersion: {__version__}\n"
        assert (
            inside(name, "ls -A /tmp; find / -xdev -type f -perm -0002; ls -A /root", "--user=0:0")
            == ".bashrc\n.profile\n"
        )
    finally:
        remove_image(name)
        remove_image("test-conda-base")


def test_miniforge_is_fetched_once(build: Cli, base_with_python: str, folder: Path, tmp_path: Path) -> None:
    """Up to the point where it has solved the environment, and found that this one has no solution."""
    impossible = "channels: [/channel]\ndependencies: [python, idna=1.0]\n"
    with http_server(folder / "channel") as url:
        source = write(tmp_path, "test-conda-fetched", base_with_python, f"{url}/installer.sh", impossible)
        first = build(source, XDG_CACHE_HOME=str(folder / "cache"))
    assert first.returncode == 1
    assert "idna 1.0" in first.stderr.splitlines()[-2]
    (source / "tesseract_environment.yaml").write_text("channels: [/channel]\ndependencies: []\n")
    second = build(source, XDG_CACHE_HOME=str(folder / "cache"))
    assert second.returncode == 1
    assert "tesseract_environment.yaml installs no Python: add it" in second.stderr.splitlines()[-2]


def test_miniforge_that_cannot_be_fetched(tesseract_cli: Cli, base_with_python: str, tmp_path: Path) -> None:
    refused = tesseract_cli("build", write(tmp_path, "test-conda-nowhere", base_with_python, "http://127.0.0.1:9/m.sh"))
    assert refused.returncode == 1
    last = refused.stderr.splitlines()[-2]
    assert "Miniforge could not be fetched from http://127.0.0.1:9/m.sh" in last
    assert "MINIFORGE_URL" in last
