"""From a user's module to endpoints: its functions, wrapped in validation."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from pydantic import BaseModel, RootModel, ValidationError

from tesseract_core.runtime import stray_files, tracing
from tesseract_core.runtime.logs import flush_all, redirect_fd
from tesseract_core.runtime.schema_generation import SchemaFactory, without_validators
from tesseract_core.runtime.user_module import (
    GRADIENTS,
    check_tesseract_api,
    get_tesseract_api,
    load_module_from_path,
)

__all__ = [
    "check_tesseract_api",
    "create_endpoints",
    "get_description",
    "get_input_schema",
    "get_output_schema",
    "get_supported_endpoints",
    "get_tesseract_api",
    "load_module_from_path",
    "redirect_fd",
]

Endpoint = Callable[..., Any]

_DESCRIPTIONS = {
    "apply": "Apply the Tesseract to the input data.",
    "jacobian": "Compute the derivatives of the requested outputs with respect to the requested inputs.",
    "jacobian_vector_product": "Compute the product of the Jacobian with a tangent vector (forward mode).",
    "vector_jacobian_product": "Compute the product of a cotangent vector with the Jacobian (reverse mode).",
    "health": "Tell whether the Tesseract is up.",
    "abstract_eval": "Compute shapes and dtypes of the outputs from those of the inputs, without running apply.",
    "test": "Run a regression test: call an endpoint and compare what comes out with what is expected.",
}


def get_supported_endpoints(api_module: ModuleType) -> tuple[str, ...]:
    """Names of the endpoints that `create_endpoints` makes, in its order."""
    gradients = [name for name in GRADIENTS if hasattr(api_module, name)]
    abstract = ["abstract_eval"] if hasattr(api_module, "abstract_eval") else []
    return ("apply", *gradients, "health", *abstract, "test")


def create_endpoints(api_module: ModuleType) -> list[Endpoint]:
    """Make the endpoints of a Tesseract.

    Args:
        api_module: The user's module.

    Returns:
        Functions in the order of `get_supported_endpoints`. Each has the endpoint's `__name__`, takes one `payload`
        model and returns a model, both annotated (`health` takes nothing and returns a dict). They raise
        `pydantic.ValidationError` for a wrong result, and what the user's functions raise.

    Raises:
        AttributeError: A schema or `apply` is missing.
        RuntimeError: There is a gradient endpoint, and nothing is differentiable.
        TypeError: A schema is no model, or an endpoint is no plain function.
        ValueError: A model occurs within itself, or names a type that is not defined.
    """
    check_tesseract_api(api_module)
    factory = SchemaFactory(api_module.InputSchema, api_module.OutputSchema)
    makers: dict[str, Callable[[ModuleType, SchemaFactory], Endpoint]] = {
        "apply": _apply,
        "jacobian": _jacobian,
        "jacobian_vector_product": _jacobian_vector_product,
        "vector_jacobian_product": _vector_jacobian_product,
        "health": _health,
        "abstract_eval": _abstract_eval,
    }
    names = [name for name in get_supported_endpoints(api_module) if name != "test"]
    endpoints = [makers[name](api_module, factory) for name in names]
    return [*endpoints, _test(api_module, endpoints)]


def get_input_schema(endpoint: Endpoint) -> type[BaseModel]:
    """Model of an endpoint's payload."""
    return endpoint.__annotations__["payload"]


def get_description(endpoint: Endpoint) -> str:
    """What the author of the Tesseract says about an endpoint, else what we say."""
    return endpoint.description  # type: ignore[attr-defined]


def get_output_schema(endpoint: Endpoint) -> type[BaseModel]:
    """Model of an endpoint's result."""
    return endpoint.__annotations__["return"]


def _call(endpoint: str, payload: BaseModel, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The one place where functions of the user are called."""
    tracing.trace_call(endpoint, payload)
    pid = os.getpid()
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        if os.getpid() != pid:
            _end_fork(error)
        raise
    if os.getpid() != pid:
        _end_fork(None)
    stray_files.report()
    tracing.trace_return(endpoint, result)
    return result


def _end_fork(error: BaseException | None) -> NoReturn:
    """End a child that user code forked and that has come to the end of its part: only its parent answers the call."""
    status: Any = 0
    try:
        if isinstance(error, SystemExit):
            status = error.code
        elif error is not None:
            status = 1
            traceback.print_exception(error)
        if not isinstance(status, int | None):
            print(status, file=sys.stderr)
            status = 1
        flush_all()
    finally:
        os._exit((status or 0) & 0xFF)


def _endpoint(name: str, function: Endpoint, user_function: Any, **annotations: Any) -> Endpoint:
    function.__name__ = function.__qualname__ = name
    function.__annotations__ = annotations
    user_text = inspect.getdoc(user_function) if user_function is not None else None
    function.__doc__ = f"{_DESCRIPTIONS[name]}\n\n{user_text}" if user_text else _DESCRIPTIONS[name]
    function.description = user_text or _DESCRIPTIONS[name]  # type: ignore[attr-defined]
    return function


def _apply(api_module: ModuleType, factory: SchemaFactory) -> Endpoint:
    schemas = factory.apply()
    user_apply, user_outputs = api_module.apply, api_module.OutputSchema
    validate = _ResultValidator(schemas.result, user_outputs)

    def apply(payload: BaseModel) -> BaseModel:
        return validate(_call("apply", payload, user_apply, payload.inputs))  # type: ignore[attr-defined]

    return _endpoint("apply", apply, user_apply, payload=schemas.payload, **{"return": schemas.result})


class _ResultValidator:
    """Validates what `apply` returns. Arrays are not copied.

    Validators of the user's models have run already where an instance of `OutputSchema` is returned; then its fields
    are only checked against their types, so that nothing runs twice. A dict may hold instances of the user's models.
    """

    def __init__(self, result: type[BaseModel], user_outputs: type[BaseModel]) -> None:
        self._result, self._user_outputs = result, user_outputs

    @functools.cached_property
    def _checked_outputs(self) -> type[BaseModel]:
        return without_validators(self._result.model_fields["root"].annotation)  # type: ignore[arg-type]

    def __call__(self, value: Any) -> BaseModel:
        context = {"own": False}
        if isinstance(value, self._user_outputs):
            fields = self._result.plain(_as_fields(value))  # type: ignore[attr-defined]
            outputs = self._checked_outputs.model_validate(fields, by_name=True, by_alias=False, context=context)
            return self._result.model_construct(root=outputs)
        try:
            return self._result.model_validate(value, context=context)
        except ValidationError as error:
            if isinstance(value, BaseModel) or not _refuses_a_model(error):
                raise
        return self._result.model_validate(_as_fields(value), by_name=True, by_alias=True, context=context)


def _refuses_a_model(error: ValidationError) -> bool:
    """Whether an instance of a model was refused because the generated models are other classes."""
    return any(
        problem["type"] == "model_type" and isinstance(problem["input"], BaseModel)
        for problem in error.errors(include_url=False, include_context=False)
    )


def _as_fields(value: Any) -> Any:
    """Replace models by dicts of their fields, which other classes with these fields can validate."""
    if isinstance(value, RootModel):
        return _as_fields(value.root)
    if isinstance(value, BaseModel):
        return {name: _as_fields(item) for name, item in value}
    if isinstance(value, Mapping):
        return {key: _as_fields(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_as_fields(item) for item in value)
    if isinstance(value, set | frozenset) and any(isinstance(item, BaseModel) for item in value):
        return [_as_fields(item) for item in value]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | range | tuple):
        return [_as_fields(item) for item in value]  # a LazySequence
    return value


def _jacobian(api_module: ModuleType, factory: SchemaFactory) -> Endpoint:
    schemas, user_function = factory.jacobian(), api_module.jacobian

    def jacobian(payload: Any) -> BaseModel:
        ins, outs = payload.jac_inputs, payload.jac_outputs
        arguments = {"inputs": payload.inputs, "jac_inputs": ins, "jac_outputs": outs}
        result = _call("jacobian", payload, user_function, **arguments)
        return schemas.result.model_validate(result, context={"own": False, "output_keys": outs, "input_keys": ins})

    return _endpoint("jacobian", jacobian, user_function, payload=schemas.payload, **{"return": schemas.result})


def _jacobian_vector_product(api_module: ModuleType, factory: SchemaFactory) -> Endpoint:
    schemas, user_function = factory.jacobian_vector_product(), api_module.jacobian_vector_product
    return _product(schemas, "jacobian_vector_product", user_function, "jvp", "jvp_outputs", "tangent_vector")


def _vector_jacobian_product(api_module: ModuleType, factory: SchemaFactory) -> Endpoint:
    schemas, user_function = factory.vector_jacobian_product(), api_module.vector_jacobian_product
    return _product(schemas, "vector_jacobian_product", user_function, "vjp", "vjp_inputs", "cotangent_vector")


def _product(schemas: Any, name: str, user_function: Any, kind: str, result_keys: str, vector: str) -> Endpoint:
    fields = ("inputs", f"{kind}_inputs", f"{kind}_outputs", vector)

    def product(payload: BaseModel) -> BaseModel:
        arguments = {field: getattr(payload, field) for field in fields}
        result = _call(name, payload, user_function, **arguments)
        return schemas.result.model_validate(result, context={"own": False, "output_keys": arguments[result_keys]})

    return _endpoint(name, product, user_function, payload=schemas.payload, **{"return": schemas.result})


def _abstract_eval(api_module: ModuleType, factory: SchemaFactory) -> Endpoint:
    schemas, user_function = factory.abstract_eval(), api_module.abstract_eval

    def abstract_eval(payload: Any) -> BaseModel:
        result = _call("abstract_eval", payload, user_function, payload.inputs)
        # Fields of a model are known by name, whatever their aliases are.
        by_name: dict[str, Any] = {"by_name": True, "by_alias": False} if isinstance(result, BaseModel) else {}
        return schemas.result.model_validate(_as_fields(result), **by_name)

    return _endpoint(
        "abstract_eval", abstract_eval, user_function, payload=schemas.payload, **{"return": schemas.result}
    )


def _health(api_module: ModuleType, factory: SchemaFactory) -> Endpoint:
    def health() -> dict[str, Any]:
        return {"status": "ok"}

    return _endpoint("health", health, None, **{"return": dict[str, Any]})


def _test(api_module: ModuleType, endpoints: list[Endpoint]) -> Endpoint:
    from tesseract_core.runtime.testing.regression import TestOutputSchema, TestSpec, regress_test_case

    def test(payload: TestSpec) -> TestOutputSchema:
        return regress_test_case(api_module, endpoints, payload)

    return _endpoint("test", test, None, payload=TestSpec, **{"return": TestOutputSchema})
