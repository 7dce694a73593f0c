"""What the payloads of `tesseract run` and of served requests may read in a container."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.engine import snapshot
from support.stores import http_server

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
SAMPLES = Path(__file__).resolve().parents[2] / "examples/dataloader/testdata"
VOLUME = f"{SAMPLES}:/mnt/samples:ro"


def payload(pattern: str) -> str:
    return json.dumps({"inputs": {"data": f"@{pattern}"}})


@pytest.fixture(scope="module")
def image(tesseract_image: Callable[[str], str]) -> str:
    return tesseract_image("dataloader")


@pytest.fixture(autouse=True)
def nothing_left(tesseract_cli: Cli, image: str) -> Iterator[None]:
    before = snapshot()
    yield
    tesseract_cli("teardown", "--all")
    assert snapshot() == before


def test_run_reads_its_volumes(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    (tmp_path / "mounted.json").write_text(payload("/mnt/samples/*.json"))
    (tmp_path / "other.json").write_text(payload("/etc/*.json"))
    with http_server(tmp_path) as web:
        arguments = [payload("/mnt/samples/*.json"), f"@{tmp_path}/mounted.json", f"@{web}/mounted.json"]
        counts = set()
        for argument in arguments:
            done = tesseract_cli("run", image, "apply", argument, "--volume", VOLUME)
            assert done.returncode == 0, done.stderr
            counts.add(json.loads(done.stdout)["count"])
        assert len(counts) == 1
        refused = tesseract_cli("run", image, "apply", f"@{web}/other.json", "--volume", VOLUME)
        assert refused.returncode == 1
        assert "its operator allows the directory '/etc' with TESSERACT_BINREF_ROOTS" in refused.stderr


@pytest.mark.parametrize("roots", ["", "/mnt/samples"])
def test_serve_reads_the_volumes_that_the_setting_names(tesseract_cli: Cli, image: str, roots: str) -> None:
    done = tesseract_cli("serve", image, "--volume", VOLUME, "--env", f"TESSERACT_BINREF_ROOTS={roots}")
    assert done.returncode == 0, done.stderr
    (container,) = json.loads(done.stdout)["containers"]
    url = f"http://127.0.0.1:{container['port']}/apply"
    request = urllib.request.Request(url, payload("/mnt/samples/*.json").encode(), {"Content-Type": "application/json"})
    if roots:
        with urllib.request.urlopen(request, timeout=30) as response:
            assert json.load(response)["count"] > 0
        return
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code == 422
    assert "allows the directory '/mnt/samples' with TESSERACT_BINREF_ROOTS" in caught.value.read().decode()
