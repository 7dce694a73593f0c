"""Regression tests: call an endpoint and compare what comes out with what is expected."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tesseract_core.runtime.testing.comparison import compare
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
    expected_exception: str | None = Field(
        None, description="What it must raise: a builtin exception, or package.Class."
    )
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
    api_module: ModuleType, endpoint_functions: Iterable[Callable[..., Any]], test_spec: TestSpec
) -> TestOutputSchema:
    """Run one test case.

    Args:
        api_module: The user's module (its exceptions may be expected).
        endpoint_functions: What `core.create_endpoints` returned for it.
        test_spec: The test case.

    Returns:
        The verdict; an exception of the endpoint is part of it.
    """
    # Health takes no payload, so there is nothing to test.
    functions = {fn.__name__: fn for fn in endpoint_functions if "payload" in fn.__annotations__}
    try:
        if test_spec.endpoint not in functions:
            raise _Failed(f"Endpoint {test_spec.endpoint!r} not found. Available endpoints: {', '.join(functions)}")
        function = functions[test_spec.endpoint]
        if test_spec.expected_exception is not None:
            _expect_exception(api_module, function, test_spec, test_spec.expected_exception)
        else:
            _expect_outputs(function, test_spec)
    except _Failed as failure:
        return TestOutputSchema(status="failed", message=str(failure), endpoint=test_spec.endpoint)
    except _Raised as raised:
        return TestOutputSchema(status="error", message=str(raised), endpoint=test_spec.endpoint)
    return TestOutputSchema(status="passed", message="", endpoint=test_spec.endpoint)


def _expect_outputs(function: Callable[..., Any], test_spec: TestSpec) -> None:
    from tesseract_core.runtime.core import get_output_schema

    context = {
        "strict_shapes": True,
        "strict_types": True,
        "skip_path_checks": test_spec.skip_output_path_checks,
    }
    try:
        expected = get_output_schema(function).model_validate(test_spec.expected_outputs, context=context)
    except ValidationError as error:
        raise _Failed(f"expected_outputs does not conform to OutputSchema: {error}") from None
    try:
        payload = _payload(function, test_spec.payload)
    except ValidationError as error:
        raise _Failed(f"inputs do not conform to InputSchema: {error}") from None
    try:
        obtained = function(payload)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _Raised(f"{type(error).__name__}: {error}") from error
    if problem := compare(_plain(obtained), _plain(expected), rtol=test_spec.rtol, atol=test_spec.atol):
        raise _Failed(problem)


def _expect_exception(
    api_module: ModuleType, function: Callable[..., Any], test_spec: TestSpec, expected_name: str
) -> None:
    expected = _exception_class(expected_name, api_module)
    try:
        function(_payload(function, test_spec.payload))
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


def _payload(function: Callable[..., Any], payload: Mapping[str, Any]) -> Any:
    from tesseract_core.runtime.core import get_input_schema

    return get_input_schema(function).model_validate(payload)


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
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise _Failed(
            f"Unknown exception {name!r}: name a builtin one, or one of a module that the Tesseract has imported"
        )
    return found
