"""Mappings from paths to arrays: tangent and cotangent vectors in payloads; Jacobians, JVPs and VJPs in results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from pydantic import GetCoreSchemaHandler, TypeAdapter, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, PydanticKnownError, core_schema

from tesseract_core.runtime.array_encoding import AnyShape
from tesseract_core.runtime.array_encoding import errors as array_errors
from tesseract_core.runtime.schema_generation.leaves import ArrayLeaf
from tesseract_core.runtime.schema_generation.path_sets import types_at, unknown_path
from tesseract_core.runtime.schema_types import Array, PydanticArrayAnnotation, validate_array
from tesseract_core.runtime.tree_transforms import get_at_path

Location = tuple[str, ...]

_ANY_ARRAY: Any = Array[..., None]
_VECTOR = TypeAdapter(dict[str, _ANY_ARRAY]).core_schema
_MATRIX = TypeAdapter(dict[str, dict[str, _ANY_ARRAY]]).core_schema


class _Tree:
    """Annotation: validates a mapping by `_validate`; serialised and described as a mapping to arrays."""

    _schema = _VECTOR

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: Any, inner: Any, info: ValidationInfo) -> Any:
            if not isinstance(value, Mapping):
                raise PydanticKnownError("dict_type")
            return self._validate(value, info)

        return core_schema.with_info_wrap_validator_function(validate, self._schema)

    def _validate(self, value: Mapping[str, Any], info: ValidationInfo) -> Any:
        raise NotImplementedError


class TangentVector(_Tree):
    """`tangent_vector`: one array for each of `jvp_inputs`, of the shape and dtype of the input there."""

    def __init__(self, leaves: Sequence[ArrayLeaf]) -> None:
        self._leaves = leaves

    def _validate(self, value: Mapping[str, Any], info: ValidationInfo) -> dict[str, Any]:
        inputs, paths = _prerequisites(info, "tangent vector", "inputs", "jvp_inputs")
        _check_keys("tangent vector", value, "jvp_inputs", paths)

        def validate(path: str, tangent: Any) -> Any:
            actual = get_at_path(inputs, path)
            shape = tuple(actual.shape) if hasattr(actual, "shape") else np.shape(actual)
            found = str(getattr(actual, "dtype", np.asarray(actual).dtype))
            declared = [array_type.expected_dtype for array_type in types_at(path, self._leaves)]
            # An unvalidated default may have another dtype than the declared one; of a union, one type is meant.
            dtype = found if None in declared or found in declared else declared[0]
            return validate_array(tangent, shape, dtype, info.context)

        return _each("tangent_vector", value, validate)


class CotangentVector(_Tree):
    """`cotangent_vector`: one array for each of `vjp_outputs`, of the declared type of the output there."""

    def __init__(self, leaves: Sequence[ArrayLeaf]) -> None:
        self._leaves = leaves

    def _validate(self, value: Mapping[str, Any], info: ValidationInfo) -> dict[str, Any]:
        _, paths = _prerequisites(info, "cotangent vector", "inputs", "vjp_outputs")
        _check_allowed("cotangent_vector", value, self._leaves)
        _check_keys("cotangent vector", value, "vjp_outputs", paths)
        return _each(
            "cotangent_vector", value, lambda path, item: _declared(item, types_at(path, self._leaves), info.context)
        )


class ProductResult(_Tree):
    """Result of a JVP or VJP: one array for each requested path, of the type that is declared there.

    The validation context may hold the requested paths as `output_keys`.
    """

    def __init__(self, name: str, leaves: Sequence[ArrayLeaf]) -> None:
        self._name, self._leaves = name, leaves

    def _validate(self, value: Mapping[str, Any], info: ValidationInfo) -> dict[str, Any]:
        _check_allowed(self._name, value, self._leaves)
        context = info.context or {}
        if context.get("output_keys") is not None:
            _check_keys(self._name, value, "the requested paths", context["output_keys"])
        return _each(self._name, value, lambda path, item: _declared(item, types_at(path, self._leaves), context))


class JacobianResult(_Tree):
    """Result of `jacobian`: for each requested output and input an array of shape (*output, *input), of any dtype.

    The validation context may hold the requested paths as `output_keys` and `input_keys`.
    """

    _schema = _MATRIX

    def __init__(self, inputs: Sequence[ArrayLeaf], outputs: Sequence[ArrayLeaf]) -> None:
        self._inputs, self._outputs = inputs, outputs

    def _validate(self, value: Mapping[str, Any], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        context = info.context or {}
        _check_allowed("jacobian", value, self._outputs)
        if context.get("output_keys") is not None:
            _check_keys("jacobian", value, "jac_outputs", context["output_keys"])

        def row(out: str, columns: Any) -> dict[str, Any]:
            if not isinstance(columns, Mapping):
                raise PydanticKnownError("dict_type")
            _check_allowed(f"jacobian of {out}", columns, self._inputs)
            if context.get("input_keys") is not None:
                _check_keys(f"jacobian of {out}", columns, "jac_inputs", context["input_keys"])
            return _each("jacobian", columns, lambda path, item: self._block(out, path, item, context))

        return _each("jacobian", value, row)

    def _block(self, out: str, path: str, value: Any, context: Mapping[str, Any]) -> Any:
        rows, columns = types_at(out, self._outputs), types_at(path, self._inputs)
        return _first_fitting(
            partial(_validate_block, value, row.expected_shape, column.expected_shape, context)
            for row, column in product(rows, columns)
        )


def _prerequisites(info: ValidationInfo, what: str, *fields: str) -> list[Any]:
    for field in fields:
        if field not in info.data:
            raise ValueError(f"The {what} cannot be validated because {field} is invalid.")
    return [info.data[field] for field in fields]


def _check_keys(what: str, value: Mapping[str, Any], field: str, expected: Collection[str]) -> None:
    if set(value) != set(expected):
        raise ValueError(
            f"Expected {what} with keys conforming to {field}: {_shown_keys(expected)}, got {_shown_keys(value)}."
        )


def _shown_keys(keys: Collection[str]) -> str:
    return "{" + ", ".join(sorted(map(repr, keys))) + "}"


def _check_allowed(title: str, value: Mapping[str, Any], leaves: Sequence[ArrayLeaf]) -> None:
    problems = [
        InitErrorDetails(type=unknown_path(str(path), leaves), loc=(str(path), "[key]"), input=path)
        for path in value
        if not (isinstance(path, str) and types_at(path, leaves))
    ]
    if problems:
        raise ValidationError.from_exception_data(title, problems)


def _each(title: str, value: Mapping[str, Any], validate: Callable[[str, Any], Any]) -> dict[str, Any]:
    """Validate all items; errors are located by their path."""
    result, problems = {}, []
    for path, item in value.items():
        try:
            result[path] = validate(path, item)
        except ValidationError as error:
            problems += [
                InitErrorDetails(
                    type=PydanticCustomError(problem["type"], _literal(problem["msg"]), problem.get("ctx")),
                    loc=(path, *problem["loc"]),
                    input=problem["input"],
                )
                for problem in error.errors(include_url=False)
            ]
        except (PydanticCustomError, PydanticKnownError) as error:
            problems.append(InitErrorDetails(type=error, loc=(path,), input=item))  # type: ignore[typeddict-item]
        except ValueError as error:
            problems.append(
                InitErrorDetails(type=PydanticCustomError("value_error", _literal(str(error))), loc=(path,), input=item)
            )
    if problems:
        raise ValidationError.from_exception_data(title, problems)
    return result


def _literal(message: str) -> Any:
    """Messages are computed, while the constructor of errors wants literal ones."""
    return message


def _declared(value: Any, types: Sequence[type[PydanticArrayAnnotation]], context: Mapping[str, Any] | None) -> Any:
    """Validate against the first of several types that fits."""
    return _first_fitting(partial(array_type.validate_value, value, context) for array_type in types)


def _validate_block(value: Any, rows: AnyShape, columns: AnyShape, context: Mapping[str, Any]) -> Any:
    """Validate the part of a Jacobian that belongs to an output and an input of the given shapes."""
    if rows is not ... and columns is not ...:
        return validate_array(value, (*rows, *columns), None, context)
    array = validate_array(value, ..., None, context)
    shape = tuple(array.shape)
    # One side has any rank: its dimensions are whatever the other side leaves.
    known = rows if rows is not ... else columns if columns is not ... else ()
    if len(shape) < len(known):
        raise array_errors.dimensionality_mismatch(len(shape), len(known))
    side = shape[: len(known)] if rows is not ... else shape[len(shape) - len(known) :]
    if any(dim not in (None, size) for size, dim in zip(side, known, strict=True)):
        raise array_errors.shape_mismatch(side, known)
    return array


def _first_fitting(attempts: Iterable[Callable[[], Any]]) -> Any:
    """Return the result of the first attempt that succeeds; if none does, the first error counts."""
    problem: PydanticCustomError | None = None
    for attempt in attempts:
        try:
            return attempt()
        except PydanticCustomError as error:
            problem = problem or error
    assert problem is not None, "paths are checked before values"
    raise problem
