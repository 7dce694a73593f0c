"""Images and containers that mean harm: their labels decide nothing, and what they leave below an output path is only
read where it is a file of theirs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from support.engine import podman, snapshot
from support.images import remove_image
from support.stores import s3_bucket
from tesseract_core import Tesseract

from tesseract.serving import labels

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
PAYLOAD = '{"inputs": {"a": [1.0, 2.0], "b": [3.0, 4.0]}}'


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with s3_bucket("data") as fs:
        yield fs


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What belongs to the user: a directory that looks like one of ours, and a private file."""
    (tmp_path / "tesseract/precious").mkdir(parents=True)
    (tmp_path / "tesseract/precious/thesis").write_text("five years")
    (tmp_path / "private").mkdir()
    (tmp_path / "private/key").write_text("secret")
    return tmp_path


@pytest.fixture
def hostile(tesseract_image: Callable[[str], str], home: Path) -> Iterator[str]:
    """An image whose labels claim all that we ever read."""
    image = tesseract_image("vectoradd")
    before = snapshot()
    claims = {
        labels.NAME: "stranger",
        labels.UID: str(os.getuid()),
        labels.PROCESS: "1:1:another-boot",
        labels.SOCKET: f"{home}/tesseract/precious/api.sock",
        labels.HOST_IP: "192.0.2.1",
        labels.OUTPUT_DIR: f"{home}/out/planted",
        labels.OUTPUT_URL: "s3://data/stolen",
        labels.INPUT_DIR: "/",
    }
    text = f"FROM {image}\nLABEL {' '.join(f'{name}={json.dumps(value)}' for name, value in claims.items())}\n"
    subprocess.run(["podman", "build", "-q", "-t", "hostile-labels", "-"], input=text, text=True, check=True)
    yield "hostile-labels"
    remove_image("hostile-labels")
    assert snapshot() == before


def plant(home: Path) -> None:
    """What a container can write below the user's output path: a link, and a record that says where it goes."""
    (home / "out").mkdir(exist_ok=True)
    (home / "out/planted").symlink_to(home / "private")
    (home / "out/planted.uploads").write_text('"s3://data/stolen"\n')


def unharmed(home: Path, s3: Any) -> bool:
    return (
        (home / "tesseract/precious/thesis").read_text() == "five years"
        and (home / "private/key").read_text() == "secret"
        and not s3.exists("data/stolen")
    )


def test_labels_of_an_image_decide_nothing(tesseract_cli: Cli, hostile: str, home: Path, s3: Any) -> None:
    served = tesseract_cli("serve", hostile, "--network", "host", "--output-path", home / "out")
    assert served.returncode == 0, served.stderr
    name = json.loads(served.stdout)["container_name"]
    plant(home)
    found = json.loads(podman("inspect", "--format", "{{json .Config.Labels}}", name))
    for label in (labels.PROCESS, labels.SOCKET, labels.OUTPUT_DIR, labels.OUTPUT_URL, labels.INPUT_DIR):
        assert found[label] == ""
    assert json.loads(served.stdout)["containers"][0]["ip"] == "127.0.0.1"
    (row,) = [
        row for row in json.loads(tesseract_cli("ps", "--format", "json").stdout) if row["container_name"] == name
    ]
    assert row["socket"] is None
    assert tesseract_cli("teardown", "--orphaned").returncode == 0
    assert name in podman("ps", "--format", "{{.Names}}"), "it has no process that could be gone"
    done = tesseract_cli("teardown", name)
    assert done.returncode == 0, done.stderr
    assert unharmed(home, s3)


def test_a_container_of_others_that_carries_our_labels(tesseract_cli: Cli, hostile: str, home: Path, s3: Any) -> None:
    plant(home)
    podman("run", "-d", "--name", "somebody", "-v", f"{home}/out:/tesseract/output_data", hostile, "serve")
    try:
        rows = {row["container_name"]: row for row in json.loads(tesseract_cli("ps", "--format", "json").stdout)}
        assert (rows["somebody"]["owner"], rows["somebody"]["socket"]) == ("", None)
        for option in ("--all", "--orphaned"):
            assert tesseract_cli("teardown", option).returncode == 0
            assert "somebody" in podman("ps", "--format", "{{.Names}}")
        assert tesseract_cli("uploads", "--retry").returncode == 0
        done = tesseract_cli("teardown", "somebody")
        assert done.returncode == 0, done.stderr
        assert "somebody" not in podman("ps", "-a", "--format", "{{.Names}}")
    finally:
        podman("rm", "--force", "--ignore", "somebody")
    assert unharmed(home, s3)


LINKS = (
    "ln -s {home}/private/key $OUT/stolen; ln -s {home}/private $OUT/run_mine; mkfifo $OUT/pipe; echo x > $OUT/result"
)


def test_links_of_a_container_are_not_followed(
    tesseract_cli: Cli, tesseract_image: Callable[[str], str], home: Path, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    served = tesseract_cli("serve", tesseract_image("vectoradd"), "--output-path", "s3://data/links")
    assert served.returncode == 0, served.stderr
    name = json.loads(served.stdout)["container_name"]
    script = LINKS.format(home=home).replace("$OUT", "/tesseract/output_data")
    podman("exec", name, "sh", "-c", script)
    done = tesseract_cli("teardown", name)
    assert done.returncode == 0, done.stderr
    assert s3.find("data/links") == ["data/links/result"]
    for said in ("stolen (a symbolic link)", "run_mine (a symbolic link)", "pipe (a named pipe)"):
        assert said in done.stderr
    assert unharmed(home, s3)


def test_a_socket_that_becomes_a_link_leads_nowhere(
    tesseract_cli: Cli, tesseract_image: Callable[[str], str], short_path: Path
) -> None:
    """Else a container could have the client, and its token, talk to another socket of the user's."""
    served = tesseract_cli("serve", tesseract_image("vectoradd"), "--socket", "--token", "hunter2")
    assert served.returncode == 0, served.stderr
    answer = json.loads(served.stdout)
    url = f"http+unix://{quote(answer['socket'], safe='')}"
    with socket.socket(socket.AF_UNIX) as private:
        private.bind(str(short_path / "agent"))
        private.listen()
        private.setblocking(False)
        podman("exec", answer["container_name"], "ln", "-sf", str(short_path / "agent"), "/run/tesseract/api.sock")
        with pytest.raises(requests.exceptions.ConnectionError, match="a symbolic link"):
            Tesseract.from_url(url, token="hunter2").health()
        with pytest.raises(BlockingIOError):
            private.accept()
    done = tesseract_cli("teardown", answer["container_name"])
    assert done.returncode == 0, done.stderr
    assert not Path(answer["socket"]).parent.exists()
    assert (short_path / "agent").exists()
