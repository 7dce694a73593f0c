"""Whatever a client sends, an array field either takes it or reports one error: it never raises anything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from tesseract_core.runtime import Array, Complex64, Float64, Int32, UInt64
from tesseract_core.runtime.array_encoding import DTYPES
from tesseract_core.runtime.schema_types import ShapeDType

pytestmark = pytest.mark.fast

numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
json_values = st.recursive(
    numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
encoded = st.fixed_dictionaries(
    {
        "shape": st.lists(st.integers(-1, 3) | st.just(2**62), max_size=3) | json_values,
        "dtype": st.sampled_from(DTYPES) | json_values,
        "data": st.fixed_dictionaries(
            {
                "buffer": json_values | st.text("AB=+/", max_size=12) | st.text(max_size=10),
                "encoding": st.sampled_from(["json", "base64", "binref", "cuda_ipc"]) | json_values,
            },
            optional={"compression": st.sampled_from(["lz4", None]) | json_values},
        )
        | json_values,
    },
    optional={"object_type": st.just("array") | json_values},
)
ADAPTERS = [
    TypeAdapter(annotation)
    for annotation in (
        Array[..., None],
        Array[(None, 2), Float64],
        Int32,
        UInt64,
        Complex64,
        Array[(2,), "bool"],
        ShapeDType,
    )
]


@given(value=json_values | encoded, adapter=st.sampled_from(ADAPTERS))
@settings(max_examples=500, deadline=None)
def test_one_error_or_an_array(value: Any, adapter: TypeAdapter[Any]) -> None:
    try:
        got: Any = adapter.validate_python(value)
    except ValidationError as error:
        got = error
    if isinstance(got, ValidationError) and adapter is not ADAPTERS[-1]:
        assert len(got.errors()) == 1
    assert isinstance(got, np.ndarray | np.generic | ShapeDType | ValidationError)


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=3), st.sampled_from(["int8", "int64", "uint64"]))
def test_plain_integers_are_exact_or_refused(value: list[int], dtype: str) -> None:
    limits = np.iinfo(dtype)
    adapter = TypeAdapter(Array[(None,), dtype])  # type: ignore[valid-type]
    if all(limits.min <= item <= limits.max for item in value):
        assert adapter.validate_python(value).tolist() == value
    else:
        with pytest.raises(ValidationError, match="do not fit into dtype"):
            adapter.validate_python(value)
