"""A request becomes a `ContainerSpec` without any engine: golden plans, and every rule that can refuse one."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from support.golden import check_golden

from tesseract.backends.spec import ContainerSpec, Mount, UserMapping
from tesseract.errors import InvalidValue
from tesseract.serving import checks, labels, plan
from tesseract.serving.requests import RunRequest, ServeRequest

pytestmark = pytest.mark.fast

GOLDEN = Path(__file__).parent / "golden"
HOST = plan.Host(uid=1200, gid=1300, cwd=Path("/home/ada"), names=("lab7.example.org", "lab7"))


def as_text(spec: ContainerSpec) -> str:
    plain = replace(spec, labels={**spec.labels, labels.VERSION: "VERSION"})
    return json.dumps(asdict(plain), indent=2, sort_keys=True) + "\n"


SERVE_REQUESTS: dict[str, tuple[dict[str, Any], plan.Host]] = {
    "minimal": ({}, HOST),
    "workers_ports_data": (
        {
            "num_workers": 4,
            "port": "8080",
            "volumes": ["./mesh:/mesh", "mlflow-data:/mlflow-data:rw"],
            "environment": {"A": "1", "TESSERACT_PROFILING": "0"},
            "runtime_config": {"profiling": True, "name": "x", "max_queue": 3},
            "input_path": "in",
            "output_path": "/data/out",
            "output_format": "json+binref",
            "memory": "512m",
            "shm_size": "1g",
            "owner": "17:4711:boot",
        },
        replace(HOST, port=8080),
    ),
    "named_network": (
        {
            "network": "lab",
            "network_alias": "solver",
            "allowed_hosts": ["tess.example.org"],
            "allowed_origins": ["https://lab.example.org"],
        },
        HOST,
    ),
    "everyone": ({"host_ip": "0.0.0.0", "token": "sesame"}, HOST),
    "host_network_debugger": (
        {"network": "host", "debug": True, "debugger": True},
        replace(HOST, port=50001, debugger_port=50002),
    ),
    "debugger": ({"debug": True, "debugger": True}, HOST),
    "socket_no_network": (
        {"network": "none", "socket": True},
        replace(HOST, socket_dir=Path("/run/user/1200/tesseract/tesseract-0123456789ab")),
    ),
    "gpus_user_raw": (
        {
            "gpus": ["0", "nvidia.com/gpu=all"],
            "user": "4242:4243",
            "read_only_root": True,
            "engine_args": ["--cpus", "2"],
        },
        HOST,
    ),
}


@pytest.mark.parametrize("name", SERVE_REQUESTS)
def test_serve_plan(name: str) -> None:
    settings, host = SERVE_REQUESTS[name]
    spec = plan.serve_spec(ServeRequest(image="vectoradd", **settings), "sha", "tesseract-0123456789ab", host)
    check_golden(GOLDEN / f"serve_plan_{name}.json", as_text(spec))


def test_run_plan() -> None:
    request = RunRequest(
        image="vectoradd",
        command="apply",
        environment={"TESSERACT_PROFILING": "0"},
        profiling=True,
        tracing=True,
        output_path="out",
        output_file="result.json",
        ports={"9000": "8000", "0.0.0.0:9001": "8001"},
        network="slirp4netns:mtu=1500",
    )
    payload = plan.Payload(
        ("@/tesseract/payload.json",), (Mount("bind", "/home/ada/p.json", "/tesseract/payload.json", read_only=True),)
    )
    check_golden(GOLDEN / "run_plan.json", as_text(plan.run_spec(request, "sha", "tesseract-1", HOST, payload)))


def test_a_payload_may_read_the_volumes_and_no_more_if_it_was_fetched() -> None:
    request = RunRequest(
        image="x", command="apply", volumes=["data:/mnt/a", "/b:/mnt/b:rw"], engine_args=["-v", "/c:/mnt/c"]
    )

    def marks(payload: plan.Payload) -> dict[str, str]:
        env = plan.run_spec(request, "sha", "n", HOST, payload).env
        return {name: value for name, value in env.items() if name.startswith("_TESSERACT")}

    assert marks(plan.Payload()) == {"_TESSERACT_VOLUMES": "/mnt/a:/mnt/b"}
    assert marks(plan.Payload(fetched=True)) == {"_TESSERACT_VOLUMES": "/mnt/a:/mnt/b", "_TESSERACT_CLOSED": "1"}
    served = plan.serve_spec(ServeRequest(image="x", volumes=["data:/mnt/a"]), "sha", "n", HOST)
    assert not [name for name in served.env if name.startswith("_TESSERACT") or "ROOTS" in name]


def test_no_gpu_transport_in_a_one_shot_run_either() -> None:
    request = RunRequest(image="x", command="apply", environment={"TESSERACT_GPU_TRANSPORT": "cuda_ipc"})
    with pytest.raises(InvalidValue, match="gpu_transport=cuda_ipc is not offered"):
        plan.run_spec(request, "sha", "n", HOST, plan.Payload())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network_alias": "x"}, "Network alias can only be used with a specified network"),
        ({"network": "host", "network_alias": "x"}, "Network alias can only be used with a specified network"),
        ({"output_format": "json+binref"}, "--output-path"),
        ({"output_format": "xml"}, "must be one of json, json\\+base64, json\\+binref"),
        ({"user": "ada"}, "must be numeric UID or UID:GID"),
        ({"user": "1:2:3"}, "must be numeric UID or UID:GID"),
        ({"memory": "lots"}, "Invalid memory limit 'lots': must be a number and a unit, like 512m or 2g"),
        ({"shm_size": "lots"}, "Invalid size of shared memory 'lots': must be a number and a unit, like 512m or 2g"),
        ({"shm_size": "99999999999999G"}, "Invalid size of shared memory '99999999999999G': must be less than 8 EiB"),
        ({"shm_size": "0"}, "Invalid size of shared memory '0'"),
        ({"shm_size": "1m,exec"}, "Invalid size of shared memory '1m,exec'"),
        ({"gpu_transport": "cuda_ipc", "gpus": ["all"]}, "gpu_transport=cuda_ipc is not offered"),
        ({"environment": {"TESSERACT_GPU_TRANSPORT": "cuda_ipc"}}, "gpu_transport=cuda_ipc is not offered"),
        ({"runtime_config": {"gpu_transport": "cuda_ipc"}}, "gpu_transport=cuda_ipc is not offered"),
        ({"volumes": ["a"]}, "Invalid mount volume specification a"),
        ({"volumes": ["a:/a", "a:/b"]}, "Path a is already mounted as a volume"),
        ({"volumes": ["a:/a", "b:/a/"]}, "Two volumes have the target /a"),
        ({"volumes": ["/data:/x"], "input_path": "/data"}, "Path /data is already mounted as a volume"),
        ({"engine_args": ["--label=a", "-it"]}, "Engine argument -it: a Tesseract has no terminal"),
        ({"engine_args": ["--tty=true"]}, "a Tesseract has no terminal"),
        ({"debugger": True, "environment": {"TESSERACT_DEBUGPY_PORT": "8000"}}, "other than the API's 8000"),
        (
            {
                "debugger": True,
                "environment": {"TESSERACT_DEBUGPY_PORT": "5679", "TESSERACT_DEBUGPY_HOST": "127.0.0.1"},
            },
            "loopback",
        ),
    ],
)
def test_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        plan.serve_spec(ServeRequest(image="x", **settings), "x", "n", HOST)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_workers": 0}, "at least 1, not 0"),
        ({"host_ip": ""}, "Invalid host IP '': must be an address of this machine"),  # an engine would open all of them
        ({"host_ip": None}, "Invalid host IP 'None'"),
        ({"host_ip": "localhost"}, "for example 127.0.0.1"),
        ({"token": ""}, "Invalid token: must be one or more ASCII characters"),  # it would protect nothing
        ({"token": "übermut"}, "Invalid token"),
        ({"allowed_origins": ["lab.example.org"]}, "Invalid origin 'lab.example.org'"),
        ({"allowed_origins": ["*", "https://a.example/page"]}, "https://lab.example.org:8443 for example"),
    ],
)
def test_refused_before_anything_is_looked_at(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        checks.check_server(ServeRequest(image="x", **settings))


@pytest.mark.parametrize("host_ip", ["127.0.0.1", "0.0.0.0", "::1", "192.0.2.7"])
def test_addresses_that_ports_may_bind_to(host_ip: str) -> None:
    checks.check_server(ServeRequest(image="x", host_ip=host_ip, startup_timeout=None, token="auto"))


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"output_path": "/out", "output_file": "result.json"}, True),
        ({"output_path": "/out", "output_file": "deep/down/result.json"}, True),
        ({"output_path": "/out", "output_file": "../result.json"}, False),
        ({"output_path": "/out", "output_file": "/result.json"}, False),
        ({"output_file": "result.json"}, False),
        ({"volumes": ["data:/data:rw"], "output_file": "/data/result.json"}, True),
        ({"volumes": ["data:/data"], "output_file": "/data/result.json"}, False),  # read-only
        ({"volumes": ["data:/data:rw"], "output_file": "result.json"}, False),
        (
            {
                "volumes": ["data:/data:rw"],
                "output_file": "result.json",
                "environment": {"TESSERACT_OUTPUT_PATH": "/data"},
            },
            True,
        ),
        ({"output_file": "/data/result.json", "engine_args": ["--volume=data:/data"]}, True),  # the user's business
    ],
)
def test_a_result_must_not_be_written_to_where_it_is_lost(settings: dict[str, Any], kept: bool) -> None:
    request = RunRequest(image="x", command="apply", **settings)
    if kept:
        plan.run_spec(request, "sha", "n", HOST, plan.Payload())
    else:
        with pytest.raises(InvalidValue, match="would go with the container: give --output-path"):
            plan.run_spec(request, "sha", "n", HOST, plan.Payload())


def test_a_one_shot_container_is_removed_by_us() -> None:
    request = RunRequest(image="x", command="apply", engine_args="--rm --label a=b")
    assert plan.run_spec(request, "sha", "n", HOST, plan.Payload()).raw_args == ("--label", "a=b")


def test_a_read_only_container_still_has_a_place_for_its_output() -> None:
    def outputs(**settings: Any) -> list[Mount]:
        spec = plan.run_spec(RunRequest(image="x", command="apply", **settings), "sha", "n", HOST, plan.Payload())
        return [mount for mount in spec.mounts if mount.target == plan.OUTPUT_DIR]

    assert [mount.kind for mount in outputs(read_only_root=True)] == ["tmpfs"]
    assert [mount.kind for mount in outputs(read_only_root=True, output_path="/out")] == ["bind"]
    assert outputs(read_only_root=True, volumes=[f"data:{plan.OUTPUT_DIR}:rw"])[0].source == "data"
    assert not outputs()


def test_environment_precedence_and_no_mutation() -> None:
    environment = {"TESSERACT_OUTPUT_FORMAT": "json", "TESSERACT_TRACING": "0", "TESSERACT_GPU_TRANSPORT": "none"}
    request = ServeRequest(
        image="x",
        environment=environment,
        runtime_config={"tracing": True, "output_format": "json"},
        output_format="json+base64",
    )
    spec = plan.serve_spec(request, "x", "n", HOST)
    assert spec.env["TESSERACT_OUTPUT_FORMAT"] == "json+base64"
    assert spec.env["TESSERACT_TRACING"] == "1"
    assert environment == {
        "TESSERACT_OUTPUT_FORMAT": "json",
        "TESSERACT_TRACING": "0",
        "TESSERACT_GPU_TRANSPORT": "none",
    }


@pytest.mark.parametrize(
    ("text", "uid", "gid"),
    [(None, None, None), ("0", 0, 0), ("0:5", 0, 5), ("4242", 4242, None), ("4242:1", 4242, 1)],
)
def test_user(text: str | None, uid: int | None, gid: int | None) -> None:
    assert plan.parse_user(text, 1200, 1300) == UserMapping(1200, 1300, uid, gid)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (None, "default"),
        ("host", "host"),
        ("none", "none"),
        ("lab", "named"),
        ("bridge", "raw"),
        ("pasta", "raw"),
        ("slirp4netns:mtu=1500", "raw"),
        ("ns:/run/netns/x", "raw"),
        ("container:abc", "raw"),
        ("pastaria", "named"),
    ],
)
def test_network_modes(name: str | None, mode: str) -> None:
    assert plan.parse_network(name).mode == mode


def test_names_are_unique_and_short() -> None:
    names = {plan.new_name() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == len("tesseract-") + 12 for name in names)
