"""The Python interface of the host: class `Tesseract` with its servers, and the commands as functions."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from tesseract_core.client.encoding import Encoding
from tesseract_core.client.logs import LogSink
from tesseract_core.client.tesseract import StrPath
from tesseract_core.client.tesseract import Tesseract as _Client
from tesseract_core.client.transport import Timeout

if TYPE_CHECKING:
    from tesseract.facade import Container, Image

DEFAULT_STARTUP_TIMEOUT = 30.0


class Tesseract(_Client):
    __doc__ = _Client.__doc__

    @classmethod
    def from_image(
        cls,
        image_name: str,
        *,
        host_ip: str = "127.0.0.1",
        port: str | None = None,
        network: str | None = None,
        network_alias: str | None = None,
        volumes: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        gpus: Sequence[str] | None = None,
        num_workers: int = 1,
        user: str | None = None,
        memory: str | None = None,
        input_path: StrPath | None = None,
        output_path: StrPath | None = None,
        output_format: str = "json+base64",
        gpu_transport: str | None = None,
        docker_args: Sequence[str] | None = None,
        runtime_config: Mapping[str, Any] | None = None,
        stream_logs: bool | LogSink = False,
        skip_health_check: bool = False,
        startup_timeout: float = DEFAULT_STARTUP_TIMEOUT,
        timeout: Timeout = None,
        experimental_binref_pool: bool = False,
        debugger: bool = False,
        socket: bool = False,
        token: str | None = None,
    ) -> Self:
        """A Tesseract in a container of its own, which starts with `serve()` or `with` and goes with this object.

        Errors of the server come with tracebacks and the `test` endpoint is there; a debugger only if asked for.
        Nothing is started or looked up before `serve()`.

        Args:
            image_name: Name or id of a Tesseract image in the local store.
            host_ip: Address that the published port binds to.
            port: `8000`, or an inclusive range `8000-8010`; by default the engine chooses a free one.
            network: Network name (created on demand), `host`, `none` (then over a Unix socket), or an engine's mode.
            network_alias: DNS name under which other containers of the network reach this one.
            volumes: `source:target[:mode]`, read-only unless the mode says `rw`.
            environment: Variables for the container.
            gpus: Indices, UUIDs, CDI names, or `all`.
            num_workers: Processes that run user code; as many calls are served at once.
            user: `UID[:GID]` inside the container; the caller's own by default.
            memory: Limit in engine syntax (`512m`).
            input_path: Directory that the Tesseract reads from, mounted read-only.
            output_path: Directory for runs, logs and output files; by default a temporary one that goes with this
                object.
            output_format: How arrays travel; results are NumPy arrays whatever it is.
            gpu_transport: `none` or `cuda_ipc`.
            docker_args: Raw arguments for the engine.
            runtime_config: Settings of the runtime, by field name.
            stream_logs: `True` prints what a run logs on stderr, a callable gets each line (from another thread).
            skip_health_check: Do not wait until the server answers.
            startup_timeout: Seconds for everything until it answers.
            timeout: Seconds for connecting and for each wait for data, or `(connect, read)`; None waits for ever.
            experimental_binref_pool: With `json+binref`, keep the files that carry arrays in memory (Linux only).
            debugger: Let a debugger attach (`container_info().host_debugpy_port`): code execution for whoever can
                reach that port.
            socket: Serve on a Unix socket that only this user can reach, instead of a TCP port.
            token: Require this bearer token (`auto` makes one), and send it.

        Raises:
            RuntimeError: `experimental_binref_pool` on another system than Linux.
        """
        from tesseract.servers import ImageServer
        from tesseract.serving.requests import ServeRequest

        request = ServeRequest(
            image=image_name,
            host_ip=host_ip,
            port=port,
            network=network,
            network_alias=network_alias,
            volumes=list(volumes or ()),
            environment=dict(environment or {}),
            gpus=list(gpus or ()),
            num_workers=num_workers,
            user=user,
            memory=memory,
            input_path=_resolved(input_path),
            output_path=_resolved(output_path),
            output_format=output_format,
            gpu_transport=gpu_transport,
            engine_args=list(docker_args or ()),
            runtime_config=dict(runtime_config or {}),
            skip_health_check=skip_health_check,
            startup_timeout=startup_timeout,
            debug=True,
            debugger=debugger,
            socket=socket or network == "none",
            token=token,
        )
        return cls._make(
            launcher=ImageServer(request, timeout, in_memory=_in_memory(experimental_binref_pool)),
            encoding=Encoding(output_format, gpu_transport),
            stream_logs=stream_logs,
        )

    @classmethod
    def from_source(
        cls,
        tesseract_api: StrPath,
        input_path: StrPath | None = None,
        output_path: StrPath | None = None,
        output_format: str = "json+base64",
        gpu_transport: str | None = None,
        runtime_config: Mapping[str, Any] | None = None,
        stream_logs: bool | LogSink = False,
        python_executable: StrPath | None = None,
        startup_timeout: float = DEFAULT_STARTUP_TIMEOUT,
        experimental_binref_pool: bool = False,
        *,
        timeout: Timeout = None,
    ) -> Self:
        """A Tesseract served from its source, without container, in a process that starts with `serve()` or `with`.

        Only this user can reach that process, and it ends with this one.

        Args:
            tesseract_api: Path of a `tesseract_api.py`.
            input_path: What relative paths of payloads refer to; the working directory by default.
            output_path: Directory for runs, logs and output files; a temporary one by default.
            output_format: How arrays travel; results are NumPy arrays whatever it is.
            gpu_transport: `none` or `cuda_ipc`.
            runtime_config: Settings of the runtime, by field name.
            stream_logs: `True` prints what a run logs on stderr, a callable gets each line (from another thread).
            python_executable: Interpreter with the runtime and the project's dependencies. By default an environment
                is built in `.tesseract-venv` beside the file, and again whenever the project's dependencies change.
            startup_timeout: Seconds until the server answers; building the environment does not count.
            experimental_binref_pool: With `json+binref`, keep the files that carry arrays in memory (Linux only).
            timeout: Seconds for connecting and for each wait for data, or `(connect, read)`; None waits for ever.

        Raises:
            ValueError: A module was given instead of a path.
            FileNotFoundError: There is no such file.
            RuntimeError: It is no file.
        """
        from tesseract.servers import SourceServer

        if isinstance(tesseract_api, ModuleType):
            raise ValueError("from_source needs the path of a tesseract_api.py, not an imported module")
        path = Path(tesseract_api).resolve(strict=True)
        if not path.is_file():
            raise RuntimeError(f"Tesseract API path {path} is not a file.")
        settings = {**(runtime_config or {}), "output_format": output_format}
        if gpu_transport is not None:
            settings["gpu_transport"] = gpu_transport
        server = SourceServer(
            path,
            python=None if python_executable is None else Path(python_executable),
            input_path=_resolved(input_path),
            output_path=_resolved(output_path),
            settings=settings,
            startup_timeout=startup_timeout,
            timeout=timeout,
            in_memory=_in_memory(experimental_binref_pool),
        )
        return cls._make(launcher=server, encoding=Encoding(output_format, gpu_transport), stream_logs=stream_logs)


def build_tesseract(
    src_dir: StrPath,
    image_tag: str | None,
    build_dir: StrPath | None = None,
    inject_ssh: bool = False,
    secrets: Sequence[str] | None = None,
    config_override: Mapping[Sequence[str], Any] | None = None,
    generate_only: bool = False,
    stream_logs: bool | LogSink = False,
) -> Image | Path:
    """Build an image from a project folder.

    Args:
        src_dir: Folder with `tesseract_api.py` and `tesseract_config.yaml`.
        image_tag: Tag of the image; None gives `<name>:<version>` and `<name>:latest`.
        build_dir: Where to make the build context, which is then kept; a temporary one by default.
        inject_ssh: Offer the caller's SSH agent to the installation of dependencies.
        secrets: `id=NAME,env=VARIABLE` or `id=NAME,src=FILE`, for the installation of dependencies.
        config_override: Configuration values by key path, as in `{("build_config", "base_image"): "ubuntu:24.04"}`.
        generate_only: Make the build context and stop.
        stream_logs: `True` prints the build's output on stderr, a callable gets each line.

    Returns:
        The image; the build context with `generate_only`.

    Raises:
        ValidationError: The project is not what it must be.
        BuildError: The build failed; `build_log` holds its output.
        ValueError: A malformed tag, or a secret or SSH key is missing.
        RuntimeError: A local dependency is missing.
    """
    from tesseract_core.client.logs import sink_for

    from tesseract import images
    from tesseract.facade import Image

    request = images.BuildRequest(
        src_dir=Path(src_dir),
        tag=image_tag,
        build_dir=build_dir if build_dir is None else Path(build_dir),
        forward_ssh_agent=inject_ssh,
        secrets=list(secrets or ()),
        config_override=dict(config_override or {}),
        generate_only=generate_only,
    )
    result = images.build(request, sink_for(stream_logs) or (lambda line: None))
    if result.image is not None:
        return Image(result.image)
    assert result.build_dir is not None  # kept because nothing was built from it
    return result.build_dir


def serve(
    image_name: str,
    *,
    host_ip: str = "127.0.0.1",
    port: str | None = None,
    network: str | None = None,
    network_alias: str | None = None,
    volumes: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    gpus: Sequence[str] | None = None,
    debug: bool = False,
    num_workers: int = 1,
    user: str | None = None,
    memory: str | None = None,
    input_path: StrPath | None = None,
    output_path: StrPath | None = None,
    output_format: str | None = None,
    gpu_transport: str | None = None,
    docker_args: Sequence[str] | None = None,
    runtime_config: Mapping[str, Any] | None = None,
    skip_health_check: bool = False,
    startup_timeout: float = DEFAULT_STARTUP_TIMEOUT,
    socket: bool = False,
    token: str | None = None,
) -> tuple[str, Container]:
    """Serve a Tesseract image; it stays up until `teardown`.

    The arguments are those of `Tesseract.from_image`; `debug` sends tracebacks to clients, offers the `test` endpoint
    and lets a debugger attach.

    Returns:
        Name of the container, and the container.

    Raises:
        ImageNotFound: No such image, or it is no Tesseract.
        ValueError: A malformed argument.
        RuntimeError: It ended while it started, or its port is taken.
        TimeoutError: It did not answer within `startup_timeout` seconds.
    """
    from tesseract import serving
    from tesseract.facade import Container

    served = serving.serve(
        serving.ServeRequest(
            image=image_name,
            host_ip=host_ip,
            port=port,
            network=network,
            network_alias=network_alias,
            volumes=list(volumes or ()),
            environment=dict(environment or {}),
            gpus=list(gpus or ()),
            debug=debug,
            debugger=debug,
            num_workers=num_workers,
            user=user,
            memory=memory,
            input_path=_resolved(input_path),
            output_path=_resolved(output_path),
            output_format=output_format,
            gpu_transport=gpu_transport,
            engine_args=list(docker_args or ()),
            runtime_config=dict(runtime_config or {}),
            skip_health_check=skip_health_check,
            startup_timeout=startup_timeout,
            socket=socket,
            token=token,
        )
    )
    return served.container_name, Container(served.container)


def teardown(container_ids: Sequence[str] | str | None = None, tear_all: bool = False) -> None:
    """Remove served Tesseracts.

    Args:
        container_ids: Names or ids. If one is unknown, nothing is removed.
        tear_all: Every Tesseract that this tool made for the calling user.

    Raises:
        ValueError: Neither names nor `tear_all`.
        NotFound: There is no such Tesseract.
    """
    from tesseract import serving

    if not container_ids and not tear_all:
        raise ValueError("Either container IDs or the tear_all flag must be provided")
    serving.teardown(container_ids or (), all=tear_all)


def run_tesseract(
    image: str,
    command: str,
    args: Sequence[str] = (),
    volumes: Sequence[str] | None = None,
    gpus: Sequence[str] | None = None,
    ports: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    network: str | None = None,
    user: str | None = None,
    memory: str | None = None,
    input_path: StrPath | None = None,
    output_path: StrPath | None = None,
    output_format: str | None = None,
    output_file: str | None = None,
    docker_args: Sequence[str] | None = None,
    debug: bool = False,
    stream_logs: bool | LogSink = False,
) -> tuple[str, str]:
    """Run one command of a Tesseract (`apply`, `check`, ...) in a container that is removed afterwards.

    Args:
        image: Name or id of a Tesseract image.
        command: Command of the runtime.
        args: Its arguments: a JSON payload, `@file` or `@scheme://...`.
        ports: Host port, or `ip:port`, to container port.
        output_file: Name below `output_path` that takes the result instead of stdout.
        docker_args: Raw arguments for the engine.
        debug: Wait until a debugger attaches.
        stream_logs: `True` prints what the Tesseract writes to its stderr live on ours, a callable gets each line.
        volumes, gpus, environment, network, user, memory, input_path, output_path, output_format: As in `serve`.

    Returns:
        What the command wrote to stdout and to stderr.

    Raises:
        ImageNotFound: No such image, or it is no Tesseract.
        ContainerError: The command failed; `exit_status` and `stderr` say how.
    """
    from tesseract_core.client.logs import LineSplitter, sink_for

    from tesseract import serving
    from tesseract.errors import ContainerError

    request = serving.RunRequest(
        image=image,
        command=command,
        args=[args] if isinstance(args, str) else list(args),
        volumes=list(volumes or ()),
        gpus=list(gpus or ()),
        ports={str(host): str(container) for host, container in (ports or {}).items()},
        environment=dict(environment or {}),
        network=network,
        user=user,
        memory=memory,
        input_path=_resolved(input_path),
        output_path=_resolved(output_path),
        output_format=output_format,
        output_file=output_file,
        engine_args=list(docker_args or ()),
        debug=debug,
        debugger=debug,
        owner=serving.process.current(),
    )
    stdout, stderr = bytearray(), bytearray()
    sink = sink_for(stream_logs)
    lines = LineSplitter(sink) if sink else None

    def take_stderr(chunk: bytes) -> None:
        stderr.extend(chunk)
        if lines:
            lines.feed(chunk)

    try:
        result = serving.run_once(request, stdout.extend, take_stderr)
    finally:
        if lines:
            lines.end()
    if result.exit_status:
        raise ContainerError(result.container.name, result.exit_status, [command, *request.args], image, bytes(stderr))
    return stdout.decode(errors="replace"), stderr.decode(errors="replace")


def _resolved(path: StrPath | None) -> Path | None:
    return None if path is None else Path(path).expanduser().resolve()


def _in_memory(wanted: bool) -> bool:
    if wanted and sys.platform != "linux":
        raise RuntimeError("experimental_binref_pool is only supported on Linux.")
    return wanted
