"""Regression tests: call an endpoint and compare what comes out with what is expected."""

from __future__ import annotations

import builtins
import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, field_validator, model_validator

from tesseract_core.runtime.testing.comparison import MAX_ROWS, compare
from tesseract_core.user_code import neighbour, plain_name

# Besides modules that are loaded already, the only ones that a test case may make us import.
_IMPORTABLE = frozenset({"pydantic", "requests"})


class CliConfig(BaseModel):
    """How the host is to run the test case; the runtime itself does not look at it."""

    model_config = ConfigDict(extra="forbid")

    input_path: str | None = Field(default=None, description="Directory to use as input path.")
    volume_mounts: list[str] | None = Field(default=None, description="Volumes to mount.")
    user: str | None = Field(default=None, description="User to run as.")


class TestSpec(BaseModel):
    """One test case: a call, and either its outputs or its exception."""

    __test__: ClassVar[bool] = False  # not a class of tests for pytest
    model_config = ConfigDict(extra="forbid")

    endpoint: str = Field(description="Endpoint to call.")
    payload: dict[str, Any] = Field(description="Payload of the call.")
    expected_outputs: dict[str, Any] | None = Field(None, description="What the call must return.")
    expected_exception: Annotated[
        str | type[BaseException] | None, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})
    ] = Field(None, description="What it must raise: a builtin exception, or package.Class (in Python also the class).")
    expected_exception_regex: str | None = Field(None, description="Searched in the text of the exception.")
    atol: float = Field(1e-8, description="Absolute tolerance.")
    rtol: float = Field(1e-5, description="Relative tolerance.")
    skip_output_path_checks: bool = Field(False, description="Accept expected output paths that do not exist.")
    cli_config: CliConfig = Field(default_factory=CliConfig, description="Options for the host.")

    @field_validator("expected_exception_regex")
    @classmethod
    def _is_regex(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    @field_validator("expected_exception")
    @classmethod
    def _is_exception(cls, value: str | type[BaseException] | None) -> str | type[BaseException] | None:
        if isinstance(value, str) and "." not in value and not _is_exception_class(getattr(builtins, value, None)):
            near = difflib.get_close_matches(value, _builtin_exceptions(), n=1)
            hint = f"; the nearest is {near[0]}" if near else ""
            raise ValueError(f"there is no builtin exception {value!r} (others are named package.Class){hint}")
        return value

    @model_validator(mode="after")
    def _one_expectation(self) -> Self:
        if (self.expected_outputs is None) == (self.expected_exception is None):
            raise ValueError("give exactly one of expected_outputs and expected_exception")
        return self


class TestOutputSchema(BaseModel):
    """Verdict on one test case."""

    __test__: ClassVar[bool] = False

    status: Literal["passed", "failed", "error"] = Field(description="error: the endpoint raised unexpectedly.")
    message: str = Field("", description="Why it did not pass.")
    endpoint: str = Field(description="Endpoint that was called.")


class _Failed(Exception):
    """The test case did not pass; the text says why."""


class _Raised(Exception):
    """The endpoint raised while no exception was expected."""


def regress_test_case(
    api_module: ModuleType,
    endpoint_functions: Iterable[Callable[..., Any]] | Mapping[str, Callable[..., Any]],
    test_spec: TestSpec | Mapping[str, Any],
    *,
    base_dir: str | os.PathLike[str] | None = None,
    threshold: int = MAX_ROWS,
) -> TestOutputSchema:
    """Run one test case.

    Args:
        api_module: The user's module (its exceptions may be expected).
        endpoint_functions: What `core.create_endpoints` returned for it, or these functions by name.
        test_spec: The test case.
        base_dir: Directory that files of arrays in it are relative to; the input path by default.
        threshold: How many differences of an array are listed.

    Returns:
        The verdict; an exception of the endpoint is part of it.

    Raises:
        pydantic.ValidationError: `test_spec` is no test case.
    """
    test_spec = TestSpec.model_validate(test_spec)
    if not isinstance(endpoint_functions, Mapping):
        endpoint_functions = {function.__name__: function for function in endpoint_functions}
    # Health takes no payload, so there is nothing to test.
    functions = {name: fn for name, fn in endpoint_functions.items() if "payload" in fn.__annotations__}
    context = {} if base_dir is None else {"base_dir": os.fspath(base_dir)}
    try:
        if test_spec.endpoint not in functions:
            raise _Failed(f"Endpoint {test_spec.endpoint!r} not found. Available endpoints: {', '.join(functions)}")
        function = functions[test_spec.endpoint]
        if test_spec.expected_exception is not None:
            _expect_exception(api_module, function, test_spec, test_spec.expected_exception, context)
        else:
            _expect_outputs(function, test_spec, context, threshold)
    except _Failed as failure:
        return TestOutputSchema(status="failed", message=str(failure), endpoint=test_spec.endpoint)
    except _Raised as raised:
        return TestOutputSchema(status="error", message=str(raised), endpoint=test_spec.endpoint)
    return TestOutputSchema(status="passed", message="", endpoint=test_spec.endpoint)


def _expect_outputs(function: Callable[..., Any], test_spec: TestSpec, context: dict[str, Any], threshold: int) -> None:
    from tesseract_core.runtime.core import get_output_schema

    strict = {
        **context,
        "strict_shapes": True,
        "strict_types": True,
        "skip_path_checks": test_spec.skip_output_path_checks,
    }
    try:
        expected = get_output_schema(function).model_validate(test_spec.expected_outputs, context=strict)
    except ValidationError as error:
        raise _Failed(f"expected_outputs does not conform to OutputSchema: {error}") from None
    try:
        payload = _payload(function, test_spec.payload, context)
    except ValidationError as error:
        raise _Failed(f"inputs do not conform to InputSchema: {error}") from None
    try:
        obtained = function(payload)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _Raised(f"{type(error).__name__}: {error}") from error
    tolerances = {"rtol": test_spec.rtol, "atol": test_spec.atol}
    if problem := compare(_plain(obtained), _plain(expected), **tolerances, max_rows=threshold):
        raise _Failed(problem)


def _expect_exception(
    api_module: ModuleType,
    function: Callable[..., Any],
    test_spec: TestSpec,
    wanted: str | type[BaseException],
    context: dict[str, Any],
) -> None:
    expected = _exception_class(wanted, api_module) if isinstance(wanted, str) else wanted
    expected_name = wanted if isinstance(wanted, str) else wanted.__name__
    try:
        function(_payload(function, test_spec.payload, context))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if not isinstance(error, expected):
            raise _Failed(f"Expected {expected_name}, but got {type(error).__name__}: {error}") from None
        pattern = test_spec.expected_exception_regex
        if pattern is not None and not re.search(pattern, str(error)):
            raise _Failed(f"Exception message does not match regex {pattern!r}: {error}") from None
    else:
        raise _Failed(f"Expected {expected_name}, but no exception was raised")


def _payload(function: Callable[..., Any], payload: Mapping[str, Any], context: dict[str, Any]) -> Any:
    from tesseract_core.runtime.core import get_input_schema

    return get_input_schema(function).model_validate(payload, context=dict(context))


def _plain(outputs: Any) -> Any:
    return outputs.model_dump() if isinstance(outputs, BaseModel) else outputs


def _exception_class(name: str, api_module: ModuleType) -> type[BaseException]:
    """The exception that a test case names. It must not make us run a module of the sender's choice."""
    module_name, _, class_name = name.rpartition(".")
    module: ModuleType | None
    if not module_name:
        module = builtins
    elif module_name in (api_module.__name__, plain_name(api_module.__name__)):
        module = api_module
    else:
        module = neighbour(api_module, module_name) or sys.modules.get(module_name)
        if module is None and module_name.partition(".")[0] in _IMPORTABLE:
            try:
                module = import_module(module_name)
            except ImportError:
                module = None
    found: Any = getattr(module, class_name, None)
    if not _is_exception_class(found):
        raise _Failed(
            f"Unknown exception {name!r}: name a builtin one, or one of a module that the Tesseract has imported"
        )
    return found


def _is_exception_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _builtin_exceptions() -> list[str]:
    return [name for name, value in vars(builtins).items() if _is_exception_class(value)]
