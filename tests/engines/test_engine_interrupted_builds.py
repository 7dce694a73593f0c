"""A build that is cut off in the middle of a step: what it had begun ends and goes, what others do stays."""

from __future__ import annotations

import secrets
import subprocess
import threading
from pathlib import Path

import pytest

from tesseract.backends.base import Backend
from tesseract.backends.select import get_backend
from tesseract.backends.spec import BuildSpec

pytestmark = pytest.mark.needs_engine("podman")


def steps_running(word: str) -> list[str]:
    """Processes whose command line has `word`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if (
                word in (line := path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                and "podman" not in line
            ):
                found.append(line)
        except OSError:
            continue
    return found


def working_containers() -> set[str]:
    words = ["podman", "ps", "-a", "--external", "--no-trunc", "--format", "{{.ID}}"]
    return set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())


def step_directories() -> set[Path]:
    """What Buildah makes for a step while it runs."""
    return set(Path.home().glob(".cache/tesseract/build/buildah[0-9]*"))


def spec(folder: Path, base: str, step: str) -> BuildSpec:
    folder.mkdir()
    (folder / "Containerfile").write_text(f"FROM {base}\nRUN echo begun && {step}\n")
    return BuildSpec(folder, folder / "Containerfile", (), pull="never")


@pytest.mark.parametrize("backend", ["podman"], indirect=True)
def test_an_interrupted_build_leaves_nothing_and_another_one_goes_on(
    backend: Backend, base_image: str, tmp_path: Path
) -> None:
    ours, theirs = f"/tmp/{secrets.token_hex(6)}", f"/tmp/{secrets.token_hex(6)}"
    before, steps_before = working_containers(), step_directories()
    begun, built = threading.Event(), []

    def build_another() -> None:
        def on_line(line: str) -> None:
            if line == "begun":
                begun.set()

        # It waits for a file that appears in its own root once the other build has been interrupted.
        step = f"for i in $(seq 600); do test -e /go/{theirs} && exit 0; sleep 0.1; done; exit 1"
        wanted = spec(tmp_path / "theirs", base_image, step)
        go = tmp_path / "go"
        go.mkdir()
        words = (f"--volume={go}:/go",)
        built.append(get_backend("podman").build(BuildSpec(**{**vars(wanted), "raw_args": words}), on_line))

    other = threading.Thread(target=build_another)
    other.start()
    assert begun.wait(60)

    def interrupt(line: str) -> None:
        if line == "begun":
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            backend.build(spec(tmp_path / "ours", base_image, f"sleep 300 {ours} || sleep 300; echo {ours}"), interrupt)
        assert steps_running(ours) == []
        assert len(working_containers() - before) == 1, "the working container of the other build"
    finally:
        target = tmp_path / "go" / theirs.lstrip("/")
        target.parent.mkdir()
        target.touch()
        other.join(90)
    assert working_containers() == before
    assert step_directories() == steps_before
    backend.remove_if_unused(built[0])
