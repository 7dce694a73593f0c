"""A CI job that is a container itself: rootless Podman inside rootless Podman, with the flags that docs/ci.md names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(600)]

IMAGE = "localhost/podman-in-podman-test"
FLAGS = ["--privileged", "--user", "ci", "--device", "/dev/fuse", "--device", "/dev/net/tun"]


@pytest.fixture(scope="module")
def outer_image(base_image: str, root_dir: Path) -> Iterator[str]:
    subprocess.run(
        ["podman", "build", "-q", "--pull=never", "-t", IMAGE, root_dir / "containers" / "ci"], check=True, timeout=400
    )
    yield IMAGE
    subprocess.run(["podman", "rmi", "-f", IMAGE], capture_output=True, check=False)


def test_a_tesseract_runs_and_is_served_in_a_nested_container(
    outer_image: str, tesseract_image: Callable[[str], str], root_dir: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    name = tesseract_image("vectoradd")
    subprocess.run(["podman", "save", "-q", "-o", archive, f"localhost/{name}:latest"], check=True, timeout=120)
    script = """
        set -e
        podman load -q -i /image.tar >&2
        tesseract run vectoradd apply '{"inputs": {"a": [1], "b": [2]}}'; echo
        name=$(tesseract serve vectoradd | python3 -c 'import json, sys; print(json.load(sys.stdin)["container_name"])')
        tesseract ps --format json
        tesseract teardown "$name"
        podman ps -aq
    """
    read_only = [f"{path}:{path}:ro" for path in {sys.prefix, str(root_dir)}]
    mounts = [part for spec in (*read_only, f"{archive}:/image.tar:ro") for part in ("-v", spec)]
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(
        ["podman", "run", "--rm", *FLAGS, *mounts, "-e", f"PATH={path}", outer_image, "bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    applied, served = done.stdout.splitlines()
    assert '"buffer":[3.0]' in applied
    assert '"container_name"' in served
