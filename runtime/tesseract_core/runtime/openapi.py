"""The OpenAPI document: what clients read to learn endpoints, schemas, encodings and differentiable arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import PydanticSerializationError, to_jsonable_python

from tesseract_core import framing
from tesseract_core.runtime.array_encoding import encode_array
from tesseract_core.runtime.core import get_description
from tesseract_core.runtime.file_interactions import (
    available_compressions,
    available_formats,
    available_gpu_transports,
)

_REF_TEMPLATE = "#/components/schemas/{model}"

# The shapes of all 422 bodies; names and members as clients know them.
_ERROR_SCHEMAS: dict[str, JsonSchemaValue] = {
    "HTTPValidationError": {
        "properties": {
            "detail": {"items": {"$ref": "#/components/schemas/ValidationError"}, "type": "array", "title": "Detail"}
        },
        "type": "object",
        "title": "HTTPValidationError",
    },
    "ValidationError": {
        "properties": {
            "loc": {
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "type": "array",
                "title": "Location",
            },
            "msg": {"type": "string", "title": "Message"},
            "type": {"type": "string", "title": "Error Type"},
            "input": {"title": "Input"},
            "ctx": {"type": "object", "title": "Context"},
        },
        "type": "object",
        "required": ["loc", "msg", "type"],
        "title": "ValidationError",
    },
}

# What else may be answered, and what stands in `detail` then.
_TEXT: JsonSchemaValue = {"type": "string"}
_MESSAGE: JsonSchemaValue = {"type": "string", "description": "What is wrong"}
_FORMATS: JsonSchemaValue = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        **{
            f"available_{what}": {"type": "array", "items": {"type": "string"}}
            for what in ("formats", "gpu_transports", "compressions")
        },
    },
}
_FAILURES: dict[str, tuple[str, JsonSchemaValue]] = {
    "400": ("The request body is incomplete", _MESSAGE),
    "401": ("The server requires a token, and this is not it", _MESSAGE),
    "403": ("The request comes from a web page that may not call", _MESSAGE),
    "406": ("The Accept header names no encoding of results that the server has", _FORMATS),
    "408": ("The request body arrives too slowly", _MESSAGE),
    "413": ("The request body is too large", _MESSAGE),
    "421": ("The server does not answer to the name in the Host header", _MESSAGE),
    "500": ("The Tesseract failed", _TEXT),
    "503": ("Too many requests, or the process that computed this one died; others are not affected", _MESSAGE),
}

_ACCEPT_PARAMETER = {
    "name": "accept",
    "in": "header",
    "required": False,
    "schema": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Accept"},
}

# These answer in plain JSON whatever the client accepts.
_NOT_NEGOTIATED = frozenset({"abstract_eval", "test"})


def build_openapi(endpoints: Sequence[Callable[..., Any]], config: Any) -> dict[str, Any]:
    """Build the document.

    Args:
        endpoints: What `core.create_endpoints` returned, or those of them that are offered.
        config: Has `name`, `description` and `version` (the runtime's configuration).
    """
    references, components = _schemas(endpoints)
    # Environment variables of an image hold line breaks as two characters. Clients take the key as optional, and
    # stumble over an empty text (tesseract-streamlit).
    description = {"description": config.description.replace("\\n", "\n")} if config.description else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": config.name, **description, "version": config.version},
        "paths": {f"/{endpoint.__name__}": _path_item(endpoint, references) for endpoint in endpoints},
        "components": {
            "schemas": {name: components[name] for name in sorted(components)},
            "responses": {status: _failure(*meaning) for status, meaning in _FAILURES.items()},
        },
        "x-supported-output-formats": list(available_formats()),
        "x-supported-gpu-transports": list(available_gpu_transports()),
        "x-supported-compressions": list(available_compressions()),
        "x-supported-body-formats": ["json", framing.FORMAT],
    }


def _path_item(endpoint: Callable[..., Any], references: Mapping[Any, JsonSchemaValue]) -> dict[str, Any]:
    name = endpoint.__name__
    takes_payload = "payload" in endpoint.__annotations__
    method = "post" if takes_payload else "get"
    operation: dict[str, Any] = {
        "summary": name.replace("_", " ").title(),
        "description": get_description(endpoint),
        "operationId": f"{name}_{name}_{method}",
    }
    if not takes_payload:
        title = f"Response {operation['summary']} {name.title()} Get"
        result: JsonSchemaValue = {"type": "object", "additionalProperties": True, "title": title}
        responses = {"200": _response("Successful Response", result), **_failures("401", "403", "421")}
        return {method: {**operation, "responses": responses}}
    if name not in _NOT_NEGOTIATED:
        operation["parameters"] = [_ACCEPT_PARAMETER]
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": references[name, "validation"]}},
    }
    operation["responses"] = {
        "200": _response("Successful Response", references[name, "serialization"]),
        "422": _response("Validation Error", {"$ref": "#/components/schemas/HTTPValidationError"}),
        **_failures(*(status for status in _FAILURES if status != "406" or name not in _NOT_NEGOTIATED)),
    }
    return {method: operation}


def _failures(*statuses: str) -> dict[str, Any]:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _failure(description: str, schema: JsonSchemaValue) -> dict[str, Any]:
    if schema == _TEXT:
        return {"description": description, "content": {"text/plain": {"schema": schema}}}
    detail = {"type": "object", "properties": {"detail": schema}, "required": ["detail"]}
    return _response(description, detail)


def _response(description: str, schema: JsonSchemaValue) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _schemas(
    endpoints: Sequence[Callable[..., Any]],
) -> tuple[dict[tuple[str, JsonSchemaMode], JsonSchemaValue], dict[str, JsonSchemaValue]]:
    """References to the payload (mode `validation`) and result (`serialization`) of each endpoint, and components."""
    wanted: list[tuple[Any, JsonSchemaMode, Any]] = []
    for endpoint in endpoints:
        if "payload" in endpoint.__annotations__:
            modes: tuple[tuple[str, JsonSchemaMode], ...] = (("payload", "validation"), ("return", "serialization"))
            for annotation, mode in modes:
                model: type[BaseModel] = endpoint.__annotations__[annotation]
                wanted.append((endpoint.__name__, mode, model.__pydantic_core_schema__))
    references, components = _Generator(ref_template=_REF_TEMPLATE).generate_definitions(wanted)
    return dict(references), {str(name): schema for name, schema in components.items()} | _ERROR_SCHEMAS


class _Generator(GenerateJsonSchema):
    """Writes array leaves the way clients know them."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        # An array leaf brings its own title.
        if schema.get("metadata", {}).get("tesseract_array"):
            return False
        return super().field_title_should_be_set(schema)

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        # Fields and differentiable arrays stay in the order of their declaration.
        return value

    # A default with an infinity in it is left out: `null` would be another one, and often none at all.
    ignored_warning_kinds = {*GenerateJsonSchema.ignored_warning_kinds, "non-serializable-default"}  # noqa: RUF012

    def encode_default(self, dft: Any) -> Any:
        default = to_jsonable_python(
            dft,
            inf_nan_mode="constants",
            fallback=lambda leaf: encode_array(leaf, {}) if isinstance(leaf, np.ndarray | np.generic) else str(leaf),
        )
        try:
            json.dumps(default, allow_nan=False)
        except ValueError:
            raise PydanticSerializationError("JSON has neither infinity nor NaN") from None
        return default
