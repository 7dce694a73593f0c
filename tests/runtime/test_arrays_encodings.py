"""Encoded arrays: every encoding both ways, and what is refused."""

from __future__ import annotations

import base64
import json
import math
import socket
import tracemalloc
import uuid
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import BaseModel, TypeAdapter, ValidationError
from tesseract_core import framing
from tesseract_core.runtime import Array, Bool, Float32, Float64, Int8, Int64, file_interactions
from tesseract_core.runtime.array_encoding import DTYPES, decode_array, encode_array, parse_binref
from tesseract_core.runtime.config import override_config, update_config
from tesseract_core.runtime.file_interactions import output_to_bytes
from tesseract_core.runtime.trust import network_payload

pytestmark = pytest.mark.fast

CONTEXTS = {
    "json": {"array_encoding": "json"},
    "base64": {"array_encoding": "base64"},
    "base64+lz4": {"array_encoding": "base64", "compression": "lz4"},
    "binref": {"array_encoding": "binref"},
    "binref+lz4": {"array_encoding": "binref", "compression": "lz4"},
}


class Vector(BaseModel):
    v: Array[(None,), Float64]


def encoded(shape: Any, dtype: Any, buffer: Any, encoding: Any = "json", **more: Any) -> dict[str, Any]:
    return {"shape": shape, "dtype": dtype, "data": {"buffer": buffer, "encoding": encoding, **more}}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def validate(value: Any, array_type: Any = Array[..., None], **context: Any) -> Any:
    return TypeAdapter(array_type).validate_python(value, context=context)


def problem(value: Any, array_type: Any = Array[..., None], **context: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        validate(value, array_type, **context)
    (found,) = caught.value.errors(include_url=False)
    assert found["loc"] == ()
    return found


def arrays() -> st.SearchStrategy[np.ndarray]:
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    return st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=list(CONTEXTS))
@given(array=arrays())
@settings(max_examples=60, deadline=None)
def test_round_trip(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    base = {"base_dir": str(tmp_path_factory.getbasetemp())}
    text = json.dumps(encode_array(array, {**context, **base}), allow_nan=False)
    got = decode_array(json.loads(text), base)
    assert (got.shape, got.dtype) == (array.shape, array.dtype)
    assert got.flags.writeable
    if context["array_encoding"] == "json" and array.dtype.kind == "f":
        array = np.where(np.isinf(array), np.nan, array)  # JSON has no infinity
    assert np.array_equal(got, array, equal_nan=array.dtype.kind in "fc")


@given(array=arrays(), compression=st.sampled_from([None, "lz4"]), name=st.sampled_from(["json", "json+base64"]))
@settings(max_examples=100, deadline=None)
def test_results_equal_what_pydantic_writes(array: np.ndarray, compression: str | None, name: str) -> None:
    class Model(BaseModel):
        note: str
        x: Array[..., None]
        y: Array[..., None]

    model = Model(note='"0:1"\\', x=array, y=array)
    context = {"array_encoding": name.partition("+")[2] or "json", "compression": compression}
    assert json.loads(output_to_bytes(model, name, compression=compression)) == json.loads(
        model.model_dump_json(context=context)
    )


@pytest.mark.parametrize("encoding", ["json", "base64", "binary"])
def test_what_is_no_number_is_not_written_as_an_array(encoding: str) -> None:
    class Model(BaseModel):
        number: Array[(None,), Int64] | int

    context = {"array_encoding": encoding, "buffers": framing.Buffers()}
    assert Model(number=2**64).model_dump(mode="json", context=context) == {"number": 2**64}


class TestExamplesOfTheContract:
    @pytest.mark.parametrize(
        "text",
        [
            '{"object_type":"array","shape":[3],"dtype":"float64","data":{"buffer":[2.0,4.0,6.0],"encoding":"json"}}',
            '{"object_type":"array","shape":[],"dtype":"float64","data":{"buffer":4.0,"encoding":"json"}}',
            '{"object_type":"array","shape":[2,2],"dtype":"int64","data":{"buffer":[[0,1],[2,3]],"encoding":"json"}}',
            '{"object_type":"array","shape":[3],"dtype":"float64","data":'
            '{"buffer":"AAAAAAAAAEAAAAAAAAAQQAAAAAAAABhA","encoding":"base64"}}',
            '{"object_type":"array","shape":[3],"dtype":"float64","data":'
            '{"buffer":"BCJNGGhAGAAAAAAAAABPEwAAABIAAQASQAcAoBBAAAAAAAAAGEAAAAAA","encoding":"base64","compression":"lz4"}}',
        ],
    )
    def test_read_and_written_alike(self, text: str) -> None:
        adapter = TypeAdapter(Array[..., None])
        data = json.loads(text)["data"]
        array = adapter.validate_json(text)
        assert array.tolist() in ([2, 4, 6], 4, [[0, 1], [2, 3]])
        context = {"array_encoding": data["encoding"], "compression": data.get("compression")}
        assert adapter.dump_json(array, context=context).decode() == text

    def test_binref(self, tmp_path: Path) -> None:
        name = "f4ec4d5e-0c81-4600-9641-e7c7c9cced8f.bin"
        (tmp_path / "run_abc2").mkdir()
        (tmp_path / "run_abc2" / name).write_bytes(np.array([2.0, 4.0, 6.0]).tobytes())
        reference = encoded([3], "float64", f"run_abc2/{name}:0", "binref", object_type="array")
        reference["object_type"] = reference["data"].pop("object_type")
        assert validate(reference, base_dir=tmp_path).tolist() == [2, 4, 6]


class TestJson:
    def test_flat_lists_are_reshaped(self) -> None:
        assert validate(encoded([2, 2], "int64", [0, 1, 2, 3])).tolist() == [[0, 1], [2, 3]]

    def test_null_is_nan_and_nan_is_null(self) -> None:
        got = validate(encoded([3], "float32", [None, 1, None]))
        assert np.isnan(got[[0, 2]]).all()
        dumped = Vector(v=[np.nan, np.inf, 1.0]).model_dump_json()
        assert '"buffer":[null,null,1.0]' in dumped

    def test_complex_numbers_are_strings(self) -> None:
        assert encode_array(np.array([1 + 2j]), {})["data"]["buffer"] == ["1+2j"]
        assert validate(encoded([2], "complex64", ["1+2j", 3])).tolist() == [1 + 2j, 3]

    def test_whole_floats_in_an_integer_buffer(self) -> None:
        assert validate(encoded([2], "int32", [1.0, 2.0])).tolist() == [1, 2]
        assert problem(encoded([2], "int32", [1.5, 2.0]))["type"] == "array_expected_integer"
        assert problem(encoded([1], "int8", [300.0]))["type"] == "array_value_out_of_range"

    def test_large_integers_are_exact(self) -> None:
        assert validate(encoded([2], "uint64", [2**64 - 1, 1])).tolist() == [2**64 - 1, 1]
        assert problem(encoded([1], "uint64", [2**64]))["type"] == "array_value_out_of_range"

    def test_the_dtype_of_the_buffer_counts_first(self) -> None:
        found = problem(encoded([3], "int8", [300, 2, 3]), Array[(3,), Float64])
        assert found["type"] == "array_value_out_of_range"
        assert found["msg"] == "Array values do not fit into dtype 'int8' (e.g. 300)"
        assert found["ctx"] == {"expected_dtype": "int8", "value": "300"}

    @pytest.mark.parametrize("buffer", [["1", "2"], "12", [1, [2]], {}, [None, "a"]])
    def test_not_numeric(self, buffer: Any) -> None:
        assert problem(encoded([2], "float64", buffer))["type"] == "array_non_numeric"

    def test_booleans(self) -> None:
        assert validate(encoded([], "bool", True), Bool) == np.True_
        assert problem(encoded([], "bool", 2), Bool)["type"] == "array_dtype_mismatch"

    def test_too_few(self) -> None:
        assert problem(encoded([3], "float64", [1.0]))["type"] == "array_decode_error"


class TestBase64:
    def test_message_of_the_contract(self) -> None:
        found = problem(encoded([3], "float64", "!!!", "base64"))
        assert found["msg"] == "Failed to decode array buffer (base64 encoding): Non-base64 digit found"
        assert found["ctx"] == {"encoding": "base64", "error": "Non-base64 digit found"}

    @pytest.mark.parametrize("size", [0, 16, 32])
    def test_wrong_size(self, size: int) -> None:
        assert problem(encoded([3], "float64", b64(bytes(size)), "base64"))["type"] == "array_decode_error"

    def test_odd_bytes_of_booleans_are_true(self) -> None:
        got = validate(encoded([3], "bool", b64(b"\x00\x01\xff"), "base64"))
        assert got.view("uint8").tolist() == [0, 1, 1]


class TestCompression:
    def test_a_bomb_is_refused_before_it_inflates(self) -> None:
        bomb = b64(lz4.frame.compress(bytes(200_000_000)))
        tracemalloc.start()
        try:
            found = problem(encoded([2], "float64", bomb, "base64", compression="lz4"))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert "exceeds the 16 bytes" in found["msg"]
        assert peak < 20_000_000

    def test_a_shape_that_no_array_has(self) -> None:
        for data in ({"buffer": [], "encoding": "json"}, {"buffer": "", "encoding": "base64"}):
            assert problem({"shape": [2**62, 0], "dtype": "float64", "data": data})["type"] == "array_invalid_shape"

    def test_a_huge_shape_allocates_nothing(self) -> None:
        for data in (b64(lz4.frame.compress(b"abc")), b64(b"abc")):
            for shape in ([2**40], [2**62, 2**62]):
                more = {} if data == b64(b"abc") else {"compression": "lz4"}
                assert problem(encoded(shape, "float64", data, "base64", **more))["type"] == "array_decode_error"

    @pytest.mark.parametrize("raw", [b"", b"not lz4", lz4.frame.compress(bytes(8)), lz4.frame.compress(bytes(16))[:-6]])
    def test_broken_frames(self, raw: bytes) -> None:
        found = problem(encoded([2], "float64", b64(raw), "base64", compression="lz4"))
        assert found["type"] == "array_decode_error"

    def test_null_is_no_compression(self) -> None:
        assert validate(encoded([1], "int8", b64(b"\x05"), "base64", compression=None)).tolist() == [5]


class TestForm:
    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            ({"shape": [1], "dtype": "float64"}, "missing"),
            ({**encoded([1], "float64", [1]), "more": 1}, "extra_forbidden"),
            (encoded([1], "float64", [1], more=1), "extra_forbidden"),
            (encoded([1], "float128", [1]), "array_invalid_dtype"),
            (encoded([1], ["float64"], [1]), "array_invalid_dtype"),
            (encoded([-1], "float64", [1]), "array_invalid_shape"),
            (encoded("3", "float64", [1]), "array_invalid_shape"),
            (encoded([True], "float64", [1]), "array_invalid_shape"),
            (encoded([1], "float64", [1], "raw"), "union_tag_invalid"),
            (encoded([1], "float64", [1], ["json"]), "union_tag_invalid"),
            (encoded([1], "float64", [1], compression="lz4"), "literal_error"),
            (encoded([1], "float64", 5, "base64"), "string_type"),
            (encoded([1], "float64", "", "base64", compression="zip"), "literal_error"),
            ({**encoded([1], "float64", [1]), "object_type": "list"}, "literal_error"),
            ({"shape": [1], "dtype": "float64", "data": [1]}, "model_type"),
            ({"shape": [1], "dtype": "float64", "data": {"buffer": [1]}}, "missing"),
            (encoded([1], "float64", "x", "cuda_ipc"), "array_decode_error"),
        ],
    )
    def test_the_fault_is_named(self, value: Any, kind: str) -> None:
        assert problem(value)["type"] == kind

    def test_shape_and_dtype_are_checked_against_the_declaration(self) -> None:
        assert problem(encoded([2], "float64", "!", "base64"), Array[(3,), Float64])["type"] == "array_shape_mismatch"
        assert problem(encoded([3], "float64", "!", "base64"), Array[(3,), "int8"])["type"] == "array_dtype_mismatch"
        assert problem(encoded([3], "float64", "!", "base64"), Int8)["type"] == "array_dimensionality_mismatch"
        assert validate(encoded([1], "float32", [7]), Array[(3,), Float64]).tolist() == [7, 7, 7]


class TestBinref:
    @pytest.fixture(autouse=True)
    def _paths(self, tmp_path: Path) -> Any:
        self.inputs, self.outputs, self.outside = tmp_path / "in", tmp_path / "out", tmp_path / "outside"
        for directory in (self.inputs, self.outputs, self.outside):
            directory.mkdir()
            (directory / "data.bin").write_bytes(np.arange(4.0).tobytes())
        with override_config():
            update_config(input_path=str(self.inputs), output_path=str(self.outputs))
            yield

    def read(self, buffer: str, shape: Any = (2,), **context: Any) -> Any:
        return validate(encoded(list(shape), "float64", buffer, "binref"), **context)

    def refusal(self, buffer: str, shape: Any = (2,), **more: Any) -> str:
        found = problem(encoded(list(shape), "float64", buffer, "binref", **more))
        assert found["type"] == "array_decode_error"
        assert found["ctx"]["encoding"] == "binref"
        assert str(self.inputs) not in found["msg"].replace(buffer, "")
        return str(found["ctx"]["error"])

    @pytest.mark.parametrize(("buffer", "expected"), [("data.bin", 0), ("data.bin:0", 0), ("data.bin:16", 2)])
    def test_relative_to_the_input_path(self, buffer: str, expected: float) -> None:
        got = self.read(buffer)
        assert got.tolist() == [expected, expected + 1]
        got += 1
        (self.inputs / "data.bin").unlink()
        assert got.tolist() == [expected + 1, expected + 2]

    def test_absolute_below_the_input_path(self) -> None:
        assert self.read(f"{self.inputs}/data.bin:8").tolist() == [1, 2]

    def test_context_says_where(self) -> None:
        (self.outside / "sub").mkdir()
        (self.outside / "data.bin").rename(self.outside / "sub" / "data.bin")
        assert self.read("data.bin:8", base_dir=self.outside, binref_dir="sub").tolist() == [1, 2]

    def test_confined(self) -> None:
        (self.inputs / "link.bin").symlink_to(self.outside / "data.bin")
        (self.inputs / "links").symlink_to(self.outside)
        for path in ("../outside/data.bin", f"{self.outside}/data.bin", "link.bin", "links/data.bin", "/etc/passwd"):
            with network_payload():
                assert "TESSERACT_BINREF_ROOTS" in self.refusal(path)
            if path != "/etc/passwd":  # the operator may read it himself
                assert self.read(path).tolist() == [0, 1]

    def test_more_roots_by_leave_of_the_operator(self) -> None:
        update_config(binref_roots=(str(self.outside),))
        for served in (True, False):
            with network_payload(served):
                assert self.read(f"{self.outside}/data.bin:8").tolist() == [1, 2]
                assert f"directory {str(self.outputs)!r} with" in self.refusal(f"{self.outputs}/data.bin")

    @pytest.mark.parametrize("url", ["http://localhost:1/x.bin:0", "file:///etc/passwd", "memory://x:0", "s3://b/k"])
    def test_no_urls(self, url: str) -> None:
        with network_payload():
            assert "TESSERACT_ALLOWED_URL_PREFIXES" in self.refusal(url)

    def test_urls_by_leave_of_the_operator(self) -> None:
        import fsspec

        with fsspec.open("memory://store/x.bin", "wb") as file:
            file.write(np.arange(4.0).tobytes())
        assert self.read("memory://store/x.bin:8").tolist() == [1, 2]
        update_config(allowed_url_prefixes=("memory://store",))
        for served in (True, False):
            with network_payload(served):
                assert self.read("memory://store/x.bin:8").tolist() == [1, 2]
                assert "TESSERACT_ALLOWED_URL_PREFIXES" in self.refusal("memory://other/x.bin:8")
        assert "got 8" in self.refusal("memory://store/x.bin:24")

    def test_a_server_that_says_nothing_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(file_interactions, "HTTP_SILENCE", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.bin"
            update_config(allowed_url_prefixes=(url,))
            assert "Timeout" in self.refusal(url)

    def test_short_files_and_missing_ones(self) -> None:
        assert self.refusal("data.bin:24") == "cannot read 16 bytes at offset 24 of 'data.bin': the file has 32 bytes"
        assert "No such file" in self.refusal("none.bin")
        assert "not a regular file" in self.refusal(".")
        self.refusal("data.bin:0", [2**50])  # and nothing of that size is allocated

    def test_compressed_needs_its_size(self) -> None:
        assert "compressed_size" in self.refusal("data.bin:0", compression="lz4")

    @given(st.text(min_size=1), st.integers(0, 10**9), st.integers(0, 10**9))
    def test_grammar(self, path: str, offset: int, size: int) -> None:
        assert parse_binref(f"{path}x:{offset}:{size}") == (path + "x", offset, size)
        assert parse_binref(f"{path}x:{offset}") == (path + "x", offset, None)
        assert parse_binref(f"{path}x") == (path + "x", 0, None)

    def test_writing_appends_and_rotates(self) -> None:
        context = {"array_encoding": "binref", "base_dir": self.outputs, "binref_dir": "run_1", "max_file_size": 20}
        buffers = [encode_array(np.arange(3.0), context)["data"]["buffer"] for _ in range(3)]
        (first, a), (second, b), (third, c) = (buffer.rsplit(":", 1) for buffer in buffers)
        assert (a, b, c) == ("0", "0", "0")  # 24 bytes exceed 20, so each starts a file
        assert len({first, second, third}) == 3
        context = {"array_encoding": "binref", "base_dir": self.outputs, "compression": "lz4"}
        one, two = (encode_array(np.zeros(n), context)["data"] for n in (100, 50))
        name, _, size = one["buffer"].split(":")
        assert two["buffer"].startswith(f"{name}:{size}:")
        assert uuid.UUID(name.removesuffix(".bin")).version == 4
        assert validate(
            encoded([50], "float64", two["buffer"], "binref", compression="lz4"), base_dir=self.outputs
        ).size

    def test_results_are_relative_to_the_output_path(self) -> None:
        text = output_to_bytes(Vector(v=[1, 2]), "json+binref", binref_dir="run_7")
        buffer = json.loads(text)["v"]["data"]["buffer"]
        assert buffer.startswith("run_7/")
        assert buffer.endswith(".bin:0")
        assert Vector.model_validate_json(text, context={"base_dir": self.outputs}).v.tolist() == [1, 2]


def test_unvalidated_defaults_are_written_with_the_declared_dtype() -> None:
    class Model(BaseModel):
        a: Float32 = 2.0

    data = json.loads(Model().model_dump_json())["a"]
    assert (data["dtype"], data["data"]["buffer"]) == ("float32", 2.0)


def test_python_mode_dumps_are_arrays() -> None:
    assert isinstance(Vector(v=[1, 2]).model_dump()["v"], np.ndarray)
    assert math.isclose(Vector(v=[1, 2]).model_dump()["v"].sum(), 3)
