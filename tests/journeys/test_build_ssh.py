"""A dependency in a private git repository: the caller's SSH agent is lent to its installation, and to nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.builds import inside, traces, write_project
from support.images import remove_image
from support.repositories import write_repository
from support.ssh import ssh_agent, ssh_server

pytestmark = [
    pytest.mark.needs_engine("podman"),
    pytest.mark.needs("sshd", "ssh-agent", "git"),
    pytest.mark.usefixtures("shared_layers"),
]

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
NETWORK = {"TESSERACT_DOCKER_BUILD_ARGS": "--network=host"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ssh")


@pytest.fixture(scope="module")
def project(folder: Path) -> Iterator[Path]:
    """A project that needs a package which only the holder of `folder/key` can fetch."""
    bare = write_repository(folder, "privatething")
    with ssh_server(folder) as url:
        requirement = f"privatething @ git+{url}{bare}\n"
        yield write_project(folder / "project", "name: test-build-ssh\n", requirement)


def test_private_repository(tesseract_cli: Cli, base_image: str, project: Path, folder: Path, short_path: Path) -> None:
    context = folder / "context"
    try:
        with ssh_agent(short_path, folder / "key") as agent:
            environment = {**NETWORK, "SSH_AUTH_SOCK": agent}
            words = ["build", "--forward-ssh-agent", "--build-dir", context, project]
            built = tesseract_cli(*words, env=environment, timeout=900)
        assert built.returncode == 0, built.stderr
        assert inside("test-build-ssh", "python -c 'import privatething; print(privatething.x)'") == "1\n"
        # The key, the agent and what was needed to reach the repository are nowhere.
        secret_lines = (folder / "key").read_text().splitlines()[1:-1]
        assert traces("test-build-ssh", [*secret_lines, "key of a test", agent], context) == []
        assert inside("test-build-ssh", "ls -A /tmp; which git ssh; find / -xdev -name known_hosts", "--user=0:0") == ""
    finally:
        remove_image("test-build-ssh")


def test_without_the_flag_the_error_names_it(tesseract_cli: Cli, base_image: str, project: Path) -> None:
    refused = tesseract_cli("build", project, env={**NETWORK, "SSH_AUTH_SOCK": ""}, timeout=900)
    assert refused.returncode == 1
    assert "--forward-ssh-agent" in refused.stderr.splitlines()[-2]


def test_no_agent_and_an_empty_one(tesseract_cli: Cli, project: Path, short_path: Path) -> None:
    def refused(environment: dict[str, str]) -> list[str]:
        result = tesseract_cli("build", "--forward-ssh-agent", project, env=environment)
        assert (result.returncode, result.stdout) == (1, "")
        return result.stderr.splitlines()

    assert "SSH_AUTH_SOCK is not set" in refused({"SSH_AUTH_SOCK": ""})[0]
    empty = [" [-] No SSH keys found in SSH agent (try running `ssh-add`)", " [x] Aborting"]
    with ssh_agent(short_path) as agent:
        assert refused({"SSH_AUTH_SOCK": agent}) == empty
    assert refused({"SSH_AUTH_SOCK": agent}) == empty  # an agent that has ended
