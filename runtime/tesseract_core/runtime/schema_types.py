"""Array types for schemas: `Array[(None, 3), Float64]`, `Differentiable[Float32]`, `ShapeDType`.

An array type is a class that pydantic validates: values become NumPy arrays of the declared dtype and shape (NumPy
scalars for rank 0). Everything about numbers is in `array_encoding`; this module only gives it a place in schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag
from functools import cache
from types import EllipsisType
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from tesseract_core.runtime import array_encoding as ae
from tesseract_core.runtime.array_encoding import errors
from tesseract_core.runtime.array_encoding.dtypes import DType


class ArrayFlags(IntFlag):
    """Properties of an array type beyond shape and dtype."""

    DIFFERENTIABLE = 1


_NO_FLAGS = ArrayFlags(0)


class _ArrayMeta(type):
    expected_shape: ae.AnyShape
    expected_dtype: str | None
    flags: ArrayFlags

    def __repr__(cls) -> str:
        if cls is PydanticArrayAnnotation:
            return cls.__name__
        text = f"Array[{_shape_text(cls.expected_shape)}, {cls.expected_dtype!r}]"
        return f"Differentiable[{text}]" if cls.flags & ArrayFlags.DIFFERENTIABLE else text

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{cls!r} is an annotation for schema fields and cannot be instantiated; use NumPy arrays")


class PydanticArrayAnnotation(metaclass=_ArrayMeta):
    """Base class of all array types.

    Attributes:
        expected_shape: Declared dimensions (None: any size), or `...` for any rank.
        expected_dtype: Name of the dtype, or None for any.
        flags: Of `ArrayFlags`.
    """

    expected_shape: ClassVar[ae.AnyShape] = ...
    expected_dtype: ClassVar[str | None] = None
    flags: ClassVar[ArrayFlags] = _NO_FLAGS

    @classmethod
    def validate_value(cls, value: Any, context: Mapping[str, Any] | None = None) -> Any:
        """`validate_array` for the declared shape and dtype."""
        return validate_array(value, cls.expected_shape, cls.expected_dtype, context)

    @classmethod
    def schema_name(cls) -> str:
        """Title of the type in JSON schemas."""
        if cls.expected_shape is ...:
            shape = "anyrank"
        else:
            shape = "_".join("any" if dim is None else str(dim) for dim in cls.expected_shape) or "scalar"
        return f"EncodedArrayModel__{shape}__{cls.expected_dtype}__{'_'.join(cls.flag_names()) or 'noflags'}"

    @classmethod
    def flag_names(cls) -> list[str]:
        """Names of the flags that are set."""
        return [flag.name for flag in ArrayFlags if flag.name and flag & cls.flags]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: Any, info: ValidationInfo) -> Any:
            if info.mode == "json" and not isinstance(value, dict):
                raise PydanticKnownError("model_type", {"class_name": cls.schema_name()})
            return cls.validate_value(value, info.context)

        validate.__name__ = cls.schema_name()  # part of the location of errors in a union

        def to_json(value: Any, info: core_schema.SerializationInfo) -> Any:
            if isinstance(value, ShapeDType):  # in a default of what abstract_eval takes
                return value.model_dump()
            # Without a context (or one that cannot be written to), each array is a dump of its own.
            return ae.encode_array(value, info.context if info.context is not None else {}, cls.expected_dtype)

        return core_schema.with_info_plain_validator_function(
            validate,
            serialization=core_schema.plain_serializer_function_ser_schema(to_json, info_arg=True, when_used="json"),
            metadata={"tesseract_array": True},
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        from tesseract_core.runtime.array_json_schema import array_json_schema

        return array_json_schema(cls.expected_shape, cls.expected_dtype, cls.schema_name(), cls.flag_names(), handler)


def validate_array(
    value: Any, shape: ae.AnyShape, dtype: str | None, context: Mapping[str, Any] | None = None
) -> np.ndarray | np.generic | Any:
    """Validate an encoded array, an array-like, or an array that lives elsewhere (on a GPU, in a file).

    Args:
        value: What to validate.
        shape: Declared dimensions; None is free, `...` any rank.
        dtype: Declared dtype; None is any.
        context: `strict_shapes`, `strict_types`, `base_dir`, `binref_dir`; `own` set to False allows a result that
            shares memory with `value` and is read-only.

    Returns:
        An array (a NumPy scalar for rank 0), or the array that lives elsewhere itself.

    Raises:
        PydanticCustomError: It does not fit.
    """
    context = context or {}
    strict_shapes, strict_types = context.get("strict_shapes", False), context.get("strict_types", False)
    own = context.get("own", True)
    if ae.is_opaque(value):
        return ae.check_opaque(value, shape, dtype)
    if ae.is_encoded_array(value):
        # What can be refused by shape and dtype is refused before the data is decoded.
        actual_shape, actual_dtype = ae.parse_header(value)
        ae.check_shape(actual_shape, shape, strict=strict_shapes)
        ae.check_dtype(actual_dtype, dtype, strict=strict_types)
        value, own = ae.decode_array(value, context), False
    elif isinstance(value, Mapping | str | bytes):
        raise errors.non_numeric()
    elif isinstance(value, list | tuple):
        value = ae.decode_items(value, context)
    return ae.coerce(
        value, shape, dtype, strict_shapes=strict_shapes, strict_types=strict_types, own=own, context=context
    )


@cache
def _array_type(shape: ae.AnyShape, dtype: str | None, flags: ArrayFlags = _NO_FLAGS) -> type[PydanticArrayAnnotation]:
    body = {"expected_shape": shape, "expected_dtype": dtype, "flags": flags, "__module__": __name__}
    made: Any = _ArrayMeta("Array", (PydanticArrayAnnotation,), body)
    # Names of generic models that are parametrised with it are made of this.
    made.__name__ = made.__qualname__ = made.schema_name()
    return made


class _ArrayFactory:
    def __getitem__(self, key: Any) -> type[PydanticArrayAnnotation]:
        if not isinstance(key, tuple) or len(key) != 2:
            raise TypeError("Array needs a shape and a dtype, as in Array[(3, None), Float64] or Array[..., 'int32']")
        return _array_type(_checked_shape(key[0]), _checked_dtype(key[1]))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("Array is an annotation for schema fields and cannot be instantiated; use NumPy arrays")

    def __repr__(self) -> str:
        return "Array"


Array: Any = _ArrayFactory()
"""`Array[shape, dtype]`: an array type.

`shape` is a tuple of sizes (None: any size), `()` for a scalar or `...` for any rank; `dtype` is the name of a dtype,
an array type (its dtype is taken) or None for any. Raises ValueError for anything else, TypeError for one subscript.
"""


class Differentiable:
    """`Differentiable[A]`: the array type `A`, marked as one that gradients may be taken of (or with respect to)."""

    def __class_getitem__(cls, array_type: Any) -> type[PydanticArrayAnnotation]:
        if not _is_array_type(array_type):
            raise ValueError(f"Differentiable needs an array type, such as Differentiable[Float64], got {array_type!r}")
        return _array_type(
            array_type.expected_shape, array_type.expected_dtype, array_type.flags | ArrayFlags.DIFFERENTIABLE
        )


def is_differentiable(annotation: Any) -> bool:
    """Whether `annotation` is an array type marked as `Differentiable`."""
    return _is_array_type(annotation) and bool(annotation.flags & ArrayFlags.DIFFERENTIABLE)


class ShapeDType(BaseModel):
    """Shape and dtype of an array, without its values.

    `ShapeDType[shape, dtype]` is an annotation whose values must have that rank and those fixed sizes, and whose dtype
    becomes the declared one if it can be cast to it.
    """

    shape: Annotated[tuple[int, ...], AfterValidator(lambda shape: _non_negative(shape))]
    dtype: DType

    def __class_getitem__(cls, key: Any) -> Any:
        if not isinstance(key, tuple) or len(key) != 2:
            raise TypeError("ShapeDType needs a shape and a dtype, as in ShapeDType[(3, None), 'float64']")
        return cls.from_array_type(_array_type(_checked_shape(key[0]), _checked_dtype(key[1])))

    @classmethod
    def from_array_type(cls, array_type: type[PydanticArrayAnnotation]) -> Any:
        """Annotation for what an array of `array_type` looks like."""

        def check(value: ShapeDType) -> ShapeDType:
            declared = array_type.expected_shape
            if declared is not ... and not _fits(value.shape, declared):
                raise errors.abstract_shape_mismatch(value.shape, declared)
            ae.check_dtype(value.dtype, array_type.expected_dtype)
            return value.model_copy(update={"dtype": array_type.expected_dtype or value.dtype})

        return Annotated[cls, AfterValidator(check)]


def _fits(shape: tuple[int, ...], declared: ae.Shape) -> bool:
    return len(shape) == len(declared) and all(dim in (None, size) for size, dim in zip(shape, declared, strict=True))


def _non_negative(shape: tuple[int, ...]) -> tuple[int, ...]:
    if any(size < 0 for size in shape):
        raise ValueError("sizes must not be negative")
    return shape


def _is_array_type(obj: Any) -> bool:
    return isinstance(obj, type) and issubclass(obj, PydanticArrayAnnotation)


def _checked_shape(shape: Any) -> ae.AnyShape:
    if shape is ...:
        return shape
    if not isinstance(shape, tuple):
        raise ValueError(f"The shape of an array type must be a tuple or an ellipsis (...), got {shape!r}")
    for dim in shape:
        if dim is not None and (type(dim) is not int or dim < 0):
            raise ValueError(f"Sizes in the shape of an array type must be integers or None, got {dim!r}")
    return shape


def _checked_dtype(dtype: Any) -> str | None:
    if _is_array_type(dtype):
        return dtype.expected_dtype
    if dtype is not None and (not isinstance(dtype, str) or dtype not in ae.DTYPES):
        raise ValueError(f"Unknown dtype {dtype!r}; use None, an array type or one of: {', '.join(ae.DTYPES)}")
    return dtype


def _shape_text(shape: ae.AnyShape) -> str:
    return "..." if isinstance(shape, EllipsisType) else repr(shape)


Float16 = Array[(), "float16"]
Float32 = Array[(), "float32"]
Float64 = Array[(), "float64"]
Int8 = Array[(), "int8"]
Int16 = Array[(), "int16"]
Int32 = Array[(), "int32"]
Int64 = Array[(), "int64"]
Bool = Array[(), "bool"]
UInt8 = Array[(), "uint8"]
UInt16 = Array[(), "uint16"]
UInt32 = Array[(), "uint32"]
UInt64 = Array[(), "uint64"]
Complex64 = Array[(), "complex64"]
Complex128 = Array[(), "complex128"]
