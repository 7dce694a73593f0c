"""A project that uses most of the configuration becomes an image, and the image keeps what it promises."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.builds import API, inside, podman, traces
from support.builds import write_project as write
from support.images import remove_image

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
SECRET = "s3cr3t-value-of-this-test"
CONFIG = r"""
name: NAME
version: "1.2.3-rc"
description: "two\nlines, \"quoted\", $HOME"
env: {MY_PATH: "/opt/x:$PATH", QUOTED: 'a "b" \c'}
metadata: {a: 1, b: 'q"x'}
build_config:
  build_env: {ONLY_WHILE_BUILDING: "yes it's there"}
  host_credentials: [{host: private.example.org, secret_id: token}]
  package_data: [[data, data], [data/table.csv, /opt/fresh/]]
  custom_build_steps:
    - |
      RUN id -u > /opt/who && \
          pip install 'tesseract-core>=1.0'
"""


# As libraries do that keep compiled code and lists of fonts: beside the module and in HOME, replaced at each start.
CACHES = (
    API
    + """
import os, pathlib
for folder in (pathlib.Path.home() / ".config/fonts", pathlib.Path(__file__).parent / "__pycache__"):
    os.makedirs(folder, mode=0o700, exist_ok=True)
    (folder / "new").write_text("warm" if (folder / "cache").exists() else "made")
    os.chmod(folder / "new", 0o600)
    os.replace(folder / "new", folder / "cache")
"""
)


def write_project(folder: Path, name: str, config: str = "name: NAME\n") -> Path:
    return write(folder, config.replace("NAME", name))


@pytest.fixture(scope="module")
def image(base_image: str, tesseract_cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = write_project(tmp_path_factory.mktemp("project") / "source", "test-build-all", CONFIG)
    (folder / "tesseract_api.py").write_text(CACHES)
    (folder / "data/deep").mkdir(parents=True)
    (folder / "data/table.csv").write_text("1")
    (folder / "data/table.csv").chmod(0o600)
    (folder / "data/deep/run.sh").write_text("")
    (folder / "data/deep/run.sh").chmod(0o755)
    (folder / "local").mkdir()
    (folder / "local/pyproject.toml").write_text(
        '[project]\nname = "localthing"\nversion = "0.1"\ndependencies = ["tesseract-core>=1.10"]\n'
    )
    (folder / "local/localthing.py").write_text("x = 1\n")
    (folder / "tesseract_requirements.txt").write_text("./local\ntesseract-core\n")
    result = tesseract_cli(
        "build", "--secret", "id=token,env=TEST_TOKEN", folder, timeout=900, env={"TEST_TOKEN": SECRET}
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == ["test-build-all:1.2.3-rc", "test-build-all:latest"]
    yield "test-build-all"
    remove_image("test-build-all")


def test_environment_and_labels(image: str) -> None:
    config = json.loads(podman("inspect", "--format", "{{json .Config}}", image))
    env = dict(line.split("=", 1) for line in config["Env"])
    assert env["TESSERACT_DESCRIPTION"] == 'two\\nlines, "quoted", $HOME'
    assert env["MY_PATH"] == f"/opt/x:{env['PATH']}"
    assert env["PATH"].startswith("/python-env/bin:")
    assert env["QUOTED"] == 'a "b" \\c'
    assert config["Labels"]["ai.pasteurlabs.tesseract.metadata"] == '{"a": 1, "b": "q\\"x"}'
    assert (config["User"], config["Cmd"]) == ("9999:9999", ["--help"])
    assert config["Entrypoint"] == ["/tesseract/entrypoint.sh", "tesseract-runtime"]
    assert not config.get("Volumes")
    assert not [name for name in env if name.startswith(("SSL_", "PIP_", "UV_", "ONLY_", "GIT_"))]


def test_modes(image: str) -> None:
    paths = "/tesseract /tesseract/output_data /tesseract/input_data /tesseract/tesseract_api.py /tmp $HOME"
    data = "/tesseract/data /tesseract/data/table.csv /tesseract/data/deep/run.sh /opt /opt/fresh/table.csv"
    modes = inside(image, f"stat -c '%a %u' {paths} {data}").split("\n")[:-1]
    assert modes == [
        *("1777 0", "1777 0", "755 0", "444 0", "1777 0", "1777 0"),
        *("1777 0", "644 0", "755 0", "755 0", "644 0"),
    ]


def test_any_user_can_work_but_not_replace_the_code(image: str) -> None:
    for options in (["--userns=keep-id"], ["--user", "4321:4321"], []):
        said = inside(
            image,
            "touch ~/a /tmp/b /tesseract/output_data/c /tesseract/d && python -c 'import os, pwd; os.getuid()' && "
            "rm -f /tesseract/tesseract_api.py 2>/dev/null; test -e /tesseract/tesseract_api.py && echo kept",
            *options,
        )
        assert said == "kept\n", options
    assert inside(image, "python -c 'import os, pwd; print(pwd.getpwuid(os.getuid()).pw_name)'") == "tesseract-user\n"


def test_what_the_check_has_cached_is_the_users(image: str) -> None:
    """Whoever the image runs as finds the caches that the end of the build warmed, and can replace them."""
    for options in (["--userns=keep-id"], ["--user", "4321:4321"], []):
        command = "tesseract-runtime check >/dev/null && cat ~/.config/fonts/cache __pycache__/cache"
        assert inside(image, command, *options) == "warmwarm", options


def test_one_tesseract_core(image: str, root_dir: Path) -> None:
    version = (root_dir / "runtime/tesseract_core/_version.py").read_text().split('"')[-2]
    assert inside(image, "pip freeze | grep ^tesseract-core; pip show tesseract-core | grep ^Version").endswith(
        f"Version: {version}\n"
    )
    assert inside(image, "python -c 'import localthing, tesseract_core.runtime.cli; print(localthing.x)'") == "1\n"
    assert inside(image, "cat /opt/who") == "0\n"


def test_secrets_and_host_settings_leave_no_trace(image: str) -> None:
    assert traces(image, [SECRET, "yes it's there"]) == []
    assert inside(image, "ls -A /run/secrets /run/tesseract /run/credentials 2>/dev/null; true") == "/run/secrets:\n"
    assert int(inside(image, "wc -c < /etc/ssl/certs/ca-certificates.crt")) > 100_000


def store_bytes() -> int:
    """What all layers of the store, mapped copies too, take on disk."""
    root = podman("info", "--format", "{{.Store.GraphRoot}}").strip()
    return int(podman("unshare", "du", "-sb", f"{root}/overlay").split()[0])


def test_edits_leave_the_store_as_it_was(base_image: str, tesseract_cli: Cli, tmp_path: Path) -> None:
    """Ten edits of the API file, ten builds: images and layers do not pile up, and only the tail is built again."""
    config = 'name: NAME\nbuild_config: {custom_build_steps: ["RUN date > /opt/built"]}\n'
    folder = write_project(tmp_path / "source", "test-build-edits", config)
    try:
        assert tesseract_cli("build", folder, timeout=900).returncode == 0
        built = inside("test-build-edits", "cat /opt/built")
        before, size = len(podman("images", "-a", "-q").split()), store_bytes()
        for number in range(10):
            (folder / "tesseract_api.py").write_text(f"{API}# edit {number}\n")
            result = tesseract_cli("--loglevel", "debug", "build", folder, timeout=300)
            assert result.returncode == 0, result.stderr
            assert result.stderr.count("Using cache") >= 10
            assert "install.sh" not in result.stderr.split("Using cache")[-1]
        assert len(podman("images", "-a", "-q").split()) <= before + 10
        assert store_bytes() - size < 10e6
        assert inside("test-build-edits", "cat /opt/built") == built
    finally:
        remove_image("test-build-edits")


def test_failed_check_shows_why(base_image: str, tesseract_cli: Cli, tmp_path: Path) -> None:
    folder = write_project(tmp_path / "source", "test-build-broken")
    (folder / "tesseract_api.py").write_text(API + "import no_such_module\n")
    result = tesseract_cli("build", folder, timeout=900)
    assert (result.returncode, result.stdout) == (1, "")
    assert "no_such_module" in result.stderr
    assert "Error building Tesseract. Checking the Tesseract (" in result.stderr
    last = result.stderr.splitlines()[-2]
    assert "Checking the Tesseract" in last
    assert "No module named 'no_such_module'. Its output is above." in last
    assert "Using cache" not in result.stderr  # what went well is not shown


def test_interrupt_leaves_nothing(base_image: str, tmp_path: Path) -> None:
    folder = write_project(
        tmp_path / "source",
        "test-build-interrupt",
        'name: NAME\nbuild_config: {custom_build_steps: ["RUN echo now && sleep 60"]}\n',
    )
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    containers = podman("ps", "-a", "--external", "-q")
    process = subprocess.Popen(
        [Path(sys.executable).parent / "tesseract", "--loglevel", "debug", "build", folder],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip().endswith("now"):
            break
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(60) == 130, said
    deadline = time.monotonic() + 20
    while podman("ps", "-a", "--external", "-q") != containers and time.monotonic() < deadline:
        time.sleep(0.5)
    assert podman("ps", "-a", "--external", "-q") == containers
    assert list(scratch.glob("tesseract*")) == []
    assert "test-build-interrupt" not in podman("images")
