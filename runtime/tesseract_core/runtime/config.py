"""Configuration of the runtime: keyword overrides > environment > defaults.

Only keyword overrides (`update_config`) stick. The environment is read again each time, so a variable that changes
takes effect at the next `get_config()`.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    ValidationError,
)

from tesseract_core.client.encoding import check_gpu_transport

ENV_PREFIX = "TESSERACT_"


def _local_directory(value: str) -> str:
    # One letter before "://" is a Windows drive, not a scheme.
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value):
        raise ValueError(
            "the runtime reads and writes local directories, not URLs; give a directory, "
            "or use `tesseract run` on the host, which fetches inputs and uploads outputs"
        )
    return os.path.realpath(value)


def _literal(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ast.literal_eval(value)
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(
            "neither JSON nor a Python literal; write it like {'run_name': 'a', 'tags': {'x': '1'}}"
        ) from None


def _none(value: Any) -> Any:
    return None if value == "none" else value


def _comma_separated(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    if values:
        from tesseract_core.authority import is_allowance

        for value in values:
            if not is_allowance(value):
                raise ValueError(f"{value!r} is no origin of a web page; write it like https://lab.example.org:8443")
    return values


def _text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _offered(value: str) -> str:
    check_gpu_transport(value)
    return value


LocalDirectory = Annotated[str, BeforeValidator(_text), AfterValidator(_local_directory)]
Names = Annotated[tuple[str, ...], BeforeValidator(_comma_separated)]
Origins = Annotated[Names, AfterValidator(_origins)]


class RuntimeConfig(BaseModel):
    """Every setting of the runtime. Field `x` is set by the environment variable `TESSERACT_X`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    api_path: Annotated[FilePath, AfterValidator(Path.absolute)] = Field(
        Path("tesseract_api.py"), description="The Python file that defines the Tesseract"
    )
    name: str = Field("Tesseract", description="Title of the OpenAPI document")
    description: str = Field("", description="Description in the OpenAPI document")
    version: str = Field("unknown", description="Version in the OpenAPI document")
    debug: bool = Field(False, description="Send tracebacks to clients, offer /test, start a debugger")
    debugpy_host: str = Field("127.0.0.1", description="Where the debugger listens")
    debugpy_port: int = Field(5678, ge=0, le=65535, description="Where the debugger listens")
    input_path: LocalDirectory = Field(
        default_factory=lambda: os.path.realpath("."), description="Directory that input files are read from"
    )
    output_path: LocalDirectory = Field(
        default_factory=lambda: os.path.realpath("."), description="Directory that runs and results are written to"
    )
    output_format: Literal["json", "json+base64", "json+binref"] = Field(
        "json", description="How arrays in results are encoded"
    )
    output_file: str = Field("", description="Write the result there (below output_path) instead of to stdout")
    compression: Annotated[Literal["lz4"] | None, BeforeValidator(_none)] = Field(
        None, description="Compress base64 and binref arrays in results: lz4, or none"
    )
    nonfinite: Literal["null", "literal"] = Field(
        "null", description="Plain numbers that are inf or NaN in JSON results: null, or the literals Infinity and NaN"
    )
    # Left out of repr(): the URI may carry a password.
    mlflow_tracking_uri: str = Field(
        "", repr=False, description="Log metrics, parameters and artifacts to this MLflow server"
    )
    mlflow_run_extra_args: Annotated[dict[str, Any], BeforeValidator(_literal)] = Field(
        default_factory=dict, description="Arguments of mlflow.start_run, as JSON or a Python dict literal"
    )
    mlflow_wait: NonNegativeFloat = Field(
        60.0, allow_inf_nan=False, description="Seconds that a call's answer waits for MLflow, in all"
    )
    profiling: bool = Field(False, description="Profile each call")
    tracing: bool = Field(False, description="Log inputs and outputs of each call")
    gpu_transport: Annotated[str, AfterValidator(_offered)] = Field(
        "none", description="Offer a device-side array transport: none so far"
    )
    cuda_ipc_pool_fraction: float = Field(0.25, ge=0, le=1, description="Share of GPU memory for that transport")
    binref_roots: Names = Field(
        (), description="Directories besides input_path that a request may name (binref buffers, LazySequence)"
    )
    allowed_url_prefixes: Names = Field(
        (), description="URLs, and all below them, that a request may make the runtime fetch ('*': any of http)"
    )
    max_body_size: NonNegativeInt = Field(
        0, description="Largest request body in bytes (0: 4 GiB, or half of the memory limit)"
    )
    body_timeout: PositiveFloat = Field(
        30.0, description="Seconds for the next KiB of a body, or to read on in an answer"
    )
    max_queue: NonNegativeInt = Field(1000, description="Requests that may wait for a free compute process")
    max_runs: NonNegativeInt = Field(0, description="Run directories that a server keeps (0: all)")
    allowed_hosts: Names = Field((), description="Host header values to accept ('*.DOMAIN', '*': any)")
    allowed_origins: Origins = Field((), description="Web pages that may call: SCHEME://HOST[:PORT] ('*': any)")
    token: str = Field("", repr=False, description="Bearer token that clients must send")
    shutdown_timeout: PositiveFloat = Field(30.0, description="Seconds that a stopping server waits for running calls")
    allowed_references: Annotated[
        tuple[Literal["url", "image", "api_path"], ...], BeforeValidator(_comma_separated)
    ] = Field(("url",), description="Kinds of TesseractReference that a request may name")


def env_name(field: str) -> str:
    """Name of the environment variable that sets `field`."""
    return ENV_PREFIX + field.upper()


_ENV_NAMES = {field: env_name(field) for field in RuntimeConfig.model_fields}
_RAW_ENV_NAMES = [os.fsencode(name) if os.name == "posix" else name for name in _ENV_NAMES.values()]
# Values of these fields are never repeated in a message.
_SECRET_FIELDS = {field for field, info in RuntimeConfig.model_fields.items() if not info.repr}

ConfigSnapshot = Mapping[str, Any]


def _environment() -> tuple[Any, ...]:
    """What our variables hold, to be compared with what they held before.

    `os.environ` takes microseconds for each that is absent, which adds up to half of the time of a small call. So this
    looks into the dictionary behind it, where there is one.
    """
    raw = getattr(os.environ, "_data", None)
    return tuple(map(os.environ.get, _ENV_NAMES.values()) if raw is None else map(raw.get, _RAW_ENV_NAMES))


class _Layer:
    """Keyword overrides, and the configuration that they gave with the environment as it was last seen."""

    def __init__(self, overrides: ConfigSnapshot) -> None:
        self.overrides = dict(overrides)
        self._seen: tuple[Any, ...] = ()
        self._config: RuntimeConfig | None = None

    def config(self) -> RuntimeConfig:
        seen = _environment()
        if self._config is None or seen != self._seen:
            # An empty variable counts as unset, as compose files leave them.
            values: dict[str, Any] = {
                field: value
                for field, name in _ENV_NAMES.items()
                if field not in self.overrides and (value := os.environ.get(name))
            }
            # Overrides were validated when they were given, and stay as they were resolved then.
            self._config = RuntimeConfig(**values).model_copy(update=self.overrides)
            self._seen = seen
        return self._config

    def update(self, overrides: Mapping[str, Any]) -> RuntimeConfig:
        given = RuntimeConfig(**overrides)
        merged = _Layer({**self.overrides, **{field: getattr(given, field) for field in overrides}})
        config = merged.config()
        self.overrides, self._seen, self._config = merged.overrides, merged._seen, config
        return config


# The last layer is what code outside of any `override_config` block of its own sees: threads which the code in such a
# block started. Each block sees its own, also when blocks of several threads overlap.
_layers = [_Layer({})]
_current: ContextVar[_Layer | None] = ContextVar("tesseract_config_layer", default=None)


def _active() -> _Layer:
    return _current.get() or _layers[-1]


def get_config() -> RuntimeConfig:
    """The configuration in force.

    Raises:
        pydantic.ValidationError: An environment variable holds a value that its field does not accept.
    """
    return _active().config()


def update_config(**overrides: Any) -> RuntimeConfig:
    """Set fields for the rest of the process (or of the enclosing `override_config` block).

    Returns:
        The configuration in force afterwards.

    Raises:
        pydantic.ValidationError: Unknown field, or a value that its field does not accept. Nothing changes then.
    """
    return _active().update(overrides)


def snapshot_config() -> ConfigSnapshot:
    """The keyword overrides in force, to be given to `override_config` later."""
    return dict(_active().overrides)


@contextmanager
def override_config(snapshot: ConfigSnapshot | None = None) -> Iterator[None]:
    """Replace the keyword overrides within a block, and restore them at its end.

    Args:
        snapshot: What `snapshot_config` returned; None for a blank slate (environment and defaults).
    """
    layer = _Layer(snapshot or {})
    _layers.append(layer)
    token = _current.set(layer)
    try:
        yield
    finally:
        _current.reset(token)
        _layers.remove(layer)


def describe_config_errors(error: ValidationError, sources: Mapping[str, str] | None = None) -> list[str]:
    """One line per field that is wrong: where the value came from, the value, and what is wrong with it.

    Args:
        error: What constructing a `RuntimeConfig` raised.
        sources: Where a field's value came from, e.g. `{"output_format": "--output-format"}`. Fields that are not
            named came from their environment variable.
    """
    lines: dict[str, str] = {}
    for item in error.errors(include_url=False, include_context=False):
        field = str(item["loc"][0]) if item["loc"] else "configuration"
        source = (sources or {}).get(field, env_name(field))
        shown = "" if field in _SECRET_FIELDS else f" {str(item['input'])[:200]!r}:"
        lines.setdefault(field, f"{source}:{shown} {item['msg'].removeprefix('Value error, ')}")
    return list(lines.values())
