"""Arrays in files are passed through by reference, or loaded with a warning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError
from tesseract_core.runtime import Array, Float64
from tesseract_core.runtime.config import override_config, update_config
from tesseract_core.runtime.core import create_endpoints, get_input_schema
from tesseract_core.runtime.experimental import BinrefArray, BinrefWriter
from tesseract_core.runtime.file_interactions import output_to_bytes

pytestmark = pytest.mark.fast

VALUES = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


class Out(BaseModel):
    a: Array[(2, 3), Float64]


@pytest.fixture
def output_path(tmp_path: Path) -> Iterator[Path]:
    with override_config():
        update_config(output_path=str(tmp_path))
        yield tmp_path


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_written_arrays_pass_through(output_path: Path, compression: Any) -> None:
    array = BinrefArray.write(VALUES, compression=compression)
    assert (array.shape, array.dtype) == ((2, 3), "float64")
    np.testing.assert_array_equal(array.load(), VALUES)
    np.testing.assert_array_equal(np.asarray(array), VALUES)
    assert np.asarray(array, dtype="float32").dtype == np.float32

    result = Out(a=array)
    assert result.a is array
    encoded = json.loads(output_to_bytes(result, "json+binref", base_dir=output_path, binref_dir="run_x"))["a"]
    assert encoded == json.loads(json.dumps(array.to_arraydict()))
    assert encoded["data"]["buffer"] == array.buffer  # relative to the output path, not to the run
    assert len(list(output_path.rglob("*.bin"))) == 1

    with pytest.warns(RuntimeWarning):
        loaded = json.loads(output_to_bytes(result, "json"))["a"]
    assert loaded["data"]["buffer"] == VALUES.tolist()


@pytest.mark.parametrize("as_dict", [True, False])
def test_apply_may_return_them(output_path: Path, as_dict: bool) -> None:
    class In(BaseModel):
        pass

    api = ModuleType("api")
    api.InputSchema, api.OutputSchema = In, Out  # type: ignore[attr-defined]
    array = BinrefArray.write(VALUES)
    api.apply = lambda inputs: {"a": array} if as_dict else Out(a=array)  # type: ignore[attr-defined]
    apply, *_ = create_endpoints(api)
    result = apply(get_input_schema(apply).model_validate({"inputs": {}}))
    encoded = json.loads(output_to_bytes(result, "json+binref", base_dir=output_path, binref_dir="run_x"))["a"]
    assert encoded["data"] == {"buffer": array.buffer, "encoding": "binref"}


def test_shape_and_dtype_must_be_exact(output_path: Path) -> None:
    for wrong in (VALUES.astype("float32"), VALUES[:1], VALUES.ravel()):
        with pytest.raises(ValidationError) as caught:
            Out(a=BinrefArray.write(wrong))
        assert caught.value.errors()[0]["type"].startswith("array_")


def test_writer_packs_and_rotates(output_path: Path) -> None:
    writer = BinrefWriter(max_file_size=2 * VALUES.nbytes - 1)
    arrays = [writer.write(VALUES + number) for number in range(3)]
    files = [array.buffer.split(":")[0] for array in arrays]
    assert files[0] == files[1] != files[2]
    assert [array.buffer.split(":")[1] for array in arrays] == ["0", str(VALUES.nbytes), "0"]
    for number, array in enumerate(arrays):
        np.testing.assert_array_equal(array.load(), VALUES + number)


def test_writer_outlives_its_files(output_path: Path) -> None:
    writer = BinrefWriter()
    first = writer.write(VALUES)
    (output_path / first.buffer.split(":")[0]).unlink()
    np.testing.assert_array_equal(writer.write(VALUES).load(), VALUES)


def test_from_file(output_path: Path) -> None:
    (output_path / "data.bin").write_bytes(b"12345678" + VALUES.tobytes())
    array = BinrefArray.from_file("data.bin", (2, 3), "float64", offset=8)
    assert array.buffer == "data.bin:8"
    np.testing.assert_array_equal(array.load(), VALUES)
    written = BinrefArray.write(VALUES, compression="lz4")
    name, offset, size = written.buffer.split(":")
    again = BinrefArray.from_file(
        name, (2, 3), "float64", offset=int(offset), compression="lz4", compressed_size=int(size)
    )
    np.testing.assert_array_equal(again.load(), VALUES)


@pytest.mark.parametrize(
    ("path", "kwargs"),
    [
        ("/etc/passwd", {}),
        ("http://example.org/x.bin", {}),
        ("../x.bin", {}),
        ("missing.bin", {}),
        ("data.bin", {"offset": 8}),
        ("data.bin", {"offset": -1}),
        ("data.bin", {"dtype": "float128"}),
        ("data.bin", {"compression": "lz4"}),
        ("data.bin", {"compression": "zip", "compressed_size": 1}),
    ],
)
def test_from_file_refuses(output_path: Path, path: str, kwargs: dict[str, Any]) -> None:
    (output_path / "data.bin").write_bytes(VALUES.tobytes())
    with pytest.raises(ValueError):
        BinrefArray.from_file(path, (2, 3), **{"dtype": "float64", **kwargs})


def test_cannot_be_constructed() -> None:
    with pytest.raises(RuntimeError):
        BinrefArray()
