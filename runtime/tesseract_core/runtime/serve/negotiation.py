"""Content negotiation: which encoding of the result the client's `Accept` header asks for."""

from __future__ import annotations

from dataclasses import dataclass

from tesseract_core import framing
from tesseract_core.runtime.file_interactions import (
    COMPLEX,
    NONFINITE,
    available_compressions,
    available_formats,
    available_gpu_transports,
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to encode a result.

    Attributes:
        format: One of the output formats, or `json+binary`.
        compression: `lz4` or None.
        nonfinite: `null` or `literal`, for plain numbers that are infinite or NaN.
        complex_as: `text` or `object`, for plain complex numbers.
    """

    format: str
    compression: str | None
    nonfinite: str = "null"
    complex_as: str = "text"


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
    compression. `nonfinite=literal` and `complex=object` say how plain numbers are written. Raises `NotAcceptable`.
    """
    if not accept.strip():
        return default
    ranges = [_parse_range(text) for text in _split(accept, ",") if text.strip()]
    for media, parameters in sorted(ranges, key=lambda item: -_quality(item[1])):
        output_format = default.format if media in ("*/*", "application/*") else media.rpartition("/")[2]
        compression = parameters.get("compression", default.compression or "none")
        transport = parameters.get("gpu_transport", "none")
        numbers = _plain_numbers(parameters, default)
        if (
            numbers is not None
            and output_format in (*available_formats(), framing.FORMAT)
            and compression in available_compressions()
            and transport in available_gpu_transports()
        ):
            return Encoding(output_format, None if compression == "none" else compression, *numbers)
    raise NotAcceptable(accept)


def negotiate_numbers(accept: str, default: Encoding) -> Encoding:
    """The same for an answer that is plain JSON whatever is accepted: only how numbers are written can be chosen."""
    chosen = _plain_numbers(_parse_range(accept)[1], default) if accept.strip() else None
    return Encoding("json", None, *(chosen or (default.nonfinite, default.complex_as)))


def _plain_numbers(parameters: dict[str, str], default: Encoding) -> tuple[str, str] | None:
    """How a range wants infinities and complex numbers; None if that is not offered."""
    nonfinite = parameters.get("nonfinite", default.nonfinite)
    complex_as = parameters.get("complex", default.complex_as)
    return (nonfinite, complex_as) if nonfinite in NONFINITE and complex_as in COMPLEX else None


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
