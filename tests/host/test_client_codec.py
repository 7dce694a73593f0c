"""Payloads to JSON and answers back to NumPy, as the contract writes arrays."""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections import namedtuple
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lz4.frame
import numpy as np
import pybase64
import pytest
from pydantic import SecretStr
from tesseract_core.client import arrays, codec

pytestmark = pytest.mark.fast


def encoded(payload: Any) -> Any:
    return json.loads(codec.encode(payload))


def array(data: dict[str, Any], shape: list[int], dtype: str = "float64") -> bytes:
    return json.dumps({"x": {"object_type": "array", "shape": shape, "dtype": dtype, "data": data}}).encode()


def test_array_request_is_the_documented_json() -> None:
    assert encoded({"x": np.array([2.0, 4.0, 6.0])}) == {
        "x": {
            "shape": [3],
            "dtype": "float64",
            "data": {"buffer": "AAAAAAAAAEAAAAAAAAAQQAAAAAAAABhA", "encoding": "base64"},
        }
    }


@pytest.mark.parametrize(
    "value",
    [
        np.float32(1.5),
        np.array(3),
        np.zeros((0, 3)),
        np.arange(6).reshape(2, 3).T,
        np.arange(4, dtype=">i4"),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.arange(10)[::2],
    ],
    ids=str,
)
def test_arrays_survive_the_round_trip(value: Any) -> None:
    result = codec.decode(codec.encode({"x": value}))["x"]
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.asarray(value).dtype.newbyteorder("=")
    assert result.shape == np.shape(value)
    np.testing.assert_array_equal(result, value)
    assert result.flags.writeable


def test_anything_with_array_protocol_is_an_array() -> None:
    class Foreign:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.ones(2, dtype="float32")

    assert encoded({"x": Foreign()})["x"]["dtype"] == "float32"


def test_jax_arrays_are_arrays() -> None:
    jnp = pytest.importorskip("jax.numpy")
    np.testing.assert_array_equal(codec.decode(codec.encode({"x": jnp.arange(3)}))["x"], [0, 1, 2])


def test_other_leaves_stay_json() -> None:
    pair = namedtuple("pair", "first second")
    tree = {"a": 1, "b": 1.5, "c": None, "d": "text", "e": [1, (2, 3)], "f": pair(1, np.bool_(True)), "g": Path("/x")}
    result = encoded(tree)
    assert result.pop("f")[0] == 1
    assert result == {"a": 1, "b": 1.5, "c": None, "d": "text", "e": [1, [2, 3]], "g": "/x"}
    assert codec.encode({"x": float("nan"), "y": [float("inf"), 1.0]}) == b'{"x":NaN,"y":[Infinity,1.0]}'
    assert codec.encode({}) == codec.encode(None) == b"null"


@pytest.mark.parametrize(
    "value", [np.array(["a"]), np.array([object()]), np.array([None])], ids=["text", "objects", "none"]
)
def test_arrays_that_no_tesseract_knows_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="dtype"):
        codec.encode({"x": value})


def test_leaves_that_pydantic_reads_back_travel() -> None:
    class Colour(Enum):
        RED = "red"

    @dataclass
    class Point:
        x: Any

    tree = {
        "set": {1},
        "generator": (number for number in (0.5, 1.5)),
        "values": {"a": 1}.values(),
        "decimals": [Decimal("1.10"), Decimal(3)],
        "duration": timedelta(seconds=1),
        "secret": SecretStr("s"),
        "colour": Colour.RED,
        "point": Point(np.str_("x")),
        "keys": {1: 2.0, np.int64(3): 1, 2.5: 1, Colour.RED: 0},
        "big": 2**70,
        "half": "\ud800",
    }
    assert encoded(tree) == {
        "set": [1],
        "generator": [0.5, 1.5],
        "values": [1],
        "decimals": ["1.10", 3],
        "duration": "PT1S",
        "secret": "s",
        "colour": "red",
        "point": {"x": "x"},
        "keys": {"1": 2.0, "3": 1, "2.5": 1, "red": 0},
        "big": 2**70,
        "half": "\ud800",
    }


def test_complex_numbers_travel_as_arrays_of_rank_0() -> None:
    assert codec.decode(codec.encode({"z": complex(-0.0, np.inf)}))["z"][()] == complex(-0.0, np.inf)
    answer = codec.decode(b'{"z": {"object_type": "complex", "real": NaN, "imag": -0.0}}')["z"]
    assert repr(answer) == "(nan-0j)"


def test_long_double_is_sent_as_double() -> None:
    assert encoded({"x": np.longdouble(0.5)})["x"]["dtype"] == "float64"
    if np.finfo(np.longdouble).max > np.finfo(float).max:
        with pytest.raises(ValueError, match=r"^x: .*does not fit into float64"):
            codec.encode({"x": np.longdouble(1e308) * 10})


class Tensor:
    """As far as a client sees, a tensor of torch."""

    def __init__(self, requires_grad: bool) -> None:
        self.requires_grad = requires_grad

    def detach(self) -> Tensor:
        return Tensor(False)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        assert not self.requires_grad
        return np.ones(2)


def test_a_tensor_is_detached_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_warned", [])
    gradients = [False, True, True]
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(is_grad_enabled=lambda: gradients.pop(0)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        codec.encode({"x": Tensor(True)})
        assert not caught, "under torch.no_grad() nobody wants a gradient"
        codec.encode({"x": Tensor(True), "y": Tensor(True), "z": Tensor(False)})
    (warning,) = caught
    assert ".detach()" in str(warning.message)
    assert "tesseract-torch" in str(warning.message)


@pytest.mark.parametrize(
    ("payload", "path"),
    [({"a": [0, {"x": object()}]}, "a.[1].x"), ({(1,): "x"}, ""), ({None: 1}, "")],
    ids=["leaf", "tuple", "none"],
)
def test_what_json_cannot_express_is_refused(payload: Any, path: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(path)}.*cannot be sent to a Tesseract"):
        codec.encode(payload)


def test_json_buffers() -> None:
    answer = codec.decode(array({"buffer": [[1, None], [3, 4]], "encoding": "json"}, [2, 2]))["x"]
    np.testing.assert_array_equal(answer, [[1, np.nan], [3, 4]])
    assert answer.flags.writeable
    scalar = codec.decode(array({"buffer": 4.0, "encoding": "raw"}, []))["x"]
    assert scalar.shape == ()
    assert scalar == 4.0
    complex_values = codec.decode(array({"buffer": ["1+2j", None], "encoding": "json"}, [2], "complex128"))["x"]
    assert complex_values[0] == 1 + 2j
    assert np.isnan(complex_values[1])


def test_lz4_buffers() -> None:
    raw = np.arange(3.0).tobytes()
    data = {
        "buffer": pybase64.b64encode(lz4.frame.compress(raw)).decode(),
        "encoding": "base64",
        "compression": "lz4",
    }
    answer = codec.decode(array(data, [3]))["x"]
    np.testing.assert_array_equal(answer, [0, 1, 2])
    assert answer.flags.writeable


def test_binref_buffers(tmp_path: Path) -> None:
    (tmp_path / "run_a").mkdir()
    packed = lz4.frame.compress(np.arange(2.0).tobytes())
    (tmp_path / "run_a" / "x.bin").write_bytes(np.arange(4.0).tobytes() + packed)

    def read(reference: str, size: int, **more: str) -> list[float]:
        body = array({"buffer": reference, "encoding": "binref", **more}, [size])
        return codec.decode(body, tmp_path)["x"].tolist()

    assert read("run_a/x.bin", 4) == [0, 1, 2, 3]
    assert read("run_a/x.bin:16", 2) == [2, 3]
    assert read(f"run_a/x.bin:32:{len(packed)}", 2, compression="lz4") == [0, 1]
    with pytest.raises(ValueError, match="COMPRESSED_SIZE"):
        read("run_a/x.bin:32", 2, compression="lz4")
    with pytest.raises(ValueError, match="ends after"):
        read("run_a/x.bin:32", 400)
    with pytest.raises(ValueError, match="output_path"):
        read("missing.bin", 1)


def test_binref_never_leaves_the_output_path(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(8))
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(tmp_path / "secret")
    for reference in ("../secret", str(tmp_path / "secret"), "link"):
        with pytest.raises(ValueError, match="leaves the output_path"):
            codec.decode(array({"buffer": reference, "encoding": "binref"}, [1]), out)
    with pytest.raises(ValueError, match="server_output_path"):
        codec.decode(array({"buffer": "x.bin", "encoding": "binref"}, [1]))


def test_binref_reads_regular_files_only_and_no_more_than_there_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"Cannot read binref 'pipe' .*: a named pipe"):
        codec.decode(array({"buffer": "pipe", "encoding": "binref"}, [1]), tmp_path)
    (tmp_path / "short").write_bytes(bytes(8))
    with pytest.raises(ValueError, match="should hold 8000000000000000 bytes, its file ends after 8"):
        codec.decode(array({"buffer": "short", "encoding": "binref"}, [10**15]), tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (array({"buffer": "", "encoding": "smoke"}, [0]), "Unexpected array encoding 'smoke'"),
        (array({"buffer": "AAAA", "encoding": "base64"}, [3]), "takes 24 bytes"),
        (array({"buffer": "!", "encoding": "base64"}, [3]), "base64"),
        (array({"buffer": "", "encoding": "base64", "compression": "zip"}, [0]), "compression 'zip'"),
        (array({"buffer": "", "encoding": "base64"}, [0], "float999"), "dtype"),
        (array({"encoding": "base64"}, [0]), "buffer"),
        (b'{"x": {"object_type": "array", "shape": [1], "dtype": "float64"}}', "'data'"),
    ],
)
def test_malformed_answers_are_value_errors(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec.decode(body)


def test_dicts_that_only_look_alike_are_left_alone() -> None:
    assert codec.decode(b'{"x": {"shape": [1, 2], "dtype": "float64"}, "y": [1, [2]]}') == {
        "x": {"shape": [1, 2], "dtype": "float64"},
        "y": [1, [2]],
    }


def test_a_request_by_file_is_read_back(tmp_path: Path) -> None:
    file = codec.BinrefFile(tmp_path)
    body = codec.encode({"x": np.arange(3), "y": [np.ones(2)]}, file.data)
    result = codec.decode(body, tmp_path)
    np.testing.assert_array_equal(result["x"], [0, 1, 2])
    np.testing.assert_array_equal(result["y"][0], [1, 1])
    file.delete()
    assert not list(tmp_path.iterdir())
