"""What can go wrong, and what a user then sees: one clear line, the right exit status, and nothing left behind."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engine import podman, snapshot

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
INPUTS = '{"inputs": {"a": [1.0, 2.0], "b": [3.0, 4.0]}}'
SLOW_API = """
import time
from pydantic import BaseModel
class InputSchema(BaseModel): pass
class OutputSchema(BaseModel): pass
def apply(inputs):
    print("computing", flush=True)
    time.sleep(300)
"""


@pytest.fixture(scope="module")
def image(tesseract_image: Callable[[str], str]) -> str:
    return tesseract_image("vectoradd")


@pytest.fixture(autouse=True)
def nothing_left(image: str) -> Iterator[None]:
    before = snapshot()
    yield
    assert snapshot() == before


def refused(result: subprocess.CompletedProcess[str], *messages: str, status: int = 1) -> None:
    """Assert that a command said all of `messages` and ended as a user error does."""
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    assert "cli/execute.py" not in result.stderr  # a traceback of ours; the Tesseract's own is welcome
    for message in messages:
        assert message in result.stderr
    assert result.stderr.rstrip().endswith("[x] Aborting")


# ---- images ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", [["serve", "no-such"], ["run", "no-such", "apply", "{}"], ["apidoc", "no-such"]])
def test_unknown_image(tesseract_cli: Cli, command: list[str]) -> None:
    refused(tesseract_cli(*command), "Are you sure your tesseract image name is no-such?")


def test_names_that_no_image_can_have(tesseract_cli: Cli) -> None:
    for name in ("No-Such", "no such", "../no-such", "?no=such"):
        refused(tesseract_cli("run", name, "health"), f"Are you sure your tesseract image name is {name}?")


@pytest.mark.parametrize("command", ["serve", "run"])
def test_not_a_tesseract(tesseract_cli: Cli, base_image: str, command: str) -> None:
    words = [base_image, "apply"] if command == "run" else [base_image]
    refused(tesseract_cli(command, *words), f"Image {base_image} is not a Tesseract image.")


def test_unknown_container(tesseract_cli: Cli) -> None:
    for command in ("teardown", "logs"):
        refused(tesseract_cli(command, "nobody"), "Container nobody not found", "tesseract ps")


def test_one_unknown_name_removes_nothing(tesseract_cli: Cli, image: str) -> None:
    name = json.loads(tesseract_cli("serve", image).stdout)["container_name"]
    refused(tesseract_cli("teardown", name, "nobody"), "Container nobody not found")
    assert name in podman("ps", "--format", "{{.Names}}")
    assert tesseract_cli("teardown", name).returncode == 0


# ---- API modules ----------------------------------------------------------------------------------------------------
def _with_api(tmp_path: Path, source: str) -> list[str | Path]:
    (tmp_path / "broken.py").write_text(source)
    return ["-v", f"{tmp_path}/broken.py:/api/broken.py", "-e", "TESSERACT_API_PATH=/api/broken.py"]


def test_api_module_that_crashes(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    options = _with_api(tmp_path, "raise RuntimeError('no licence for the solver')\n")
    served = tesseract_cli("serve", image, *options)
    refused(served, "stopped running during startup (exit code 1)", "no licence for the solver")
    ran = tesseract_cli("run", image, "apply", INPUTS, *options)
    refused(ran, "no licence for the solver", "'apply' ended with status 1")


def test_api_module_with_a_syntax_error(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    served = tesseract_cli("serve", image, *_with_api(tmp_path, "def apply(inputs)\n    pass\n"))
    refused(served, "stopped running during startup", "SyntaxError")


def _project(tmp_path: Path, source: str) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    (project / "tesseract_config.yaml").write_text('name: "broken"\nversion: "1.0.0"\n')
    (project / "tesseract_api.py").write_text(source)
    return project


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def apply(inputs)\n    pass\n", "Syntax error"),
        ("def apply(inputs):\n    pass\n", "InputSchema not defined"),
        ("class InputSchema: pass\nclass OutputSchema: pass\ndef apply(x): pass\n", "must be named inputs"),
    ],
)
def test_project_that_cannot_be_built(tesseract_cli: Cli, tmp_path: Path, source: str, message: str) -> None:
    refused(tesseract_cli("build", _project(tmp_path, source)), message)


def test_wrong_schema_is_found_while_building(tesseract_cli: Cli, tmp_path: Path) -> None:
    source = (
        "from pydantic import BaseModel\n"
        "class InputSchema(BaseModel):\n    x: undefined_type\n"
        "class OutputSchema(BaseModel): pass\n"
        "def apply(inputs): pass\n"
    )
    refused(tesseract_cli("build", _project(tmp_path, source)), "Error building Tesseract.", "undefined_type")


# ---- directories, ports, payloads -----------------------------------------------------------------------------------
def test_missing_directories(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    build = tesseract_cli("build", tmp_path / "nope")
    assert build.returncode == 2
    assert "does not exist" in build.stderr
    refused(tesseract_cli("serve", image, "-i", tmp_path / "nope"), "is not a directory")
    refused(tesseract_cli("run", image, "apply", INPUTS, "-v", f"{tmp_path}/nope:/x"), "does not exist")


def test_busy_port(tesseract_cli: Cli, image: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        refused(tesseract_cli("serve", image, "-p", str(port)), f"Port {port} was already in use on 127.0.0.1")
        refused(
            tesseract_cli("serve", image, "-p", str(port), "--network", "host"),
            f"Port {port} was already in use on 127.0.0.1",
        )


def test_another_server_does_not_pass_for_ours(tesseract_cli: Cli, image: str) -> None:
    first = json.loads(tesseract_cli("serve", image).stdout)
    port = first["containers"][0]["port"]
    refused(tesseract_cli("serve", image, "-p", port, "--network", "host"), f"Port {port} was already in use")
    tesseract_cli("teardown", first["container_name"])


@pytest.mark.parametrize("payload", ['{"inputs": ', "not json"])
def test_malformed_payload(tesseract_cli: Cli, image: str, payload: str) -> None:
    refused(tesseract_cli("run", image, "apply", payload), "line 1", "column", "ended with status 2")


def test_payload_of_the_wrong_shape(tesseract_cli: Cli, image: str) -> None:
    result = tesseract_cli("run", image, "apply", '{"inputs": {"a": ["x"], "b": [1.0]}}')
    refused(result, "array_non_numeric", "ended with status 2")


def test_missing_payload_file(tesseract_cli: Cli, image: str) -> None:
    refused(tesseract_cli("run", image, "apply", "@nope.json"), "Path nope.json provided as input is not a file")


def test_endpoint_that_is_not_there(tesseract_cli: Cli, tesseract_image: Callable[[str], str]) -> None:
    without = tesseract_image("helloworld")
    refused(tesseract_cli("run", without, "jacobian", "{}"), "Unimplemented command 'jacobian'")


def test_schemas(tesseract_cli: Cli, image: str) -> None:
    for command, name in (("input-schema", "inputs"), ("output-schema", "result")):
        done = tesseract_cli("run", image, command)
        assert done.returncode == 0, done.stderr
        assert f'"{name}"' in done.stdout


def test_too_little_time(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    options = _with_api(tmp_path, "import time; time.sleep(60)\n")
    started = time.monotonic()
    refused(
        tesseract_cli("serve", image, *options, "--startup-timeout", "2"),
        "did not respond to a health check within 2 s",
        "--startup-timeout",
    )
    assert time.monotonic() - started < 30


def test_unknown_gpu(tesseract_cli: Cli, image: str) -> None:
    refused(tesseract_cli("serve", image, "--gpus", "99"), "99")


# ---- the machine ----------------------------------------------------------------------------------------------------
def _path_without_engines(tmp_path: Path) -> str:
    (tmp_path / "bin").mkdir()
    for program in ("env", "sh"):
        (tmp_path / "bin" / program).symlink_to(shutil.which(program) or "")
    return str(tmp_path / "bin")


def test_podman_is_not_installed(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    nothing = {"PATH": _path_without_engines(tmp_path), "CONTAINER_HOST": "", "DOCKER_HOST": ""}
    for command in (["serve", image], ["ps"], ["list"], ["teardown", "--all"], ["run", image, "health"]):
        refused(tesseract_cli(*command, env=nothing), "No container engine was found", "Install Podman")


def test_no_runtime_directory(image: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "XDG_RUNTIME_DIR"}
    program = Path(sys.executable).with_name("tesseract")
    result = subprocess.run(
        [program, "run", image, "health"], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    if result.returncode == 0:  # Podman's own fallback
        assert result.stdout == '{"status":"ok"}'
        assert result.stderr.count("XDG_RUNTIME_DIR is not set") == 1
    else:
        refused(result, "XDG_RUNTIME_DIR")


def test_dead_socket(tesseract_cli: Cli, tmp_path: Path) -> None:
    refused(tesseract_cli("ps", env={"CONTAINER_HOST": f"unix://{tmp_path}/none.sock"}), f"{tmp_path}/none.sock")


def test_service_gone_between_two_commands(tesseract_cli: Cli, image: str) -> None:
    assert tesseract_cli("ps").returncode == 0
    Path(os.environ["XDG_RUNTIME_DIR"], "tesseract", "podman.sock").unlink(missing_ok=True)
    assert tesseract_cli("run", image, "health").stdout == '{"status":"ok"}'


def test_service_gone_in_the_middle(image: str, tmp_path: Path) -> None:
    process = running(["run", image, "apply", '{"inputs": {}}', *_with_api(tmp_path, SLOW_API)], until="computing")
    processes = subprocess.run(["pgrep", "-u", str(os.getuid()), "-f", "podman.*system service"], capture_output=True)
    for pid in processes.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    out, said = process.communicate(timeout=50)
    assert process.returncode == 1, said
    assert out == ""
    assert "[x] Aborting" in said


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------
def interrupted(words: list[str | Path], delay: float, until: str | None = None, **settings: object) -> tuple[int, str]:
    """Start a command, press Ctrl-C after `delay` seconds (counted from the line with `until`, if given)."""
    process = running(words, until, **settings)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def running(words: list[str | Path], until: str | None = None, **settings: Any) -> subprocess.Popen[str]:
    """A command that has been started and, if `until` is given, has written a line with it to stderr."""
    program = Path(sys.executable).with_name("tesseract")
    process = subprocess.Popen([program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)
    assert process.stderr
    while until:
        line = process.stderr.readline()
        assert line, f"the command ended without saying {until!r}"
        if until in line:
            break
    return process


@pytest.mark.parametrize("delay", [0.15, 0.3, 0.45, 0.6, 0.75])
def test_interrupted_serve(image: str, tmp_path: Path, delay: float) -> None:
    options = _with_api(tmp_path, "import time; time.sleep(60)\n")
    status, said = interrupted(["serve", image, *options, "--network", "tess-interrupted"], delay, until=None)
    assert status == 130, said
    assert "Traceback" not in said


def test_interrupted_while_waiting(image: str, tmp_path: Path) -> None:
    options = _with_api(tmp_path, "import time; time.sleep(60)\n")
    status, said = interrupted(["serve", image, *options], 1.0, until="Waiting for Tesseract")
    assert status == 130
    assert "Traceback" not in said


def test_interrupted_run(image: str, tmp_path: Path) -> None:
    options = _with_api(tmp_path, SLOW_API)
    status, said = interrupted(["run", image, "apply", '{"inputs": {}}', *options], 0.0, until="computing")
    assert status == 130
    assert "Traceback" not in said


@pytest.mark.parametrize("delay", [0.4, 1.0, 3.0])
def test_interrupted_build(image: str, root_dir: Path, delay: float) -> None:
    # Something new in the environment, so that the last steps are not in the layer cache.
    new = f"env={{INTERRUPTED: 'after {delay} {secrets.token_hex(4)}'}}"
    words = ["build", root_dir / "examples" / "vectoradd", "--tag", "interrupted", "--config-override", new]
    status, said = interrupted(words, delay)
    assert "Traceback" not in said
    if status == 0:  # a fast machine was done before
        podman("rmi", "localhost/vectoradd:interrupted")
        return
    assert status == 130, said
    if "vectoradd:interrupted is built" in said:  # only what comes after the build was interrupted
        podman("rmi", "localhost/vectoradd:interrupted")
    assert "interrupted" not in podman("images", "--format", "{{.Tag}}")


def test_interrupted_while_reading_standard_input(image: str) -> None:
    status, said = interrupted(["run", image, "apply", "-"], 1.0, stdin=subprocess.PIPE)
    assert status == 130
    assert "Traceback" not in said


def test_interrupted_apidoc(image: str) -> None:
    status, said = interrupted(["apidoc", "--no-browser", image], 0.2, until="Press Ctrl+C")
    assert status == 0, said


def test_interrupted_logs(tesseract_cli: Cli, image: str) -> None:
    name = json.loads(tesseract_cli("serve", image).stdout)["container_name"]
    status, said = interrupted(["logs", "-f", name], 1.0)
    assert status == 130
    assert "Traceback" not in said
    tesseract_cli("teardown", name)


def test_terminated_run(image: str, tmp_path: Path) -> None:
    options = _with_api(tmp_path, SLOW_API)
    process = running(["run", image, "apply", '{"inputs": {}}', *options], until="computing")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
