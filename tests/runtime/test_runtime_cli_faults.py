"""What goes wrong with the `tesseract-runtime` command: exit status and one line that says why."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from support.runtime_cli import RESULT, Run, payload


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["aply", "{}"], 2, "No such command 'aply'. Did you mean 'apply'?"),
        (["vector-jacobian-product", "{}"], 2, "No such command 'vector-jacobian-product'"),
        (["apply"], 2, "requires an argument"),
        (["apply", "{}", "more"], 2, "more"),
        (["apply", "--frobnicate", "{}"], 2, "Unknown option: --frobnicate"),
        (["--frobnicate", "apply", "{}"], 2, "Unknown option: --frobnicate"),
        (["--output-format", "xml", "apply", "{}"], 2, "--output-format: 'xml'"),
        (["--output-path", "s3://bucket/x", "apply", "{}"], 2, "--output-path: 's3://bucket/x': the runtime reads and"),
        (["serve", "--port", "many"], 2, "--port"),
        (["serve", "--port", "70000"], 2, "--port"),
        (["serve", "--num-workers", "0"], 2, "--num-workers"),
        (["apply", '{"inputs":\n {"x": [1,]}}'], 2, "malformed JSON: trailing comma at line 2 column 11"),
        (["apply", "@missing.json"], 2, "cannot read missing.json: No such file or directory"),
        (["apply", "@http://127.0.0.1:9/x"], 2, "cannot read http://127.0.0.1:9/x: Connect call failed"),
        (["apply", "@memory://nothing"], 2, "cannot read memory://nothing: not found"),
        (["apply", '{"inputs": {}}'], 2, "Invalid value for payload: 1 validation error for ApplyInputSchema"),
        (["apply", "[1]"], 2, "Invalid value for payload"),
        (["check-gradients", payload(), "--eps-for", "x"], 2, "--eps-for"),
        (["check-gradients", '{"inputs": {}}'], 2, "Invalid value for payload"),
        (["apply", payload("badly")], 1, "KeyError: 'kaboom'"),
        (["apply", payload("wrongly")], 1, "ValidationError"),
        (["apply", payload("exit")], 1, "SystemExit"),
        (["apply", payload("cancelled")], 1, "CancelledError"),
        (["serve", "--parent-pipe-fd", "99"], 2, "--parent-pipe-fd: 99 is not open"),
        (["check-gradients", payload(), "--input-paths", "nowhere"], 1, "nowhere"),
        (["check-gradients", payload(), "--eps-for", "nowhere=1"], 1, "eps names nowhere, which is not differentiated"),
    ],
)
def test_exit_codes(run: Run, arguments: list[str], status: int, message: str) -> None:
    done = run(*arguments)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("Did you mean") <= 1
    if status == 2:
        assert "Usage: tesseract-runtime" in done.stderr
        assert "--help' for help" in done.stderr
        assert "Traceback" not in done.stderr


def test_no_command_prints_help(run: Run) -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "COMMAND" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("OUTPUT_FORMAT", "xml"), ("API_PATH", "/no/such/api.py"), ("PROFILING", "perhaps")]
)
def test_a_wrong_variable_is_one_line_and_not_a_traceback(run: Run, name: str, value: str) -> None:
    done = run("apply", payload(), **{f"TESSERACT_{name}": value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: TESSERACT_{name}: {value!r}: ")
    assert done.stderr.count("\n") == 1


def test_missing_api_file(run: Run, api: Path) -> None:
    api.unlink()
    done = run("apply", payload())
    assert done.returncode == 1
    assert "tesseract_api.py" in done.stderr
    assert "export TESSERACT_API_PATH=" in done.stderr
    assert "Aborted." in done.stderr
    assert "Traceback" not in done.stderr


def test_an_api_that_cannot_be_imported(run: Run, api: Path) -> None:
    api.write_text("import no_such_module")
    done = run("apply", payload())
    assert done.returncode == 1
    assert "No module named 'no_such_module'" in done.stderr
    helped = run("--help")
    assert helped.returncode == 0
    assert helped.stderr.index("check-gradients") < helped.stderr.index("no_such_module")


def test_an_api_that_exits_while_it_is_imported_has_not_succeeded(run: Run, api: Path) -> None:
    api.write_text("import sys\nsys.exit(0)")
    for command in (["check"], ["apply", payload()]):
        done = run(*command)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[-1].endswith("tesseract_api.py: SystemExit: 0")


SCHEMAS = """
from pydantic import BaseModel, ConfigDict
class Thing: pass
class InputSchema(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    x: Thing = Thing()
class OutputSchema(BaseModel): pass
"""


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        (["check"], SCHEMAS, "must define the function apply(inputs)"),
        (["apply", "{}"], SCHEMAS, "must define the function apply(inputs)"),
        (["check"], SCHEMAS + "def apply(inputs): pass", "Thing"),  # cannot be published, hence not be served
        (["openapi-schema"], SCHEMAS + "def apply(inputs): pass", "Thing"),
    ],
)
def test_an_incomplete_api_is_one_line(run: Run, api: Path, command: list[str], code: str, reason: str) -> None:
    api.write_text(code)
    done = run(*command)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: tesseract_api.py is not a complete Tesseract API: ")
    assert reason in line


def test_a_bug_of_ours_is_70_and_leaves_its_traceback_in_a_file(tmp_path: Path, api: Path) -> None:
    # Broken on purpose: no arguments are known that show one.
    script = (
        "import tesseract_core.runtime.cli.program as p\n"
        "p.Program.health = lambda self: 1 / 0\n"
        "from tesseract_core.runtime.cli import main\nmain(['health'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 70
    line = done.stderr.strip().splitlines()[-1]
    assert "ZeroDivisionError" in line
    file = Path(line.split()[-1])
    assert "Traceback" in file.read_text()
    file.unlink()


def test_an_unwritable_output_path(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("--output-path", "file/below", "apply", payload(), defaults=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: cannot write to the output path ")
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_no_bug_of_ours(run: Run, tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))  # children inherit it, and get an OSError
    try:
        done = run("apply", payload("measured often"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert (done.returncode, done.stdout) == (1, "")
    assert "File too large" in done.stderr
    assert "this is a bug" not in done.stderr
    assert len((tmp_path / "out/logs/metrics.csv").read_text().splitlines()) > 100


def test_mlflow_down_is_refused_before_anything_is_computed(run: Run) -> None:
    done = run("--mlflow-tracking-uri", "http://user:geheim@127.0.0.1:9", "apply", payload("loudly"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no MLflow server answers at http://127.0.0.1:9" in done.stderr
    assert "descriptor" not in done.stderr
    assert "geheim" not in done.stderr


def test_closed_standard_streams(tmp_path: Path, api: Path) -> None:
    """What is printed must not take the place of the result, nor must a file that is opened."""

    def shell(redirections: str, how: str = "well") -> subprocess.CompletedProcess[str]:
        line = f"{sys.executable} -m tesseract_core.runtime --output-path out apply '{payload(how)}' {redirections}"
        return subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    without_stderr = shell("2>&-")
    assert (without_stderr.returncode, without_stderr.stdout) == (0, RESULT)
    without_stdout = shell(">&-")
    assert (without_stdout.returncode, without_stdout.stderr) == (0, "")
    assert shell("<&- >&- 2>&-", "with a child").returncode == 0


def test_a_reader_that_has_gone(tmp_path: Path, api: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m tesseract_core.runtime openapi-schema | true"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
