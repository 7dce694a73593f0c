"""What is generated from a user's models: leaves, field order, restrictions, and the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar, Union

import numpy as np
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, Field, RootModel, ValidationError
from support.golden import check_golden
from tesseract_core.runtime import Array, Differentiable, Float32, Float64, Int32
from tesseract_core.runtime.core import create_endpoints, get_input_schema, load_module_from_path
from tesseract_core.runtime.experimental import LazySequence
from tesseract_core.runtime.file_interactions import output_to_bytes
from tesseract_core.runtime.openapi import build_openapi
from tesseract_core.runtime.schema_generation import Rewriter, collect

pytestmark = pytest.mark.fast

HERE = Path(__file__).parent
CONFIG = SimpleNamespace(name="demo", description="line1\\nline2", version="1.2.3")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    endpoints = create_endpoints(load_module_from_path(HERE / "apis" / "schema_demo.py"))
    return json.loads(json.dumps(build_openapi(endpoints, CONFIG), allow_nan=False))


T = TypeVar("T")


class Leaf(BaseModel):
    x: Differentiable[Float64]


class Box(BaseModel, Generic[T]):
    item: T


class TestLeaves:
    def test_patterns(self) -> None:
        class Wrapped(RootModel[list[Leaf]]):
            pass

        class Everything(BaseModel):
            plain: Float64
            deep: dict[str, list[tuple[Leaf, ...]]]
            optional: Optional[Differentiable[Array[(None, 3), Float32]]] = None  # noqa: UP045
            union: Union[Leaf, Differentiable[Array[..., None]]]  # noqa: UP007
            mapping: Mapping[str, Leaf]
            sequence: Sequence[Leaf]
            lazy: LazySequence[Leaf]
            root: Wrapped
            choice: Literal["a", "b"] = "a"

        leaves = collect(Everything)
        assert leaves.differentiable_arrays() == {
            "deep.{}.[].[].x": {"dtype": "float64", "shape": []},
            "optional": {"dtype": "float32", "shape": [None, 3]},
            "union.x": {"dtype": "float64", "shape": []},
            "union": {"dtype": None, "shape": None},
            "mapping.{}.x": {"dtype": "float64", "shape": []},
            "sequence.[].x": {"dtype": "float64", "shape": []},
            "lazy.[].x": {"dtype": "float64", "shape": []},
            "root.root.[].x": {"dtype": "float64", "shape": []},
        }
        assert leaves.field_order[""][:3] == ["plain", "deep", "optional"]
        assert leaves.field_order["root"] == ["root"]
        assert leaves.field_order["root.root.[]"] == ["x"]

    def test_empty_models(self) -> None:
        class Empty(BaseModel):
            pass

        class Outer(BaseModel):
            inner: Empty

        assert collect(Empty).field_order == {}
        assert collect(Outer).field_order == {}

    def test_tuple_positions_are_told_apart(self) -> None:
        class Model(BaseModel):
            pair: tuple[Differentiable[Float64], int, Leaf]

        leaves = collect(Model).differentiable
        assert [leaf.pattern for leaf in leaves] == ["pair.[]", "pair.[].x"]
        assert [leaf.matches("pair.[0]") for leaf in leaves] == [True, False]
        assert [leaf.matches("pair.[2].x") for leaf in leaves] == [False, True]
        assert not any(leaf.matches("pair.[1]") for leaf in leaves)


class TestRestrictions:
    def module(self, inputs: type[BaseModel], outputs: type[BaseModel] = Leaf, **functions: Any) -> ModuleType:
        module = ModuleType("restricted")
        module.__dict__.update(InputSchema=inputs, OutputSchema=outputs, apply=lambda inputs: None, **functions)
        return module

    def test_recursive_models(self) -> None:
        with pytest.raises(ValueError, match="recursive"):
            create_endpoints(self.module(Node))

    def test_a_model_may_occur_several_times(self) -> None:
        class Twice(BaseModel):
            one: Leaf
            two: list[Leaf]

        generated = Rewriter("Apply_").model(Twice)
        one, two = (field.annotation for field in generated.model_fields.values())
        assert two == list[one]  # type: ignore[valid-type]

    def test_generic_models_have_names_of_their_own(self) -> None:
        class Two(BaseModel):
            one: Box[Float64]
            two: Box[Array[(2,), Float64]]

        schemas = build_openapi(create_endpoints(self.module(Two)), CONFIG)["components"]["schemas"]
        boxes = [name for name in schemas if "Box" in name]
        assert len(boxes) == 2
        assert all(name.startswith("Apply_Box_EncodedArrayModel__") for name in boxes)

    def test_lazy_sequences_in_returned_instances(self) -> None:
        class Outputs(BaseModel):
            items: LazySequence[Leaf]

        module = self.module(Leaf, Outputs)
        module.apply = lambda inputs: Outputs(items=[{"x": 1.0}])  # type: ignore[attr-defined]
        endpoint = create_endpoints(module)[0]
        result = endpoint(get_input_schema(endpoint)(inputs={"x": 1}))
        assert json.loads(output_to_bytes(result, "json"))["items"][0]["x"]["data"]["buffer"] == 1.0

    @pytest.mark.parametrize("which", ["inputs", "outputs"])
    def test_gradients_need_something_differentiable(self, which: str) -> None:
        class Plain(BaseModel):
            n: Int32

        schemas = (Plain, Leaf) if which == "inputs" else (Leaf, Plain)
        with pytest.raises(RuntimeError, match=f"No differentiable {which}"):
            create_endpoints(self.module(*schemas, jacobian=lambda **_: {}))

    def test_missing_schema(self) -> None:
        module = self.module(Leaf)
        del module.OutputSchema
        with pytest.raises(AttributeError):
            create_endpoints(module)


class Node(BaseModel):
    children: list[Node] = []


class TestDocument:
    def test_is_valid(self, document: dict[str, Any]) -> None:
        # The contract gives number defaults to array fields, which the validator would rather see encoded.
        problems = [error for error in OpenAPIV31SpecValidator(document).iter_errors() if error.instance != 2.0]
        assert problems == []

    def test_golden(self, document: dict[str, Any]) -> None:
        check_golden(HERE / "golden" / "openapi_schema_demo.json", json.dumps(document, indent=1) + "\n")

    def test_head(self, document: dict[str, Any]) -> None:
        assert document["openapi"] == "3.1.0"
        assert document["info"] == {"title": "demo", "description": "line1\nline2", "version": "1.2.3"}
        assert document["x-supported-output-formats"] == ["json", "json+base64", "json+binref"]
        assert document["x-supported-gpu-transports"] == ["none"]
        assert document["x-supported-compressions"] == ["none", "lz4"]

    def test_paths(self, document: dict[str, Any]) -> None:
        assert list(document["paths"]) == [
            "/apply", "/jacobian", "/jacobian_vector_product", "/vector_jacobian_product", "/health", "/abstract_eval",
            "/test",
        ]  # fmt: skip
        for path, item in document["paths"].items():
            ((method, operation),) = item.items()
            assert method == ("get" if path == "/health" else "post")
            assert operation["operationId"] == f"{path[1:]}_{path[1:]}_{method}"
        apply = document["paths"]["/apply"]["post"]
        assert apply["summary"] == "Apply"
        assert apply["description"] == "Double a vector."
        assert apply["parameters"] == [
            {
                "name": "accept",
                "in": "header",
                "required": False,
                "schema": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Accept"},
            }
        ]
        content = {"schema": {"$ref": "#/components/schemas/ApplyInputSchema"}}
        assert apply["requestBody"] == {"required": True, "content": {"application/json": content}}
        assert {status: apply["responses"][status] for status in ("200", "422")} == {
            "200": {
                "description": "Successful Response",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ApplyOutputSchema"}}},
            },
            "422": {
                "description": "Validation Error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/HTTPValidationError"}}},
            },
        }
        for path, item in document["paths"].items():
            for operation in item.values():
                failures = [status for status in operation["responses"] if status not in ("200", "422")]
                expected = ["401", "403", "421"]
                if path != "/health":
                    negotiated = ["406"] if path not in ("/abstract_eval", "/test") else []
                    expected = ["400", "401", "403", *negotiated, "408", "413", "421", "500", "503"]
                assert failures == expected
                assert all(status in document["components"]["responses"] for status in failures)
        health = document["paths"]["/health"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert {**health, "title": ""} == {"type": "object", "additionalProperties": True, "title": ""}

    def test_descriptions_are_the_authors_or_ours(self) -> None:
        module = load_module_from_path(HERE / "apis" / "schema_demo.py")
        module.apply.__doc__ = None
        paths = build_openapi(create_endpoints(module), CONFIG)["paths"]
        assert paths["/apply"]["post"]["description"] == "Apply the Tesseract to the input data."
        module.apply.__doc__ = "  First line.\n\n    Second.\n    "
        paths = build_openapi(create_endpoints(module), CONFIG)["paths"]
        assert paths["/apply"]["post"]["description"] == "First line.\n\nSecond."

    def test_the_last_line_end_of_a_description_stays(self) -> None:
        config = SimpleNamespace(name="demo", description="line1\\nline2\\n", version="1.2.3")
        assert build_openapi([], config)["info"]["description"] == "line1\nline2\n"

    def test_a_default_that_json_cannot_say_is_left_out(self, recwarn: pytest.WarningsRecorder) -> None:
        class Limits(BaseModel):
            top: float = float("inf")
            bottom: float = 0.0

        class Inputs(BaseModel):
            limits: Limits = Limits()
            least: Limits = Limits(top=1.0)
            none: float | None = None

        module = ModuleType("limited")
        module.__dict__.update(InputSchema=Inputs, OutputSchema=Inputs, apply=lambda inputs: inputs)
        schemas = build_openapi(create_endpoints(module), CONFIG)["components"]["schemas"]
        inputs, limits = (schemas[f"Apply_{name}"]["properties"] for name in ("Inputs", "Limits"))
        assert [name for name in limits if "default" in limits[name]] == ["bottom"]
        assert "default" not in inputs["limits"]
        assert (inputs["least"]["default"], inputs["none"]["default"]) == ({"top": 1.0, "bottom": 0.0}, None)
        assert "required" not in schemas["Apply_Limits"]
        assert not recwarn

    def test_component_names(self, document: dict[str, Any]) -> None:
        assert set(document["components"]["schemas"]) == {
            "ApplyInputSchema", "Apply_InputSchema", "Apply_Part",
            "ApplyOutputSchema", "Apply_OutputSchema", "Apply_Stats",
            "JacobianInputSchema", "Jacobian_InputSchema", "Jacobian_Part", "JacobianOutputSchema",
            "JVPInputSchema", "Jvp_InputSchema", "Jvp_Part", "JVPOutputSchema",
            "VJPInputSchema", "Vjp_InputSchema", "Vjp_Part", "VJPOutputSchema",
            "AbstractInputSchema", "AbstractEval_InputSchema", "AbstractEval_Part", "AbstractOutputSchema",
            "AbstractEval_OutputSchema", "AbstractEval_Stats", "TestSpec", "TestOutputSchema", "CliConfig",
            "Base64ArrayData", "BinrefArrayData", "JsonArrayData", "CudaIpcArrayData", "JsonValue", "ShapeDType",
            "HTTPValidationError", "ValidationError",
        }  # fmt: skip

    def test_metadata_of_apply(self, document: dict[str, Any]) -> None:
        inputs = document["components"]["schemas"]["ApplyInputSchema"]
        assert inputs["required"] == ["inputs"]
        assert inputs["additionalProperties"] is False
        assert inputs["differentiable_arrays"]["parts.[].x"] == {"dtype": "float32", "shape": [None, 2]}
        assert list(inputs["differentiable_arrays"]) == ["a", "s", "parts.[].x", "table.{}", "pair.[]", "maybe"]
        assert inputs["field_order"] == {
            "": ["a", "s", "parts", "table", "pair", "maybe", "mode"],
            "parts.[]": ["x", "k"],
        }
        outputs = document["components"]["schemas"]["ApplyOutputSchema"]
        assert outputs["$ref"] == "#/components/schemas/Apply_OutputSchema"
        assert outputs["differentiable_arrays"] == {
            "y": {"dtype": "float64", "shape": [3]},
            "stats.mean": {"dtype": "float64", "shape": []},
        }
        assert outputs["field_order"] == {"": ["y", "stats", "any", "note"], "stats": ["mean"]}

    def test_also_as_class_attributes(self) -> None:
        endpoints = create_endpoints(load_module_from_path(HERE / "apis" / "schema_demo.py"))
        assert list(get_input_schema(endpoints[0]).differentiable_arrays)[:2] == ["a", "s"]  # type: ignore[attr-defined]

    def test_array_leaf_of_the_contract(self, document: dict[str, Any]) -> None:
        leaf = document["components"]["schemas"]["Apply_InputSchema"]["properties"]["a"]
        for member in ("object_type", "shape", "dtype"):
            leaf["properties"][member].pop("description")
        tags = ["base64", "binref", "cuda_ipc", "json"]
        names = {tag: f"#/components/schemas/{tag.title().replace('_I', 'I')}ArrayData" for tag in tags}
        data = leaf["properties"].pop("data")
        assert {choice["$ref"] for choice in data["oneOf"]} == set(names.values())
        assert data["discriminator"] == {"propertyName": "encoding", "mapping": names}
        assert leaf == {
            "properties": {
                "object_type": {"type": "string", "const": "array", "default": "array", "title": "Object Type"},
                "shape": {
                    "prefixItems": [{"type": "integer", "enum": [1, 3]}],
                    "type": "array",
                    "maxItems": 1,
                    "minItems": 1,
                    "title": "Shape",
                    "examples": [[3]],
                },
                "dtype": {
                    "type": "string",
                    "enum": ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "bool",
                             "uint8", "uint16", "uint32", "uint64"],
                    "title": "Dtype",
                    "examples": ["float64"],
                },
            },
            "additionalProperties": False,
            "type": "object",
            "required": ["shape", "dtype", "data"],
            "title": "EncodedArrayModel__3__float64__DIFFERENTIABLE",
            "description": "Vec",
            "array_flags": ["DIFFERENTIABLE"],
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("array_type", "title", "shape", "dtype"),
        [
            (Array[(None, 1), "bool"], "any_1__bool__noflags",
             {"prefixItems": [{"type": "integer", "minimum": 0.0}, {"type": "integer", "const": 1}], "type": "array",
              "maxItems": 2, "minItems": 2, "examples": [[1, 1]]}, {"const": "bool"}),
            (Float32, "scalar__float32__noflags",
             {"type": "array", "minItems": 0, "maxItems": 0, "examples": [[]]}, None),
            (Array[..., None], "anyrank__None__noflags", {"items": {"type": "integer"}, "type": "array"}, None),
        ],
    )  # fmt: skip
    def test_variants(self, array_type: Any, title: str, shape: dict[str, Any], dtype: Any) -> None:
        class InputSchema(BaseModel):
            v: array_type

        module = ModuleType("variant")
        module.__dict__.update(InputSchema=InputSchema, OutputSchema=Leaf, apply=lambda inputs: None)
        leaf = build_openapi(create_endpoints(module), CONFIG)["components"]["schemas"]["Apply_InputSchema"][
            "properties"
        ]["v"]
        assert leaf["title"] == f"EncodedArrayModel__{title}"
        assert shape.items() <= leaf["properties"]["shape"].items()
        if dtype:
            assert dtype.items() <= leaf["properties"]["dtype"].items()

    def test_paths_of_gradients(self, document: dict[str, Any]) -> None:
        properties = document["components"]["schemas"]["JacobianInputSchema"]["properties"]
        assert properties["jac_inputs"]["items"]["anyOf"][:4] == [
            {"type": "string", "const": "a"},
            {"type": "string", "const": "s"},
            {"type": "string", "pattern": "^parts\\.\\[\\d+\\]\\.x$"},
            {"type": "string", "pattern": "^table\\.\\{(?:[^{}\\\\]|\\\\.)+\\}$"},
        ]
        outputs = {key: value for key, value in properties["jac_outputs"].items() if key != "description"}
        assert outputs == {
            "items": {"anyOf": [{"type": "string", "const": "y"}, {"type": "string", "const": "stats.mean"}]},
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "title": "Jac Outputs",
        }

    def test_encodings_of_the_contract(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        pattern = schemas["BinrefArrayData"]["properties"]["buffer"]["pattern"]
        assert pattern == r"^.+?(\:\d+(\:\d+)?)?$"
        assert schemas["JsonArrayData"]["properties"]["buffer"]["$ref"] == "#/components/schemas/JsonValue"
        for name in ("Base64ArrayData", "BinrefArrayData", "JsonArrayData"):
            assert schemas[name]["required"] == ["buffer", "encoding"]
            assert schemas[name]["additionalProperties"] is False

    def test_defaults(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        assert schemas["Apply_InputSchema"]["properties"]["s"]["default"] == 2.0
        assert schemas["AbstractEval_InputSchema"]["properties"]["s"]["default"] == {"shape": [], "dtype": "float64"}

    def test_array_defaults_are_encoded(self) -> None:
        class InputSchema(BaseModel):
            v: Array[(2,), Float64] = Field(default_factory=lambda: np.zeros(2))
            w: Array[(2,), Float64] = np.array([1.0, np.nan])

        module = ModuleType("defaults")
        module.__dict__.update(InputSchema=InputSchema, OutputSchema=Leaf, apply=lambda inputs: None)
        schemas = build_openapi(create_endpoints(module), CONFIG)["components"]["schemas"]
        assert schemas["Apply_InputSchema"]["properties"]["w"]["default"]["data"]["buffer"] == [1.0, None]

    def test_defaults_of_abstract_inputs_have_shapes_where_arrays_are_declared(self) -> None:
        class Part(BaseModel):
            x: Array[(None, 2), Float32] = np.zeros((3, 2))
            k: int = 1

        class Pair(NamedTuple):
            first: int = 1
            second: int = 2

        class InputSchema(BaseModel):
            part: Part = Part()
            parts: list[Part] = [Part()]
            pair: tuple[Float64, int] = (1.0, 2)
            maybe: list[Float64] | None = [1.0]
            table: Mapping[str, Annotated[Array[(None,), Float64], "note"]] | int = {"k": [1.0, 2.0]}
            named: Pair = Pair()
            number: Float64 | str = 3.0

        seen = []
        module = ModuleType("defaults")
        module.__dict__.update(
            InputSchema=InputSchema, OutputSchema=Leaf, apply=lambda inputs: None, abstract_eval=seen.append
        )
        endpoints = create_endpoints(module)
        scalar, row = {"shape": [], "dtype": "float64"}, {"shape": [3, 2], "dtype": "float64"}
        expected = {
            "part": {"x": row, "k": 1},
            "parts": [{"x": row, "k": 1}],
            "pair": [scalar, 2],
            "maybe": [scalar],
            "table": {"k": {"shape": [2], "dtype": "float64"}},
            "named": [1, 2],
            "number": scalar,
        }
        schemas = build_openapi(endpoints, CONFIG)["components"]["schemas"]
        properties = schemas["AbstractEval_InputSchema"]["properties"]
        assert {name: properties[name]["default"] for name in expected} == expected
        abstract_eval = next(endpoint for endpoint in endpoints if endpoint.__name__ == "abstract_eval")
        with pytest.raises(ValidationError, match="model_type"):  # of None; what was given is looked at
            abstract_eval(get_input_schema(abstract_eval)(inputs={}))
        assert json.loads(seen[0].model_dump_json()) == expected
