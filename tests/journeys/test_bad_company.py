"""Images that print without end, crash or try to steer the terminal: what a user sees."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.engine import podman, snapshot
from support.images import remove_image

from tesseract.commands import run_tesseract
from tesseract.errors import ContainerError
from tesseract.serving import ServeRequest, ended, serve, teardown

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
EVIL = "fine\x1b]0;owned\x07\x1b[2J\r\u202e"
FORGED = "\x1b[2K [i] Serving Tesseract at http://evil"


@pytest.fixture(scope="module")
def image(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Tesseract that does what the variable DO says."""
    folder = tmp_path_factory.mktemp("context")
    (folder / "Containerfile").write_text(
        f'FROM {base_image}\nENV TESSERACT_NAME="{EVIL}" TESSERACT_VERSION="{EVIL}" TESSERACT_DESCRIPTION="{EVIL}"\n'
        'ENTRYPOINT ["/bin/bash", "-c", "eval \\"$DO\\""]\n'
    )
    podman("build", "--quiet", "--tag", "bad-company", str(folder))
    yield "bad-company"
    remove_image("bad-company")


@pytest.fixture(autouse=True)
def nothing_left(image: str) -> Iterator[None]:
    before = snapshot()
    yield
    assert snapshot() == before


def test_serve_shows_the_end_of_an_endless_output(tesseract_cli: Cli, image: str) -> None:
    served = tesseract_cli("serve", image, "-e", "DO=seq 3000000; echo why; exit 3", "--startup-timeout", "240")
    assert served.returncode == 1
    assert "stopped running during startup (exit code 3)" in served.stderr
    assert "only the last 100 lines are shown" in served.stderr
    assert "     2999990\n" in served.stderr
    assert "     why\n" in served.stderr
    assert len(served.stderr) < 70_000


def test_run_shows_all_of_a_long_output(tesseract_cli: Cli, image: str) -> None:
    do = "DO=seq 1000000 >&2; exit 3"
    ran = tesseract_cli("run", image, "apply", "{}", "-e", do)
    assert ran.returncode == 1
    lines = ran.stderr.splitlines()
    assert lines[-1_000_002:-2] == [f" [i] {number}" for number in range(1, 1_000_001)]
    assert lines[-2] == " [-] Error running Tesseract: 'apply' ended with status 3. Its output is above."
    quiet = tesseract_cli("--loglevel", "error", "run", image, "apply", "{}", "-e", do)
    assert quiet.stderr.splitlines()[0] == " [-] [... only the last 100 lines are shown ...]"
    assert len(quiet.stderr.splitlines()) == 103


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("SEGV", 139, "crashed: segmentation fault"),
        ("BUS", 135, r"bus error: /dev/shm is full \(\d+ MiB\), most likely; --shm-size gives a container more"),
        ("KILL", 137, r"killed by signal 9 \(SIGKILL\), perhaps out of memory"),
    ],
)
def test_an_end_by_a_signal_is_said_as_such(tesseract_cli: Cli, image: str, name: str, status: int, words: str) -> None:
    # Init takes the container's first process id, which no signal of its own ends.
    options = ["-e", f"DO=kill -{name} $$", "--engine-args", "--init"]
    ran = tesseract_cli("run", image, "apply", "{}", *options)
    assert re.search(rf"'apply' ended with status {status} \({words}\)\.", ran.stderr)
    assert "It gave no output." in ran.stderr
    served = tesseract_cli("serve", image, *options)
    assert re.search(rf"\(exit code {status}, {words}\)", served.stderr)


def test_how_a_container_ended_is_in_the_error_of_a_program(image: str) -> None:
    with pytest.raises(
        ContainerError, match=r"returned non-zero exit status 139 \(crashed: segmentation fault\)"
    ) as run:
        run_tesseract(image, "apply", ["{}"], environment={"DO": "seq 9999 >&2; kill -SEGV $$"}, docker_args=["--init"])
    assert len(run.value.stderr.splitlines()) == 9999
    assert len(str(run.value).splitlines()) == 102
    served = serve(ServeRequest(image=image, environment={"DO": "exit 137"}, skip_health_check=True))
    try:
        assert ended(served.container_name, 20).endswith(
            "has ended: killed by signal 9 (SIGKILL), perhaps out of memory. If memory was short, raise the limit with "
            "--memory."
        )
    finally:
        teardown(served.container_name)


def test_what_has_ended_is_listed_as_such(tesseract_cli: Cli, image: str) -> None:
    options = ["-e", "DO=kill -SEGV $$", "--engine-args", "--init", "--skip-health-check"]
    name = json.loads(tesseract_cli("serve", image, *options).stdout)["container_name"]
    try:
        podman("wait", name)
        listed = tesseract_cli("ps", "--format", "json")
        assert name not in listed.stdout
        assert f"{name} has ended (crashed: segmentation fault): see `tesseract logs {name}`" in listed.stderr
    finally:
        tesseract_cli("teardown", name)


def test_no_text_of_an_image_steers_the_terminal(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    forging = ["-e", f"DO=printf '{FORGED}\\n{FORGED}\\n' >&2; printf 'r\\033[2J'; exit 1"]
    commands = [["list"], ["serve", image, *forging], ["run", image, "apply", "{}", *forging]]
    for command in commands:
        ran = tesseract_cli(*command)
        assert not set("\x1b\x07\r\u202e") & set(ran.stderr)
        assert r"\x1b" in ran.stdout + ran.stderr
        assert "\n [i] Serving Tesseract at" not in ran.stderr
        if command[0] == "run":
            assert ran.stdout == "r\x1b[2J"  # the result is what it is
        else:
            assert "\x1b" not in ran.stdout
