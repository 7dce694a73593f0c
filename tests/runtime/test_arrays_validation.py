"""Declaring arrays, and what becomes of the values that are given for them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from tesseract_core import runtime
from tesseract_core.runtime import Array, Bool, Complex64, Differentiable, Float32, Float64, Int8, Int32, ShapeDType
from tesseract_core.runtime.schema_types import ArrayFlags, PydanticArrayAnnotation, is_differentiable

pytestmark = pytest.mark.fast

DTYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
]


def validate(array_type: Any, value: Any, **context: Any) -> Any:
    return TypeAdapter(array_type).validate_python(value, context=context)


def error(array_type: Any, value: Any, **context: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        validate(array_type, value, **context)
    (problem,) = caught.value.errors(include_url=False)
    return {"type": problem["type"], "msg": problem["msg"], **problem.get("ctx", {})}


class TestDeclaring:
    def test_attributes(self) -> None:
        declared = Array[(2, None), Float64]
        assert (declared.expected_shape, declared.expected_dtype, declared.flags) == ((2, None), "float64", 0)
        assert repr(declared) == "Array[(2, None), 'float64']"
        assert issubclass(declared, PydanticArrayAnnotation)

    def test_scalar_aliases(self) -> None:
        for dtype in DTYPES:
            name = {"bool": "Bool"}.get(dtype) or dtype.capitalize().replace("Uint", "UInt")
            assert getattr(runtime, name) is Array[(), dtype]
            assert name in runtime.__all__

    def test_differentiable_is_a_copy(self) -> None:
        marked = Differentiable[Float64]
        assert marked.flags == ArrayFlags.DIFFERENTIABLE == 1
        assert is_differentiable(marked)
        assert not is_differentiable(Float64)
        assert not is_differentiable(float)

    def test_any_rank_and_any_dtype(self) -> None:
        assert (Array[..., None].expected_shape, Array[..., None].expected_dtype) == (..., None)

    @pytest.mark.parametrize(
        ("shape", "dtype"),
        [([3], "float64"), (3, "float64"), ((3.0,), "float64"), ((-1,), "float64"), ((True,), "float64"),
         ((3,), "Float64"), ((3,), float), ((3,), "float128"), ((..., 3), "float64")],
    )  # fmt: skip
    def test_wrong_declarations(self, shape: Any, dtype: Any) -> None:
        with pytest.raises(ValueError):
            Array[shape, dtype]

    def test_one_subscript(self) -> None:
        with pytest.raises(TypeError):
            Array[Float64]
        with pytest.raises(TypeError):
            Array[(3,)]

    def test_differentiable_of_something_else(self) -> None:
        with pytest.raises(ValueError):
            Differentiable[float]

    @pytest.mark.parametrize("annotation", [Array, Float64, Array[(3,), Float32]])
    def test_annotations_are_no_constructors(self, annotation: Any) -> None:
        with pytest.raises(RuntimeError):
            annotation(1.0)


class TestAccepted:
    @pytest.mark.parametrize("value", [[1, 2, 3], (1, 2, 3), np.arange(1, 4), np.float32([1, 2, 3]), range(1, 4)])
    def test_array_likes(self, value: Any) -> None:
        got = validate(Array[(3,), Float64], value)
        assert type(got) is np.ndarray
        assert got.dtype == np.float64
        assert got.tolist() == [1, 2, 3]

    def test_foreign_arrays(self) -> None:
        class Foreign:
            def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
                return np.array([1.0, 2.0])

        assert validate(Array[(2,), Float64], Foreign()).tolist() == [1, 2]

    @pytest.mark.parametrize("value", [2, 2.0, True, np.float32(2), np.array(2.0), np.array(2, dtype=">i4")])
    def test_rank_0_is_a_numpy_scalar(self, value: Any) -> None:
        assert type(validate(Float64, value)) is np.float64

    def test_sizes_of_1_broadcast(self) -> None:
        got = validate(Array[(3, 2), Float64], [[1.0, 2.0]])
        assert got.tolist() == [[1, 2]] * 3
        got[0, 0] = 7  # and every element is its own
        assert got.tolist() == [[7, 2], [1, 2], [1, 2]]

    def test_free_sizes_may_be_zero(self) -> None:
        assert validate(Array[(None, 2), Float64], np.zeros((0, 2))).shape == (0, 2)

    def test_an_empty_list_has_any_dtype(self) -> None:
        assert validate(Array[(None,), Int32], []).dtype == np.int32

    def test_any_rank_any_dtype_keeps_the_value(self) -> None:
        assert validate(Array[..., None], np.ones((1, 2, 3), "uint16")).dtype == np.uint16

    def test_foreign_byte_order_is_normalised(self) -> None:
        got = validate(Array[..., None], np.array([1, 2], ">f8"))
        assert got.dtype.isnative
        assert got.tolist() == [1, 2]

    @pytest.mark.parametrize("value", [[float("nan"), float("inf")]])
    def test_nan_and_infinity_pass(self, value: Any) -> None:
        got = validate(Array[(2,), Float32], value)
        assert np.isnan(got[0])
        assert np.isinf(got[1])

    def test_fortran_order_becomes_c_order(self) -> None:
        got = validate(Array[(2, 3), Float64], np.asfortranarray(np.arange(6.0).reshape(2, 3)))
        assert got.flags.c_contiguous
        assert got.tolist() == [[0, 1, 2], [3, 4, 5]]

    @pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
    def test_inputs_are_owned_and_writable(self, dtype: str) -> None:
        given = np.zeros(3, dtype)
        got = validate(Array[(3,), Float64], given)
        got += 1
        assert given.tolist() == [0, 0, 0]


class TestCasting:
    @pytest.mark.parametrize(
        ("given", "declared"),
        [("int64", "float32"), ("bool", "int8"), ("bool", "complex64"), ("float32", "complex64"),
         ("float64", "float32"),
         ("int32", "uint8"), ("uint64", "int8"), ("float64", "float16")],
    )  # fmt: skip
    def test_allowed(self, given: str, declared: str) -> None:
        assert validate(Array[(2,), declared], np.ones(2, given)).dtype == declared

    @pytest.mark.parametrize(
        ("given", "declared"),
        [("float64", "int32"), ("complex64", "float64"), ("int8", "bool"), ("float32", "bool"), ("complex64", "int8")],
    )
    def test_refused(self, given: str, declared: str) -> None:
        problem = error(Array[(2,), declared], np.ones(2, given))
        assert problem["type"] == "array_dtype_mismatch"
        assert (problem["actual_dtype"], problem["expected_dtype"]) == (given, declared)

    def test_whole_floats_are_no_integers(self) -> None:
        assert error(Int32, 1.0)["type"] == "array_dtype_mismatch"

    @pytest.mark.parametrize(
        ("value", "dtype", "shown"),
        [([300, 1], "int8", "300"), ([-1, 1], "uint64", "-1"), ([1e300, 1.0], "float32", "1e+300"),
         ([2**63, 1], "int64", str(2**63)), ([1e300 + 0j, 1], "complex64", "(1e+300+0j)"),
         ([70000, 0], "float16", "70000")],
    )  # fmt: skip
    def test_out_of_range(self, value: Any, dtype: str, shown: str) -> None:
        problem = error(Array[(2,), dtype], value)
        assert problem["type"] == "array_value_out_of_range"
        assert (problem["expected_dtype"], problem["value"]) == (dtype, shown)
        assert problem["msg"] == f"Array values do not fit into dtype '{dtype}' (e.g. {shown})"


class TestErrors:
    def test_rank(self) -> None:
        assert error(Array[(3,), Float64], 5) == {
            "type": "array_dimensionality_mismatch",
            "msg": "Array has wrong number of dimensions: got 0D, expected 1D",
            "actual_dims": 0,
            "expected_dims": 1,
        }

    def test_shape_shows_the_actual_size_of_free_dimensions(self) -> None:
        problem = error(Array[(None, 3), Float64], np.zeros((5, 2)))
        assert problem["type"] == "array_shape_mismatch"
        assert (problem["actual_shape"], problem["expected_shape"]) == ((5, 2), (5, 3))

    def test_a_declared_1_takes_only_1(self) -> None:
        assert error(Array[(1,), Float64], [1, 2])["type"] == "array_shape_mismatch"

    @pytest.mark.parametrize(
        "value", ["1", ["1", "2"], None, [None], [[1], [1, 2]], {}, {"a": 1}, object(), {1, 2}, b"x"]
    )
    def test_not_numeric(self, value: Any) -> None:
        assert error(Array[..., None], value)["type"] == "array_non_numeric"

    def test_unsupported_dtype(self) -> None:
        problem = error(Array[..., None], np.zeros(2, np.longdouble))
        assert problem["type"] == "array_invalid_dtype"
        assert problem["allowed_dtypes"].split(", ") == DTYPES

    def test_strict_shapes(self) -> None:
        assert error(Array[(3,), Float64], [1.0], strict_shapes=True)["type"] == "array_shape_mismatch"

    def test_strict_types(self) -> None:
        assert error(Array[(1,), Float64], [1], strict_types=True)["type"] == "array_dtype_mismatch"
        assert validate(Array[(1,), Float64], [1.0], strict_types=True).tolist() == [1.0]

    @pytest.mark.parametrize("text", ["[1.0, 2.0]", "1.0", "null", '"x"'])
    def test_json_mode_takes_only_the_encoded_form(self, text: str) -> None:
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(Array[..., Float64]).validate_json(text)
        assert [item["type"] for item in caught.value.errors()] == ["model_type"]

    def test_one_error_per_field(self) -> None:
        class Model(BaseModel):
            a: Array[(3,), Float64]
            b: Int8
            c: Complex64
            d: Bool

        with pytest.raises(ValidationError) as caught:
            Model(a=[1], b=1.5, c="x", d=1)  # `a` broadcasts
        assert [item["loc"] for item in caught.value.errors()] == [("b",), ("c",), ("d",)]


class TestPassThrough:
    class OnGpu:
        """What a GPU array shows of itself."""

        def __init__(self, shape: tuple[int, ...], typestr: str) -> None:
            self.__cuda_array_interface__ = {"shape": shape, "typestr": typestr, "data": (0, False), "version": 3}

    def test_is_not_touched(self) -> None:
        array = self.OnGpu((3,), "<f8")
        assert validate(Array[(None,), Float64], array) is array

    def test_is_neither_cast_nor_broadcast(self) -> None:
        problem = error(Array[(3,), Float64], self.OnGpu((3,), "<f4"))
        assert problem["type"] == "array_dtype_mismatch"
        assert "no_cast_reason" in problem
        assert error(Array[(3,), Float64], self.OnGpu((1,), "<f8"))["type"] == "array_shape_mismatch"


class TestShapeDType:
    def test_ignores_other_members(self) -> None:
        encoded = {
            "object_type": "array",
            "shape": [2],
            "dtype": "int8",
            "data": {"buffer": [1, 2], "encoding": "json"},
        }
        assert ShapeDType.model_validate(encoded) == ShapeDType(shape=(2,), dtype="int8")

    @pytest.mark.parametrize(
        "value", [{"shape": [-1], "dtype": "int8"}, {"shape": [1], "dtype": "Int8"}, {"shape": [1]}]
    )
    def test_refuses(self, value: Any) -> None:
        with pytest.raises(ValidationError):
            ShapeDType.model_validate(value)

    def test_resolves_the_dtype(self) -> None:
        for annotation in (ShapeDType[(3, None), Float64], ShapeDType.from_array_type(Array[(3, None), "float64"])):
            got = validate(annotation, {"shape": [3, 5], "dtype": "float32"})
            assert got == ShapeDType(shape=(3, 5), dtype="float64")

    def test_sizes_of_1_do_not_broadcast(self) -> None:
        assert error(ShapeDType[(3,), Float64], {"shape": [1], "dtype": "float64"})["type"] == "array_shape_mismatch"
        assert error(ShapeDType[(3,), "int8"], {"shape": [3], "dtype": "float64"})["type"] == "array_dtype_mismatch"
        assert (
            error(ShapeDType[(3,), Float64], {"shape": [], "dtype": "float64"})["type"]
            == "array_dimensionality_mismatch"
        )

    def test_says_which_shapes_differ(self) -> None:
        problem = error(ShapeDType[(3,), Float64], {"shape": [4], "dtype": "float64"})
        assert problem["msg"] == "Expected shape: (3,). Found: (4,)."
        problem = error(ShapeDType[(None, 3), Float64], {"shape": [4], "dtype": "float64"})
        assert problem["msg"] == "Expected shape: (None, 3). Found: (4,)."


class TestLists:
    """What lists hold is known before NumPy makes an array of them."""

    @pytest.mark.parametrize(
        "wrapped",
        [
            lambda items: items,
            lambda items: [items, items],
            lambda items: {
                "shape": [len(items)],
                "dtype": "float64",
                "data": {"buffer": items, "encoding": "json"},
            },
        ],
        ids=["list", "nested", "buffer"],
    )
    def test_a_text_in_them_costs_no_memory(self, wrapped: Callable[[Any], Any]) -> None:
        value = wrapped(["x" * 25_000] + [1] * 30_000)
        tracemalloc.start()
        try:
            problem = error(Array[..., Float64], value)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert problem["type"] == "array_non_numeric"
        assert "Could not parse value as a numeric array (contains non-numeric data)" in problem["msg"]
        assert peak < 5_000_000

    @pytest.mark.parametrize("value", ["1.5", ["1.5"], [[1.0], ["x"]], [b"1"], [None], [[1], 2], [{"a": 1}]], ids=str)
    def test_only_numbers_are_numbers(self, value: Any) -> None:
        assert error(Array[..., Float64], value)["type"] in ("array_non_numeric", "extra_forbidden")

    def test_encoded_arrays_in_them_are_rows(self) -> None:
        row = {"shape": [2], "dtype": "float64", "data": {"buffer": [1.0, 2.0], "encoding": "json"}}
        np.testing.assert_array_equal(validate(Array[(2, 2), Float64], [row, [3, 4]]), [[1, 2], [3, 4]])
        scalar = {"shape": [], "dtype": "int64", "data": {"buffer": 2**62, "encoding": "json"}}
        assert validate(Array[(None,), "int64"], [scalar, 1]).tolist() == [2**62, 1]
        assert error(Array[(None,), Float64], [{**row, "shape": [3]}])["type"] == "array_decode_error"
