"""What a project can ask for, all in one image, which is built by the command that `--generate-only` prints."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.builds import inside, podman, write_package, write_project
from support.images import remove_image
from support.stores import Quiet, http_server
from tesseract_core import __version__

from tesseract.images.wheels import write_wheel

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900), pytest.mark.usefixtures("shared_layers")]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
CONFIG = r"""
name: test-build-options
env: {QUOTES: "it's \"so\" \\ `x` #1", HOME_OF: "$HOME/x", SPACES: "  a  b  "}
build_config:
  extra_packages: [tree]
  package_data:
    - ["data", "my data"]
    - ["data/one file.txt", "copies/a copy.txt"]
    - ["../outside of it/two $files.txt", "/opt/two $files.txt"]
  custom_build_steps:
    - |
      # Comments are allowed
      RUN pip install iniconfig==2.1.0 && \
          grep -c '^def apply' tesseract_api.py > /opt/api-was-there
    - 'ENV LATE="$QUOTES"'
"""
API = """
from pydantic import BaseModel
class InputSchema(BaseModel): pass
class OutputSchema(BaseModel): pass
def apply(inputs: InputSchema) -> OutputSchema: return OutputSchema()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Local dependencies of every kind, with names that clash; data with spaces in names; an ignore file."""
    folder = write_project(
        tmp_path_factory.mktemp("options") / "my project",
        CONFIG,
        "./a/pkg[more]\nb/pkg/\nfrom-url @ file:DIR/c%20d/pkg\nwheels/awheel-0.1-py3-none-any.whl HASH\n"
        "--find-links ./more wheels\nfound\nversions/by-setuptools\n./versions/by-hatch\n"
        "./sdists/ansdist-0.1.tar.gz[more]\n-r more.txt\ntesseract-core>=1.0,<2\n",
        API,
    )
    text = (folder / "tesseract_requirements.txt").read_text()
    (folder / "more.txt").write_text("iniconfig>=2 ; python_version >= '3'\n")
    for place, name in (("a", "one"), ("b", "two"), ("c d", "from-url")):
        write_package(folder / place / "pkg", name)
    write_package(folder / "ansdist", "ansdist")
    for package in (folder / "a/pkg", folder / "ansdist"):
        with (package / "pyproject.toml").open("a") as file:
            file.write('[project.optional-dependencies]\nmore = ["iniconfig"]\n')
    (folder / "wheels/awheel").mkdir(parents=True)
    (folder / "wheels/awheel/__init__.py").write_text("x = 1\n")
    wheel = write_wheel(folder / "wheels", "awheel", "0.1", packages=[folder / "wheels/awheel"])
    text = text.replace("HASH", f"--hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}")
    (folder / "tesseract_requirements.txt").write_text(text.replace("DIR", str(folder).replace(" ", "%20")))
    (folder / "more wheels").mkdir()
    write_wheel(folder / "more wheels", "found", "0.2")
    _write_versioned(folder / "versions")
    (folder / "sdists").mkdir()
    with tarfile.open(folder / "sdists/ansdist-0.1.tar.gz", "w:gz") as tar:
        tar.add(folder / "ansdist", "ansdist-0.1")
    (folder / "data/not this").mkdir(parents=True)
    (folder / "data/one file.txt").write_text("one")
    (folder / "data/not this/big.bin").write_text("ignored")
    (folder / "data/kept.bin").write_text("kept")
    (folder / ".containerignore").write_text("# data of mine\ndata/not this\n**/*.bin\n!data/kept.bin\nsdists\n")
    (folder.parent / "outside of it").mkdir()
    (folder.parent / "outside of it/two $files.txt").write_text("two")
    return folder


def _write_versioned(repository: Path) -> None:
    """Two packages in one repository that take their version from its tags; one has data that only git knows of."""
    for name, how in (
        (
            "by-setuptools",
            '[build-system]\nrequires = ["setuptools", "setuptools_scm"]\n[tool.setuptools_scm]\nroot = ".."\n',
        ),
        (
            "by-hatch",
            '[build-system]\nrequires = ["hatchling", "hatch-vcs"]\nbuild-backend = "hatchling.build"\n'
            '[tool.hatch.version]\nsource = "vcs"\nraw-options = {root = ".."}\n',
        ),
    ):
        module = name.replace("-", "_")
        (repository / name / module).mkdir(parents=True)
        (repository / name / "pyproject.toml").write_text(f'{how}[project]\nname = "{name}"\ndynamic = ["version"]\n')
        (repository / name / module / "__init__.py").write_text("")
        (repository / name / module / "table.csv").write_text("1")
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm one", "tag v4.5.6"):
        subprocess.run(["git", "-C", repository, *words.split()], check=True)


@pytest.fixture(scope="module")
def image(tesseract_cli: Cli, base_image: str, project: Path) -> Iterator[str]:
    context = project / "context"  # inside of the project: it must not be copied into itself
    words = ["build", "--tag", "v1", "--generate-only", "--build-dir", context]
    made = tesseract_cli(*words, "--config-override", "description=of the command line", project)
    assert (made.returncode, made.stdout) == (0, f"{context}\n")
    assert not list((context / "__tesseract_source__").rglob("big.bin"))
    command = re.search(r"To build it: (.*)", made.stderr)
    assert command
    try:
        done = subprocess.run(command[1], shell=True, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
        yield "test-build-options:v1"
    finally:
        remove_image("test-build-options")


def test_dependencies(image: str) -> None:
    names = "one, two, awheel, ansdist, iniconfig"
    assert inside(image, f"python -c 'import {names}; print(one.x + two.x + awheel.x + ansdist.x)'") == "4\n"
    listed = inside(image, "pip list --format freeze")
    assert {"from-url==0.1", "iniconfig==2.1.0", "found==0.2"} <= set(listed.split())
    assert {"by-setuptools==4.5.6", "by-hatch==4.5.6"} <= {name.replace("_", "-") for name in listed.split()}
    assert inside(image, "cat /python-env/lib/python3*/site-packages/by_*/table.csv") == "11"
    assert re.findall("^tesseract-core==.*", listed, re.MULTILINE) == [f"tesseract-core=={__version__}"]


def test_data_and_packages(image: str) -> None:
    assert inside(image, "tree -N -i --noreport 'my data'") == "my data\nkept.bin\none file.txt\n"
    assert inside(image, "cat 'copies/a copy.txt' '/opt/two $files.txt' /opt/api-was-there") == "onetwo1\n"
    assert inside(image, "ls -A /tmp; find / -xdev -type f -perm -0002; which git; true", "--user=0:0") == ""


def test_environment(image: str) -> None:
    config = json.loads(podman("inspect", "--format", "{{json .Config}}", image))
    env = dict(line.split("=", 1) for line in config["Env"])
    assert env["QUOTES"] == env["LATE"] == 'it\'s "so" \\ `x` #1'
    assert env["SPACES"] == "  a  b  "
    assert env["TESSERACT_DESCRIPTION"] == "of the command line"


def test_lock_file_second_image_and_skipped_checks(tesseract_cli: Cli, base_image: str, tmp_path: Path) -> None:
    """A lock file is installed as it is; the environment comes from the layer cache; a broken module is not noticed."""
    name = "test-build-lock"
    config = (
        f"name: {name}\nbuild_config: {{skip_checks: true, requirements: {{requirements_file: pylock.dev.toml}}}}\n"
    )
    project = write_project(tmp_path / "project", config, api=API + "import no_such_module\n")
    words = ["-m", "uv", "pip", "compile", "-", "--quiet", "--format=pylock.toml", "--python-version=3.11"]
    words = [sys.executable, *words, f"--output-file={project}/pylock.dev.toml"]
    subprocess.run(words, input="iniconfig==2.0.0", text=True, check=True, stdout=subprocess.DEVNULL)
    try:
        built = tesseract_cli("--loglevel", "debug", "build", project, timeout=900)
        assert built.returncode == 0, built.stderr
        steps = re.split(r"STEP \d+/\d+: ", built.stderr)
        reused = [step for step in steps if re.search(r"install.sh (environment|runtime)", step)]
        assert ["Using cache" in step for step in reused] == [True, True]
        assert inside(name, "pip list --format freeze | grep iniconfig") == "iniconfig==2.0.0\n"
        run = tesseract_cli("run", name, "apply", '{"inputs": {}}')
        assert run.returncode == 1
        assert "no_such_module" in run.stderr
    finally:
        remove_image(name)


def test_platform_that_is_not_there(tesseract_cli: Cli, base_image: str, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", "name: far\nbuild_config: {target_platform: linux/arm64}\n")
    refused = tesseract_cli("build", project, timeout=900)
    assert refused.returncode == 1
    assert "The base image is not in the local store for linux/arm64" in refused.stderr.splitlines()[-2]
    unknown = tesseract_cli("build", "--config-override", "build_config.target_platform=plan9/vax", project)
    assert unknown.returncode == 1
    assert unknown.stderr.splitlines()[0].startswith(" [-] build_config.target_platform: 'plan9/vax' is not supported.")


class Refusing(Quiet):
    """A registry whose logins have expired."""

    def do_GET(self) -> None:  # noqa: N802
        body = b'{"errors": [{"code": "DENIED", "message": "the token of robot has expired"}]}'
        self.send_response(200 if self.path == "/v2/" else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_registry_that_refuses_is_quoted(tesseract_cli: Cli, tmp_path: Path) -> None:
    with http_server(tmp_path, Refusing) as url:
        address = url.removeprefix("http://")
        registries = tmp_path / "registries.conf"
        registries.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
        config = f"name: refused\nbuild_config: {{base_image: '{address}/team/base:1'}}\n"
        project = write_project(tmp_path / "project", config)
        environ = {"CONTAINERS_REGISTRIES_CONF": str(registries)}
        refused = tesseract_cli("build", project, timeout=900, env=environ)
    assert refused.returncode == 1
    line = refused.stderr.splitlines()[-2]
    assert "The base image is not in the local store, and no registry gave it: " in line
    assert "the token of robot has expired" in line


def test_base_image_that_is_not_there(tesseract_cli: Cli, tmp_path: Path) -> None:
    project = write_project(tmp_path / "project", "name: x\nbuild_config: {base_image: localhost/no-such}\n")
    refused = tesseract_cli("build", project)
    assert (refused.returncode, refused.stdout) == (1, "")
    line = " [-] build_config.base_image: there is no image localhost/no-such in the local store. Build it first."
    assert refused.stderr.splitlines() == [line, " [x] Aborting"]
