"""The servers behind a `Tesseract` of this host: a container of an image, or a process run from source."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tesseract_core.client.temporary import temporary_directory
from tesseract_core.client.transport import Timeout, Transport
from tesseract_core.endings import describe_signal, describe_status

from tesseract import tail
from tesseract.commands import is_url
from tesseract.deadline import Deadline
from tesseract.errors import ContainerNotFound, StartupFailed, StartupTimeout, UserError
from tesseract.serving.paths import check_input, make_output
from tesseract.serving.requests import Served, ServeRequest
from tesseract.serving.runtime_settings import as_variables, warn_of_unknown
from tesseract.serving.values import seconds

if TYPE_CHECKING:
    from tesseract.facade import Container

_SHARED_MEMORY = "/dev/shm"
_STOP_SECONDS = 10.0  # between TERM and KILL
_MOMENT = 1.0  # seconds that a server may take to end after its connections


class ImageServer:
    """Serves an image in a container that belongs to this process.

    Args:
        request: What to serve; without an output path it gets a temporary one.
        timeout: Of the client's calls.
        in_memory: Whether temporary directories are in memory.
    """

    def __init__(self, request: ServeRequest, timeout: Timeout, *, in_memory: bool = False) -> None:
        warn_of_unknown(request.runtime_config, stacklevel=3)
        parent = _SHARED_MEMORY if in_memory else None
        if request.output_path is None:
            request = replace(request, output_path=temporary_directory(self, "tesseract_output_", parent))
        if request.input_path is None and request.output_format == "json+binref":
            request = replace(request, input_path=temporary_directory(self, "tesseract_input_", parent))
        self._request = request
        self._timeout = timeout
        self._served: Served | None = None

    def start(self) -> Transport:
        from tesseract_core.client.http import HttpTransport

        from tesseract import serving

        request = replace(self._request, owner=serving.process.current())
        self._served = served = serving.serve(request)
        if served.url is None:
            self.stop()
            raise UserError(
                f"Nothing on this host can reach {served.container_name}: publish a port, or use socket=True."
            )
        transport = HttpTransport(
            served.url,
            timeout=self._timeout,
            token=served.token,
            # What was fetched from a URL is a snapshot that others use, too: no arrays are passed by way of it.
            input_path=_local(request.input_path),
            output_path=served.output.directory if served.output else _local(request.output_path),
            ending=self._ending,
        )
        if served.output is None:
            return transport
        from tesseract.uploading import UploadingTransport

        return UploadingTransport(transport, served.output)

    def stop(self) -> None:
        from tesseract import serving

        served, self._served = self._served, None
        if served is None:
            return
        try:
            serving.teardown(served.container.id)
        except ContainerNotFound:  # somebody else removed it, perhaps without regard for its output
            if served.output is not None:
                served.output.finish()

    def _ending(self) -> str:
        from tesseract import serving

        return serving.ended(self._served.container_name) if self._served else ""

    def logs(self) -> str:
        return self.container().logs().decode(errors="replace")

    def container(self) -> Container:
        from tesseract.facade import Container

        if self._served is None:
            raise RuntimeError("container_info is only available for served Tesseracts.")
        return Container(self._served.container)


class SourceServer:
    """Serves a `tesseract_api.py` in a child process.

    It listens on a Unix socket in a private directory: unlike a port on loopback, which is open to every user of the
    machine, it is ours alone, and nobody can take it before the child does.

    Args:
        api_path: The file.
        python: Interpreter to run it with; None builds an environment for its project.
        input_path, output_path: Directories of the runtime; without an output path it gets a temporary one.
        settings: Further fields of the runtime's configuration.
        startup_timeout: Seconds until the server answers.
        timeout: Of the client's calls.
        in_memory: Whether temporary directories are in memory.
    """

    def __init__(
        self,
        api_path: Path,
        *,
        python: Path | None,
        input_path: Path | None,
        output_path: Path | None,
        settings: Mapping[str, Any],
        startup_timeout: float | None,
        timeout: Timeout,
        in_memory: bool = False,
    ) -> None:
        warn_of_unknown(settings, stacklevel=3)
        parent = _SHARED_MEMORY if in_memory else None
        binref = settings.get("output_format") == "json+binref"
        if input_path is None:
            input_path = temporary_directory(self, "tesseract_input_", parent) if binref else Path.cwd()
        self._api_path = api_path
        self._python = python
        self._input_path = input_path
        self._output_path = output_path or temporary_directory(self, "tesseract_output_", parent)
        self._variables = as_variables(
            {
                "debug": True,
                "debugpy_port": 0,  # none: who reaches it can run code
                **settings,
                "api_path": api_path,
                "input_path": self._input_path,
                "output_path": self._output_path,
            }
        )
        self._startup_timeout = seconds("startup_timeout", startup_timeout)
        self._timeout = timeout
        # The path of a Unix socket holds 107 bytes (unix(7)); a batch system's TMPDIR may leave too few of them.
        roomy = len(os.fsencode(tempfile.gettempdir())) <= 70
        self._directory = temporary_directory(self, "tesseract_server_", None if roomy else "/tmp")
        self._log_file = self._directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None

    def start(self) -> Transport:
        from tesseract.source_env import ensure_environment

        check_input(self._input_path)
        make_output(self._output_path)
        python = self._python or ensure_environment(self._api_path.parent)
        deadline = Deadline(self._startup_timeout)
        socket = self._directory / "api.sock"
        self._spawn([str(python), "-m", "tesseract_core.runtime", "serve", "--uds", str(socket)])
        try:
            return self._wait(f"http+unix://{quote(str(socket), safe='')}", deadline)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def logs(self) -> str:
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def _output(self) -> str:
        with self._log_file.open("rb") as log:
            end = tail.of_file(log)
        return f"Output from the Tesseract:\n{end}" if end else "The Tesseract gave no output."

    def container(self) -> Any:
        raise RuntimeError("container_info is only available when using `Tesseract.from_image(...)`.")

    def _spawn(self, command: list[str]) -> None:
        # The child sees the end of this pipe when this process is gone, however it went.
        watched, self._lifeline = os.pipe()
        try:
            with self._log_file.open("wb") as log:
                self._process = subprocess.Popen(
                    [*command, "--parent-pipe-fd", str(watched)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=os.environ | self._variables,
                    pass_fds=[watched],
                )
        except OSError as error:
            raise StartupFailed(
                f"Cannot run {command[0]}: {error.strerror}. Give another python_executable."
            ) from error
        finally:
            os.close(watched)

    def _wait(self, url: str, deadline: Deadline) -> Transport:
        import requests
        from tesseract_core.client.http import HttpTransport

        assert self._process is not None
        probe = HttpTransport(url, timeout=5.0)
        delay = 0.01
        while True:
            with contextlib.suppress(requests.exceptions.RequestException, RuntimeError):
                probe.call("health")
                break
            if (status := self._process.poll()) is not None:
                how = f"exit code {status}" + (f", {describe_signal(-status)}" if status < 0 else "")
                raise StartupFailed(f"The Tesseract stopped running during startup ({how}).\n\n{self._output()}")
            if deadline.expired:
                raise StartupTimeout(
                    f"The Tesseract did not respond to a health check within {deadline.seconds:g} s; raise "
                    f"startup_timeout if it needs longer.\n\n{self._output()}"
                )
            time.sleep(delay)
            delay = min(2 * delay, 0.1)
        probe.close()
        return HttpTransport(
            url,
            timeout=self._timeout,
            input_path=self._input_path,
            output_path=self._output_path,
            ending=self._ending,
        )

    def _ending(self) -> str:
        try:
            status = self._process.wait(_MOMENT) if self._process else None
        except subprocess.TimeoutExpired:
            return ""
        if status is None:
            return ""
        return f"The Tesseract has ended: {describe_signal(-status) if status < 0 else describe_status(status)}."


def _local(path: str | Path | None) -> Path | None:
    return None if path is None or is_url(path) else Path(path)
