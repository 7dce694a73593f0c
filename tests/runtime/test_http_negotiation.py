"""Which encoding an `Accept` header gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tesseract_core.runtime.serve.negotiation import Encoding, NotAcceptable, negotiate, negotiate_numbers

pytestmark = pytest.mark.fast

DEFAULT = Encoding("json+base64", "lz4")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", ("json+base64", "lz4")),
        ("   ", ("json+base64", "lz4")),
        ("*/*", ("json+base64", "lz4")),
        ("application/*", ("json+base64", "lz4")),
        ("application/json", ("json", "lz4")),
        ("APPLICATION/JSON", ("json", "lz4")),
        ("foo/json", ("json", "lz4")),
        ("json+binref", ("json+binref", "lz4")),
        ("application/json; compression=none", ("json", None)),
        ("application/json;Compression=none", ("json", None)),
        ('application/json+base64; compression="lz4"', ("json+base64", "lz4")),
        ("application/json+base64; gpu_transport=none", ("json+base64", "lz4")),
        ("application/json;q=0.1, application/json+base64;q=0.9", ("json+base64", "lz4")),
        ("application/json+base64, application/json", ("json+base64", "lz4")),
        ("application/json+base64;q=x, application/json;q=0.1", ("json", "lz4")),
        ("application/json+base64;q=nan, application/json;q=0.1", ("json", "lz4")),
        ("text/html, application/json;q=0.1", ("json", "lz4")),
        ("application/json; gpu_transport=cuda_ipc, application/json+base64;q=0.5", ("json+base64", "lz4")),
        ("application/json; compression=zstd, */*;q=0.1", ("json+base64", "lz4")),
        ('application/json; compression="a,b", application/json+binref', ("json+binref", "lz4")),
    ],
)
def test_first_available_range_by_quality(accept: str, expected: tuple[str, str | None]) -> None:
    assert negotiate(accept, DEFAULT) == Encoding(*expected)


@pytest.mark.parametrize(
    ("accept", "nonfinite", "complex_as"),
    [
        ("application/json", "null", "text"),
        ("application/json; nonfinite=literal", "literal", "text"),
        ('*/*; NonFinite="literal"; complex=object', "literal", "object"),
        ("application/json; nonfinite=text, application/json+base64; complex=object", "null", "object"),
    ],
)
def test_how_plain_numbers_are_written(accept: str, nonfinite: str, complex_as: str) -> None:
    chosen = negotiate(accept, DEFAULT)
    assert (chosen.nonfinite, chosen.complex_as) == (nonfinite, complex_as)


def test_what_is_plain_json_whatever_is_accepted() -> None:
    assert negotiate_numbers("text/html", DEFAULT) == Encoding("json", None)
    assert negotiate_numbers("", replace(DEFAULT, nonfinite="literal")) == Encoding("json", None, "literal")
    assert negotiate_numbers("*/*; nonfinite=literal", DEFAULT) == Encoding("json", None, "literal")
    assert negotiate_numbers("*/*; nonfinite=x", DEFAULT) == Encoding("json", None)


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/json; nonfinite=x",
        "application/json; compression=gzip",
        "application/json; gpu_transport=cuda_ipc",
        ";",
        ",",
    ],
)
def test_nothing_available(accept: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        negotiate(accept, DEFAULT)
    assert caught.value.detail == {
        "message": f"Cannot produce any encoding accepted by {accept!r}",
        "available_formats": ["json", "json+base64", "json+binref"],
        "available_gpu_transports": ["none"],
        "available_compressions": ["none", "lz4"],
    }
