"""Bodies that carry arrays as they lie in memory: between our client and our server, and with what others may send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from support.served import Answer, Served, served
from tesseract_core import Tesseract, framing
from tesseract_core.client import codec

API = Path(__file__).parent / "apis" / "http_demo.py"
BINARY = {"Content-Type": framing.MEDIA_TYPE}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(API, tmp_path_factory.mktemp("framing")) as running:
        yield running


def framed(payload: Any, *arrays: np.ndarray) -> bytes:
    """A body whose payload names the arrays by `@0`, `@1`, ..."""
    buffers = framing.Buffers()
    text = json.dumps(payload)
    for number, array in enumerate(arrays):
        text = text.replace(f'"@{number}"', json.dumps(buffers.add(array)))
    return buffers.body(text.encode())


def vector(buffer: Any, shape: tuple[int, ...] = (3,), **data: Any) -> dict[str, Any]:
    return {"shape": shape, "dtype": "float64", "data": {"buffer": buffer, "encoding": "binary", **data}}


def post(server: Served, body: bytes, **headers: str) -> Answer:
    return server.post("/apply", body, {**BINARY, **headers})


@pytest.mark.fast
@given(
    st.lists(
        npst.arrays(st.sampled_from(["f8", "f4", "i2", "u1", "?", "c16"]), npst.array_shapes(min_side=0)), max_size=4
    )
)
def test_what_one_side_writes_the_other_reads(arrays: list[np.ndarray]) -> None:
    frame = codec.Frame()
    body, media_type = frame.body(codec.encode({"inputs": arrays}, frame.data))
    assert media_type == (framing.MEDIA_TYPE if arrays else "application/json")
    decoded = codec.decode(body)["inputs"] if arrays else []
    for given_array, found in zip(arrays, decoded, strict=True):
        assert (found.dtype, found.shape, found.flags.writeable) == (given_array.dtype, given_array.shape, True)
        np.testing.assert_array_equal(found, given_array)


@pytest.mark.fast
@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_a_body_or_a_value_error(data: bytes, begins_well: bool) -> None:
    body = b"TSRARRAY" * begins_well + data
    try:
        text, buffers = framing.split(body)
    except ValueError:
        return
    assert begins_well
    assert len(text) + len(buffers) <= len(data)


def test_numbers_go_in_and_out_unchanged(server: Served) -> None:
    answer = post(
        server, framed({"inputs": {"a": vector("@0")}}, np.array([1.0, -np.inf, np.nan])), Accept=framing.MEDIA_TYPE
    )
    assert (answer.status, answer.headers["content-type"]) == (200, framing.MEDIA_TYPE)
    text, _ = framing.split(answer.body)
    assert json.loads(text)["y"]["data"]["encoding"] == "binary"
    np.testing.assert_array_equal(codec.decode(answer.body)["y"], [2.0, -np.inf, np.nan])


def test_each_side_may_do_without(server: Served) -> None:
    plain = post(server, framed({"inputs": {"a": vector("@0")}}, np.ones(3)))
    assert (plain.headers["content-type"], plain.json["y"]["data"]["buffer"]) == ("application/json", [2.0, 2.0, 2.0])
    binary = server.post("/apply", {"inputs": {"a": [1, 2, 3]}}, {"Accept": f"{framing.MEDIA_TYPE}; compression=lz4"})
    np.testing.assert_array_equal(codec.decode(binary.body)["y"], [2.0, 4.0, 6.0])
    assert post(server, framed({"inputs": {"a": [1, 2, 3]}})).status == 200, "a body without a buffer"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (vector("0:24", (4,)), "expected_shape"),
        (vector("0:16"), "expected 24 bytes, got 16"),
        (vector("8:24"), "is not within the"),
        (vector("0:99999999999999999999"), "expected a reference"),
        (vector("-1:24"), "expected a reference"),
        (vector("0:24:1"), "expected a reference"),
        (vector(0), "'buffer' must be a string"),
        (vector("0:24", compression="lz4"), "LZ4"),
        (vector("0:24", (2**40,)), "expected_shape"),
    ],
)
def test_references_to_elsewhere_are_errors_of_the_field(server: Served, data: dict[str, Any], said: str) -> None:
    answer = post(server, framed({"inputs": {"a": data}}) + np.ones(3).tobytes())
    assert answer.status == 422
    (error,) = answer.json["detail"]
    assert error["loc"] == ["body", "inputs", "a"]
    assert said in json.dumps(error)


@pytest.mark.parametrize("body", [b"{}", b"TSRARRAY", b"TSRARRAY" + b"\xff" * 8, framed({})[:17], b"\0" * 100])
def test_a_body_that_is_none_is_malformed(server: Served, body: bytes) -> None:
    answer = post(server, body)
    assert answer.status == 422
    assert answer.json["detail"][0]["type"] == "json_invalid"


def test_plain_json_cannot_refer_to_buffers(server: Served) -> None:
    answer = server.post("/apply", {"inputs": {"a": vector("0:24")}})
    assert answer.status == 422
    assert "use one of: json, base64, binref" in answer.json["detail"][0]["msg"]


def test_the_client_uses_it_where_it_may(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []
    encode, decode = codec.Frame.body, codec.decode

    def spy_body(self: codec.Frame, text: bytes) -> tuple[bytes, str]:
        seen.append(("sent", True))
        return encode(self, text)

    def spy_decode(body: bytes, output_path: Path | None = None) -> Any:
        seen.append(("got", framing.is_framed(body)))
        return decode(body, output_path)

    monkeypatch.setattr(codec.Frame, "body", spy_body)
    monkeypatch.setattr(codec, "decode", spy_decode)
    with Tesseract.from_url(server.url) as tesseract:
        assert tesseract.server_capabilities is not None
        assert framing.FORMAT in (tesseract.server_capabilities.body_formats or ())
        np.testing.assert_array_equal(tesseract.apply({"a": np.ones(3)})["y"], [2.0, 2.0, 2.0])
        assert seen == [("sent", True), ("got", True)]
        seen.clear()
        tesseract.with_encoding(output_format="json+base64").apply({"a": np.ones(3)})
        assert seen == [("got", False)]
