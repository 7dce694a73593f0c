"""`tesseract run`: the result on stdout byte for byte, everything else on stderr, no container left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.engine import snapshot

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
INPUTS = '{"inputs": {"a": [1.0, 2.0], "b": [3.0, 4.0]}}'
RESULT = (
    '{"result":{"object_type":"array","shape":[2],"dtype":"float64","data":{"buffer":[4.0,6.0],"encoding":"json"}}}'
)


@pytest.fixture(scope="module")
def image(tesseract_image: Callable[[str], str]) -> str:
    return tesseract_image("vectoradd")


@pytest.fixture(autouse=True)
def nothing_left(image: str) -> Iterator[None]:
    before = snapshot()
    yield
    assert snapshot() == before


def test_inline(tesseract_cli: Cli, image: str) -> None:
    result = tesseract_cli("run", image, "apply", INPUTS)
    assert (result.returncode, result.stdout) == (0, RESULT), result.stderr


@pytest.mark.parametrize("name", [f"localhost/{'vectoradd'}", "vectoradd:latest"])
def test_long_and_short_names(tesseract_cli: Cli, image: str, name: str) -> None:
    assert tesseract_cli("run", name, "health").stdout == '{"status":"ok"}'


def test_file(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    payload = tmp_path / "in.json"
    payload.write_text(INPUTS)
    payload.chmod(0o600)
    result = tesseract_cli("run", image, "apply", "@in.json", cwd=tmp_path)
    assert result.stdout == RESULT, result.stderr


def test_standard_input_of_any_size(image: str) -> None:
    n = 200_000
    text = json.dumps({"inputs": {"a": [1.0] * n, "b": [2.0] * n}})
    result = subprocess.run(
        [Path(sys.executable).with_name("tesseract"), "run", image, "apply", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["result"]["shape"] == [n]


def test_output_path_and_file(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    result = tesseract_cli("run", image, "apply", INPUTS, "-o", tmp_path / "out", "--output-file", "r.json")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert (tmp_path / "out" / "r.json").read_text() == RESULT
    assert (tmp_path / "out" / "r.json").stat().st_uid == os.getuid()


def test_input_path_is_read_only(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    api = tmp_path / "api"
    api.mkdir()
    (api / "writes.py").write_text(
        "from pydantic import BaseModel\n"
        "class InputSchema(BaseModel): pass\n"
        "class OutputSchema(BaseModel):\n    error: str\n"
        "def apply(inputs):\n"
        "    try:\n        open('/tesseract/input_data/x', 'w')\n        return OutputSchema(error='none')\n"
        "    except OSError as e:\n        return OutputSchema(error=type(e).__name__ + str(e.errno))\n"
    )
    result = tesseract_cli(
        "run",
        image,
        "apply",
        '{"inputs": {}}',
        *("-i", api, "-e", "TESSERACT_API_PATH=/tesseract/input_data/writes.py"),
    )
    assert result.stdout == '{"error":"OSError30"}', result.stderr
    assert [path.name for path in api.iterdir()] == ["writes.py"]


def test_environment_and_base64(tesseract_cli: Cli, image: str) -> None:
    result = tesseract_cli("run", image, "apply", INPUTS, "-f", "json+base64")
    assert json.loads(result.stdout)["result"]["data"]["encoding"] == "base64", result.stderr


def test_check_and_schema(tesseract_cli: Cli, image: str) -> None:
    assert tesseract_cli("run", image, "check").returncode == 0
    schema = json.loads(tesseract_cli("run", image, "openapi-schema").stdout)
    assert "Apply_InputSchema" in schema["components"]["schemas"]


def test_runtime_args(tesseract_cli: Cli, image: str) -> None:
    result = tesseract_cli("run", image, "check-gradients", INPUTS, "--runtime-args", "--seed=42 --eps=1e-5")
    assert "unknown option" not in result.stderr.lower()


def test_the_verdict_of_a_test_case_decides_where_asked_to(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    case = {"endpoint": "apply", "payload": json.loads(INPUTS), "expected_outputs": json.loads(RESULT)}
    (tmp_path / "good.json").write_text(json.dumps(case))
    case["expected_outputs"]["result"]["data"]["buffer"] = [4.0, 7.0]
    (tmp_path / "bad.json").write_text(json.dumps(case))
    for name, options, status in (("good", ["--exit-code"], 0), ("bad", ["--exit-code"], 1), ("bad", [], 0)):
        done = tesseract_cli("run", image, "test", f"@{tmp_path}/{name}.json", *options)
        assert done.returncode == status, done.stderr
        assert json.loads(done.stdout)["status"] == {"good": "passed", "bad": "failed"}[name]
        assert ("The test case did not pass" in done.stderr) is (status == 1)
    wrong = tesseract_cli("run", image, "apply", INPUTS, "--exit-code")
    assert (wrong.returncode, "--exit-code is an option of the command test" in wrong.stderr) == (2, True)


def test_help_of_a_runtime_command(tesseract_cli: Cli, image: str) -> None:
    result = tesseract_cli("run", image, "apply", "--help")
    assert (result.returncode, result.stdout) == (0, "")
    assert f"tesseract run {image}" in result.stderr
    assert "tesseract-runtime" not in result.stderr.partition("\n")[0]
    narrow = tesseract_cli("run", image, "check-gradients", "--help", env={"COLUMNS": "80"})
    assert max(map(len, narrow.stderr.splitlines())) == 80  # as wide as the terminal here, not as one in the container


def test_a_missing_payload_is_explained_in_our_words(tesseract_cli: Cli, image: str) -> None:
    result = tesseract_cli("run", image, "apply")
    assert result.returncode == 1
    assert f"[i] Usage: tesseract run {image} apply" in result.stderr
    assert f"Try 'tesseract run {image} apply --help' for help." in result.stderr


def test_own_help_needs_no_engine(tesseract_cli: Cli) -> None:
    result = tesseract_cli("run", "--help", env={"PATH": "/nonexistent"})
    assert result.returncode == 0
    assert "IMAGE CMD [PAYLOAD]" in result.stdout


def test_another_user(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    for user in ("0:0", "4242:4242"):
        out = tmp_path / user
        result = tesseract_cli("run", image, "apply", INPUTS, "-o", out, "--output-file", "r.json", "--user", user)
        assert result.returncode == 0, result.stderr
        assert (out / "r.json").stat().st_uid == os.getuid()
