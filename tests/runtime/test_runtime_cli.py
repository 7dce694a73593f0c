"""The `tesseract-runtime` command as a shell meets it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.golden import check_golden
from support.runtime_cli import API, RESULT, Run, payload

# Results


@pytest.mark.fast
def test_apply_writes_the_result_and_nothing_else(run: Run, tmp_path: Path) -> None:
    done = run("apply", payload("loudly"))
    assert done.returncode == 0
    assert done.stdout == RESULT
    assert done.stderr == "module level print\nprint\ndescriptor\nchild\nstderr\nunterminated"
    log = (tmp_path / "out/logs/tesseract.log").read_text()
    assert log == "print\ndescriptor\nchild\nstderr\nunterminated"
    assert (tmp_path / "out/logs/metrics.csv").read_text() == "timestamp,key,value,step\n"


@pytest.mark.parametrize(("how", "status"), [("forked", 0), ("forked and exited", 7)])
def test_a_child_that_user_code_forks_answers_nothing(run: Run, how: str, status: int) -> None:
    done = run("apply", payload(how))
    assert (done.returncode, done.stdout) == (0, RESULT)
    assert done.stderr == f"module level print\nstatus {status}\n"


def test_payload_from_a_file_and_from_stdin(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "p.json").write_text(payload())
    assert run("--input-path", "sub", "apply", "@sub/p.json").stdout == RESULT, "relative to the working directory"
    assert run("apply", f"@file://{folder}/p.json").stdout == RESULT
    assert run("apply", "@-", stdin=payload()).stdout == RESULT
    assert run("apply", "-", stdin=payload()).stdout == RESULT
    (folder / "marked.json").write_text(payload(), encoding="utf-8-sig")
    assert run("apply", "@sub/marked.json").stdout == RESULT


def test_payload_from_a_url(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(payload())
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        assert run("apply", f"@http://127.0.0.1:{port}/p.json").stdout == RESULT
        missing = run("apply", f"@http://127.0.0.1:{port}/missing.json")
    finally:
        server.terminate()
        server.communicate()
    assert missing.returncode == 2
    assert "cannot read" in missing.stderr


def test_nan_in_a_payload(run: Run) -> None:
    done = run("apply", '{"inputs": {"x": [NaN, 1]}}')
    assert json.loads(done.stdout)["y"]["data"]["buffer"] == [None, 2.0]


def test_output_file(run: Run, tmp_path: Path) -> None:
    done = run("--output-file", "deep/result.json", "apply", payload())
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "out/deep/result.json").read_text() == RESULT


def test_output_formats(run: Run, tmp_path: Path) -> None:
    base64 = run("--output-format", "json+base64", "apply", payload())
    assert json.loads(base64.stdout)["y"]["data"] == {"buffer": "AAAAAAAAAEAAAAAAAAAQQA==", "encoding": "base64"}
    binref = json.loads(run("--output-format", "json+binref", "apply", payload()).stdout)["y"]["data"]
    name, _, offset = binref["buffer"].partition(":")
    assert (binref["encoding"], offset) == ("binref", "0")
    assert (tmp_path / "out" / name).stat().st_size == 16


def test_a_newline_follows_the_result_on_a_terminal_only(tmp_path: Path, api: Path) -> None:
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "tesseract_core.runtime", "health"], cwd=tmp_path, stdout=theirs, timeout=60, check=True
    )
    os.close(theirs)
    assert os.read(ours, 1000) == b'{"status":"ok"}\r\n'
    os.close(ours)


def test_gradient_endpoint(run: Run) -> None:
    request = {"inputs": {"x": [1.0]}, "jac_inputs": ["x"], "jac_outputs": ["y"]}
    assert json.loads(run("jacobian", json.dumps(request)).stdout)["y"]["x"]["data"]["buffer"] == [[2.0]]


def test_health_and_openapi_schema_leave_nothing_behind(run: Run, tmp_path: Path) -> None:
    assert run("health").stdout == '{"status":"ok"}'
    document = json.loads(run("--name", "Doubler", "openapi-schema").stdout)
    assert document["info"]["title"] == "Doubler"
    assert {"/apply", "/jacobian", "/health"} <= document["paths"].keys()
    assert "/test" not in document["paths"]
    assert "/test" in json.loads(run("--debug", "--debugpy-port", "0", "openapi-schema").stdout)["paths"]
    assert not (tmp_path / "out").exists()


def test_check(run: Run, tmp_path: Path) -> None:
    done = run("check", _TESSERACT_IS_BUILDING="1")
    assert (done.returncode, done.stdout) == (0, "")
    assert "✅ Tesseract API check successful ✅" in done.stderr


@pytest.mark.fast
def test_the_web_stack_and_the_parser_are_not_loaded_for_one_call(run: Run) -> None:
    options = ("--name=mine", "--profiling", "--no-profiling")
    done = run(*options, "apply", payload(), PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "numpy" in loaded
    assert not loaded & {"litestar", "granian", "uvicorn", "mlflow", "fsspec", "s3fs", "requests", "cyclopts", "rich"}
    assert not loaded & {"tesseract", "podman"}


# Options and variables


def test_precedence(run: Run, tmp_path: Path) -> None:
    def title(*arguments: str, **environment: str) -> str:
        return str(json.loads(run(*arguments, "openapi-schema", **environment).stdout)["info"]["title"])

    assert title(TESSERACT_NAME="field") == "field"
    assert title(TESSERACT_NAME="field", TESSERACT_RUNTIME_NAME="option variable") == "option variable"
    assert title("--name", "flag", TESSERACT_RUNTIME_NAME="option variable") == "flag"
    assert title("--name=flag") == "flag"
    assert title("--name", "--dashes") == "--dashes"
    assert title("--name", "first", "--name=last") == "last"


def test_compression_can_be_switched_off(run: Run) -> None:
    given = {"TESSERACT_COMPRESSION": "lz4", "TESSERACT_OUTPUT_FORMAT": "json+base64"}
    assert '"compression":"lz4"' in run("apply", payload(), **given).stdout
    assert "compression" not in run("--compression", "none", "apply", payload(), **given).stdout


def test_flags_can_be_switched_off(run: Run) -> None:
    on = run("apply", payload(), TESSERACT_PROFILING="1")
    assert "--- Profiling Statistics ---" in on.stderr
    off = run("--no-profiling", "apply", payload(), TESSERACT_PROFILING="1")
    assert "--- Profiling Statistics ---" not in off.stderr


def test_profiling_lands_in_the_log(run: Run, tmp_path: Path) -> None:
    run("--profiling", "apply", payload())
    log = (tmp_path / "out/logs/tesseract.log").read_text()
    assert "=== By Cumulative Time (includes sub-calls) ===" in log
    failed = run("--profiling", "apply", payload("badly"))
    assert "Profiling" not in failed.stderr


def test_tracing_lands_in_the_log(run: Run, tmp_path: Path) -> None:
    done = run("--tracing", "apply", payload())
    assert done.stdout == RESULT
    log = (tmp_path / "out/logs/tesseract.log").read_text()
    assert " - tesseract_runtime - DEBUG - " in log
    assert "Array(shape=(2,), dtype=float64" in log


def test_a_global_option_after_the_command_is_not_one(run: Run) -> None:
    assert run("apply", "--name", "x", payload()).returncode == 2


@pytest.mark.parametrize(
    "way",
    [
        {"arguments": ["--input-path", "data"]},
        {"arguments": ["--input-path=data"]},
        {"environment": {"TESSERACT_INPUT_PATH": "data"}},
        {"environment": {"TESSERACT_RUNTIME_INPUT_PATH": "data"}},
    ],
)
def test_required_files_are_found_below_the_input_path(
    run: Run, api: Path, tmp_path: Path, way: dict[str, object]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/weights").touch()
    api.write_text(API + "\nfrom tesseract_core.runtime.experimental import require_file\nrequire_file('weights')\n")
    arguments, environment = way.get("arguments", []), way.get("environment", {})
    done = run(*arguments, "apply", payload(), **environment)  # type: ignore[misc]
    assert done.stdout == RESULT, done.stderr
    assert run("apply", payload()).returncode == 1
    for command in (["check"], ["openapi-schema"], ["--help"], ["apply", "--help"]):
        assert run(*command).returncode == 0


# Help


@pytest.mark.fast
def test_global_help(run: Run) -> None:
    done = run("--help")
    assert (done.returncode, done.stdout) == (0, "")
    check_golden(Path(__file__).parent / "golden/runtime_help.txt", done.stderr.removeprefix("module level print\n"))


@pytest.mark.fast
def test_endpoint_help(run: Run) -> None:
    done = run("apply", "-h")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Double the points.\n\nIn several ways." in done.stderr
    tree = done.stderr[done.stderr.index("Input schema:") :]
    assert tree.splitlines()[2:] == [
        "        x (Differentiable[Array[(None,), Float64]]): The points",
        "        parts (list[Part]) [default: []]",
        "            weight (float): Weight of the part [default: 2.0]",
        "            label (str)",
        "        how (str) [default: 'well']",
        "",
        "Returns:",
        "    y (Differentiable[Array[(None,), Float64]])",
    ]


@pytest.mark.parametrize("command", ["serve", "check-gradients", "test", "jacobian"])
def test_command_help(run: Run, command: str) -> None:
    done = run(command, "--help", NO_COLOR="1")
    assert (done.returncode, done.stdout) == (0, "")
    check_golden(
        Path(__file__).parent / f"golden/runtime_help_{command}.txt", done.stderr.removeprefix("module level print\n")
    )


def test_completion(run: Run) -> None:
    done = run("--show-completion", "bash", defaults=False)
    assert done.returncode == 0
    assert "jacobian" in done.stdout
    subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)
    assert run("--show-completion", "tcsh", defaults=False).returncode == 1


# test, check-gradients, serve


def test_regression_test_verdicts(run: Run) -> None:
    case = {
        "endpoint": "apply",
        "payload": json.loads(payload()),
        "expected_outputs": json.loads(RESULT),
    }
    passed = run("test", json.dumps(case))
    assert passed.returncode == 0
    assert json.loads(passed.stdout)["status"] == "passed"
    case["expected_outputs"]["y"]["data"]["buffer"] = [2.0, 5.0]
    failed = run("test", json.dumps(case))
    assert failed.returncode == 0
    assert json.loads(failed.stdout)["status"] == "failed"
    strict = run("test", json.dumps(case), "--exit-code")
    assert strict.returncode == 1
    assert json.loads(strict.stdout)["status"] == "failed"
    assert run("test", "--exit-code", json.dumps(case)).returncode == 1


@pytest.mark.fast
def test_schemas_of_apply(run: Run) -> None:
    inputs, outputs = run("input-schema"), run("output-schema")
    assert (inputs.returncode, outputs.returncode) == (0, 0)
    assert "inputs" in json.loads(inputs.stdout)["properties"]
    assert "differentiable_arrays" in json.loads(inputs.stdout)
    assert '"y"' in outputs.stdout
    assert json.loads(outputs.stdout)["differentiable_arrays"] == {"y": {"dtype": "float64", "shape": [None]}}


def test_check_gradients(run: Run) -> None:
    good = run("check-gradients", payload(), "--no-show-progress", "--seed", "1")
    assert (good.returncode, good.stdout) == (0, "")
    assert "✅ Gradient check for jacobian passed ✅ (0 failures / " in good.stderr
    bad = run("check-gradients", payload("badly differentiated", (1.0,)), "--max-failures=1", "--eps-for", "x=1e-3")
    assert (bad.returncode, bad.stdout) == (1, "")
    report = bad.stderr[bad.stderr.index("⚠️") :].splitlines()
    assert report[0].startswith("⚠️ Gradient check for jacobian failed ⚠️ (")
    assert report[1:3] == ["First 1 failures:", "  Input path: 'x', Output path: 'y', Index: (0,)"]
    assert report[3].startswith("  jacobian value: ")
    assert report[4].startswith("  Finite difference value: ")
    assert report[-1] == "❌ Some gradient checks failed ❌"
    several = run("check-gradients", "--endpoints", "jacobian", "--input-paths", "x", payload(), "--no-show-progress")
    assert several.returncode == 0


@pytest.mark.parametrize("variable", ["TESSERACT_RUNTIME_PORT", "TESSERACT_RUNTIME_SERVE_PORT"])
def test_serve_takes_its_port_from_either_variable(tmp_path: Path, api: Path, variable: str) -> None:
    import socket
    import urllib.request

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "tesseract_core.runtime", "serve"],
            cwd=tmp_path,
            env={**os.environ, variable: str(port)},
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                    assert answer.read() == b'{"status":"ok"}'
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.1)
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


# Debug mode


def test_debug_waits_for_a_debugger_before_the_module_is_imported(tmp_path: Path, api: Path) -> None:
    pytest.importorskip("debugpy")
    child = subprocess.Popen(
        [sys.executable, "-m", "tesseract_core.runtime", "--debug", "--debugpy-port", "15678", "apply", payload()],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    try:
        assert child.stderr.readline() == "Debugger listening on 127.0.0.1:15678\n"
        assert child.stderr.readline().startswith("Waiting")
        time.sleep(0.5)
        assert child.poll() is None
    finally:
        child.kill()
        rest = child.communicate()[1]
    assert "module level print" not in rest


def test_debug_does_not_wait_for_commands_that_run_nothing(run: Run) -> None:
    assert run("check", TESSERACT_DEBUG="1").returncode == 0
    assert run("health", TESSERACT_DEBUG="1").returncode == 0
    assert run("apply", "--help", TESSERACT_DEBUG="1").returncode == 0
    assert run("apply", payload(), TESSERACT_DEBUG="1", TESSERACT_DEBUGPY_PORT="0").stdout == RESULT


@pytest.mark.fast
def test_help_of_an_endpoint_has_types_and_defaults(tmp_path: Path) -> None:
    from enum import Enum
    from typing import Annotated, Literal

    import numpy as np
    from pydantic import BaseModel, Field
    from tesseract_core.runtime import Array, Differentiable, Float64, Int32
    from tesseract_core.runtime.cli.help import endpoint_help
    from tesseract_core.runtime.core import create_endpoints

    class Kind(Enum):
        A = "a"

    class Part(BaseModel):
        x: Differentiable[Array[(None, 3), Float64]] = Field(description="The\n  points")

    class InputSchema(BaseModel):
        parts: list[Part] = Field(default_factory=list)
        by_name: dict[str, Part | None] = {}
        n: Int32 | None = Field(None, description="How many")
        scale: Differentiable[Float64] = 1.0
        anything: Array[..., None]
        kind: Literal["fast", 2] | Kind = "fast"
        bounded: Annotated[float, Field(gt=0)] = 2.0
        pair: tuple[int, ...] = ()
        stamp: float = Field(default_factory=lambda: 3.0)
        part: Part = Field(default_factory=Part)
        large: Array[(None, None), Float64] = np.zeros((9, 9))

    class OutputSchema(BaseModel):
        y: Float64

    api = type(sys)("api")
    api.InputSchema, api.OutputSchema, api.apply = InputSchema, OutputSchema, lambda inputs: {"y": 1.0}
    text = endpoint_help(create_endpoints(api)[0], "apply")
    assert "Undefined" not in text
    assert "None:" not in text.replace("None]", "")
    for line in (
        "parts (list[Part]) [default: []]",
        "x (Differentiable[Array[(None, 3), Float64]]): The points",
        "by_name (dict[str, Part | None]) [default: {}]",
        "n (Int32 | None): How many [default: None]",
        "scale (Differentiable[Float64]) [default: 1.0]",
        "anything (Array[..., None])",
        "kind ('fast' | 2 | Kind) [default: 'fast']",
        "bounded (float) [default: 2.0]",
        "pair (tuple[int, ...]) [default: ()]",
        "stamp (float) [default: made anew for each call]",
        "part (Part) [default: as below]",
        "large (Array[(None, None), Float64]) [default: array([[0., 0., 0., 0., 0., 0., 0., 0., 0.], "
        + "[0., 0., 0., 0., 0., 0., 0., 0., 0.], " * 4
        + "[0.…]",
    ):
        assert f"    {line}\n" in text, line
