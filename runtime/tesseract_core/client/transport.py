"""What carries a call to a Tesseract: one method, implemented over HTTP (TCP, Unix socket) and in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from tesseract_core.client.encoding import Encoding
from tesseract_core.client.logs import LogSink

# Seconds for connecting and for each wait for data, or (connect, read); None waits for ever.
Timeout = float | tuple[float | None, float | None] | None

# Endpoints that run user code on arrays: they take a run id, negotiate the encoding, and their results are decoded.
COMPUTE_ENDPOINTS = frozenset({"apply", "jacobian", "jacobian_vector_product", "vector_jacobian_product"})


class Transport(ABC):
    """A connection to one Tesseract. Implementations are safe to use from many threads and need no event loop.

    Attributes:
        output_path: Directory that the Tesseract writes to, as seen here; None if it is not.
    """

    output_path: Path | None = None

    @abstractmethod
    def call(
        self,
        endpoint: str,
        payload: Any = None,
        *,
        run_id: str | None = None,
        encoding: Encoding | None = None,
        log_sink: LogSink | None = None,
    ) -> Any:
        """Call an endpoint and wait for its answer.

        Args:
            endpoint: Name with underscores (`apply`, `health`, ...).
            payload: Tree of the request's body; ignored by `health`.
            run_id: Names the run (compute endpoints only).
            encoding: Wanted encoding of the answer (compute endpoints only).
            log_sink: Gets the lines that the run logs, while it runs (compute endpoints only).

        Returns:
            The result, with NumPy arrays for compute endpoints and plain JSON values for others.

        Raises:
            pydantic.ValidationError: The payload does not fit the endpoint's schema.
            RuntimeError: The endpoint failed, or there is none of that name.
        """

    @abstractmethod
    def openapi_schema(self) -> dict[str, Any]:
        """The OpenAPI document."""

    @property
    @abstractmethod
    def negotiates(self) -> bool:
        """Whether answers are encoded at all."""

    def close(self) -> None:  # noqa: B027 - nothing to give back by default
        """Give back connections. A later call opens them again."""
