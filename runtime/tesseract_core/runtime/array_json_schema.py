"""JSON schema of encoded arrays, in the form that clients of the contract read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, JsonValue
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from tesseract_core.runtime.array_encoding.binref import BINREF_PATTERN
from tesseract_core.runtime.array_encoding.dtypes import AnyShape, castable_dtypes


class Base64ArrayData(BaseModel):
    """Bytes of the array (C order, little-endian), in base64."""

    model_config = ConfigDict(extra="forbid")

    buffer: str = Field(description="The bytes, in base64")
    encoding: Literal["base64"]
    compression: Literal["lz4"] | None = Field(None, description="LZ4 frame format, applied before base64")


class BinrefArrayData(BaseModel):
    """Bytes of the array (C order, little-endian), in a file."""

    model_config = ConfigDict(extra="forbid")

    buffer: str = Field(pattern=BINREF_PATTERN, description="<path>[:<offset in bytes>[:<compressed size in bytes>]]")
    encoding: Literal["binref"]
    compression: Literal["lz4"] | None = Field(None, description="LZ4 frame format")


class JsonArrayData(BaseModel):
    """Elements of the array as nested lists. Instead of a whole encoded array, nested lists alone are accepted, too."""

    model_config = ConfigDict(extra="forbid")

    buffer: JsonValue = Field(description="A number, or nested lists of numbers; null is NaN")
    encoding: Literal["json"]
    compression: None = None


class CudaIpcArrayData(BaseModel):
    """Handle of an array in GPU memory. Only where the GPU transport is enabled."""

    model_config = ConfigDict(extra="forbid")

    buffer: str = Field(description="<gpu uuid>:<base64 handle>:<byte offset>:<allocation size>")
    encoding: Literal["cuda_ipc"]
    compression: None = None


_DATA: dict[str, type[BaseModel]] = {
    "binref": BinrefArrayData,
    "base64": Base64ArrayData,
    "json": JsonArrayData,
    "cuda_ipc": CudaIpcArrayData,
}


def array_json_schema(
    shape: AnyShape, dtype: str | None, title: str, flags: list[str], handler: GetJsonSchemaHandler
) -> JsonSchemaValue:
    """Return the schema of an array type; the encodings are references to shared components."""
    choices = {tag: model.__pydantic_core_schema__ for tag, model in _DATA.items()}
    data = handler(core_schema.tagged_union_schema(choices, discriminator="encoding"))
    return {
        "properties": {
            "object_type": {
                "type": "string",
                "const": "array",
                "default": "array",
                "title": "Object Type",
                "description": "Tells that this object is an encoded array",
            },
            "shape": {**_shape(shape), "title": "Shape", "description": "Shape of the array"},
            "dtype": {**_dtype(dtype), "title": "Dtype", "description": "Data type of the array"},
            "data": {**data, "title": "Data"},
        },
        "additionalProperties": False,
        "type": "object",
        "required": ["shape", "dtype", "data"],
        "title": title,
        "array_flags": flags,
    }


def _shape(shape: AnyShape) -> dict[str, Any]:
    if shape is ...:
        return {"items": {"type": "integer"}, "type": "array"}
    bounds = {
        "maxItems": len(shape),
        "minItems": len(shape),
        "examples": [[1 if dim is None else dim for dim in shape]],
    }
    if not shape:
        return {"type": "array", **bounds}
    return {"prefixItems": [_size(dim) for dim in shape], "type": "array", **bounds}


def _size(dim: int | None) -> dict[str, Any]:
    if dim is None:
        return {"type": "integer", "minimum": 0.0}
    return {"type": "integer", "const": 1} if dim == 1 else {"type": "integer", "enum": [1, dim]}


def _dtype(dtype: str | None) -> dict[str, Any]:
    allowed = castable_dtypes(dtype)
    choice = {"const": allowed[0]} if len(allowed) == 1 else {"enum": list(allowed)}
    return {"type": "string", **choice, "examples": [dtype or "float64"]}
