"""What a `serve` asks of the engine, counted on the wire."""

from __future__ import annotations

import os
import re
import secrets
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tesseract import serving
from tesseract.backends.base import Backend
from tesseract.backends.spec import BuildSpec, UserMapping

BUDGET = 6  # from the start of the command to the first look at /health


@contextmanager
def recorder(real: Path, own: Path) -> Iterator[list[str]]:
    """A socket at `own` that passes everything on to the one at `real`; yields the request lines as they come."""
    requests: list[str] = []

    def serve(client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine, selectors.DefaultSelector() as ready, suppress(OSError):
            engine.connect(str(real))
            ready.register(client, selectors.EVENT_READ, engine)
            ready.register(engine, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    if key.fileobj is client and (line := re.match(rb"[A-Z]+ \S+ HTTP", data)):
                        requests.append(line[0].decode())
                    key.data.sendall(data)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(own))
        listener.listen(16)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield requests


@pytest.fixture(scope="module")
def tesseract(backend: Backend, engine_base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of an image that passes for a Tesseract and only sleeps."""
    context, tag = tmp_path_factory.mktemp("image"), f"contract-{secrets.token_hex(3)}:1"
    (context / "Containerfile").write_text(
        f'FROM {engine_base}\nENV TESSERACT_NAME=sleeper\nENTRYPOINT ["sleep", "60"]\nCMD []\n'
    )
    image_id = backend.build(BuildSpec(context, context / "Containerfile", (tag,), pull="never"), lambda line: None)
    backend.prepare_mapping(image_id, UserMapping(os.getuid(), os.getgid()))  # as `tesseract build` does
    yield tag
    backend.remove_image(image_id)


@pytest.mark.parametrize("network", [None, "contract-requests"])
def test_serve_keeps_to_its_budget_of_requests(
    backend: Backend, tesseract: str, network: str | None, tmp_path: Path
) -> None:
    endpoint = backend.endpoint  # type: ignore[attr-defined]
    backend.info()  # a private service is started here, once
    own = tmp_path / "s"
    with recorder(endpoint.socket, own) as requests:
        through = replace(endpoint, url=f"unix://{own}")
        if backend.info().name == "podman":
            through = replace(through, private=False)  # nobody else starts a service at this socket
        fresh = type(backend)(through)  # type: ignore[call-arg]
        request = serving.ServeRequest(image=tesseract, network=network, skip_health_check=True)
        served = serving.serve(request, fresh)
        made = list(requests)
    serving.teardown(served.container_name, backend=backend)
    # The recorder's socket is not root's, so Docker has to be asked whether it is.
    asked = sum(" /v1.41/info " in line for line in made)
    assert len(made) - asked <= BUDGET, made
    if network:
        assert network not in backend.networks()
