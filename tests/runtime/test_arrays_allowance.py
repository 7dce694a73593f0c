"""What few bytes of a request can name is counted: a client cannot make a process allocate without end."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pybase64
import pytest
from pydantic import TypeAdapter, ValidationError
from tesseract_core import framing
from tesseract_core.runtime import Array, Float64
from tesseract_core.runtime.array_encoding import ALLOWANCE, BUFFERS, Allowance
from tesseract_core.runtime.config import override_config, update_config

pytestmark = pytest.mark.fast

MB = 1_000_000
ITEMS = TypeAdapter(list[Array[(125_000,), Float64]])  # of 1 MB each


def encoded(buffer: str, encoding: str, **more: Any) -> dict[str, Any]:
    return {"shape": [125_000], "dtype": "float64", "data": {"buffer": buffer, "encoding": encoding, **more}}


def one_number(directory: Path) -> Any:
    return [1.0]


def compressed(directory: Path) -> Any:
    packed = lz4.frame.compress(bytes(MB))
    return encoded(pybase64.b64encode_as_string(packed), "base64", compression="lz4")


def shared_buffer(directory: Path) -> Any:
    return encoded(f"0:{MB}", framing.ENCODING)


def file(directory: Path) -> Any:
    (directory / "x.bin").write_bytes(bytes(MB))
    return encoded("x.bin", "binref")


@pytest.mark.parametrize("item", [one_number, compressed, shared_buffer, file])
def test_it_is_bounded(item: Callable[[Path], Any], tmp_path: Path) -> None:
    given = item(tmp_path)

    def validate(count: int) -> list[np.ndarray]:
        context = {ALLOWANCE: Allowance(memory=5 * MB, files=5 * MB), BUFFERS: memoryview(bytes(MB))}
        return ITEMS.validate_python([given] * count, context=context)

    with override_config():
        update_config(input_path=str(tmp_path))
        assert len(validate(5)) == 5
        tracemalloc.start()
        try:
            with pytest.raises(ValidationError) as caught:
                validate(50)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    first, *_ = caught.value.errors()
    assert (first["type"], first["loc"]) == ("array_too_large", (5,))
    assert first["msg"] == f"The arrays of this request take more than {5 * MB} bytes"
    assert peak < 10 * MB


def test_nothing_is_counted_for_who_has_no_bound() -> None:
    assert len(ITEMS.validate_python([[1.0]] * 20)) == 20
