"""Every example is a complete project, passes its check and its own test cases, and does what it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tesseract_core.runtime.config import override_config, update_config
from tesseract_core.runtime.core import create_endpoints, get_input_schema, load_module_from_path
from tesseract_core.runtime.mpa import start_run

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/tesseract_api.py"))
INPUT_PATHS = {"filereference": "testdata", "dataloader": "testdata", "required_files": "input"}
CASES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/test_cases/*.json"))


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples as an image would hold them: heat_c with its library."""
    copy = tmp_path_factory.mktemp("examples") / "examples"
    shutil.copytree(EXAMPLES, copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    if compiler := shutil.which("gcc") or shutil.which("cc"):
        heat = copy / "heat_c"
        subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", heat / "libheat.so", heat / "heat.c"], check=True, timeout=60
        )
    return copy


@pytest.fixture
def endpoints(projects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Load an example into this process, and give back `sys.path`, environment and configuration afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    monkeypatch.setitem(sys.modules, "tesseract_api", ModuleType("tesseract_api"))

    def load(name: str) -> Any:
        skip_unless_possible(name, projects)
        update_config(input_path=str(projects / name / INPUT_PATHS.get(name, ".")), output_path=str(tmp_path))
        return {fn.__name__: fn for fn in create_endpoints(load_module_from_path(projects / name / "tesseract_api.py"))}

    with override_config(), start_run(tmp_path):
        yield load


def skip_unless_possible(name: str, projects: Path) -> None:
    if name == "vectoradd_jax":
        pytest.importorskip("equinox")
    if name == "heat_c" and not (projects / name / "libheat.so").exists():
        pytest.skip("needs a C compiler")


@pytest.fixture
def runtime(projects: Path, tmp_path: Path) -> Any:
    """Run `tesseract-runtime` for an example."""

    def run(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        skip_unless_possible(name, projects)
        env = {key: value for key, value in os.environ.items() if not key.startswith("TESSERACT_")}
        env |= {
            "TESSERACT_API_PATH": str(projects / name / "tesseract_api.py"),
            "TESSERACT_OUTPUT_PATH": str(tmp_path / "output"),
            "TESSERACT_INPUT_PATH": str(projects / name / INPUT_PATHS.get(name, ".")),
            "JAX_PLATFORMS": "cpu",
            **environment,
        }
        return subprocess.run(
            [sys.executable, "-m", "tesseract_core.runtime", *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def result_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def numbers(encoded: dict[str, Any]) -> Any:
    return encoded["data"]["buffer"]


@pytest.mark.fast
def test_there_is_one_for_each_row_of_the_overview() -> None:
    overview = (EXAMPLES / "README.md").read_text()
    folders = {path.relative_to(EXAMPLES).parts[0] for path in EXAMPLES.glob("**/tesseract_api.py")}
    assert {line.split("`")[1] for line in overview.splitlines() if line.startswith("| `")} == folders


@pytest.mark.fast
@pytest.mark.parametrize("name", NAMES)
def test_is_a_complete_project(name: str) -> None:
    yaml = pytest.importorskip("yaml")
    folder = EXAMPLES / name
    config = yaml.safe_load((folder / "tesseract_config.yaml").read_text())
    assert config["name"] == name
    assert config["description"]
    assert (folder / "tesseract_requirements.txt").exists()
    assert (folder / "tesseract_api.py").read_text().startswith('"""')


@pytest.mark.parametrize("name", NAMES)
def test_passes_its_check(runtime: Any, name: str) -> None:
    done = runtime(name, "check")
    assert done.returncode == 0, done.stderr
    assert "check successful" in done.stderr


@pytest.mark.fast
@pytest.mark.parametrize("case", CASES)
def test_passes_its_test_cases(endpoints: Any, case: str) -> None:
    test = endpoints(case.split("/")[0])["test"]
    verdict = test(get_input_schema(test).model_validate_json((EXAMPLES / case).read_text()))
    assert (verdict.status, verdict.message) == ("passed", "")


def test_test_cases_run_from_the_command_line(runtime: Any) -> None:
    case = EXAMPLES / "dataloader" / "test_cases" / "test_files.json"
    assert result_of(runtime("dataloader", "test", f"@{case}")) == {
        "status": "passed",
        "message": "",
        "endpoint": "apply",
    }


@pytest.mark.fast
def test_every_example_with_results_has_test_cases() -> None:
    assert {case.split("/")[0] for case in CASES} == {*NAMES} - {"userhandling"}


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("vectoradd", "@inputs.json"),
        ("vectoradd_jax", '{"inputs": {"a": [1.0, 2.0], "b": [3.0, 4.0], "scale": 2.0, "normalise": true}}'),
        ("univariate", '{"inputs": {"x": -1.2, "y": 1.0}}'),
        ("meshstats", "@inputs.json"),
        ("heat_c", '{"inputs": {"temperature": [300.0, 310.0, 350.0, 290.0], "spacing": 0.01, "duration": 2.0}}'),
    ],
)
def test_gradients_are_right(runtime: Any, projects: Path, name: str, payload: str) -> None:
    payload = payload.replace("@", f"@{projects / name}/")
    eps = "1e-2" if name == "vectoradd_jax" else "1e-4"  # in single precision, smaller steps drown in rounding
    done = runtime(name, "check-gradients", payload, "--eps", eps, "--rtol", "0.01", "--no-show-progress")
    assert done.returncode == 0, done.stderr
    assert "Gradient check for jacobian passed" in done.stderr


def test_helloworld(runtime: Any) -> None:
    assert result_of(runtime("helloworld", "apply", '{"inputs": {"name": "Osborne"}}')) == {
        "greeting": "Hello Osborne!"
    }


def test_vectoradd(runtime: Any, projects: Path) -> None:
    for payload in ('{"inputs": {"a": [1, 2], "b": [3, 4]}}', f"@{projects / 'vectoradd' / 'inputs.json'}"):
        assert numbers(result_of(runtime("vectoradd", "apply", payload))["result"]) == [4.0, 6.0]
    shapes = '{"inputs": {"a": {"shape": [7], "dtype": "float64"}, "b": {"shape": [7], "dtype": "float64"}}}'
    assert result_of(runtime("vectoradd", "abstract-eval", shapes)) == {"result": {"shape": [7], "dtype": "float64"}}
    wrong = runtime("vectoradd", "apply", '{"inputs": {"a": [1, 2], "b": [3]}}')
    assert wrong.returncode == 2
    assert "must have the same length, got 2 and 1" in wrong.stderr


def test_vectoradd_jax_has_shapes(runtime: Any) -> None:
    shapes = (
        '{"inputs": {"a": {"shape": [7], "dtype": "float32"}, "b": {"shape": [7], "dtype": "float32"}, '
        '"scale": {"shape": [], "dtype": "float32"}}}'
    )
    done = runtime("vectoradd_jax", "abstract-eval", shapes)
    assert result_of(done) == {"result": {"shape": [7], "dtype": "float32"}}


def test_filereference(runtime: Any, tmp_path: Path) -> None:
    done = runtime("filereference", "apply", '{"inputs": {"data": ["sample_2.json", "sample_3.json"]}}')
    assert result_of(done) == {"data": ["sample_2_scaled.json", "sample_3_scaled.json"]}
    scaled = json.loads((tmp_path / "output" / "sample_2_scaled.json").read_text())
    assert scaled == {"samples": [0.25, -0.5, 1.0]}
    assert "sample_2.json: 3 samples" in done.stderr


def test_metrics(runtime: Any, tmp_path: Path) -> None:
    done = runtime("metrics", "apply", '{"inputs": {}}')
    assert result_of(done) == {}
    assert "This is a message from the apply function." in done.stderr
    logs = tmp_path / "output" / "logs"
    assert json.loads((logs / "parameters.json").read_text()) == {"example_param": "value"}
    rows = [line.split(",")[1:] for line in (logs / "metrics.csv").read_text().splitlines()[1:]]
    assert [(key, float(value), int(step)) for key, value, step in rows] == [
        ("squared_step", float(step**2), step) for step in range(10)
    ]
    assert (logs / "artifacts" / "artifact.txt").read_text()
    assert "This is a message" in (logs / "tesseract.log").read_text()


def test_required_files(runtime: Any, tmp_path: Path) -> None:
    missing = runtime("required_files", "apply", '{"inputs": {"values": [1, 1]}}', TESSERACT_INPUT_PATH=str(tmp_path))
    assert missing.returncode == 1
    assert "weights.json" in missing.stderr
    assert runtime("required_files", "--help", TESSERACT_INPUT_PATH=str(tmp_path)).returncode == 0


def test_userhandling(runtime: Any, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    result = result_of(runtime("userhandling", "apply", '{"inputs": {}}', HOME=str(tmp_path / "home")))
    assert (result["uid"], result["gid"]) == (os.getuid(), os.getgid())
    assert (result["file_uid"], result["file_gid"]) == (os.getuid(), os.getgid())
    assert result["home_is_writable"] is True
    assert result["file"] == "whoami.txt"
    assert (tmp_path / "output" / "whoami.txt").exists()


def test_heat_flows_and_is_not_lost(runtime: Any) -> None:
    payload = {"inputs": {"temperature": [0.0, *[100.0] * 5, 0.0], "spacing": 0.01, "duration": 1000.0}}
    result = result_of(runtime("heat_c", "apply", json.dumps(payload)))
    np.testing.assert_allclose(numbers(result["temperature"]), np.zeros(7), atol=1e-3)
    without = runtime("heat_c", "apply", '{"inputs": {"temperature": [1.0, 2.0], "spacing": 1.0, "duration": 1.0}}')
    assert numbers(result_of(without)["temperature"]) == [1.0, 2.0]


def test_dataloader_tells_its_progress(runtime: Any) -> None:
    done = runtime("dataloader", "apply", '{"inputs": {"data": "@sample_[12].json"}}')
    assert result_of(done)["count"] == 3
    assert "sample 2 of 2: 1 points" in done.stderr
