"""The examples of the contract, with the contract's own numbers, as clients meet them over HTTP."""

# ruff: noqa: E501 (the examples are lines)

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.served import Served, served

API = Path(__file__).parent / "apis" / "schema_demo.py"
FILE = "f4ec4d5e-0c81-4600-9641-e7c7c9cced8f.bin"
LZ4_FRAME = "BCJNGGhAGAAAAAAAAABPEwAAABIAAQASQAcAoBBAAAAAAAAAGEAAAAAA"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("examples")
    inputs = folder / "inputs"
    (inputs / "run_abc2").mkdir(parents=True)
    (inputs / "run_abc2" / FILE).write_bytes(np.array([2.0, 4.0, 6.0]).tobytes())
    (inputs / "compressed.bin").write_bytes(base64.b64decode(LZ4_FRAME))
    settings = {
        "TESSERACT_NAME": "demo",
        "TESSERACT_DESCRIPTION": r"line1\nline2",
        "TESSERACT_VERSION": "1.2.3",
        "TESSERACT_INPUT_PATH": str(inputs),
    }
    with served(API, folder, env=settings) as running:
        yield running


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 2) if isinstance(value, float) else value


@pytest.mark.parametrize(
    "array",
    [
        '{"object_type":"array","shape":[3],"dtype":"float64","data":{"buffer":[2.0,4.0,6.0],"encoding":"json"}}',
        '{"object_type":"array","shape":[3],"dtype":"float64","data":{"buffer":"AAAAAAAAAEAAAAAAAAAQQAAAAAAAABhA","encoding":"base64"}}',
        '{"object_type":"array","shape":[3],"dtype":"float64","data":{"buffer":"BCJNGGhAGAAAAAAAAABPEwAAABIAAQASQAcAoBBAAAAAAAAAGEAAAAAA","encoding":"base64","compression":"lz4"}}',
        '{"object_type":"array","shape":[3],"dtype":"float64","data":{"buffer":"run_abc2/f4ec4d5e-0c81-4600-9641-e7c7c9cced8f.bin:0","encoding":"binref"}}',
        '{"object_type":"array","shape":[3],"dtype":"float64","data":{"buffer":"compressed.bin:0:42","encoding":"binref","compression":"lz4"}}',
    ],
)  # fmt: skip
def test_encoded_arrays(server: Served, array: str) -> None:
    answer = server.post("/apply", b'{"inputs":{"a":' + array.encode() + b',"s":1}}')
    assert answer.status == 200, answer.body
    assert answer.json["y"]["data"]["buffer"] == [2.0, 4.0, 6.0]


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ("[1,2]", '{"detail":[{"type":"array_shape_mismatch","loc":["body","inputs","a"],"msg":"Array shape (2,) is incompatible with expected shape (3,)","input":[1,2],"ctx":{"actual_shape":[2],"expected_shape":[3]}}]}'),
        ("5", '{"detail":[{"type":"array_dimensionality_mismatch","loc":["body","inputs","a"],"msg":"Array has wrong number of dimensions: got 0D, expected 1D","input":5,"ctx":{"actual_dims":0,"expected_dims":1}}]}'),
        ('{"object_type":"array","shape":[3],"dtype":"float64","data":{"buffer":"!!!","encoding":"base64"}}', '{"detail":[{"type":"array_decode_error","loc":["body","inputs","a"],"msg":"Failed to decode array buffer (base64 encoding): Non-base64 digit found","input":{"object_type":"array","shape":[3],"dtype":"float64","data":{"buffer":"!!!","encoding":"base64"}},"ctx":{"encoding":"base64","error":"Non-base64 digit found"}}]}'),
        ('{"object_type":"array","shape":[3],"dtype":"int8","data":{"buffer":[300,2,3],"encoding":"json"}}', '{"detail":[{"type":"array_value_out_of_range","loc":["body","inputs","a"],"msg":"Array values do not fit into dtype \'int8\' (e.g. 300)","input":{"object_type":"array","shape":[3],"dtype":"int8","data":{"buffer":[300,2,3],"encoding":"json"}},"ctx":{"expected_dtype":"int8","value":"300"}}]}'),
    ],
)  # fmt: skip
def test_array_errors(server: Served, value: str, body: str) -> None:
    answer = server.post("/apply", b'{"inputs":{"a":' + value.encode() + b"}}")
    assert (answer.status, answer.body.decode()) == (422, body)


@pytest.mark.parametrize(
    ("endpoint", "request_body", "status", "body"),
    [
        ("jacobian", '{"inputs":{"a":[1,2,3]},"jac_inputs":["a"],"jac_outputs":["y"]}', 200,
         '{"y":{"a":{"object_type":"array","shape":[3,3],"dtype":"float64","data":{"buffer":[[2.0,0.0,0.0],[0.0,2.0,0.0],[0.0,0.0,2.0]],"encoding":"json"}}}}'),
        ("jacobian", '{"inputs":{"a":[1,2,3],"parts":[{"x":[[1,2]]}]},"jac_inputs":["parts.[0].x"],"jac_outputs":["y"]}', 200,
         '{"y":{"parts.[0].x":{"object_type":"array","shape":[3,1,2],"dtype":"float64","data":{"buffer":[[[0.0,0.0]],[[0.0,0.0]],[[0.0,0.0]]],"encoding":"json"}}}}'),
        ("jacobian", '{"inputs":{"a":[1,2,3]},"jac_inputs":["s","a"],"jac_outputs":["stats.mean"]}', 200,
         '{"stats.mean":{"s":{"object_type":"array","shape":[],"dtype":"float64","data":{"buffer":2.0,"encoding":"json"}},"a":{"object_type":"array","shape":[3],"dtype":"float64","data":{"buffer":[0.67,0.67,0.67],"encoding":"json"}}}}'),
        ("jacobian", '{"inputs":{"a":[1,2,3]},"jac_inputs":["parts.[0].x"],"jac_outputs":["y"]}', 422,
         '{"detail":[{"type":"value_error","loc":["body","jac_inputs",0],"msg":"Value error, Could not find jac_inputs path parts.[0].x in inputs.","input":"parts.[0].x","ctx":{"error":{}}}]}'),
        ("jacobian_vector_product", '{"inputs":{"a":[1,2,3]},"jvp_inputs":["a"],"jvp_outputs":["y"],"tangent_vector":{"s":1}}', 422,
         '{"detail":[{"type":"value_error","loc":["body","tangent_vector"],"msg":"Value error, Expected tangent vector with keys conforming to jvp_inputs: {\'a\'}, got {\'s\'}.","input":{"s":1},"ctx":{"error":{}}}]}'),
        ("abstract_eval", '{"inputs":{"a":{"shape":[3],"dtype":"float64"}}}', 200,
         '{"y":{"shape":[3],"dtype":"float64"},"stats":{"mean":{"shape":[],"dtype":"float64"}},"any":{"shape":[2,2],"dtype":"int64"}}'),
        ("apply", '{"inputs":', 422,
         '{"detail":[{"type":"json_invalid","loc":["body",10],"msg":"JSON decode error","input":{},"ctx":{"error":"Expecting value"}}]}'),
        ("apply", "", 422, '{"detail":[{"type":"missing","loc":["body"],"msg":"Field required","input":null}]}'),
        ("apply", "{}", 422, '{"detail":[{"type":"missing","loc":["body","inputs"],"msg":"Field required","input":{}}]}'),
        ("apply", '{"inputs":{"a":[1,2,3],"parts":[{"x":[[1,2]],"q":3}]}}', 422,
         '{"detail":[{"type":"extra_forbidden","loc":["body","inputs","parts",0,"q"],"msg":"Extra inputs are not permitted","input":3}]}'),
    ],
)  # fmt: skip
def test_answers(server: Served, endpoint: str, request_body: str, status: int, body: str) -> None:
    answer = server.post(f"/{endpoint}", request_body.encode())
    assert answer.status == status
    if status == 200:
        assert rounded(answer.json) == json.loads(body)
    else:
        assert answer.body.decode() == body


def test_406(server: Served) -> None:
    answer = server.post("/apply", {"inputs": {"a": [1, 2, 3]}}, {"Accept": "text/html"})
    assert answer.status == 406
    assert answer.body == (
        b'{"detail":{"message":"Cannot produce any encoding accepted by \'text/html\'",'
        b'"available_formats":["json","json+base64","json+binref"],"available_gpu_transports":["none"],'
        b'"available_compressions":["none","lz4"]}}'
    )


SKELETON = """
{"openapi":"3.1.0",
 "info":{"title":"demo","description":"line1\\nline2","version":"1.2.3"},
 "paths":{
  "/apply":{"post":{"summary":"Apply","operationId":"apply_apply_post",
    "parameters":[{"name":"accept","in":"header","required":false,"schema":{"anyOf":[{"type":"string"},{"type":"null"}],"title":"Accept"}}],
    "requestBody":{"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/ApplyInputSchema"}}}},
    "responses":{"200":{"description":"Successful Response","content":{"application/json":{"schema":{"$ref":"#/components/schemas/ApplyOutputSchema"}}}},
                 "422":{"description":"Validation Error","content":{"application/json":{"schema":{"$ref":"#/components/schemas/HTTPValidationError"}}}}}}},
  "/jacobian":{"post":{"operationId":"jacobian_jacobian_post"}},
  "/jacobian_vector_product":{"post":{"operationId":"jacobian_vector_product_jacobian_vector_product_post"}},
  "/vector_jacobian_product":{"post":{"operationId":"vector_jacobian_product_vector_jacobian_product_post"}},
  "/health":{"get":{"operationId":"health_health_get","responses":{"200":{"content":{"application/json":{"schema":{"type":"object","additionalProperties":true}}}}}}},
  "/abstract_eval":{"post":{"operationId":"abstract_eval_abstract_eval_post"}}},
 "components":{"schemas":{
  "ApplyInputSchema":{"properties":{"inputs":{"$ref":"#/components/schemas/Apply_InputSchema"}},"additionalProperties":false,"type":"object","required":["inputs"],"title":"ApplyInputSchema",
    "differentiable_arrays":{"a":{"dtype":"float64","shape":[3]},"s":{"dtype":"float64","shape":[]},"parts.[].x":{"dtype":"float32","shape":[null,2]},"table.{}":{"dtype":"float64","shape":[null]}},
    "field_order":{"parts.[]":["x","k"]}},
  "ApplyOutputSchema":{"$ref":"#/components/schemas/Apply_OutputSchema","title":"ApplyOutputSchema","differentiable_arrays":{"y":{"dtype":"float64","shape":[3]},"stats.mean":{"dtype":"float64","shape":[]}},"field_order":{"stats":["mean"]}},
  "Apply_InputSchema":{"properties":{"parts":{"items":{"$ref":"#/components/schemas/Apply_Part"},"type":"array","title":"Parts","default":[]},"mode":{"type":"string","title":"Mode","default":"plain"}},"additionalProperties":false,"type":"object","required":["a"],"title":"Apply_InputSchema"},
  "JacobianInputSchema":{"properties":{"inputs":{"$ref":"#/components/schemas/Jacobian_InputSchema"},"jac_inputs":{"type":"array","minItems":1,"uniqueItems":true,"title":"Jac Inputs"},"jac_outputs":{"items":{"anyOf":[{"type":"string","const":"y"},{"type":"string","const":"stats.mean"}]},"type":"array","minItems":1,"uniqueItems":true,"title":"Jac Outputs"}},"additionalProperties":false,"type":"object","required":["inputs","jac_inputs","jac_outputs"],"title":"JacobianInputSchema"},
  "VJPInputSchema":{"required":["inputs","vjp_inputs","vjp_outputs","cotangent_vector"]},
  "ShapeDType":{"properties":{"shape":{"items":{"type":"integer"},"type":"array","title":"Shape"},"dtype":{"type":"string","title":"Dtype"}},"type":"object","required":["shape","dtype"],"title":"ShapeDType"}}},
 "x-supported-output-formats":["json","json+base64","json+binref"],
 "x-supported-gpu-transports":["none"],
 "x-supported-compressions":["none","lz4"]}
"""

LEAF = """
{"properties":{
  "object_type":{"type":"string","const":"array","default":"array","title":"Object Type"},
  "shape":{"prefixItems":[{"type":"integer","enum":[1,3]}],"type":"array","maxItems":1,"minItems":1,"title":"Shape","examples":[[3]]},
  "dtype":{"type":"string","enum":["float16","float32","float64","int8","int16","int32","int64","bool","uint8","uint16","uint32","uint64"],"title":"Dtype","examples":["float64"]},
  "data":{"oneOf":[{"$ref":"#/components/schemas/BinrefArrayData"},{"$ref":"#/components/schemas/Base64ArrayData"},{"$ref":"#/components/schemas/JsonArrayData"},{"$ref":"#/components/schemas/CudaIpcArrayData"}],
          "discriminator":{"propertyName":"encoding","mapping":{"base64":"#/components/schemas/Base64ArrayData","binref":"#/components/schemas/BinrefArrayData","cuda_ipc":"#/components/schemas/CudaIpcArrayData","json":"#/components/schemas/JsonArrayData"}},"title":"Data"}},
 "additionalProperties":false,"type":"object","required":["shape","dtype","data"],
 "title":"EncodedArrayModel__3__float64__DIFFERENTIABLE","description":"Vec","array_flags":["DIFFERENTIABLE"]}
"""


def missing(expected: Any, found: Any, place: str = "") -> Iterator[str]:
    """Where `found` lacks something of `expected`, or has something else there."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if key in found:
                yield from missing(value, found[key], f"{place}/{key}")
            else:
                yield f"{place}/{key}"
    elif expected != found:
        yield f"{place}: {found!r}"


def test_openapi_document(server: Served) -> None:
    document = server.get("/openapi.json").json
    assert list(missing(json.loads(SKELETON), document)) == []
    leaf = document["components"]["schemas"]["Apply_InputSchema"]["properties"]["a"]
    assert list(missing(json.loads(LEAF), leaf)) == []
