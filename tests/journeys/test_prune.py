"""What killed builds and programs leave goes with the next build, or with `tesseract prune`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.builds import podman, write_project

from tesseract.backends.select import get_backend
from tesseract.images import buildcache, unfinished

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(600), pytest.mark.usefixtures("shared_layers")]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
CONFIG = 'name: test-prune\nbuild_config: {custom_build_steps: ["RUN STEP"]}\n'


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Temporary files and caches of this test alone."""
    for name in ("tmp", "cache"):
        (tmp_path / name).mkdir()
    return {"TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def kill_a_build(folder: Path, places: dict[str, str]) -> None:
    """Start a build, and kill it while a step runs."""
    command = [Path(sys.executable).parent / "tesseract", "--loglevel", "debug", "build", folder]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **places})
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip().endswith("now"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


def left(places: dict[str, str]) -> list[str]:
    found = [path.name for path in Path(places["TMPDIR"]).glob("tesseract*")]
    return found + [path.name for path in Path(places["XDG_CACHE_HOME"], "tesseract/builds").glob("*")]


def working_containers() -> set[str]:
    return set(podman("ps", "-a", "--external", "-q").split())


def test_a_killed_build(tesseract_cli: Cli, base_image: str, places: dict[str, str], tmp_path: Path) -> None:
    before = working_containers()
    folder = write_project(tmp_path / "slow", CONFIG.replace("STEP", "echo now && sleep 100"))
    kill_a_build(folder, places)
    assert left(places)
    shown = tesseract_cli("prune", "--dry-run", "--format", "json", env=places)
    assert shown.returncode == 0, shown.stderr
    builds = [item for item in json.loads(shown.stdout) if item["kind"] == "build"]
    assert [(item["state"], item["size"] > 10_000) for item in builds] == [("found", True)]
    assert left(places)
    pruned = tesseract_cli("prune", env=places)
    assert pruned.returncode == 0, pruned.stderr
    assert left(places) == []
    assert working_containers() == before
    assert "Freed" in pruned.stderr
    again = tesseract_cli("prune", "--format", "json", env=places)
    assert (again.stdout, "Freed nothing" in again.stderr) == ("[]\n", True)

    kill_a_build(folder, places)
    failing = write_project(tmp_path / "failing", CONFIG.replace("STEP", "false"))
    assert tesseract_cli("build", failing, env=places).returncode == 1
    assert left(places) == []
    assert working_containers() == before


def test_what_builds_fetch_is_bounded(places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Emptied when it is too large, unless another build may be reading it."""
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    backend = get_backend("podman")
    cache = backend.build_cache()
    assert cache is not None
    (cache / "a").mkdir(parents=True)
    (cache / "a/wheel").write_bytes(bytes(1_000_000))
    with unfinished.begun() as ours:
        monkeypatch.setenv("TESSERACT_BUILD_CACHE_LIMIT", "2000000")
        buildcache.bound(backend, ours)
        monkeypatch.setenv("TESSERACT_BUILD_CACHE_LIMIT", "1000")
        with unfinished.begun():
            buildcache.bound(backend, ours)
        assert cache.exists()
        buildcache.bound(backend, ours)
    assert list(cache.parent.iterdir()) == []


def test_what_has_no_use_any_more(tesseract_cli: Cli, base_image: str, places: dict[str, str], tmp_path: Path) -> None:
    """Runtime directories and temporary files of who is gone; what builds have fetched. What is young stays."""
    runtime = Path(os.environ["XDG_RUNTIME_DIR"], "tesseract")
    old, young = runtime / f"tesseract-{'a' * 12}", runtime / f"tesseract-{'b' * 12}"
    try:
        left_behind, working = (Path(places["TMPDIR"], f"tesseract_secrets_{name * 8}") for name in "ab")
        of_the_user = Path(places["TMPDIR"], "tesseract_runtime_data")
        for path in (old, young, left_behind, working, of_the_user):
            path.mkdir()
        os.utime(old, (time.time() - 3600,) * 2)
        for path in (left_behind, of_the_user):
            os.utime(path, (time.time() - 3 * 86400,) * 2)
        cache = Path(places["TMPDIR"], f"containers-build-{os.getuid()}/buildah-cache/a")
        cache.mkdir(parents=True)
        (cache / "wheel").write_bytes(bytes(1_000_000))
        pruned = tesseract_cli("prune", "--format", "json", env=places)
        assert pruned.returncode == 0, pruned.stderr
        items = {item["kind"]: item for item in json.loads(pruned.stdout)}
        assert items["runtime directory"]["name"] == str(old)
        assert items["temporary files"]["name"] == str(left_behind)
        assert items["build cache"]["size"] >= 1_000_000
        places_of_who_is_gone, of_who_is_not = (old, left_behind, cache), (young, working, of_the_user)
        assert not any(path.exists() for path in places_of_who_is_gone)
        assert all(path.exists() for path in of_who_is_not)
    finally:
        young.rmdir()
