"""Input and output paths on object stores and FTP: fetched before, uploaded after, nothing lost, nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.engine import snapshot
from support.stores import ftp_server, http_server, s3_bucket
from tesseract_core import Tesseract, run_tesseract

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
PAYLOAD = '{"inputs": {"a": [1.0, 2.0], "b": [3.0, 4.0]}}'
VECTOR = {"object_type": "array", "shape": [2], "dtype": "float64"}
FILE = {**VECTOR, "data": {"buffer": "deep/vector.bin", "encoding": "binref"}}
FROM_FILE = json.dumps({"inputs": {"a": FILE, "b": [3.0, 4.0]}})

SLOW = """
import time
from pydantic import BaseModel

class InputSchema(BaseModel):
    n: int

class OutputSchema(BaseModel):
    n: int

def apply(inputs: InputSchema) -> OutputSchema:
    print("computing", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def image(tesseract_image: Callable[[str], str]) -> str:
    return tesseract_image("vectoradd")


@pytest.fixture(scope="module")
def metrics(tesseract_image: Callable[[str], str]) -> str:
    return tesseract_image("metrics")


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A bucket `data` with a vector of two numbers."""
    with s3_bucket("data") as fs:
        fs.pipe_file("data/set/deep/vector.bin", np.array([1.0, 2.0]).tobytes())
        yield fs


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str) -> Iterator[Path]:
    """A cache and a place for output of our own; no container stays."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = snapshot()
    yield tmp_path
    assert snapshot() == before


def kept(home: Path) -> list[Path]:
    """Files of output that are still on this machine."""
    return [path for path in (home / "state").rglob("*") if path.is_file() and path.suffix != ".uploads"]


def summed(stdout: str) -> list[float]:
    return list(json.loads(stdout)["result"]["data"]["buffer"])


# Input


def test_input_from_a_bucket(tesseract_cli: Cli, image: str, s3: Any, home: Path) -> None:
    done = tesseract_cli("run", image, "apply", FROM_FILE, "--input-path", "s3://data/set", "--network", "none")
    assert done.returncode == 0, done.stderr
    assert summed(done.stdout) == [4.0, 6.0]
    (vector,) = (home / "cache").rglob("vector.bin")
    again = tesseract_cli("run", image, "apply", FROM_FILE, "--input-path", "s3://data/set")
    assert again.stdout == done.stdout
    assert list((home / "cache").rglob("vector.bin")) == [vector]


@pytest.mark.parametrize("kind", ["http", "ftp"])
def test_input_from_a_server(tesseract_cli: Cli, image: str, tmp_path: Path, kind: str) -> None:
    (tmp_path / "served/deep").mkdir(parents=True)
    (tmp_path / "served/deep/vector.bin").write_bytes(np.array([1.0, 2.0]).tobytes())
    with (http_server if kind == "http" else ftp_server)(tmp_path / "served") as url:
        done = tesseract_cli("run", image, "apply", FROM_FILE, "--input-path", f"{url}/")
    assert done.returncode == 0, done.stderr
    assert summed(done.stdout) == [4.0, 6.0]


def test_input_is_read_only_and_where_the_runtime_looks(tesseract_cli: Cli, image: str, s3: Any, home: Path) -> None:
    served = tesseract_cli("serve", image, "--input-path", "s3://data/set")
    assert served.returncode == 0, served.stderr
    name = json.loads(served.stdout)["container_name"]
    try:
        script = "echo $TESSERACT_INPUT_PATH; ls $TESSERACT_INPUT_PATH/deep; touch $TESSERACT_INPUT_PATH/x"
        done = subprocess.run(["podman", "exec", name, "sh", "-c", script], capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["/tesseract/input_data", "vector.bin"]
        assert "Read-only" in done.stderr
        # The cache stays within its limit, but not at the cost of a container.
        (mark,) = (home / "cache").rglob("*.complete")
        os.utime(mark, (0, 0))
        other = ["run", image, "health", "--input-path", "s3://data/set/deep"]
        assert tesseract_cli(*other, env={"TESSERACT_CACHE_LIMIT": "1"}).returncode == 0
        assert mark.exists()
    finally:
        tesseract_cli("teardown", name)
    assert tesseract_cli(*other, env={"TESSERACT_CACHE_LIMIT": "1"}).returncode == 0
    assert not mark.exists()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://data/no-such-set", "There is nothing at 's3://data/no-such-set'"),
        ("s3://no-such-bucket/set", "'s3://no-such-bucket/set' cannot be read: it does not exist"),
        ("nonsense://data", "'nonsense://data' cannot be used"),
    ],
)
def test_input_that_is_not_there(tesseract_cli: Cli, image: str, s3: Any, home: Path, url: str, said: str) -> None:
    for command in (["run", image, "apply", PAYLOAD], ["serve", image]):
        done = tesseract_cli(*command, "--input-path", url, "--output-path", "s3://data/never")
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert list((home / "state").rglob("2*")) == []


# Output of `tesseract run`


def test_output_goes_to_a_bucket(tesseract_cli: Cli, metrics: str, s3: Any, home: Path) -> None:
    done = tesseract_cli("run", metrics, "apply", '{"inputs": {}}', "-o", "s3://data/metrics")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "{}"
    assert sorted(name.removeprefix("data/metrics/") for name in s3.find("data/metrics")) == [
        "logs/artifacts/artifact.txt",
        "logs/metrics.csv",
        "logs/parameters.json",
        "logs/run.json",
        "logs/tesseract.log",
    ]
    assert list((home / "state").rglob("2*")) == []


@pytest.mark.parametrize("format", ["json", "json+base64", "json+binref"])
def test_all_formats_and_a_file_for_the_result(
    tesseract_cli: Cli, image: str, s3: Any, home: Path, format: str
) -> None:
    place = f"data/{format.replace('+', '-')}"
    options = ["-o", f"s3://{place}", "--output-format", format, "--output-file", "result.json"]
    done = tesseract_cli("run", image, "apply", PAYLOAD, *options)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    data = json.loads(s3.cat(f"{place}/result.json"))["result"]["data"]
    assert data["encoding"] == format.removeprefix("json+")
    if format == "json+binref":
        name, _, offset = data["buffer"].partition(":")
        np.testing.assert_array_equal(np.frombuffer(s3.cat(f"{place}/{name}"), offset=int(offset or 0)), [4.0, 6.0])


def test_a_run_that_fails_leaves_its_log_at_the_url(tesseract_cli: Cli, image: str, s3: Any, home: Path) -> None:
    bad = json.dumps({"inputs": {"a": {**FILE, "data": {**FILE["data"], "buffer": "none.bin"}}, "b": [1.0, 2.0]}})
    done = tesseract_cli("run", image, "apply", bad, "-o", "s3://data/failed")
    assert done.returncode == 1
    assert "ended with status" in done.stderr
    assert kept(home) == []


def test_a_failed_upload_loses_nothing(tesseract_cli: Cli, image: str, s3: Any, home: Path) -> None:
    done = tesseract_cli("run", image, "apply", PAYLOAD, "-o", "s3://no-such-bucket/x")
    assert done.returncode == 1
    assert summed(done.stdout) == [4.0, 6.0], "the result is printed nevertheless"
    (line,) = [line for line in done.stderr.splitlines() if "[-]" in line]
    assert "Nothing is lost" in line
    (log,) = [path for path in kept(home) if path.name == "tesseract.log"]
    assert str(log.parents[1]) in line


def test_output_that_was_left_behind_can_be_sent_later(tesseract_cli: Cli, image: str, s3: Any, home: Path) -> None:
    assert tesseract_cli("run", image, "apply", PAYLOAD, "-o", "s3://later/x").returncode == 1
    served = json.loads(tesseract_cli("serve", image, "-o", "s3://later/served").stdout)
    try:
        states = {row["url"]: row for row in json.loads(tesseract_cli("uploads", "--format", "json").stdout)}
        assert {url: row["state"] for url, row in states.items()} == {
            "s3://later/x": "left behind",
            "s3://later/served": "in use",
        }
        assert states["s3://later/x"]["files"] == len(kept(home))
        failed = tesseract_cli("uploads", "--retry")
        assert failed.returncode == 1
        assert "Nothing is lost" in failed.stderr
        s3.mkdir("later")
        done = tesseract_cli("uploads", "--retry")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert s3.exists("later/x/logs/run.json")
        assert kept(home) == []
        assert Path(states["s3://later/served"]["directory"]).is_dir(), "a container writes to it"
    finally:
        tesseract_cli("teardown", served["container_name"])


def test_denied_credentials(tesseract_cli: Cli, image: str, tmp_path: Path, home: Path) -> None:
    (tmp_path / "store").mkdir()
    with ftp_server(tmp_path / "store") as url:
        done = tesseract_cli("run", image, "apply", PAYLOAD, "-o", url.replace("secret", "hunter2"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "530 Authentication failed" in done.stderr
    assert "hunter2" not in done.stderr
    assert kept(home) == []


def test_the_function(image: str, s3: Any, home: Path) -> None:
    stdout, _ = run_tesseract(image, "apply", [PAYLOAD], output_path="s3://data/function")
    assert summed(stdout) == [4.0, 6.0]
    assert s3.exists("data/function/logs/run.json")
    with pytest.warns(UserWarning, match="Nothing is lost"):
        stdout, _ = run_tesseract(image, "apply", [PAYLOAD], output_path="s3://no-such-bucket/x")
    assert summed(stdout) == [4.0, 6.0]


# Output of served Tesseracts


def test_serve_says_where_and_teardown_uploads(tesseract_cli: Cli, image: str, tmp_path: Path, home: Path) -> None:
    (tmp_path / "store").mkdir()
    with ftp_server(tmp_path / "store") as url:
        served = tesseract_cli("serve", image, "-o", f"{url}/runs")
        assert served.returncode == 0, served.stderr
        assert "secret" not in served.stdout + served.stderr
        answer = json.loads(served.stdout)
        inspected = subprocess.run(["podman", "inspect", answer["container_name"]], capture_output=True, check=True)
        assert b"secret" not in inspected.stdout
        at = f"http://127.0.0.1:{answer['containers'][0]['port']}"
        Tesseract.from_url(at).apply({"a": [1.0], "b": [2.0]}, run_id="mine")
        (log,) = [path for path in kept(home) if path.name == "tesseract.log"]
        assert f"collected in {log.parents[2]}" in served.stderr
        assert log.parents[1].name == "run_mine"
        done = tesseract_cli("teardown", answer["container_name"])
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "store/runs/run_mine/logs/tesseract.log").exists()
    assert list((home / "state").rglob("2*")) == []


def test_teardown_that_cannot_upload_removes_the_container_and_keeps_the_output(
    tesseract_cli: Cli, image: str, s3: Any, home: Path
) -> None:
    served = tesseract_cli("serve", image, "-o", "s3://no-such-bucket/x")
    answer = json.loads(served.stdout)
    at = f"http://127.0.0.1:{answer['containers'][0]['port']}"
    Tesseract.from_url(at).apply({"a": [1.0], "b": [2.0]}, run_id="mine")
    done = tesseract_cli("teardown", answer["container_name"])
    assert done.returncode == 1
    assert "Removed" in done.stderr
    assert "Nothing is lost" in done.stderr
    assert [path.name for path in kept(home) if path.name == "tesseract.log"] == ["tesseract.log"]


def test_the_sdk_uploads_each_run_after_its_call(image: str, s3: Any, home: Path) -> None:
    with Tesseract.from_image(image, input_path="s3://data/set", output_path="s3://data/sdk") as tesseract:
        result = tesseract.apply({"a": FILE, "b": [3.0, 4.0]}, run_id="mine")
        np.testing.assert_array_equal(result["result"], [4.0, 6.0])
        assert s3.exists("data/sdk/run_mine/logs/run.json")
        tesseract.apply({"a": [1.0], "b": [2.0]})
        assert len(s3.ls("data/sdk")) == 2
        s3.rm("data/sdk/run_mine", recursive=True)
    assert not s3.exists("data/sdk/run_mine"), "nothing is sent twice"
    assert list((home / "state").rglob("2*")) == []


def test_binary_results_of_the_sdk(image: str, s3: Any, home: Path) -> None:
    with Tesseract.from_image(image, output_path="s3://data/binref", output_format="json+binref") as tesseract:
        result = tesseract.apply({"a": [1.0], "b": [2.0]}, run_id="mine")
        np.testing.assert_array_equal(result["result"], [3.0])
    assert any(name.endswith(".bin") for name in s3.find("data/binref/run_mine"))


def test_an_sdk_program_that_is_killed(tesseract_cli: Cli, image: str, s3: Any, home: Path) -> None:
    code = f"""
import urllib.request
from tesseract_core import Tesseract
tesseract = Tesseract.from_image({image!r}, output_path="s3://data/killed")
tesseract.serve()
Tesseract.from_url(tesseract.container_info().url).apply({{"a": [1.0], "b": [2.0]}}, run_id="mine")  # not by us
print("ready", flush=True)
input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        program.kill()
    done = tesseract_cli("teardown", "--orphaned")
    assert done.returncode == 0, done.stderr
    assert s3.exists("data/killed/run_mine/logs/run.json")
    assert kept(home) == []


@pytest.mark.parametrize(("url", "arrives"), [("s3://data/ended", True), ("s3://no-such-bucket/x", False)])
def test_an_sdk_program_that_ends_without_teardown(image: str, s3: Any, home: Path, url: str, arrives: bool) -> None:
    code = f"""
from tesseract_core import Tesseract
tesseract = Tesseract.from_image({image!r}, output_path={url!r})
tesseract.serve()
tesseract.apply({{"a": [1.0], "b": [2.0]}}, run_id="mine")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    if arrives:
        assert s3.exists("data/ended/run_mine/logs/run.json")
        assert kept(home) == []
    else:
        assert "Nothing is lost" in done.stderr.splitlines()[-1]
        assert kept(home)


def test_an_interrupted_run_says_where_its_output_is(image: str, s3: Any, home: Path) -> None:
    api = home / "tesseract_api.py"
    api.write_text(SLOW)
    options = ["-v", f"{api}:/mine/tesseract_api.py", "-e", "TESSERACT_API_PATH=/mine/tesseract_api.py"]
    command = [Path(sys.executable).with_name("tesseract"), "run", image, "apply", '{"inputs": {"n": 1}}', *options]
    with subprocess.Popen(
        [*command, "-o", "s3://data/interrupted"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stderr is not None
        while "computing" not in (line := program.stderr.readline()):
            assert line, "ended too early"
        time.sleep(0.5)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)
    assert program.returncode == 130
    (log,) = [path for path in kept(home) if path.name == "tesseract.log"]
    assert str(log.parents[1]) in said
    assert log.stat().st_uid == os.getuid()
