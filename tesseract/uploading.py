"""Calls whose runs are uploaded: for Tesseracts whose output path is a URL."""

from __future__ import annotations

import uuid
import warnings
from typing import Any

from tesseract_core.client.encoding import Encoding
from tesseract_core.client.logs import LogSink
from tesseract_core.client.transport import COMPUTE_ENDPOINTS, Transport

from tesseract.errors import UserError
from tesseract.transfer.output import Output


class UploadingTransport(Transport):
    """Uploads the directory of each run after its call.

    What cannot be uploaded stays where it is, for teardown to try again; a warning says so. It is no exception,
    because that would cost the result of the call.

    Args:
        transport: Makes the calls.
        output: What the server writes to.
    """

    def __init__(self, transport: Transport, output: Output) -> None:
        self._transport = transport
        self._output = output
        self.output_path = transport.output_path

    @property
    def negotiates(self) -> bool:
        return self._transport.negotiates

    def call(
        self,
        endpoint: str,
        payload: Any = None,
        *,
        run_id: str | None = None,
        encoding: Encoding | None = None,
        log_sink: LogSink | None = None,
    ) -> Any:
        if endpoint not in COMPUTE_ENDPOINTS:
            return self._transport.call(endpoint, payload)
        run_id = run_id or str(uuid.uuid4())  # else we could not know which directory is ours
        try:
            return self._transport.call(endpoint, payload, run_id=run_id, encoding=encoding, log_sink=log_sink)
        finally:
            self._upload(run_id)

    def openapi_schema(self) -> dict[str, Any]:
        return self._transport.openapi_schema()

    def close(self) -> None:
        self._transport.close()

    def _upload(self, run_id: str) -> None:
        try:
            self._output.upload(f"run_{run_id}")
        except UserError as problem:
            warnings.warn(str(problem), stacklevel=6)
