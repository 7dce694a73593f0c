"""The batch jobs of docs/hpc.md on a real SLURM: they compute, they end, and nothing of them stays on the node."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.engine import podman, snapshot
from support.pages import file_of

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.needs_slurm]

FOREVER = "import time; print('sweeping', flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def job(
    tesseract_image: Callable[[str], str], root_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A directory to submit from: the scripts of the page, and the examples that they name."""
    tesseract_image("vectoradd")
    for name in ("without_containers.sh", "with_podman.sh", "sweep.py"):
        (tmp_path / name).write_text(file_of(root_dir / "docs/hpc.md", name))
    (tmp_path / "examples").symlink_to(root_dir / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    before = snapshot()
    yield
    assert snapshot() == before


def output_of(script: str, *options: str) -> str:
    """Submit a job, wait for its end, and return what it printed."""
    submitted = ["sbatch", "--wait", "--quiet", "--output=job.out", *options, script]
    done = subprocess.run(submitted, capture_output=True, text=True, timeout=120, check=False)
    printed = Path("job.out").read_text()
    assert done.returncode == 0, done.stderr + printed
    return printed


@pytest.mark.parametrize("script", ["without_containers.sh", "with_podman.sh"])
def test_a_sweep(script: str) -> None:
    assert "5050.0" in output_of(script).splitlines()


def test_a_job_without_the_environment_of_a_login() -> None:
    printed = output_of("with_podman.sh", "--export=PATH,HOME,USER")
    assert "XDG_RUNTIME_DIR is not set" in printed
    assert "5050.0" in printed.splitlines()


@pytest.mark.parametrize("script", ["without_containers.sh", "with_podman.sh"])
def test_a_job_that_is_cancelled(script: str) -> None:
    Path("sweep.py").write_text(FOREVER)
    submitted = ["sbatch", "--parsable", "--output=job.out", script]
    number = subprocess.run(submitted, capture_output=True, text=True, check=True).stdout.strip()
    until(lambda: Path("job.out").exists() and "sweeping" in Path("job.out").read_text())
    assert ("tesseract-" in podman("ps", "--format", "{{.Names}}")) == (script == "with_podman.sh")
    subprocess.run(["scancel", number], check=True)
    until(lambda: number not in subprocess.run(["squeue", "--noheader"], capture_output=True, text=True).stdout)


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.2)
