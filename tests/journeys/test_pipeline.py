"""Two Tesseracts in one network: one finds the other by its alias. The network goes with the last of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engine import podman, snapshot
from tesseract_core import Tesseract

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
# Not the name in the README: another test may be running its commands.
NETWORK = "pipeline-test"
PIPELINE = Path(__file__).resolve().parents[2] / "examples" / "pipeline"


@pytest.fixture(scope="module", autouse=True)
def images(tesseract_image: Callable[[str], str]) -> None:
    tesseract_image("pipeline/smoother")
    tesseract_image("pipeline/optimizer")


@pytest.fixture
def serve(tesseract_cli: Cli) -> Iterator[Callable[..., dict[str, Any]]]:
    """Serve in the network; returns what `tesseract serve` says of the container."""
    before = snapshot()
    names: list[str] = []

    def start(*args: str) -> dict[str, Any]:
        result = tesseract_cli("serve", "--network", NETWORK, *args)
        assert result.returncode == 0, result.stderr
        (container,) = json.loads(result.stdout)["containers"]
        names.append(container["name"])
        return container

    yield start
    assert tesseract_cli("teardown", *names).returncode == 0
    assert snapshot() == before, "containers and network are gone"


def test_one_tesseract_calls_another(serve: Callable[..., dict[str, Any]]) -> None:
    smoother = serve("--network-alias", "smoother", "smoother")
    optimizer = serve("optimizer")
    assert smoother["networks"].keys() == optimizer["networks"].keys() == {NETWORK}
    assert NETWORK in podman("network", "ls", "--format", "{{.Name}}").split()

    profile = [0.0, 0.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0]
    blurred = Tesseract.from_url(f"127.0.0.1:{smoother['port']}").apply({"profile": profile, "strength": 0.75})
    found = Tesseract.from_url(f"127.0.0.1:{optimizer['port']}").apply(
        {"profile": profile, "measured": blurred["smoothed"]}
    )
    assert found["strength"] == pytest.approx(0.75)
    assert found["misfit"] == pytest.approx(0, abs=1e-9)


def test_a_lone_optimizer_says_whom_it_misses(serve: Callable[..., dict[str, Any]], tesseract_cli: Cli) -> None:
    optimizer = serve("optimizer")
    inputs = json.loads((PIPELINE / "inputs.json").read_text())["inputs"]
    with pytest.raises(RuntimeError):
        Tesseract.from_url(f"127.0.0.1:{optimizer['port']}").apply(inputs)
    assert "smoother" in tesseract_cli("logs", optimizer["name"]).stdout
