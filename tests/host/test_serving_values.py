"""Volumes, ports, owners, addresses: the small grammars of serving."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from tesseract.backends.spec import ContainerInfo, Mount, PublishedPort
from tesseract.errors import InvalidValue, PortInUse
from tesseract.serving import ServeRequest, address_of, labels, ports, process, volumes

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("spec", "mount"),
    [
        ("/a:/b", Mount("bind", "/a", "/b", read_only=True)),
        ("/a:/b:rw", Mount("bind", "/a", "/b")),
        ("sub/a:/b:ro", Mount("bind", "/base/sub/a", "/b", read_only=True)),
        (".:/b", Mount("bind", "/base", "/b", read_only=True)),
        ("data:/b", Mount("volume", "data", "/b", read_only=True)),
        ("data:/b:rw,U", Mount("volume", "data", "/b", options=("U",))),
        ("data.csv:/b", Mount("bind", "/base/data.csv", "/b", read_only=True)),
        ("/a:/b:ro,z", Mount("bind", "/a", "/b", read_only=True, options=("z",))),
    ],
)
def test_volume_grammar(spec: str, mount: Mount) -> None:
    assert volumes.parse_volume(spec, Path("/base")) == mount


@pytest.mark.parametrize("spec", ["", "a", "a:", ":/b", "/a:/b:rw:x", "/a:relative", "a::rw"])
def test_bad_volume(spec: str) -> None:
    with pytest.raises(InvalidValue, match="Invalid mount volume specification"):
        volumes.parse_volume(spec)


def test_missing_source(tmp_path: Path) -> None:
    volumes.check_sources([volumes.parse_volume(f"{tmp_path}:/b"), volumes.parse_volume("named:/c")])
    with pytest.raises(InvalidValue, match="does not exist, please provide a valid local path"):
        volumes.check_sources([volumes.parse_volume(f"{tmp_path}/nope:/b")])


def test_symlinks_are_the_same_source(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    mounts = [volumes.parse_volume(f"{tmp_path}:/a"), volumes.parse_volume(f"{tmp_path}/link:/b")]
    with pytest.raises(InvalidValue, match="already mounted as a volume, please provide a unique path"):
        volumes.check_unique(mounts)


@pytest.mark.parametrize("text", ["x", "1-2-3", "", "80-", "-80", "8080-8000", "70000", "1-70000"])
def test_bad_port(text: str) -> None:
    with pytest.raises(InvalidValue, match="Port"):
        ports.parse_port(text)


def test_port_ranges_are_inclusive() -> None:
    assert ports.parse_port("8000-8000") == ports.PortRange(8000, 8000)
    free = ports.free_port("127.0.0.1")
    assert list(_taken(ports.PortRange(free, free))) == [free]


def test_engine_chooses_when_no_port_is_given() -> None:
    assert next(iter(ports.candidates(None, "127.0.0.1", engine_chooses=True))) == 0
    assert next(iter(ports.candidates(None, "127.0.0.1", engine_chooses=False))) > 0


def test_busy_ports_of_a_range_are_left_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        first = busy.getsockname()[1]
        assert first not in _taken(ports.PortRange(first, min(first + 3, 65535)))


def _taken(wanted: ports.PortRange) -> list[int]:
    """All candidates until they are used up."""
    found: list[int] = []
    with pytest.raises(PortInUse):
        deque(map(found.append, ports.candidates(wanted, "127.0.0.1", engine_chooses=True)))
    assert len(found) <= ports.MAX_ATTEMPTS
    return found


def test_an_address_that_this_machine_does_not_have() -> None:
    assert ports.is_free("192.0.2.7", 8000)  # the engine's error says more than "busy" would
    with pytest.raises(InvalidValue, match=r"No port can be had on 192\.0\.2\.7: .*Give another host IP"):
        ports.free_port("192.0.2.7")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"gpus": "all"}, ("all",)),
        ({"gpus": 0}, ("0",)),
        ({"gpus": [0, "1"]}, ("0", "1")),
        ({"gpus": None}, ()),
        ({"volumes": "/a:/b"}, ("/a:/b",)),
        ({"engine_args": "--label 'a b'"}, ("--label", "a b")),
        ({"engine_args": ["--label", "a b"]}, ("--label", "a b")),
        ({"environment": {"THREADS": 1, "HOME": Path("/h"), "A": "b"}}, {"THREADS": "1", "HOME": "/h", "A": "b"}),
        ({"port": 8000}, "8000"),
        ({"user": 0}, "0"),
        ({"memory": 536870912}, "536870912"),
    ],
)
def test_what_python_callers_write_is_understood(given: dict[str, object], read: object) -> None:
    request = ServeRequest(image="x", **given)
    assert getattr(request, next(iter(given))) == read


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"volumes": {"/a": "/b"}}, "volumes must be a list of texts, not {'/a': '/b'}"),
        ({"volumes": [("/a", "/b")]}, r"An item of volumes must be text, not \('/a', '/b'\)"),
        ({"volumes": [None]}, "An item of volumes must be text, not None"),
        ({"environment": ["A=b"]}, "environment must be a mapping from names to values"),
        ({"environment": {"A": None}}, "environment\\['A'\\] must be text, not None"),
        ({"runtime_config": {1.5: 2}}, "A key of runtime_config must be text, not 1.5"),
        ({"num_workers": 1.5}, "num_workers must be a whole number, not 1.5"),
        ({"num_workers": "2"}, "num_workers must be a whole number, not '2'"),
        ({"startup_timeout": "10"}, "startup_timeout must be a number of seconds, not '10'"),
        ({"network": 3.0}, "network must be text, not 3.0"),
        ({"port": (8000, 8010)}, r"port must be text, not \(8000, 8010\)"),
        ({"input_path": 3}, "input_path must be a path, not 3"),
    ],
)
def test_what_cannot_be_meant_is_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ServeRequest(image="x", **given)


def test_an_empty_path_is_no_working_directory() -> None:
    for name in ("input_path", "output_path"):
        with pytest.raises(InvalidValue, match=r"path is empty\. Give a directory, or leave it out"):
            ServeRequest(image="x", **{name: ""})


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_startup_timeout_that_leaves_no_time(seconds: float) -> None:
    with pytest.raises(InvalidValue, match=f"startup timeout must be more than 0 seconds, not {seconds}"):
        ServeRequest(image="x", startup_timeout=seconds)


def test_raw_arguments_with_an_open_quote() -> None:
    with pytest.raises(InvalidValue, match="No closing quotation"):
        ServeRequest(image="x", engine_args="--label 'a")


def test_owner_is_alive_until_it_ends() -> None:
    assert process.is_alive(process.current())
    code = "from tesseract.serving import process; print(process.current())"
    owner = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert not process.is_alive(owner)


def test_a_reused_pid_is_somebody_else() -> None:
    pid, start, boot = process.current().split(":")
    assert int(pid) == os.getpid()
    assert not process.is_alive(f"{pid}:{int(start) + 1}:{boot}")
    assert not process.is_alive(f"{pid}:{start}:another-boot")


def test_unreadable_owner_counts_as_alive() -> None:
    assert process.is_alive("nonsense")


def container(**settings: object) -> ContainerInfo:
    base: dict[str, object] = {
        "id": "1",
        "name": "n",
        "image_id": "i",
        "image": "i",
        "status": "running",
        "env": {},
        "labels": {},
    }
    return ContainerInfo(**{**base, **settings})  # type: ignore[arg-type]


def test_address_of_a_published_port() -> None:
    address = address_of(
        container(
            command=("serve", "--port", "8000"),
            ports=(PublishedPort(5678, "127.0.0.1", 1), PublishedPort(8000, "0.0.0.0", 40001)),
        )
    )
    assert (address.ip, address.port, address.api_port) == ("0.0.0.0", 40001, 8000)
    assert address.url == "http://127.0.0.1:40001"


def test_address_on_the_host_network() -> None:
    address = address_of(
        container(
            command=("serve", "--port", "50001"),
            host_network=True,
            labels={labels.NAME: "n", labels.HOST_IP: "192.0.2.1"},
        )
    )
    assert (address.ip, address.port) == ("192.0.2.1", 50001)


def test_address_of_a_socket() -> None:
    address = address_of(container(labels={labels.NAME: "n", labels.SOCKET: "/run/user/1/tesseract/n/api.sock"}))
    assert address.url == "http+unix://%2Frun%2Fuser%2F1%2Ftesseract%2Fn%2Fapi.sock"
    assert address.port is None


def test_ipv6_url() -> None:
    address = address_of(container(ports=(PublishedPort(8000, "::1", 40001),)))
    assert address.url == "http://[::1]:40001"
