"""What engines are asked for, as golden files: the API payload and the argument list, for both drivers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.golden import check_golden

from tesseract.backends.docker import builds as docker_builds
from tesseract.backends.docker import render as docker
from tesseract.backends.docker.gpus import DeviceRequest, device_request
from tesseract.backends.podman import builds as podman_builds
from tesseract.backends.podman import render as podman
from tesseract.backends.spec import (
    BuildSecret,
    BuildSpec,
    ContainerSpec,
    GpuRequest,
    Mount,
    NetworkAttachment,
    PortBinding,
    UserMapping,
)
from tesseract.errors import GpuNotFound

pytestmark = pytest.mark.fast

GOLDEN = Path(__file__).parent / "golden" / "backends"

PLAIN = ContainerSpec(
    image="sha256:0123",
    name="tesseract-0123456789ab",
    command=("serve", "--port", "8000", "--host", "0.0.0.0"),
    env={"TESSERACT_NAME": "two words"},
    labels={"org.tesseract.uid": "1000"},
    ports=(PortBinding(8000),),
    user=UserMapping(1000, 1000),
)
FULL = replace(
    PLAIN,
    mounts=(
        Mount("bind", "/home/me/in puts", "/tesseract/input_data", read_only=True),
        Mount("bind", "/home/me/out", "/tesseract/output_data", options=("z",)),
        Mount("volume", "cache", "/cache"),
        Mount("volume", "models", "/models", read_only=True),
        Mount("tmpfs", "", "/scratch", options=("size=16m",)),
    ),
    ports=(PortBinding(8000, "0.0.0.0", 8080), PortBinding(5678)),
    network=NetworkAttachment("named", "lab", aliases=("solver", "solver2")),
    user=UserMapping(1000, 1000, 4242, 4243),
    gpus=GpuRequest(("all",)),
    memory="512m",
    shm_size="1.5g",
    read_only_root=True,
    entrypoint=("python3", "-u"),
    extra_hosts={"licence": "10.0.0.1"},
    stop_timeout=2,
    env={**PLAIN.env, "HOME": "/home/somebody"},
)
HOST = replace(PLAIN, network=NetworkAttachment("host"), user=UserMapping(1000, 1000, userns="host"), remove=True)
ROOT = replace(PLAIN, network=NetworkAttachment("none"), user=UserMapping(1000, 1000, 0, 0), ports=())
RAW_NETWORK = replace(PLAIN, network=NetworkAttachment("raw", "slirp4netns:allow_host_loopback=true"), user=None)
SPECS = {"plain": PLAIN, "full": FULL, "host": HOST, "root": ROOT, "raw-network": RAW_NETWORK}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("rootless", [True, False], ids=["rootless", "rootful"])
def test_podman(name: str, rootless: bool) -> None:
    gpus = ("nvidia.com/gpu=all",) if SPECS[name].gpus else ()
    payload = podman.create_payload(SPECS[name], rootless=rootless, has_groups=name == "full", gpus=gpus)
    raw = replace(SPECS[name], raw_args=("--env", "RAW=1"))
    words = podman.create_arguments(raw, rootless=rootless, has_groups=name == "full", gpus=gpus)
    kind = "rootless" if rootless else "rootful"
    check_golden(GOLDEN / f"podman-{kind}-{name}.json", json.dumps(payload, indent=1) + "\n")
    check_golden(GOLDEN / f"podman-{kind}-{name}.args", "\n".join(words) + "\n")


@pytest.mark.parametrize("name", [name for name in SPECS if name != "raw-network"])
@pytest.mark.parametrize("rootless", [True, False], ids=["rootless", "rootful"])
def test_docker(name: str, rootless: bool) -> None:
    gpus = DeviceRequest(True, ("nvidia.com/gpu=all",)) if SPECS[name].gpus else None
    payload = docker.create_payload(SPECS[name], rootless=rootless, groups=(29, 44), gpus=gpus)
    raw = replace(SPECS[name], raw_args=("--env", "RAW=1"))
    words = docker.create_arguments(raw, rootless=rootless, groups=(29, 44), gpus=gpus)
    kind = "rootless" if rootless else "rootful"
    check_golden(GOLDEN / f"docker-{kind}-{name}.json", json.dumps(payload, indent=1) + "\n")
    check_golden(GOLDEN / f"docker-{kind}-{name}.args", "\n".join(words) + "\n")


def test_the_users_network_replaces_ours() -> None:
    spec = replace(FULL, raw_args=("--network=other",))
    for words in (podman.create_arguments(spec, rootless=True), docker.create_arguments(spec, rootless=False)):
        assert [word for word in words if word.startswith("--network")] == ["--network=other"]


BUILD = BuildSpec(
    Path("/ctx"),
    Path("/ctx/Containerfile"),
    ("localhost/a:1", "a:latest"),
    secrets=(BuildSecret("ca", src=Path("/etc/ca.crt")), BuildSecret("token", env="TOKEN")),
    ssh=("default=/run/agent",),
    platform="linux/arm64",
    pull="never",
    build_args={"X": "1 2"},
    raw_args=("--no-cache",),
)


def test_builds() -> None:
    check_golden(GOLDEN / "podman-build.args", "\n".join(podman_builds.build_arguments(BUILD)) + "\n")
    check_golden(GOLDEN / "docker-build.args", "\n".join(docker_builds.build_arguments(BUILD)) + "\n")


PODMAN_STEP = "RUN --mount=type=bind,target=/run/tesseract sh /run/install.sh requirements r.txt # 4356bb943fa3"
PODMAN_RAN = f'Error: building at STEP "{PODMAN_STEP}": while running runtime: exit status 1'


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (
            ["error: No solution found", "  cause: x is not in the registry", PODMAN_RAN],
            "error: No solution found; cause: x is not in the registry",
        ),
        (
            ["  × No solution found:", "  ╰─▶ Because x was not found", PODMAN_RAN],
            "× No solution found:; ╰─▶ Because x was not found",
        ),
        (
            [
                "error: Failed to build `x`",
                "  cause: git failed",
                "         --- stderr",
                "         No key.",
                "",
                PODMAN_RAN,
            ],
            "error: Failed to build `x`; No key.",
        ),
        (["E: Unable to locate package x", "cleaning up", PODMAN_RAN], "E: Unable to locate package x"),
        (["Traceback (most recent call last):", "x.y.OddError: no", PODMAN_RAN], "x.y.OddError: no"),
        (["nothing to see", PODMAN_RAN], "exit status 1"),
    ],
)
def test_why_a_podman_build_failed(log: list[str], line: str) -> None:
    error = podman_builds.failure(["STEP 1/2: FROM x", "error: of before", f"STEP 2/2: {PODMAN_STEP}", *log], 1)
    assert error.reason == line
    assert error.headline == f"Image build failed at `RUN sh /run/install.sh requirements r.txt`: {line}"


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (
            [
                "STEP 3/4: RNU echo",
                'Error: building at STEP "RNU ": Build error: Unknown instruction: "RNU" &imagebuilder.Step{}',
            ],
            'Image build failed at `RNU echo`: Unknown instruction: "RNU"',
        ),
        (["Error: no such file"], "Image build failed: no such file"),
        ([], "Image build failed: exit status 9"),
    ],
)
def test_what_podman_itself_says(log: list[str], line: str) -> None:
    assert podman_builds.failure(log, 9).headline == line


DOCKER_RAN = "#4 ERROR: executor failed running [/bin/sh -c sh install.sh; exit 3]: exit code: 3"


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (["#4 0.5 error: No solution", "#4 0.5   cause: it", DOCKER_RAN], "error: No solution; cause: it"),
        (["#4 0.5 hello", DOCKER_RAN, "------", "executor failed running"], "exit status 3"),
        (['#4 ERROR: "/nosuch" not found: not found'], '"/nosuch" not found: not found'),
    ],
)
def test_why_a_docker_build_failed(log: list[str], line: str) -> None:
    before = ["#5 [1/2] FROM x", "#5 CACHED", "", "#4 [2/2] RUN --mount=type=cache,target=/c sh install.sh"]
    assert docker_builds.failure([*before, *log], 1).headline == f"Image build failed at `RUN sh install.sh`: {line}"


def test_what_docker_itself_says() -> None:
    parse = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: unknown instruction: RNU"
    assert docker_builds.failure(["#1 DONE", parse], 1).headline == "Image build failed: unknown instruction: RNU"


def test_gpus_of_a_docker_without_cdi() -> None:
    assert device_request(("all",), {}, True).payload() == {"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}
    some = device_request(("0", "nvidia.com/gpu=GPU-8a5f"), {}, True)
    assert some.payload() == {"Driver": "", "DeviceIDs": ["0", "GPU-8a5f"], "Capabilities": [["gpu"]]}
    assert some.arguments() == ['--gpus="device=0,GPU-8a5f"']
    with pytest.raises(GpuNotFound, match="knows no CDI"):
        device_request(("example.com/npu=0",), {}, True)


def test_gpus_of_a_docker_with_cdi(tmp_path: Path) -> None:
    (tmp_path / "gpu.json").write_text('{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "0"}]}')
    info = {"CDISpecDirs": [str(tmp_path)]}
    assert device_request(("0",), info, True).payload() == {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}
    with pytest.raises(GpuNotFound, match=r"there are: nvidia\.com/gpu=0"):
        device_request(("1",), info, True)
