"""Serve a Tesseract, find it, call it, read its logs, tear it down; nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engine import podman, snapshot

from tesseract.backends.select import get_backend

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
INPUTS = {"inputs": {"a": [1.0, 2.0], "b": [3.0, 4.0]}}


@pytest.fixture(scope="module")
def image(tesseract_image: Callable[[str], str]) -> str:
    return tesseract_image("vectoradd")


@pytest.fixture(autouse=True)
def nothing_left(tesseract_cli: Cli, image: str) -> Iterator[None]:
    before = snapshot()
    yield
    tesseract_cli("teardown", "--all")
    assert snapshot() == before


def serve(cli: Cli, *args: str | Path, **settings: Any) -> dict[str, Any]:
    """What `tesseract serve` prints."""
    result = cli("serve", *args, **settings)
    assert result.returncode == 0, result.stderr
    assert not result.stdout.endswith("\n")
    return json.loads(result.stdout)


def call(url: str, payload: Any = None, **headers: str) -> Any:
    body = None if payload is None else json.dumps(payload).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def test_from_serve_to_teardown(tesseract_cli: Cli, image: str) -> None:
    served = serve(tesseract_cli, "--num-workers", "2", image)
    name = served["container_name"]
    (container,) = served["containers"]
    assert container == {"name": name, "port": container["port"], "ip": "127.0.0.1", "networks": {}}
    url = f"http://127.0.0.1:{container['port']}"
    assert call(f"{url}/health") == {"status": "ok"}
    assert call(f"{url}/apply", INPUTS)["result"]["data"]["buffer"] == [4.0, 6.0]

    row = next(
        row for row in json.loads(tesseract_cli("ps", "--format", "json").stdout) if row["container_name"] == name
    )
    assert row["host_address"] == f"127.0.0.1:{container['port']}"
    table = tesseract_cli("ps").stdout.splitlines()
    assert table[0].split("  ")[0] == "ID"
    assert "Host Address" in table[0]
    assert any(name in line for line in table[1:])

    assert tesseract_cli("logs", name).returncode == 0
    gone = tesseract_cli("teardown", name)
    assert (gone.returncode, gone.stdout) == (0, "")
    assert name in gone.stderr
    assert name not in tesseract_cli("ps").stdout


SLOW = """
import time
from pydantic import BaseModel
class InputSchema(BaseModel): seconds: float
class OutputSchema(BaseModel): said: str
def apply(inputs):
    print("computing", flush=True)
    time.sleep(inputs.seconds)
    return OutputSchema(said="done")
"""


@pytest.mark.parametrize(("seconds", "answered"), [(1, True), (600, False)])
def test_teardown_waits_a_moment_for_calls(
    tesseract_cli: Cli, image: str, tmp_path: Path, seconds: float, answered: bool
) -> None:
    (tmp_path / "tesseract_api.py").write_text(SLOW)
    api = ("--volume", f"{tmp_path}:/api:ro", "--env", "TESSERACT_API_PATH=/api/tesseract_api.py")
    served = serve(tesseract_cli, *api, image)
    name, port = served["container_name"], served["containers"][0]["port"]
    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(call(f"http://127.0.0.1:{port}/apply", {"inputs": {"seconds": seconds}}))
        except OSError:
            answers.append(None)

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(100):
        if "computing" in tesseract_cli("logs", name).stdout:
            break
    else:
        pytest.fail("the call did not begin")
    assert tesseract_cli("teardown", name).returncode == 0
    asking.join()
    assert answers == [{"said": "done"} if answered else None]


def test_list_names_the_image(tesseract_cli: Cli, image: str) -> None:
    rows = json.loads(tesseract_cli("list", "--format", "json").stdout)
    row = next(row for row in rows if row["name"] == image)
    assert f"{image}:latest" in row["tags"]
    assert row["size"] > 1e6
    header, *lines = tesseract_cli("list").stdout.splitlines()
    assert header.split()[:4] == ["ID", "Tags", "Name", "Version"]
    assert any(row["id"][:12] in line for line in lines)


def test_two_at_once(tesseract_cli: Cli, image: str) -> None:
    results: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: results.append(serve(tesseract_cli, image))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [result["container_name"] for result in results]
    assert len(set(names)) == 2
    both = tesseract_cli("teardown", *names)
    assert both.returncode == 0
    assert all(name in both.stderr for name in names)


def test_a_port_of_a_range(tesseract_cli: Cli, image: str) -> None:
    ports = {serve(tesseract_cli, "-p", "51310-51311", image)["containers"][0]["port"] for _ in range(2)}
    assert ports == {"51310", "51311"}  # both ends of the range
    full = tesseract_cli("serve", "-p", "51310-51311", image)
    assert full.returncode == 1
    assert "No free ports found in range 51310-51311" in full.stderr


def test_socket_without_any_network(tesseract_cli: Cli, image: str) -> None:
    served = serve(tesseract_cli, "--socket", "--network", "none", image)
    assert served["containers"][0]["port"] is None
    socket = Path(served["socket"])
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    answer = subprocess.run(
        ["curl", "-sf", "--unix-socket", socket, "http://localhost/health"], capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout) == {"status": "ok"}
    assert tesseract_cli("teardown", served["container_name"]).returncode == 0
    assert not socket.parent.exists()


def test_token(tesseract_cli: Cli, image: str) -> None:
    served = serve(tesseract_cli, "--token", "auto", image)
    url = f"http://127.0.0.1:{served['containers'][0]['port']}/apply"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        call(url, INPUTS)
    assert call(url, INPUTS, Authorization=f"Bearer {served['token']}")["result"]["data"]["buffer"] == [4.0, 6.0]


def test_named_network_comes_and_goes(tesseract_cli: Cli, image: str) -> None:
    first = serve(tesseract_cli, "--network", "tess-journey", "--network-alias", "adder", image)
    second = serve(tesseract_cli, "--network", "tess-journey", image)
    address = first["containers"][0]["networks"]["tess-journey"]
    assert address["port"] == "8000"
    code = "import sys, urllib.request as u; print(u.urlopen('http://adder:8000/health', timeout=10).read().decode())"
    assert '"ok"' in podman("exec", second["container_name"], "python3", "-c", code)
    tesseract_cli("teardown", first["container_name"])
    assert "tess-journey" in podman("network", "ls")
    tesseract_cli("teardown", second["container_name"])
    assert "tess-journey" not in podman("network", "ls")


def test_host_network_reports_the_real_port(tesseract_cli: Cli, image: str) -> None:
    (container,) = serve(tesseract_cli, "--network", "host", image)["containers"]
    assert container["ip"] == "127.0.0.1"
    assert call(f"http://127.0.0.1:{container['port']}/health") == {"status": "ok"}
    assert f"127.0.0.1:{container['port']}" in tesseract_cli("ps").stdout


def test_output_files_belong_to_the_caller(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    (container,) = serve(tesseract_cli, "-o", out, "-f", "json+binref", image)["containers"]
    answer = call(f"http://127.0.0.1:{container['port']}/apply", INPUTS)
    assert answer["result"]["data"]["encoding"] == "binref"
    files = [path for path in out.rglob("*") if path.is_file()]
    assert files
    assert {path.stat().st_uid for path in files} == {os.getuid()}


def test_skip_health_check(tesseract_cli: Cli, image: str) -> None:
    assert tesseract_cli("serve", "--skip-health-check", image).returncode == 0


def test_a_memory_limit_that_is_ignored_is_said_once(tesseract_cli: Cli, image: str) -> None:
    expected = 0 if get_backend("podman").limits_memory() else 1
    for command in (["serve", "--skip-health-check", image], ["run", image, "health"]):
        done = tesseract_cli(*command, "--memory", "1g")
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("The memory limit of 1g has no effect") == expected
        assert "no effect" not in tesseract_cli(*command).stderr


def test_raw_engine_arguments(tesseract_cli: Cli, image: str) -> None:
    served = serve(tesseract_cli, image, "--runtime-args", "--label site=lab --hostname 'adder'")
    inspected = json.loads(podman("inspect", served["container_name"]))[0]
    assert inspected["Config"]["Labels"]["site"] == "lab"
    assert inspected["Config"]["Hostname"] == "adder"


def test_nothing_secret_is_in_an_argument_list(
    tesseract_cli: Cli, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "arguments"
    wrapper = tmp_path / "bin/podman"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{log}\nexec {shutil.which("podman")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TESSERACT_TOKEN", "hunter2-token")
    key = "-----BEGIN KEY-----\nhunter2 'key'\n"
    options = ["--env", 'PASSWORD=hunter2 # ="', "--env", f"KEY={key}", "--env", "EMPTY="]
    served = serve(tesseract_cli, image, "--engine-args", "--hostname adder -e MORE=hunter2", *options)
    assert "--hostname" in log.read_text()
    assert "hunter2" not in log.read_text()
    (container,) = json.loads(podman("inspect", served["container_name"]))
    env = dict(line.split("=", 1) for line in container["Config"]["Env"])
    assert (env["PASSWORD"], env["KEY"], env["EMPTY"], env["MORE"]) == ('hunter2 # ="', key, "", "hunter2")
    url = f"http://127.0.0.1:{served['containers'][0]['port']}/apply"
    assert call(url, INPUTS, Authorization="Bearer hunter2-token")["result"]["data"]["buffer"] == [4.0, 6.0]
    refused = tesseract_cli("serve", image, "--engine-args", "--hostname adder", "--env", f"LD_PRELOAD={key}")
    assert (refused.returncode, "LD_PRELOAD" in refused.stderr) == (1, True)


def test_a_name_of_ones_own_choice(tesseract_cli: Cli, image: str) -> None:
    served = serve(tesseract_cli, image, "--socket", "--engine-args", "--name own-choice")
    assert served["container_name"] == "own-choice"
    directory = Path(served["socket"]).parent
    os.utime(directory, (0, 0))
    pruned = tesseract_cli("prune", "--dry-run", "--format", "json")
    assert pruned.returncode == 0, pruned.stderr
    assert str(directory) not in pruned.stdout
    assert tesseract_cli("teardown", "--all").returncode == 0
    assert not directory.exists()
    assert "own-choice" not in podman("ps", "-a", "--format", "{{.Names}}")


def test_teardown_all_takes_stopped_ones_but_not_strangers(tesseract_cli: Cli, image: str) -> None:
    mine = serve(tesseract_cli, image)["container_name"]
    podman("stop", "-t0", mine)
    stranger = podman("run", "-d", "--entrypoint", "sleep", image, "60").strip()
    try:
        result = tesseract_cli("teardown", "--all")
        assert mine in result.stderr
        assert stranger in podman("ps", "-q", "--no-trunc")
        assert tesseract_cli("teardown", stranger).returncode == 0  # by name, any Tesseract
    finally:
        podman("rm", "-f", "-i", "-t0", stranger)
    again = tesseract_cli("teardown", "--all")
    assert (again.returncode, again.stdout) == (0, "")


def test_orphans(tesseract_cli: Cli, image: str) -> None:
    kept = serve(tesseract_cli, image)["container_name"]
    code = (
        "from tesseract import serving; from tesseract.serving import process\n"
        f"r = serving.ServeRequest(image={image!r}, owner=process.current())\n"
        "print(serving.serve(r).container_name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    orphan = done.stdout.strip()
    result = tesseract_cli("teardown", "--orphaned")
    assert orphan in result.stderr
    assert kept in tesseract_cli("ps").stdout  # what `serve` started belongs to no process
