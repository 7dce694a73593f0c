"""What engines say, and the words of their command lines."""

from __future__ import annotations

import pytest

from tesseract import errors
from tesseract.backends.text import engine_error, memory_bytes, short_reference

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ("rootlessport listen tcp 127.0.0.1:18060: bind: address already in use", errors.PortInUse, "Port 18060"),
        (
            "driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:8080 failed: port is "
            "already allocated",
            errors.PortInUse,
            "Port 8080",
        ),
        (
            "pasta failed with exit code 1:\nFailed to bind port 47075 (Address already in use) for option "
            "'-t 127.0.0.1/47075-47075:8000-8000'\n",
            errors.PortInUse,
            "Port 47075",
        ),
        ("rootlessport cannot expose privileged port 80, you can add...", errors.APIError, "Port 80 is privileged"),
        (
            'creating container storage: the container name "a" is already in use by 0123. You have to remove it',
            errors.NameInUse,
            "'a'",
        ),
        ('Conflict. The container name "/b" is already in use by container "01"', errors.NameInUse, "'b'"),
        (
            "setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=7",
            errors.GpuNotFound,
            "'nvidia.com/gpu=7'",
        ),
        ('could not select device driver "" with capabilities: [[gpu]]', errors.GpuNotFound, "nvidia-ctk"),
        ("localhost/nope: image not known", errors.ImageNotFound, "localhost/nope"),
        ("No such image: nope:latest", errors.ImageNotFound, "nope:latest"),
        ('short-name "x" did not resolve to an alias', errors.ImageNotFound, "Image x not found"),
        ('no container with name or ID "c" found: no such container', errors.ContainerNotFound, "Container c"),
        ("No such container: d", errors.ContainerNotFound, "Container d"),
        ("unable to find network with name or ID pasta: network not found", errors.NetworkNotFound, "pasta"),
        ("network lab not found", errors.NetworkNotFound, "lab"),
        (
            'command required for rootless mode with multiple IDs: exec: "newuidmap": executable file not found',
            errors.EngineUnavailable,
            "Install uidmap",
        ),
        (
            'cannot find UID/GID for user dave: no subuid ranges found for user "dave" in /etc/subuid - check rootless',
            errors.EngineUnavailable,
            "--add-subgids 100000-165535 dave",
        ),
        (
            "keep-id requires additional UIDs or GIDs defined in /etc/subuid and /etc/subgid to function correctly",
            errors.EngineUnavailable,
            "podman system migrate",
        ),
        (
            'invalid internal status, try resetting the pause process with "podman system migrate": could not find any '
            "running process: no such process",
            errors.EngineUnavailable,
            "Run 'podman system migrate'",
        ),
        ("statfs /x: no such file or directory", errors.APIError, "Source path /x does not exist"),
        (
            'invalid mount config for type "bind": bind source path does not exist: /y',
            errors.APIError,
            "Source path /y does not exist",
        ),
        ("something\n  new", errors.APIError, "Podman refused: something new"),
    ],
)
def test_what_engines_say_becomes_one_line(said: str, kind: type[errors.EngineError], told: str) -> None:
    error = engine_error("Podman", f"Error: {said}")
    assert type(error) is kind
    assert told in str(error)
    assert "\n" not in str(error)


def test_memory() -> None:
    assert [memory_bytes(text) for text in ("512m", "2g", "1024", "1.5G", "6MB", "1kib")] == [
        512 << 20, 2 << 30, 1024, 3 << 29, 6 << 20, 1024,
    ]  # fmt: skip
    with pytest.raises(errors.InvalidValue, match="lots"):
        memory_bytes("lots")


def test_references_are_short() -> None:
    assert short_reference("localhost/mul:latest") == "mul:latest"
    assert short_reference("docker.io/library/debian:12") == "docker.io/library/debian:12"
