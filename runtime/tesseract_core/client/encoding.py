"""How arrays travel in answers, and what a server offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GPU_TRANSPORTS = ("none",)
"""Ways in which GPU arrays may travel: through memory, so far. The one place that says so, for all sides."""


def check_gpu_transport(name: str) -> None:
    """Raises: ValueError for a way that is not offered."""
    if name not in GPU_TRANSPORTS:
        raise ValueError(
            f"gpu_transport={name} is not offered (so far only: {', '.join(GPU_TRANSPORTS)}); leave it out: "
            "GPU arrays travel through memory"
        )


@dataclass(frozen=True)
class Encoding:
    """Wanted encoding of answers; `None` leaves the choice to the server.

    Attributes:
        output_format: `json`, `json+base64` or `json+binref` (or `json+binary`, which only transports choose).
        gpu_transport: How GPU arrays travel: `none` is through memory.
        compression: `none` or `lz4`.
        exact_numbers: Plain numbers of the answer keep their values where JSON has no form for them: infinities, NaN,
            complex numbers. Only a server that also takes `json+binary` knows how.

    Raises:
        ValueError: A GPU transport that is not offered.
    """

    output_format: str | None = None
    gpu_transport: str | None = None
    compression: str | None = None
    exact_numbers: bool = False

    def __post_init__(self) -> None:
        if self.gpu_transport is not None:
            check_gpu_transport(self.gpu_transport)

    def accept(self) -> str:
        """Value of the `Accept` header."""
        if self == Encoding():
            return "*/*"
        ranges = [f"application/{self.output_format or '*'}"]
        if self.gpu_transport is not None:
            ranges.append(f"gpu_transport={self.gpu_transport}")
        if self.compression is not None:
            ranges.append(f"compression={self.compression}")
        if self.exact_numbers:
            ranges += ["nonfinite=literal", "complex=object"]
        return "; ".join(ranges)


@dataclass(frozen=True)
class ServerCapabilities:
    """What a server advertises; `None` where it says nothing."""

    output_formats: tuple[str, ...] | None = None
    gpu_transports: tuple[str, ...] | None = None
    compressions: tuple[str, ...] | None = None
    body_formats: tuple[str, ...] | None = None

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any]) -> ServerCapabilities:
        """Read them from an OpenAPI document."""

        def offered(key: str) -> tuple[str, ...] | None:
            return None if schema.get(key) is None else tuple(schema[key])

        return cls(
            output_formats=offered("x-supported-output-formats"),
            gpu_transports=offered("x-supported-gpu-transports"),
            compressions=offered("x-supported-compressions"),
            body_formats=offered("x-supported-body-formats"),
        )

    def check(self, encoding: Encoding) -> None:
        """Raises: ValueError where the server has said that it does not offer a wanted value."""
        for name, wanted, offered in (
            ("output_format", encoding.output_format, self.output_formats),
            ("gpu_transport", encoding.gpu_transport, self.gpu_transports),
            ("compression", encoding.compression, self.compressions),
        ):
            if wanted is not None and wanted != "none" and offered is not None and wanted not in offered:
                raise ValueError(f"This Tesseract does not offer {name} {wanted!r}, only: {', '.join(offered)}")
