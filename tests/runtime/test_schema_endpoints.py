"""What endpoints accept and return: paths, vectors, results; errors at their places."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WrapValidator,
)
from tesseract_core.runtime import Array, Differentiable, Float32, Float64, ShapeDType
from tesseract_core.runtime.core import create_endpoints, get_input_schema, get_output_schema, load_module_from_path
from tesseract_core.runtime.file_interactions import output_to_bytes
from tesseract_core.runtime.schema_generation import SchemaFactory

pytestmark = pytest.mark.fast

A = {"a": [1.0, 2.0, 3.0]}
NESTED = {**A, "parts": [{"x": [[1.0, 2.0]]}], "table": {"k.1": [1.0, 2.0]}, "pair": [1.0, 2]}


@pytest.fixture(scope="module")
def api() -> ModuleType:
    return load_module_from_path(Path(__file__).parent / "apis" / "schema_demo.py")


@pytest.fixture(scope="module")
def endpoints(api: ModuleType) -> dict[str, Any]:
    return {endpoint.__name__: endpoint for endpoint in create_endpoints(api)}


@pytest.fixture
def call(endpoints: dict[str, Any]) -> Any:
    def call(name: str, **payload: Any) -> Any:
        endpoint = endpoints[name]
        model = get_input_schema(endpoint).model_validate(payload)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pydantic warns where it serialises something unexpected
            return json.loads(output_to_bytes(endpoint(model), "json"))

    return call


@pytest.fixture
def refused(endpoints: dict[str, Any]) -> Any:
    def refused(name: str, **payload: Any) -> list[dict[str, Any]]:
        with pytest.raises(ValidationError) as caught:
            get_input_schema(endpoints[name]).model_validate(payload)
        return [{**item, "loc": list(item["loc"])} for item in caught.value.errors(include_url=False)]

    return refused


class Leaf(BaseModel):
    x: Differentiable[Float64]


def _results(
    inputs: type[BaseModel], outputs: type[BaseModel], function: Any, given: dict[str, Any], **more: Any
) -> Any:
    """What a Tesseract with these schemas and this endpoint returns."""
    module = ModuleType("made")
    name = "jacobian" if "jac_inputs" in more else function.__name__
    module.__dict__.update({"InputSchema": inputs, "OutputSchema": outputs, "apply": max, name: function})
    endpoint = {made.__name__: made for made in create_endpoints(module)}[name]
    payload = get_input_schema(endpoint).model_validate({"inputs": given, **more})
    return json.loads(output_to_bytes(endpoint(payload), "json"))


def encoded(shape: list[int], dtype: str, buffer: Any) -> dict[str, Any]:
    return {"object_type": "array", "shape": shape, "dtype": dtype, "data": {"buffer": buffer, "encoding": "json"}}


class TestInputs:
    def test_are_of_the_users_class(self, api: ModuleType, call: Any) -> None:
        call("apply", inputs=NESTED)
        inputs = api.seen["inputs"]
        assert isinstance(inputs, api.InputSchema)
        assert type(inputs).__name__ == "Apply_InputSchema"
        assert isinstance(inputs.parts[0], api.Part)
        assert type(inputs.parts[0]).__name__ == "Apply_Part"
        assert inputs.parts[0].doubled() == 2
        assert inputs.parts[0].x.dtype == np.float32
        assert type(inputs.s) is float  # a default is what the user wrote
        assert type(inputs.pair[0]) is np.float64

    @pytest.mark.parametrize(
        ("endpoint", "name"),
        [("jacobian", "Jacobian"), ("jacobian_vector_product", "Jvp"), ("vector_jacobian_product", "Vjp"),
         ("abstract_eval", "AbstractEval"), ("apply", "Apply")],
    )  # fmt: skip
    def test_names_of_the_generated_classes(self, endpoints: dict[str, Any], endpoint: str, name: str) -> None:
        inputs = get_input_schema(endpoints[endpoint]).model_fields["inputs"].annotation
        assert inputs.__name__ == f"{name}_InputSchema"

    def test_unknown_keys(self, refused: Any) -> None:
        (first,) = refused("apply", inputs={**A, "parts": [{"x": [[1, 2]], "q": 3}]})
        assert (first["type"], first["loc"], first["input"]) == ("extra_forbidden", ["inputs", "parts", 0, "q"], 3)
        (second,) = refused("apply", inputs=A, more=1)
        assert (second["type"], second["loc"]) == ("extra_forbidden", ["more"])

    def test_missing(self, refused: Any) -> None:
        (problem,) = refused("apply")
        assert (problem["type"], problem["loc"]) == ("missing", ["inputs"])


class TestResults:
    def test_an_instance(self, api: ModuleType, call: Any) -> None:
        api.validations.clear()
        result = call("apply", inputs=A)
        assert result == {
            "y": encoded([3], "float64", [2.0, 4.0, 6.0]),
            "stats": {"mean": encoded([], "float64", 4.0)},
            "any": encoded([2, 2], "int64", [[0, 1], [2, 3]]),
            "remark": "said!",
        }
        assert list(result) == ["y", "stats", "any", "remark"]
        assert api.validations == ["said"]  # validators of the user run once

    def test_a_dict_without_its_defaults(self, call: Any) -> None:
        assert "remark" not in call("apply", inputs={**A, "mode": "dict"})

    @pytest.mark.parametrize(
        ("mode", "kind", "loc"),
        [("extra", "extra_forbidden", ("more",)), ("bad", "array_shape_mismatch", ("y",)), ("none", "model_type", ())],
    )
    def test_wrong_results(self, call: Any, mode: str, kind: str, loc: tuple[str, ...]) -> None:
        with pytest.raises(ValidationError) as caught:
            call("apply", inputs={**A, "mode": mode})
        assert [(item["type"], item["loc"]) for item in caught.value.errors()] == [(kind, loc)]

    def test_instances_are_checked_after_they_were_changed(self, api: ModuleType) -> None:
        def apply(inputs: Any) -> Any:
            result = api.OutputSchema(y=[1, 2, 3], stats={"mean": 1}, any=1)
            result.y = [1, 2]
            return result

        module = ModuleType("changed")
        module.InputSchema, module.OutputSchema, module.apply = api.InputSchema, api.OutputSchema, apply  # type: ignore[attr-defined]
        endpoint = create_endpoints(module)[0]
        with pytest.raises(ValidationError, match="incompatible with expected shape"):
            endpoint(get_input_schema(endpoint)(inputs=A))

    def test_validators_beside_annotations_run_once_too(self) -> None:
        negative = AfterValidator(lambda value: -value)

        class Part(BaseModel):
            n: Annotated[int, Field(ge=0), negative]

        class Outputs(BaseModel):
            array: Annotated[Array[(None,), Float64], negative]
            arrays: list[Annotated[Float64, negative]]
            maybe: Annotated[Array[(None,), Float64], BeforeValidator(lambda rows: rows[0])] | None
            part: Annotated[Part, AfterValidator(lambda part: type(part)(n=-10 * part.n))]
            parsed: Annotated[str, AfterValidator(lambda text: len(text))]
            wrapped: Annotated[int, WrapValidator(lambda value, handler: handler(value) + 1)]
            plain: Annotated[str, PlainValidator(lambda text: text + "!"), PlainSerializer(lambda text: f"<{text}>")]

        def apply(inputs: Leaf) -> Outputs:
            return Outputs(array=[1], arrays=[2], maybe=[[3]], part={"n": 4}, parsed="five", wrapped=6, plain="seven")

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `parsed` is not what it is declared as
            result = _results(Leaf, Outputs, apply, {"x": 0.0})
        assert result == {
            "array": encoded([1], "float64", [-1.0]),
            "arrays": [encoded([], "float64", -2.0)],
            "maybe": encoded([1], "float64", [3.0]),
            "part": {"n": -40},
            "parsed": 4,
            "wrapped": 7,
            "plain": "<seven!>",
        }

    def test_fields_with_validators_are_checked_after_they_were_changed(self) -> None:
        class Outputs(BaseModel):
            y: Annotated[Array[(3,), Float64], AfterValidator(lambda value: -value)]

        def apply(inputs: Leaf) -> Outputs:
            result = Outputs(y=[1, 2, 3])
            result.y = [1, 2]
            return result

        with pytest.raises(ValidationError, match="incompatible with expected shape"):
            _results(Leaf, Outputs, apply, {"x": 0.0})

    def test_models_in_all_containers(self) -> None:
        class Key(BaseModel, frozen=True):
            n: int

        class Outputs(BaseModel):
            listed: list[Key]
            several: set[Key]
            frozen: frozenset[Key]
            deep: dict[str, tuple[set[Key], int]]

        def apply(inputs: Leaf) -> Outputs:
            key = Key(n=1)
            return Outputs(listed=[key], several={key}, frozen=frozenset({key}), deep={"k": ({key}, 2)})

        key = {"n": 1}
        expected = {"listed": [key], "several": [key], "frozen": [key], "deep": {"k": [[key], 2]}}
        assert _results(Leaf, Outputs, apply, {"x": 0.0}) == expected

    def test_a_dict_may_hold_models(self) -> None:
        class Part(BaseModel):
            x: Array[(None,), Float64]
            note: str = Field("unset", alias="remark")

        class Outputs(BaseModel):
            part: Part
            parts: list[Part | int] = []
            n: int = Field(1, alias="number")

        def apply(inputs: Leaf) -> Any:
            return {"part": Part(x=[1]), "parts": [2, Part(x=[3], remark="said")], "number": 4}

        assert _results(Leaf, Outputs, apply, {"x": 0.0}) == {
            "part": {"x": encoded([1], "float64", [1.0]), "remark": "unset"},
            "parts": [2, {"x": encoded([1], "float64", [3.0]), "remark": "said"}],
            "number": 4,
        }

        def apply(inputs: Leaf) -> Any:  # type: ignore[no-redef]
            return {"part": inputs}

        with pytest.raises(ValidationError, match="part"):
            _results(Leaf, Outputs, apply, {"x": 0.0})

    def test_expected_results_are_validated_strictly(self, endpoints: dict[str, Any]) -> None:
        schema = get_output_schema(endpoints["jacobian_vector_product"])
        strict = {"strict_shapes": True, "strict_types": True}
        with pytest.raises(ValidationError, match="cannot be cast"):
            schema.model_validate({"y": [1, 2, 3]}, context=strict)
        assert schema.model_validate({"y": [1.0, 2.0, 3.0]}, context=strict)


class TestJacobian:
    def test_examples_of_the_contract(self, api: ModuleType, call: Any) -> None:
        eye = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]
        got = call("jacobian", inputs=A, jac_inputs=["a"], jac_outputs=["y"])
        assert got == {"y": {"a": encoded([3, 3], "float64", eye)}}
        got = call("jacobian", inputs=NESTED, jac_inputs=["parts.[0].x"], jac_outputs=["y"])
        assert got == {"y": {"parts.[0].x": encoded([3, 1, 2], "float64", [[[0.0, 0.0]]] * 3)}}
        inputs, ins, outs = api.seen["jacobian"]
        assert isinstance(inputs, api.InputSchema)
        assert (ins, outs) == ({"parts.[0].x"}, {"y"})

    def test_duplicates_collapse(self, call: Any) -> None:
        assert list(call("jacobian", inputs=A, jac_inputs=["a", "a"], jac_outputs=["y"])["y"]) == ["a"]

    def test_keys_with_dots(self, call: Any) -> None:
        got = call("jacobian", inputs=NESTED, jac_inputs=["table.{k.1}", "pair.[0]"], jac_outputs=["stats.mean"])
        assert got["stats.mean"]["table.{k.1}"]["shape"] == [2]
        assert got["stats.mean"]["pair.[0]"]["shape"] == []

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            *((path, "literal_error") for path in ("b", "mode", "parts", "parts.[0].k", "parts.[-1].x", "pair.[1]")),
            *((path, "literal_error") for path in ("table.{a{}", "", "a\n", "parts.[٠].x")),
            *((path, "value_error") for path in ("parts.[1].x", "table.{x}", "maybe")),
        ],
    )  # fmt: skip
    def test_bad_paths_give_one_error_each(self, refused: Any, path: str, kind: str) -> None:
        (problem,) = refused("jacobian", inputs=NESTED, jac_inputs=[path], jac_outputs=["y"])
        assert (problem["type"], problem["loc"], problem["input"]) == (kind, ["jac_inputs", 0], path)
        if kind == "value_error":
            assert problem["msg"] == f"Value error, Could not find jac_inputs path {path} in inputs."

    def test_the_message_lists_patterns_and_the_nearest(self, refused: Any) -> None:
        (problem,) = refused("jacobian", inputs=NESTED, jac_inputs=["a"], jac_outputs=["stats.men"])
        assert problem["msg"] == "Input should be one of 'y', 'stats.mean'; the nearest is 'stats.mean'"
        (problem,) = refused("jacobian", inputs=NESTED, jac_inputs=["part.[3].x"], jac_outputs=["y"])
        assert "'parts.[].x', 'table.{}', 'pair.[]'" in problem["msg"]
        assert problem["msg"].endswith("the nearest is 'parts.[].x'")

    def test_path_sets(self, refused: Any) -> None:
        problems = refused("jacobian", inputs=A, jac_inputs=[], jac_outputs="y")
        assert [(item["type"], item["loc"]) for item in problems] == [
            ("too_short", ["jac_inputs"]),
            ("set_type", ["jac_outputs"]),
        ]

    @pytest.mark.parametrize("mode", ["bad", "missing"])
    def test_wrong_results(self, call: Any, mode: str) -> None:
        with pytest.raises(ValidationError):
            call("jacobian", inputs={**A, "mode": mode}, jac_inputs=["a"], jac_outputs=["y"])


class TestUnions:
    """Where several types are declared, the one that the input has counts."""

    class Inputs(BaseModel):
        u: Differentiable[Float64] | Differentiable[Array[(2,), Float32]] | str

    @pytest.mark.parametrize(("value", "shape", "dtype"), [(1.0, (), "float64"), ([1.0, 2.0], (2,), "float32")])
    def test_gradients(self, value: Any, shape: tuple[int, ...], dtype: str) -> None:
        seen = []

        def jacobian(inputs: Any, jac_inputs: set[str], jac_outputs: set[str]) -> Any:
            return {"x": {"u": np.ones(np.shape(inputs.u))}}

        def jacobian_vector_product(inputs: Any, jvp_inputs: Any, jvp_outputs: Any, tangent_vector: Any) -> Any:
            seen.append(tangent_vector["u"])
            return {"x": 1.0}

        paths = {"jac_inputs": ["u"], "jac_outputs": ["x"]}
        result = _results(self.Inputs, Leaf, jacobian, {"u": value}, **paths)
        assert result["x"]["u"]["shape"] == list(shape)
        _results(
            self.Inputs,
            Leaf,
            jacobian_vector_product,
            {"u": value},
            jvp_inputs=["u"],
            jvp_outputs=["x"],
            tangent_vector={"u": value},
        )
        assert (seen[0].shape, seen[0].dtype) == (shape, dtype)

    def test_no_array(self) -> None:
        with pytest.raises(ValidationError, match="Could not find jac_inputs path u in inputs"):
            _results(self.Inputs, Leaf, lambda: None, {"u": "text"}, jac_inputs=["u"], jac_outputs=["x"])

    def test_errors_name_the_declared_types(self) -> None:
        with pytest.raises(ValidationError) as caught:
            self.Inputs(u=[[1.0]])
        assert [error["loc"][1] for error in caught.value.errors()] == [
            "function-plain[EncodedArrayModel__scalar__float64__DIFFERENTIABLE()]",
            "function-plain[EncodedArrayModel__2__float32__DIFFERENTIABLE()]",
            "str",
        ]


class TestTangents:
    def payload(self, tangent: Any, **more: Any) -> dict[str, Any]:
        return {"inputs": A, "jvp_inputs": ["a"], "jvp_outputs": ["y"], "tangent_vector": tangent, **more}

    def test_cast_to_the_input(self, api: ModuleType, call: Any) -> None:
        assert call("jacobian_vector_product", **self.payload({"a": [1, 2, 3]})) == {
            "y": encoded([3], "float64", [1.0, 2.0, 3.0])
        }
        assert api.seen["jvp"]["a"].dtype == np.float64
        nested = {
            "inputs": NESTED,
            "jvp_inputs": ["parts.[0].x", "s"],
            "tangent_vector": {"parts.[0].x": [[1]], "s": 2},
        }
        call("jacobian_vector_product", **self.payload(None, **nested))
        assert api.seen["jvp"]["parts.[0].x"].shape == (1, 2)
        assert api.seen["jvp"]["parts.[0].x"].dtype == np.float32
        assert type(api.seen["jvp"]["s"]) is np.float64

    def test_example_of_the_contract(self, refused: Any) -> None:
        (problem,) = refused("jacobian_vector_product", **self.payload({"s": 1}))
        assert (problem["type"], problem["loc"]) == ("value_error", ["tangent_vector"])
        assert problem["msg"] == (
            "Value error, Expected tangent vector with keys conforming to jvp_inputs: {'a'}, got {'s'}."
        )

    def test_the_actual_shape_counts(self, refused: Any) -> None:
        nested = {"inputs": NESTED, "jvp_inputs": ["table.{k.1}"]}
        (problem,) = refused("jacobian_vector_product", **self.payload({"table.{k.1}": [1, 2, 3]}, **nested))
        assert (problem["type"], problem["loc"]) == ("array_shape_mismatch", ["tangent_vector", "table.{k.1}"])

    def test_prerequisites(self, refused: Any) -> None:
        problems = refused("jacobian_vector_product", **self.payload({"a": 1}, inputs={}))
        assert problems[-1]["loc"] == ["tangent_vector"]
        assert "cannot be validated" in problems[-1]["msg"]

    def test_no_mapping(self, refused: Any) -> None:
        assert [item["type"] for item in refused("jacobian_vector_product", **self.payload([1]))] == ["dict_type"]

    def test_wrong_result(self, call: Any) -> None:
        with pytest.raises(ValidationError, match="requested paths"):
            call("jacobian_vector_product", **self.payload({"a": [1, 2, 3]}, inputs={**A, "mode": "missing"}))


class TestCotangents:
    def payload(self, cotangent: Any, outputs: Any = ("y",)) -> dict[str, Any]:
        return {"inputs": A, "vjp_inputs": ["a"], "vjp_outputs": list(outputs), "cotangent_vector": cotangent}

    def test_cast_to_the_declared_output(self, api: ModuleType, call: Any) -> None:
        got = call("vector_jacobian_product", **self.payload({"y": [1], "stats.mean": 1}, ["y", "stats.mean"]))
        assert got == {"a": encoded([3], "float64", [0.0, 0.0, 0.0])}
        assert api.seen["vjp"]["y"].tolist() == [1, 1, 1]
        assert type(api.seen["vjp"]["stats.mean"]) is np.float64

    @pytest.mark.parametrize(
        ("cotangent", "kind"),
        [
            ({"z": [1, 2, 3]}, "literal_error"),
            ({"stats.mean": 1}, "value_error"),
            ({"y": [1, 2]}, "array_shape_mismatch"),
        ],
    )
    def test_refused(self, refused: Any, cotangent: Any, kind: str) -> None:
        (problem,) = refused("vector_jacobian_product", **self.payload(cotangent))
        assert problem["type"] == kind
        assert problem["loc"][0] == "cotangent_vector"


class TestAbstractEval:
    EXPECTED: ClassVar = {
        "y": {"shape": [3], "dtype": "float64"},
        "stats": {"mean": {"shape": [], "dtype": "float64"}},
        "any": {"shape": [2, 2], "dtype": "int64"},
    }  # fmt: skip

    def test_example_of_the_contract(self, api: ModuleType, call: Any) -> None:
        assert call("abstract_eval", inputs={"a": {"shape": [3], "dtype": "float64"}}) == self.EXPECTED
        assert isinstance(api.seen["abstract"], api.InputSchema)
        assert api.seen["abstract"].a == ShapeDType(shape=(3,), dtype="float64")
        assert api.seen["abstract"].s == ShapeDType(shape=(), dtype="float64")  # of the default

    def test_encoded_arrays_and_other_dtypes(self, call: Any) -> None:
        assert call("abstract_eval", inputs={"a": encoded([3], "float32", [1, 2, 3])}) == self.EXPECTED

    @pytest.mark.parametrize("shape", [[1], [4], [3, 1], [-3]])
    def test_shapes_are_exact(self, refused: Any, shape: list[int]) -> None:
        assert len(refused("abstract_eval", inputs={"a": {"shape": shape, "dtype": "float64"}})) == 1


def test_generated_classes_honour_extra_settings() -> None:
    from tesseract_core.runtime.schema_generation import Rewriter

    class Open(BaseModel, extra="allow"):
        x: int

    class Closed(BaseModel):
        x: int
        inner: Open

    generated = Rewriter("Apply_").model(Closed)
    assert generated(x=1, inner={"x": 1, "y": 2}).inner.y == 2
    with pytest.raises(ValidationError):
        generated(x=1, inner={"x": 1}, y=2)


class TestJacobianShapes:
    """Declared output dimensions, then declared input dimensions; what is free may be anything."""

    def validate(self, rows: Any, columns: Any, value: Any) -> np.ndarray:
        class Inputs(BaseModel):
            x: Differentiable[Array[columns, Float64]]

        class Outputs(BaseModel):
            y: Differentiable[Array[rows, Float64]]

        result = SchemaFactory(Inputs, Outputs).jacobian().result
        return result.model_validate({"y": {"x": value}}).root["y"]["x"]  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("rows", "columns", "shape"),
        [((3,), (2,), (3, 2)), ((), (), ()), ((None,), (2,), (7, 2)), (..., (2,), (4, 5, 2)), ((3,), ..., (3,)),
         (..., ..., (9, 9)), ((3,), ..., (3, 1, 1))],
    )  # fmt: skip
    def test_accepted(self, rows: Any, columns: Any, shape: tuple[int, ...]) -> None:
        got = self.validate(rows, columns, np.ones(shape, "float32"))
        assert got.shape == shape
        assert got.dtype == np.float32  # not cast

    @pytest.mark.parametrize(
        ("rows", "columns", "shape"),
        [
            ((3,), (2,), (2, 3)),
            ((3,), (2,), (3,)),
            ((), (), (1,)),
            (..., (2,), (4, 3)),
            ((3,), ..., (2, 3)),
            ((3, 3), ..., (3,)),
        ],
    )
    def test_refused(self, rows: Any, columns: Any, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValidationError) as caught:
            self.validate(rows, columns, np.ones(shape))
        (problem,) = caught.value.errors()
        assert problem["type"] in ("array_shape_mismatch", "array_dimensionality_mismatch")
        assert problem["loc"] == ("y", "x")
