"""What engines say, and the words of their command lines."""

from __future__ import annotations

import pytest

from tesseract import errors
from tesseract.backends.refusals import engine_error
from tesseract.backends.text import build_failure, memory_bytes, short_reference
from tesseract.cli.progress import describe
from tesseract.cli.runtime_help import reworded
from tesseract.transfer.remote import reason, without_credentials

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
        (
            "pasta failed with exit code 1: Listen failed for HOST TCP port 127.0.0.1/18977: Address already in use",
            errors.PortInUse,
            "Port 18977",
        ),
        ("Listen failed for HOST TCP port [::1]/18978: Address already in use", errors.PortInUse, "Port 18978"),
        ("Listen failed for HOST TCP port 18979: Address already in use", errors.PortInUse, "Port 18979"),
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
            "Install the package uidmap",
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
        (
            "container-init binary not found on the host: stat /usr/libexec/podman/catatonit: no such file or "
            "directory",
            errors.EngineUnavailable,
            "Podman needs catatonit, which is not installed. Install the package catatonit.",
        ),
        (
            'could not find "netavark" in one of [/usr/libexec/podman].  To resolve this error, set helper',
            errors.EngineUnavailable,
            "Install the package netavark.",
        ),
        (
            'could not find slirp4netns, the network namespace can\'t be configured: exec: "slirp4netns": executable '
            "file not found in $PATH",
            errors.EngineUnavailable,
            "Install the package slirp4netns.",
        ),
        ('default OCI runtime "crun" not found: invalid', errors.EngineUnavailable, "Install the package crun."),
        (
            "could not find a working conmon binary (configured options: [/usr/libexec/podman/conmon])",
            errors.EngineUnavailable,
            "Install the package conmon.",
        ),
        # Files of the engine's own, or in the image: its words, for they are about no path that the user gave.
        (
            "crun: cannot stat `/opt/x`: stat /opt/x: no such file or directory: OCI runtime attempted to invoke",
            errors.APIError,
            "Podman refused: crun: cannot stat",
        ),
        (
            'exec: "tesseract-runtime": executable file not found in $PATH: OCI runtime attempted to invoke a command',
            errors.APIError,
            'Podman refused: exec: "tesseract-runtime": executable',
        ),
        (
            "reading blob: stat /home/a/.local/share/containers/storage/overlay/1/diff: no such file or directory",
            errors.APIError,
            "Podman refused: reading blob",
        ),
        ("statfs /my data: no such file or directory", errors.APIError, "Source path /my data does not exist"),
        (
            'failed to inject devices: failed to stat CDI host device "/dev/nvidia9": no such file or directory',
            errors.GpuNotFound,
            "device node /dev/nvidia9",
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


LONG = 40_000
HOSTILE = (
    "CDI device foo=bar not foun ",
    "a=",
    "stat/",
    "stat /a ",
    "statfs /",
    "bind source path does not exist: ",
    ": image not know",
    "no such container ",
    'container name "',
    'exec: "',
    'exec: "/a/',
    "could not find ",
    "HOST x port ",
    "address already in use listen x :1:1/",
    ":1",
    "network ",
    "unable to find network with name or ID x",
    "short-name x did not resolv ",
    "no subuid ranges found for user x",
    "failed to stat device /",
    "--mount=",
    "STEP 1/2: --mount=",
    "A.a",
    "aError",
    " # 0123456789ab",
)


@pytest.mark.timeout(60)  # what is not linear takes hours
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_long_text_takes_no_longer_for_being_hostile(piece: str) -> None:
    text = piece * LONG
    error = engine_error("Podman", text)
    assert len(str(error)) < len(text) or len(piece) < 3
    build_failure([text], text, [text], text)
    describe(text)
    describe(f"STEP 1/2: {text}")
    reworded(text, "x")
    reason(OSError(text))
    reason(OSError("x://" + text))
    without_credentials("://" + text)
    without_credentials(text + "://" * LONG + ":" * LONG + "@")


def test_a_long_text_is_quoted_with_its_beginning_and_its_end() -> None:
    said = str(engine_error("Podman", "begin " + "x" * 100_000 + " end"))
    assert said.startswith("Podman refused: begin xxx")
    assert said.endswith("xxx end")
    assert "characters ...]" in said
    assert len(said) < 5000


def test_memory() -> None:
    assert [memory_bytes(text) for text in ("512m", "2g", "1024", "1.5G", "6MB", "1kib")] == [
        512 << 20, 2 << 30, 1024, 3 << 29, 6 << 20, 1024,
    ]  # fmt: skip
    with pytest.raises(errors.InvalidValue, match="lots"):
        memory_bytes("lots")


def test_references_are_short() -> None:
    assert short_reference("localhost/mul:latest") == "mul:latest"
    assert short_reference("docker.io/library/debian:12") == "docker.io/library/debian:12"
