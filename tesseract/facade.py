"""Objects in the manner of docker-py, over whatever engine is selected: what outside code knows as `docker_client`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tesseract_core.client.logs import LineSplitter, LogSink, sink_for

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerInfo, ContainerSpec, GpuRequest, ImageInfo, Mount
from tesseract.deadline import Deadline
from tesseract.errors import ContainerError, EngineTimeout, ImageNotFound, NetworkNotFound, NotFound
from tesseract.serving import address, labels, limits, lookup, networks, paths, plan
from tesseract.serving.checks import engine_name
from tesseract.serving.values import text, texts, variables, words
from tesseract.serving.volumes import check_sources


class Image:
    """An image of the local store.

    Attributes:
        id, short_id: Full id, and its first twelve digits (after `sha256:` where the engine writes that).
        tags: Short references.
        attrs: The engine's own inspect document.
    """

    def __init__(self, info: ImageInfo) -> None:
        self.id, self.short_id = info.id, info.short_id
        self.tags = list(info.tags)
        self.attrs = dict(info.attrs)

    def __repr__(self) -> str:
        return f"<Image: {', '.join(self.tags) or self.short_id}>"


class Container:
    """A container, as it was when last read (`reload`).

    Attributes:
        id, short_id, name, status: `running`, `exited`, ...
        attrs: The engine's own inspect document.
        host_ip, host_port: Address of the API on this host, as text; None where no TCP port is published.
        api_port: Port of the API inside the container, as text.
        host_debugpy_port: Port on this host where a debugger can attach, as text, or None.
        docker_network_ips: Named network → address there, or None.
        url: Base URL for clients on this host, or None.
        socket: Path of its Unix socket on this host, or None.
    """

    def __init__(self, info: ContainerInfo, backend: Backend | None = None) -> None:
        self._backend = backend
        self._read(info)

    def _read(self, info: ContainerInfo) -> None:
        where = address.address_of(info)
        self._info = info
        self.id, self.short_id, self.name = info.id, info.id[:12], info.name.lstrip("/")
        self.status = info.status
        self.attrs = dict(info.attrs)
        self.host_ip = where.ip
        self.host_port = _text(where.port)
        self.api_port = str(where.api_port)
        self.host_debugpy_port = _text(_debugger_port(info))
        self.docker_network_ips = dict(info.networks) or None
        self.url = where.url
        self.socket = where.socket

    @property
    def _engine(self) -> Backend:
        return lookup.engine(self._backend)

    @property
    def image(self) -> Image | None:
        """The image it was made from, None if that is gone."""
        with contextlib.suppress(ImageNotFound):
            return Image(self._engine.image(self._info.image_id))
        return None

    def reload(self) -> None:
        """Read it again. Raises: NotFound."""
        self._read(self._engine.container(self.id))

    def logs(self, stdout: bool = True, stderr: bool = True) -> bytes:
        """What it has written so far. Raises: ValueError if neither stream is wanted."""
        if not (stdout or stderr):
            raise ValueError("At least one of stdout and stderr must be wanted")
        return self._engine.logs(self.id, stdout=stdout, stderr=stderr)

    def exec_run(self, command: str | Sequence[str]) -> tuple[int, bytes]:
        """Run a command in it. Returns 0 and what it wrote to stdout. Raises: ContainerError for another status."""
        status, stdout, stderr = self._engine.exec(self.id, words("command", command))
        if status:
            raise ContainerError(self.name, status, command, self._info.image, stderr)
        return status, stdout

    def stop(self) -> None:
        """Ask it to end, kill it if it does not."""
        self._engine.stop(self.id)

    def wait(self, timeout: float | None = None) -> dict[str, int]:
        """Wait for its end. Raises: EngineTimeout after `timeout` seconds."""
        deadline = Deadline(timeout)
        try:
            return {"StatusCode": self._engine.wait(self.id, deadline)}
        except EngineTimeout as error:
            if not deadline.expired:
                raise
            raise EngineTimeout(f"Container {self.name} did not end within {timeout:g} s.") from error

    def remove(self, v: bool = False, link: bool = False, force: bool = False) -> None:
        """Remove it with its anonymous volumes, and with what was made for it on this host.

        Args:
            v, link: For compatibility; anonymous volumes always go, and links do not exist any more.
            force: Remove it even if it runs.
        """
        self._engine.remove(self.id, force=force)
        if (socket := labels.of(self._info).get(labels.SOCKET)) and labels.is_mine(self._info):
            paths.remove_socket_dir(Path(socket).parent)

    def __repr__(self) -> str:
        return f"<Container: {self.name}>"


class Images:
    """`CLIDockerClient().images`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def get(self, name: str, tesseract_only: bool = True) -> Image:
        """Look an image up by name or id. Raises: ImageNotFound; for an image that is no Tesseract, too, by default."""
        return Image(lookup.find_image(self._backend, name) if tesseract_only else self._backend.image(name))

    def list(self, tesseract_only: bool = True) -> list[Image]:
        """All tagged images."""
        return [Image(info) for info in self._backend.images() if labels.is_tesseract(info) or not tesseract_only]

    def remove(self, name: str) -> None:
        """Remove an image. Raises: ImageNotFound."""
        self._backend.remove_image(name)


class Containers:
    """`CLIDockerClient().containers`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def get(self, id_or_name: str, tesseract_only: bool = True) -> Container:
        """Look a container up. Raises: ContainerNotFound; for one that is no Tesseract, too, by default."""
        find = lookup.find_container if tesseract_only else _any_container
        return Container(find(self._backend, id_or_name), self._backend)

    def list(self, all: bool = False, tesseract_only: bool = True) -> list[Container]:
        """Running containers, or all."""
        found = self._backend.containers(all=all)
        return [Container(info, self._backend) for info in found if labels.is_tesseract(info) or not tesseract_only]

    def run(
        self,
        image: str,
        command: str | Sequence[str] = (),
        volumes: Mapping[str, Mapping[str, str]] | None = None,
        device_requests: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        network: str | None = None,
        detach: bool = False,
        remove: bool = False,
        ports: Mapping[str, str] | None = None,
        stdout: bool = True,
        stderr: bool = False,
        user: str | None = None,
        memory: str | None = None,
        extra_args: Sequence[str] | None = None,
        stream_logs: bool | Callable[[str], None] = False,
    ) -> Container | bytes | tuple[bytes, bytes]:
        """Run an image.

        Args:
            image: Name or id.
            command: Arguments for the image's entrypoint.
            volumes: Host path or volume name → `{"bind": target, "mode": "ro" or "rw"}`.
            device_requests: GPUs, as in `gpus` of `serve`.
            ports: Host port, or `ip:port`, to container port.
            detach: Return the container as soon as it runs.
            remove: For compatibility; what is not detached is always removed at its end.
            stdout, stderr: Which streams to return.
            extra_args: Raw arguments for the engine.
            stream_logs: `True` prints stderr live, a callable gets each of its lines.
            environment, network, user, memory: As in `serve`.

        Returns:
            The container if detached, else the wanted stream, or both as a pair.

        Raises:
            ImageNotFound: No such image.
            ContainerError: It ended with another status than 0.
            ValueError: `detach` together with `remove` or `stream_logs`.
        """
        if detach and (remove or stream_logs):
            raise ValueError("detach cannot be combined with remove or stream_logs")
        host = paths.this_host()
        gpus = texts("device_requests", device_requests)
        name, raw_args = plan.new_name(), words("extra_args", extra_args)
        spec = ContainerSpec(
            image=self._backend.image(image).id,
            name=name,
            command=words("command", command),
            env=variables("environment", environment),
            labels=labels.of_container(engine_name(raw_args) or name),
            mounts=tuple(_mount(source, target) for source, target in (volumes or {}).items()),
            ports=tuple(plan.published(at, port) for at, port in variables("ports", ports).items()),
            network=plan.parse_network(network),
            user=plan.parse_user(text("user", user), host.uid, host.gid),
            gpus=GpuRequest(gpus) if gpus else None,
            memory=text("memory", memory),
            raw_args=raw_args,
            remove=not detach,
        )
        check_sources(spec.mounts)
        limits.warn_if_ignored(self._backend, spec.memory)
        with networks.present(self._backend, spec.network, keep=detach):
            if detach:
                return Container(self._backend.start(spec), self._backend)
            return self._run_to_end(spec, image, stdout, stderr, sink_for(stream_logs))

    def _run_to_end(
        self, spec: ContainerSpec, image: str, stdout: bool, stderr: bool, sink: LogSink | None
    ) -> bytes | tuple[bytes, bytes]:
        out, err = bytearray(), bytearray()
        lines = LineSplitter(sink) if sink else None

        def take_stderr(chunk: bytes) -> None:
            err.extend(chunk)
            if lines:
                lines.feed(chunk)

        status, _ = self._backend.run(spec, out.extend, take_stderr)
        if lines:
            lines.end()
        if status:
            raise ContainerError(spec.name, status, spec.command, image, bytes(err))
        if stdout and stderr:
            return bytes(out), bytes(err)
        return bytes(err) if stderr else bytes(out)


class Volume:
    """A named volume."""

    def __init__(self, name: str, backend: Backend) -> None:
        self.name = name
        self._backend = backend

    def remove(self, force: bool = False) -> None:
        """Remove it. Raises: APIError if a container uses it."""
        self._backend.remove_volume(self.name)


class Volumes:
    """`CLIDockerClient().volumes`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def get(self, name: str) -> Volume:
        """Raises: NotFound."""
        if name not in self._backend.volumes():
            raise NotFound(f"Volume {name} not found.")
        return Volume(name, self._backend)

    def create(self, name: str) -> Volume:
        """Make a named volume unless it exists."""
        self._backend.ensure_volume(name)
        return Volume(name, self._backend)

    def list(self) -> list[str]:
        """Names of all named volumes."""
        return self._backend.volumes()


class Network:
    """A network with DNS."""

    def __init__(self, name: str) -> None:
        self.name = name


class Networks:
    """`CLIDockerClient().networks`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def get(self, name: str) -> Network:
        """Raises: NetworkNotFound."""
        if name not in self._backend.networks():
            raise NetworkNotFound(f"Network {name} not found.")
        return Network(name)

    def create(self, name: str) -> Network:
        """Make a network unless it exists; it goes with the last Tesseract that is torn down on it."""
        self._backend.ensure_network(name, labels.ownership())
        return Network(name)


class CLIDockerClient:
    """The selected engine. The name is historical: it need not be Docker, and no command line is used.

    Raises: EngineUnavailable if there is none.
    """

    def __init__(self) -> None:
        self._backend = lookup.engine()
        self.containers = Containers(self._backend)
        self.images = Images(self._backend)
        self.volumes = Volumes(self._backend)
        self.networks = Networks(self._backend)

    def info(self) -> dict[str, Any]:
        """The engine's full report."""
        return dict(self._backend.report().raw)


def _any_container(backend: Backend, name: str) -> ContainerInfo:
    return backend.container(name)


def _mount(source: str, target: Mapping[str, str]) -> Mount:
    is_path = source.startswith(("/", ".", "~"))
    return Mount(
        kind="bind" if is_path else "volume",
        source=str(Path(source).expanduser().resolve()) if is_path else source,
        target=target["bind"],
        read_only=target.get("mode", "rw") == "ro",
    )


def _debugger_port(info: ContainerInfo) -> int | None:
    chosen = address.port_number(info.env.get("TESSERACT_DEBUGPY_PORT", ""))
    if info.host_network:
        return chosen or None
    inside = plan.DEBUGGER_PORT if chosen is None else chosen
    return next((port.host_port for port in info.ports if port.container_port == inside), None)


def _text(port: int | None) -> str | None:
    return None if port is None else str(port)
