"""The class `Tesseract`: everything that needs no container engine.

`tesseract.sdk` adds `from_image` and `from_source` on a host where images are built and served; users see one class,
`tesseract_core.Tesseract`, whichever of the two that is.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, TypeVar

from tesseract_core import framing
from tesseract_core.client.encoding import Encoding, ServerCapabilities, check_gpu_transport
from tesseract_core.client.endpoints import Endpoints
from tesseract_core.client.launcher import Launcher, abandon
from tesseract_core.client.logs import LogSink, sink_for
from tesseract_core.client.transport import Timeout, Transport

Self = TypeVar("Self", bound="Tesseract")
StrPath = str | os.PathLike[str]


class _Shared:
    """What a Tesseract and its views have in common; the server lives as long as any of them."""

    def __init__(
        self,
        launcher: Launcher | None,
        transport: Transport | None,
        stream_logs: bool | LogSink,
    ) -> None:
        self.launcher = launcher
        self.transport = transport
        self.stream_logs = stream_logs
        self.schema: dict[str, Any] | None = None
        self.last_logs = ""
        self.lock = threading.RLock()
        self.finalizer: weakref.finalize[Any, Any] | None = None
        self.owner_pid = os.getpid()


class Tesseract(Endpoints):
    """A Tesseract that can be called: its endpoints are methods, arrays go in and come out as NumPy arrays.

    Make one by `from_image`, `from_source`, `from_url` or `from_tesseract_api`. One object may be used from many
    threads at once.

    Args:
        url: Deprecated, as are the other arguments: use `Tesseract.from_url`.
    """

    _shared: _Shared
    _encoding: Encoding
    _any_format: bool  # nobody has chosen how arrays travel: the best that the server offers is fine
    _is_view: bool

    def __init__(
        self,
        url: str,
        server_output_path: StrPath | None = None,
        timeout: Timeout = None,
    ) -> None:
        warnings.warn(
            "Direct instantiation of Tesseract is deprecated; use Tesseract.from_url, Tesseract.from_image, "
            "Tesseract.from_source or Tesseract.from_tesseract_api",
            UserWarning,
            stacklevel=2,
        )
        transport = _http_transport(url, server_output_path, timeout, token=None)
        self._set_up(transport=transport, any_format=server_output_path is None)

    def _set_up(
        self,
        *,
        transport: Transport | None = None,
        launcher: Launcher | None = None,
        encoding: Encoding | None = None,
        stream_logs: bool | LogSink = False,
        any_format: bool = False,
    ) -> None:
        self._shared = _Shared(launcher, transport, stream_logs)
        self._encoding = encoding or Encoding()
        self._any_format = any_format
        self._is_view = False

    @classmethod
    def _make(cls: type[Self], **kwargs: Any) -> Self:
        self = cls.__new__(cls)
        self._set_up(**kwargs)
        return self

    # ---- constructors ------------------------------------------------------------------------------------------------

    @classmethod
    def from_url(
        cls: type[Self],
        url: str,
        server_output_path: StrPath | None = None,
        timeout: Timeout = None,
        *,
        token: str | None = None,
    ) -> Self:
        """A Tesseract that is served somewhere already. Nothing is sent before the first call.

        Args:
            url: `http://HOST:PORT` (the scheme may be left out, a path prefix is kept), `https://...`, or
                `http+unix://<percent-encoded path>` for a Unix socket.
            server_output_path: Directory where files that the server writes (`json+binref`) are visible here.
            timeout: Seconds for connecting and for each wait for data, or `(connect, read)`; None waits for ever.
            token: What the server was told to require by `--token` (sent as `Authorization: Bearer ...`).

        Raises:
            ValueError: The URL has another scheme.
        """
        transport = _http_transport(url, server_output_path, timeout, token)
        return cls._make(transport=transport, any_format=server_output_path is None)

    @classmethod
    def from_tesseract_api(
        cls: type[Self],
        tesseract_api: StrPath | ModuleType,
        input_path: StrPath | None = None,
        output_path: StrPath | None = None,
        output_format: str = "json+base64",
        gpu_transport: str | None = None,
        runtime_config: Mapping[str, Any] | None = None,
        stream_logs: bool | LogSink = False,
    ) -> Self:
        """A Tesseract that runs in this very process, without container and server.

        Needs the runtime (`pip install tesseract-core[runtime]`) and what the API module imports. Calls are made one at
        a time, each under the configuration of this object only.

        Args:
            tesseract_api: Path of a `tesseract_api.py`, or the imported module.
            input_path: What relative paths of payloads refer to; the working directory by default.
            output_path: Where runs, logs and output files go; a temporary directory by default.
            output_format: As for a server; results are NumPy arrays whatever it is.
            gpu_transport: As for a server.
            runtime_config: Further fields of the runtime's configuration.
            stream_logs: `True` prints what a run logs on stderr, a callable gets each line.

        Raises:
            FileNotFoundError: There is no such file.
            RuntimeError: It is no file, or cannot be imported (the cause is chained).
        """
        from tesseract_core.client.in_process import InProcessTransport

        config = dict(runtime_config or {})
        if gpu_transport is not None:
            config["gpu_transport"] = gpu_transport
        check_gpu_transport(config.get("gpu_transport") or "none")
        transport = InProcessTransport(tesseract_api, input_path, output_path, output_format, config)
        return cls._make(transport=transport, encoding=Encoding(output_format, gpu_transport), stream_logs=stream_logs)

    # ---- life cycle --------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            RuntimeError: It is served already, there is nothing to serve (`from_url`, `from_tesseract_api`), or the
                server ended while it started.
            TimeoutError: It was not ready within its start-up timeout.
        """
        shared = self._shared
        with shared.lock:
            if shared.launcher is None:
                raise RuntimeError("Can only serve a Tesseract created via from_image or from_source.")
            if shared.transport is not None:
                raise RuntimeError("Tesseract is already being served.")
            shared.transport = shared.launcher.start()
            shared.owner_pid = os.getpid()
            # At interpreter exit, too. Bound to what the views share, so that a view keeps the server alive.
            shared.finalizer = weakref.finalize(shared, abandon, shared.launcher, shared.transport, shared.owner_pid)

    def teardown(self) -> None:
        """End the server and remove its container. It can be served again.

        Raises:
            RuntimeError: It is not being served.
        """
        shared = self._shared
        with shared.lock:
            if shared.launcher is None:
                raise RuntimeError("Can only tear down a Tesseract created via from_image or from_source.")
            if shared.transport is None:
                raise RuntimeError("Tesseract is not being served.")
            with contextlib.suppress(Exception):  # logs of a container that somebody else removed
                shared.last_logs = shared.launcher.logs()
            if shared.finalizer is not None:
                shared.finalizer.detach()
            transport, shared.transport, shared.schema = shared.transport, None, None
            try:
                transport.close()
            finally:
                shared.launcher.stop()

    def __enter__(self: Self) -> Self:
        if self._shared.launcher is not None and not self._is_view:
            if self._shared.transport is not None:
                raise RuntimeError("Cannot serve the same Tesseract multiple times.")
            self.serve()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        shared = self._shared
        if self._is_view or shared.transport is None:
            return
        if shared.launcher is None:
            shared.transport.close()
        elif shared.owner_pid == os.getpid():  # a forked child leaves its parent's server alone
            self.teardown()

    def server_logs(self) -> str:
        """What the server has written: now, or until it was torn down.

        Raises:
            RuntimeError: The server is not ours.
        """
        shared = self._shared
        if shared.launcher is None:
            raise RuntimeError("Can only retrieve logs for a Tesseract created via `from_image` or `from_source`.")
        with shared.lock:
            return shared.last_logs if shared.transport is None else shared.launcher.logs()

    def container_info(self) -> Any:
        """The container that serves this Tesseract (`.reload()` refreshes it).

        Raises:
            RuntimeError: It is not served, or by no container.
        """
        shared = self._shared
        if shared.launcher is None:
            raise RuntimeError("container_info is only available when using `Tesseract.from_image(...)`.")
        if shared.transport is None:
            raise RuntimeError(
                "container_info is only available for served Tesseracts: use it as a context manager, or call .serve()"
            )
        return shared.launcher.container()

    @property
    def _serve_context(self) -> dict[str, Any] | None:
        """Name and port of the container, for programs that know this name; `container_info` is the public way."""
        if self._shared.launcher is None or self._shared.transport is None:
            return None
        try:
            container = self.container_info()
        except RuntimeError:  # served without a container
            return None
        return {"container_name": container.name, "port": container.host_port, "container": container}

    # ---- what it is --------------------------------------------------------------------------------------------------

    @property
    def openapi_schema(self) -> dict[str, Any]:
        """The OpenAPI document, fetched once per connection."""
        transport = self._connected()
        shared = self._shared
        if shared.schema is None:
            shared.schema = transport.openapi_schema()
        return shared.schema

    @property
    def available_endpoints(self) -> list[str]:
        """Names of the endpoints that this Tesseract implements."""
        return [path.lstrip("/") for path in self.openapi_schema["paths"]]

    @property
    def output_path(self) -> Path | None:
        """Directory that paths in results are relative to, with a directory `run_<id>` for each run.

        None where the server's directory is not visible here (`from_url` without `server_output_path`).
        """
        return self._connected().output_path

    @property
    def server_capabilities(self) -> ServerCapabilities | None:
        """Encodings that the server advertises; None where nothing is encoded (`from_tesseract_api`)."""
        if not self._connected().negotiates:
            return None
        return ServerCapabilities.from_schema(self.openapi_schema)

    @property
    def current_encoding(self) -> Encoding:
        """The wanted encoding of answers."""
        return self._encoding

    def with_encoding(
        self: Self,
        *,
        output_format: str | None = None,
        gpu_transport: str | None = None,
        compression: str | None = None,
    ) -> Self:
        """A view of this Tesseract that asks for another encoding; it shares the connection and owns nothing.

        Args:
            output_format: `json`, `json+base64` or `json+binref`.
            gpu_transport: How GPU arrays travel.
            compression: `none` or `lz4`.

        Raises:
            ValueError: The server does not offer a value.
        """
        mine = self._encoding
        encoding = Encoding(
            output_format or mine.output_format, gpu_transport or mine.gpu_transport, compression or mine.compression
        )
        if capabilities := self.server_capabilities:
            capabilities.check(encoding)
        view = type(self).__new__(type(self))
        view._shared, view._encoding, view._is_view = self._shared, encoding, True
        view._any_format = self._any_format and output_format is None
        return view

    def resolve_gpu_transport(self) -> str:
        """The GPU transport that works between this process and the server: `none`, arrays go through memory."""
        self._connected()
        return "none"

    # ---- how -------------------------------------------------------------------------------------------------------

    def _connected(self) -> Transport:
        transport = self._shared.transport
        if transport is None:
            raise RuntimeError(
                "When creating a Tesseract via `from_image` or `from_source`, you must use it as a context manager "
                "or call `.serve()` before any other method."
            )
        return transport

    def _compute(self, endpoint: str, payload: dict[str, Any], run_id: str | None) -> dict[str, Any]:
        transport = self._connected()
        sink = sink_for(self._shared.stream_logs)
        result: dict[str, Any] = transport.call(
            endpoint, payload, run_id=run_id, encoding=self._answer_encoding(), log_sink=sink
        )
        return result

    def _answer_encoding(self) -> Encoding:
        """The wanted encoding; where nobody has chosen a format, the fastest that the server offers.

        Numbers in JSON text are slow, and arrays of them cannot say `inf`; files of the server (`json+binref`) cannot
        be read here.
        """
        try:
            capabilities = self.server_capabilities
        except RuntimeError:  # a server that publishes no schema
            return self._encoding
        if capabilities is None:
            return self._encoding
        encoding = replace(self._encoding, exact_numbers=framing.FORMAT in (capabilities.body_formats or ()))
        if self._any_format:
            for wanted, offered in (
                (framing.FORMAT, capabilities.body_formats),
                ("json+base64", capabilities.output_formats),
            ):
                if wanted in (offered or ()):
                    return replace(encoding, output_format=wanted)
        return encoding


def _http_transport(url: str, server_output_path: StrPath | None, timeout: Timeout, token: str | None) -> Transport:
    from tesseract_core.client.http import HttpTransport

    output_path = None if server_output_path is None else Path(server_output_path).resolve()
    return HttpTransport(url, timeout=timeout, token=token, output_path=output_path)
