"""Content negotiation: which encoding of the result the client's `Accept` header asks for."""

from __future__ import annotations

from dataclasses import dataclass

from tesseract_core import framing
from tesseract_core.runtime.file_interactions import (
    available_compressions,
    available_formats,
    available_gpu_transports,
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode a result: one of the output formats, or `json+binary`, and `lz4` or no compression."""

    format: str
    compression: str | None


class NotAcceptable(Exception):
    """No range of the `Accept` header names an encoding that we can produce. `detail` is the body of the 406."""

    def __init__(self, accept: str) -> None:
        message = f"Cannot produce any encoding accepted by {accept!r}"
        super().__init__(message)
        self.detail = {
            "message": message,
            "available_formats": list(available_formats()),
            "available_gpu_transports": list(available_gpu_transports()),
            "available_compressions": list(available_compressions()),
        }


def negotiate(accept: str, default: Encoding) -> Encoding:
    """Return the first acceptable encoding in order of descending `q` (ties keep the client's order).

    `*/*` and `application/*` mean the default's format; a range without a `compression` parameter means the default's
    compression. Raises `NotAcceptable`.
    """
    if not accept.strip():
        return default
    ranges = [_parse_range(text) for text in _split(accept, ",") if text.strip()]
    for media, parameters in sorted(ranges, key=lambda item: -_quality(item[1])):
        output_format = default.format if media in ("*/*", "application/*") else media.rpartition("/")[2]
        compression = parameters.get("compression", default.compression or "none")
        transport = parameters.get("gpu_transport", "none")
        if (
            output_format in (*available_formats(), framing.FORMAT)
            and compression in available_compressions()
            and transport in available_gpu_transports()
        ):
            return Encoding(output_format, None if compression == "none" else compression)
    raise NotAcceptable(accept)


def _parse_range(text: str) -> tuple[str, dict[str, str]]:
    media, *parts = _split(text, ";")
    parameters = {}
    for part in parts:
        name, _, value = part.partition("=")
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        parameters[name.strip().lower()] = value
    return media.strip().lower(), parameters


def _quality(parameters: dict[str, str]) -> float:
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
    return quality if quality == quality else 0.0  # NaN does not sort


def _split(text: str, separator: str) -> list[str]:
    """Split at separators outside of double quotes."""
    if '"' not in text:
        return text.split(separator)
    parts, start, quoted = [], 0, False
    for position, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return parts
