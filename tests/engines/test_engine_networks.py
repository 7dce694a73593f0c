"""Networks: names resolve, ours are removed when empty."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerSpec, NetworkAttachment
from tesseract.errors import NetworkNotFound

Python = Callable[..., ContainerSpec]
Run = Callable[[ContainerSpec], tuple]
LABELS = {"org.tesseract.uid": "1"}
SERVE = "import http.server as h; h.ThreadingHTTPServer(('', 8000), h.SimpleHTTPRequestHandler).serve_forever()"
CALL = """
import sys, time, urllib.request
for attempt in range(100):
    try:
        print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
        break
    except OSError as exc:
        error = exc
        time.sleep(0.1)
else:
    raise error
"""


@pytest.fixture
def network(backend: Backend, name: str) -> Iterator[str]:
    network = f"contract-{secrets.token_hex(4)}"
    assert backend.ensure_network(network, LABELS) is True
    yield network
    backend.remove(name)
    backend.remove_network_if_empty(network)


def test_containers_of_a_network_reach_each_other_by_alias(
    backend: Backend, python: Python, run: Run, network: str, name: str
) -> None:
    attachment = NetworkAttachment("named", network, aliases=("solver", "other-name"))
    info = backend.start(python(SERVE, network=attachment))
    assert list(info.networks) == [network]
    assert info.networks[network].count(".") == 3
    client = f"{name}-client"
    for host in ("solver", "other-name", name):
        spec = python(CALL, f"http://{host}:8000/", network=NetworkAttachment("named", network))
        status, out, err, _ = run(replace(spec, name=client))
        assert (status, out) == (0, b"200\n"), err


def test_a_network_is_created_once_and_removed_when_empty(
    backend: Backend, python: Python, network: str, name: str
) -> None:
    assert backend.ensure_network(network, LABELS) is False
    assert network in backend.networks()
    assert network in backend.networks(LABELS)
    assert network not in backend.networks({"org.tesseract.uid": "2"})
    backend.start(python(SERVE, network=NetworkAttachment("named", network)))
    assert backend.remove_network_if_empty(network) is False
    backend.remove(name)
    assert backend.remove_network_if_empty(network) is True
    assert backend.remove_network_if_empty(network) is False
    assert network not in backend.networks()


def test_a_network_of_somebody_else_stays(backend: Backend) -> None:
    name = f"contract-{secrets.token_hex(4)}"
    backend.ensure_network(name, {})
    try:
        assert backend.remove_network_if_empty(name) is False
        assert name in backend.networks()
    finally:
        subprocess.run([backend.info().name, "network", "rm", name], check=True, capture_output=True)


def test_host_and_none(python: Python, run: Run) -> None:
    code = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"
    alone = run(python(code, network=NetworkAttachment("none")))[1]
    assert alone == b"['lo']\n"
    assert run(python(code, network=NetworkAttachment("host")))[1] != alone


def test_host_network_is_reported(backend: Backend, python: Python) -> None:
    info = backend.start(python("import time; time.sleep(60)", network=NetworkAttachment("host")))
    assert info.host_network
    assert info.ports == ()


def test_a_network_that_is_not_there(backend: Backend, python: Python) -> None:
    with pytest.raises(NetworkNotFound) as caught:
        backend.start(python(SERVE, network=NetworkAttachment("named", "no-such-network")))
    assert "no-such-network" in str(caught.value)


def test_extra_hosts(python: Python, run: Run) -> None:
    code = "import socket; print(socket.gethostbyname('elsewhere'))"
    assert run(python(code, extra_hosts={"elsewhere": "10.1.2.3"}))[1] == b"10.1.2.3\n"
