"""Build, serve, run and tear down as Python functions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from tesseract_core.client.logs import LogSink
from tesseract_core.client.tesseract import StrPath

if TYPE_CHECKING:
    from tesseract.facade import Container, Image

DEFAULT_STARTUP_TIMEOUT = 30.0


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
    from tesseract.serving.values import texts

    request = images.BuildRequest(
        src_dir=Path(src_dir),
        tag=image_tag,
        build_dir=build_dir if build_dir is None else Path(build_dir),
        forward_ssh_agent=inject_ssh,
        secrets=texts("secrets", secrets),
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
    startup_timeout: float | None = DEFAULT_STARTUP_TIMEOUT,
    socket: bool = False,
    token: str | None = None,
    shm_size: str | None = None,
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
    from tesseract.serving.runtime_settings import warn_of_unknown

    warn_of_unknown(runtime_config or {}, stacklevel=2)
    served = serving.serve(
        serving.ServeRequest(
            image=image_name,
            host_ip=host_ip,
            port=port,
            network=network,
            network_alias=network_alias,
            volumes=volumes or (),
            environment=environment or {},
            gpus=() if gpus is None else gpus,
            debug=debug,
            debugger=debug,
            num_workers=num_workers,
            user=user,
            memory=memory,
            shm_size=shm_size,
            input_path=resolved(input_path),
            output_path=resolved(output_path),
            output_format=output_format,
            gpu_transport=gpu_transport,
            engine_args=docker_args or (),
            runtime_config=runtime_config or {},
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
    shm_size: str | None = None,
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
        volumes, gpus, environment, network, user, memory, shm_size: As in `serve`.
        input_path, output_path, output_format: As in `serve`.

    Returns:
        What the command wrote to stdout and to stderr. If output could not be uploaded, a warning says where it is.

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
        args=args,
        volumes=volumes or (),
        gpus=() if gpus is None else gpus,
        ports=ports or {},
        environment=environment or {},
        network=network,
        user=user,
        memory=memory,
        shm_size=shm_size,
        input_path=resolved(input_path),
        output_path=resolved(output_path),
        output_format=output_format,
        output_file=output_file,
        engine_args=docker_args or (),
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
    if result.problem:
        warnings.warn(str(result.problem), stacklevel=2)  # no exception: the result below is not lost because of it
    if result.exit_status:
        raise ContainerError(result.container.name, result.exit_status, [command, *request.args], image, bytes(stderr))
    return stdout.decode(errors="replace"), stderr.decode(errors="replace")


def resolved(path: StrPath | None) -> str | Path | None:
    """Absolute path of what a caller gave; URLs stay as they are."""
    return path if path is None or path == "" or is_url(path) else Path(path).expanduser().resolve()


def is_url(path: StrPath) -> TypeGuard[str]:
    """Whether it names a place elsewhere (`s3://bucket/prefix`)."""
    return isinstance(path, str) and "://" in path
