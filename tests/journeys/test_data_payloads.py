"""Payloads by `@`: from files, the network, standard input; read on the host, with the host's credentials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.engine import snapshot
from support.stores import ftp_server, http_server, s3_bucket

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
PAYLOAD = '{"inputs": {"a": [1.0, 2.0], "b": [3.0, 4.0]}}'
LARGE = 300_000  # numbers; as text more than an argument may have (128 KiB), and more than all of them (2 MiB)
LARGE_PAYLOAD = json.dumps({"inputs": {"a": [1.5] * LARGE, "b": [2.0] * LARGE}})
API = Path(__file__).resolve().parents[2] / "examples/vectoradd/tesseract_api.py"


@pytest.fixture(scope="module")
def image(tesseract_image: Callable[[str], str]) -> str:
    return tesseract_image("vectoradd")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The same payload on three kinds of servers, and what is not there."""
    served = tmp_path_factory.mktemp("served")
    (served / "payload.json").write_text(PAYLOAD)
    with http_server(served) as http, ftp_server(served) as ftp, s3_bucket("data") as s3:
        s3.pipe_file("data/deep/payload.json", PAYLOAD.encode())
        s3.pipe_file("data/large.json", LARGE_PAYLOAD.encode())
        yield {
            "http": f"{http}/payload.json",
            "ftp": f"{ftp}/payload.json",
            "s3": "s3://data/deep/payload.json",
            "s3, large": "s3://data/large.json",
            "http, missing": f"{http}/missing.json",
            "s3, missing": "s3://data/missing.json",
            "ftp, denied": f"{ftp.replace('secret', 'wrong')}/payload.json",
        }


def summed(stdout: str) -> list[float]:
    return list(json.loads(stdout)["result"]["data"]["buffer"])


@pytest.mark.parametrize("kind", ["http", "ftp", "s3"])
def test_from_a_server(tesseract_cli: Cli, image: str, places: dict[str, str], kind: str) -> None:
    done = tesseract_cli("run", image, "apply", f"@{places[kind]}")
    assert done.returncode == 0, done.stderr
    assert summed(done.stdout) == [4.0, 6.0]
    assert "secret" not in done.stderr


def test_the_container_needs_no_network(tesseract_cli: Cli, image: str, places: dict[str, str]) -> None:
    done = tesseract_cli("run", image, "apply", f"@{places['s3']}", "--network", "none")
    assert summed(done.stdout) == [4.0, 6.0]


def test_credentials_are_not_in_the_container(tesseract_cli: Cli, image: str, places: dict[str, str]) -> None:
    before = snapshot()
    done = tesseract_cli("--loglevel", "debug", "run", image, "apply", f"@{places['ftp']}")
    assert summed(done.stdout) == [4.0, 6.0]
    assert "secret" not in done.stderr
    assert snapshot() == before


@pytest.mark.parametrize("dash", ["-", "@-"])
@pytest.mark.parametrize("payload", [PAYLOAD, LARGE_PAYLOAD], ids=["small", "large"])
def test_standard_input(tesseract_cli: Cli, image: str, dash: str, payload: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("tesseract"), "run", image, "apply", dash],
        input=payload,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(summed(done.stdout)) == len(json.loads(payload)["inputs"]["a"])


def test_more_than_an_argument_can_hold(tesseract_cli: Cli, image: str, places: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    file.write_text(LARGE_PAYLOAD)
    for place in (f"@{file}", f"@{places['s3, large']}"):
        done = tesseract_cli("run", image, "apply", place)
        assert done.returncode == 0, done.stderr[-1000:]
        assert summed(done.stdout) == [3.5] * LARGE


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("http, missing", "missing.json' cannot be read: it does not exist"),
        ("s3, missing", "missing.json' cannot be read: it does not exist"),
        ("ftp, denied", "cannot be reached: 530 Authentication failed"),
    ],
)
def test_what_cannot_be_read(tesseract_cli: Cli, image: str, places: dict[str, str], kind: str, said: str) -> None:
    before = snapshot()
    done = tesseract_cli("run", image, "apply", f"@{places[kind]}")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = [line for line in done.stderr.splitlines() if "[-]" in line]
    assert said in line
    assert "wrong" not in done.stderr
    assert snapshot() == before


def test_denied_credentials(tesseract_cli: Cli, image: str, places: dict[str, str]) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    done = tesseract_cli("run", image, "apply", f"@{places['s3']}", env=nobody)
    assert done.returncode == 1
    assert "credentials" in done.stderr


@pytest.mark.parametrize("kind", ["http", "ftp", "s3"])
def test_the_runtime_itself(places: dict[str, str], kind: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("tesseract-runtime"), "apply", f"@{places[kind]}"],
        env={**os.environ, "TESSERACT_API_PATH": str(API), "TESSERACT_OUTPUT_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert summed(done.stdout) == [4.0, 6.0]


def test_the_runtime_says_what_is_missing(places: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("tesseract-runtime"), "apply", f"@{places['s3, missing']}"],
        env={**os.environ, "TESSERACT_API_PATH": str(API), "TESSERACT_OUTPUT_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "missing.json" in done.stderr
    assert "Traceback" not in done.stderr
