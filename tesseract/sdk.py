"""The Python interface of the host: class `Tesseract` with its servers, and the commands as functions."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from tesseract_core.client.encoding import Encoding, check_gpu_transport
from tesseract_core.client.logs import LogSink
from tesseract_core.client.tesseract import StrPath
from tesseract_core.client.tesseract import Tesseract as _Client
from tesseract_core.client.transport import Timeout

from tesseract.commands import DEFAULT_STARTUP_TIMEOUT, build_tesseract, resolved, run_tesseract, serve, teardown

__all__ = ["Tesseract", "build_tesseract", "run_tesseract", "serve", "teardown"]


DEFAULT_FORMAT = "json+base64"
"""What a served Tesseract answers in, and callers of this class never see: they get NumPy arrays."""


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
        output_format: str = DEFAULT_FORMAT,
        gpu_transport: str | None = None,
        docker_args: Sequence[str] | None = None,
        runtime_config: Mapping[str, Any] | None = None,
        stream_logs: bool | LogSink = False,
        skip_health_check: bool = False,
        startup_timeout: float | None = DEFAULT_STARTUP_TIMEOUT,
        timeout: Timeout = None,
        experimental_binref_pool: bool = False,
        debugger: bool = False,
        socket: bool = False,
        token: str | None = None,
        shm_size: str | None = None,
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
            shm_size: Size of its `/dev/shm` in the same syntax, 64 MiB by default: for code that shares memory between
                processes, as data loaders do.
            input_path: Directory that the Tesseract reads from, mounted read-only; a URL is fetched first.
            output_path: Directory for runs, logs and output files; by default a temporary one that goes with this
                object. To a URL, each run is uploaded after its call, and what is left at teardown.
            output_format: How arrays travel; results are NumPy arrays whatever it is.
            gpu_transport: `none`: GPU arrays travel through memory. Nothing else is offered so far.
            docker_args: Raw arguments for the engine.
            runtime_config: Settings of the runtime, by field name.
            stream_logs: `True` prints what a run logs on stderr, a callable gets each line (from another thread).
            skip_health_check: Do not wait until the server answers.
            startup_timeout: Seconds for everything until it answers; None waits for ever.
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
            volumes=volumes or (),
            environment=environment or {},
            gpus=() if gpus is None else gpus,
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
            debug=True,
            debugger=debugger,
            socket=socket or network == "none",
            token=token,
        )
        return cls._make(
            launcher=ImageServer(request, timeout, in_memory=_in_memory(experimental_binref_pool)),
            encoding=Encoding(output_format, gpu_transport),
            stream_logs=stream_logs,
            any_format=output_format == DEFAULT_FORMAT,
        )

    @classmethod
    def from_source(
        cls,
        tesseract_api: StrPath,
        input_path: StrPath | None = None,
        output_path: StrPath | None = None,
        output_format: str = DEFAULT_FORMAT,
        gpu_transport: str | None = None,
        runtime_config: Mapping[str, Any] | None = None,
        stream_logs: bool | LogSink = False,
        python_executable: StrPath | None = None,
        startup_timeout: float | None = DEFAULT_STARTUP_TIMEOUT,
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
            gpu_transport: `none`: GPU arrays travel through memory. Nothing else is offered so far.
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
        check_gpu_transport(settings.get("gpu_transport") or "none")
        server = SourceServer(
            path,
            python=None if python_executable is None else Path(python_executable),
            input_path=_local(input_path),
            output_path=_local(output_path),
            settings=settings,
            startup_timeout=startup_timeout,
            timeout=timeout,
            in_memory=_in_memory(experimental_binref_pool),
        )
        return cls._make(
            launcher=server,
            encoding=Encoding(output_format, gpu_transport),
            stream_logs=stream_logs,
            any_format=output_format == DEFAULT_FORMAT,
        )


def _local(path: StrPath | None) -> Path | None:
    local = resolved(path)
    if isinstance(local, str):
        raise ValueError(f"from_source works on local directories, not on URLs like {local}")
    return local


def _in_memory(wanted: bool) -> bool:
    if wanted and sys.platform != "linux":
        raise RuntimeError("experimental_binref_pool is only supported on Linux.")
    return wanted
