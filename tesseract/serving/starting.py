"""Serve: start a container, wait until it answers, or leave nothing behind."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerInfo, ContainerSpec, NetworkAttachment
from tesseract.deadline import Deadline
from tesseract.errors import PortInUse, StartupFailed, UserError
from tesseract.serving import checks, data, labels, limits, lookup, networks, paths, plan, ports, readiness
from tesseract.serving.address import Address, address_of, reachable_ip
from tesseract.serving.requests import Served, ServeRequest
from tesseract.serving.signals import uninterrupted
from tesseract.serving.volumes import check_sources

if TYPE_CHECKING:
    from tesseract.transfer.output import Output

logger = logging.getLogger("tesseract")


def serve(request: ServeRequest, backend: Backend | None = None) -> Served:
    """Serve a Tesseract image and return once it is healthy.

    On any failure, an interruption included, the container, its socket and a network made for it are removed.

    Raises: InvalidValue, ImageNotFound, TransferError, PortInUse, StartupFailed, StartupTimeout, EngineError.
    """
    checks.check_server(request)
    if data.is_remote(request):
        lookup.find_image(lookup.engine(backend), request.image)  # before anything is moved in vain
    with data.localised(request, backend) as (local, output):
        return replace(_serve(local, output, backend), output=output)


def _serve(request: ServeRequest, output: Output | None, backend: Backend | None) -> Served:
    deadline = Deadline(request.startup_timeout)
    if request.token == "auto":
        request = replace(request, token=secrets.token_urlsafe(32))
    network = plan.parse_network(request.network, request.network_alias)
    _check_reachable(request, network)
    warned = False
    for port in _host_ports(request, network):
        spec = data.labelled(_plan(request, network, port), request, output)
        backend = lookup.engine(backend)
        image = lookup.find_image(backend, request.image, deadline)
        if not warned:
            limits.warn_if_ignored(backend, request.memory)
            warned = True
        try:
            return _start(request, replace(spec, image=image.id), backend, deadline)
        except PortInUse:
            pass
        except StartupFailed as error:
            if not readiness.is_port_conflict(error):
                raise
        if request.port is None or "-" in request.port:
            logger.info("Port %s was taken, retrying with a new port...", port or "")
    raise AssertionError("the candidates end with an error")


def _host_ports(request: ServeRequest, network: NetworkAttachment) -> Iterable[int]:
    wanted = ports.parse_port(request.port)
    if request.socket or network.mode == "none":
        return (0,)
    # Binding on the host's own network is the container's business, so there we have to pick a port ourselves.
    return ports.candidates(wanted, request.host_ip, engine_chooses=network.mode != "host")


def _plan(request: ServeRequest, network: NetworkAttachment, port: int) -> ContainerSpec:
    name = plan.new_name()
    host = paths.this_host(
        port=port,
        debugger_port=ports.free_port(request.host_ip) if request.debugger and network.mode == "host" else 0,
        socket_dir=paths.socket_dir(name) if request.socket else None,
    )
    paths.prepare(request, host)
    spec = plan.serve_spec(request, request.image, name, host)
    check_sources(mount for mount in spec.mounts if mount.target != plan.SOCKET_DIR)
    return spec


def _start(request: ServeRequest, spec: ContainerSpec, backend: Backend, deadline: Deadline) -> Served:
    with networks.present(backend, spec.network, keep=True), _removed_on_failure(spec, backend) as made:
        logger.info("Waiting for Tesseract %s to start ...", request.image)
        container = backend.start(spec, deadline)
        made.append(container.id)  # raw engine arguments may have given it another name
        address = address_of(container)
        if request.skip_health_check:
            logger.info("Skipping the health check")
        else:
            readiness.wait(backend, container, _probe(address, request.token), deadline)
    return Served(
        container_name=container.name,
        container=container,
        url=address.url,
        socket=address.socket,
        token=request.token,
        debugger=_debugger(request, spec, container, backend) if request.debugger else None,
    )


@contextmanager
def _removed_on_failure(spec: ContainerSpec, backend: Backend) -> Iterator[list[str]]:
    """The container and its socket go if the body fails, however it fails."""
    socket = spec.labels.get(labels.SOCKET)
    made = [spec.name]
    try:
        if socket:
            paths.make_private(Path(socket).parent)
        yield made
    except BaseException:
        with uninterrupted():
            backend.remove(made[-1])
            if socket:
                paths.remove_socket_dir(Path(socket).parent)
        raise


def _check_reachable(request: ServeRequest, network: NetworkAttachment) -> None:
    if request.socket and request.port is not None:
        raise UserError("A Tesseract listens on a socket or on a port, not on both: leave --port or --socket out.")
    if network.mode == "none" and not request.socket and not request.skip_health_check:
        raise UserError("Nothing can reach a Tesseract with --network none: add --socket.")


def _probe(address: Address, token: str | None) -> readiness.Probe:
    if address.socket:
        return readiness.healthy_unix(Path(address.socket), token)
    if address.port is None:
        raise StartupFailed("The engine published no port for the Tesseract: check the raw engine arguments.")
    return readiness.healthy_tcp(reachable_ip(address.ip), address.port, token)


def _debugger(request: ServeRequest, spec: ContainerSpec, container: ContainerInfo, backend: Backend) -> str | None:
    """Where to attach, after a look at the port that really listens: images of old versions choose for themselves."""
    wanted = spec.env["TESSERACT_DEBUGPY_PORT"]
    said = re.search(rb"Debugger listening on \S+:(\d+)", backend.logs(container.id))
    if said is None and not request.skip_health_check:
        logger.warning("The Tesseract started no debugger; `tesseract logs %s` may say why.", container.name)
        return None
    if said is not None and said[1].decode() != wanted:
        logger.warning("The debugger listens on port %s in the container, not on %s.", said[1].decode(), wanted)
    if container.host_network:
        return f"{reachable_ip(request.host_ip)}:{wanted}"
    for published in container.ports:
        if published.container_port == int(wanted):
            return f"{reachable_ip(published.host_ip)}:{published.host_port}"
    return None
