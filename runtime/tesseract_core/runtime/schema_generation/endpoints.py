"""Payload and result models of the endpoints, made from a user's `InputSchema` and `OutputSchema`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from tesseract_core.runtime.schema_generation.leaves import Leaves, collect
from tesseract_core.runtime.schema_generation.path_sets import path_set
from tesseract_core.runtime.schema_generation.places import Place
from tesseract_core.runtime.schema_generation.rewrite import Rewriter, abstract_default
from tesseract_core.runtime.schema_generation.vectors import (
    CotangentVector,
    JacobianResult,
    ProductResult,
    TangentVector,
)
from tesseract_core.runtime.schema_types import ShapeDType


@dataclass(frozen=True)
class EndpointSchemas:
    """Model of the payload and of the result of one endpoint."""

    payload: type[BaseModel]
    result: type[BaseModel]


class Payload(BaseModel):
    """Base of all payloads. NumPy scalars and encoded arrays in `inputs` become what their places hold."""

    place: ClassVar[Place | None] = None

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        if cls.place is not None and isinstance(obj, dict) and "inputs" in obj:
            obj = {**obj, "inputs": cls.place(obj["inputs"], options.get("context"))}
        return super().model_validate(obj, **options)


class Result:
    """Base of all results, which are root models: the same for the whole of them."""

    place: ClassVar[Place | None] = None

    @classmethod
    def plain(cls, value: Any) -> Any:
        """`value` with plain numbers where the schema has no arrays."""
        return value if cls.place is None else cls.place(value)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Any:
        plain = cls.plain(obj) if isinstance(obj, dict) else obj
        return super().model_validate(plain, **options)  # type: ignore[misc]


class SchemaFactory:
    """Makes the models of all endpoints of one Tesseract.

    Args:
        inputs: The user's `InputSchema`.
        outputs: The user's `OutputSchema`.

    Raises:
        ValueError: A model occurs within itself.
    """

    def __init__(self, inputs: type[BaseModel], outputs: type[BaseModel]) -> None:
        self._inputs, self._outputs = inputs, outputs
        rewriter = Rewriter("Apply_")
        self._apply = rewriter.model(inputs), rewriter.model(outputs)

    @cached_property
    def _input_leaves(self) -> Leaves:
        return collect(self._inputs)

    @cached_property
    def _output_leaves(self) -> Leaves:
        return collect(self._outputs)

    def apply(self) -> EndpointSchemas:
        """Models of `apply`. Both tell where their differentiable arrays are, and the order of their fields."""
        inputs, outputs = self._apply
        payload = _payload("ApplyInputSchema", "Payload of apply.", inputs, extra=_metadata(self._input_leaves))
        result = _root("ApplyOutputSchema", "Result of apply.", outputs, _metadata(self._output_leaves))
        for model, leaves in ((payload, self._input_leaves), (result, self._output_leaves)):
            model.differentiable_arrays = leaves.differentiable_arrays()  # type: ignore[attr-defined]
            model.field_order = leaves.field_order  # type: ignore[attr-defined]
        return EndpointSchemas(payload, result)

    def abstract_eval(self) -> EndpointSchemas:
        """Models of `abstract_eval`: those of `apply`, with shape and dtype for each array."""
        rewriter = Rewriter("AbstractEval_", ShapeDType.from_array_type, abstract_default)
        return EndpointSchemas(
            _payload("AbstractInputSchema", "Payload of abstract_eval.", rewriter.model(self._inputs)),
            _root("AbstractOutputSchema", "Result of abstract_eval.", rewriter.model(self._outputs)),
        )

    def jacobian(self) -> EndpointSchemas:
        """Models of `jacobian`."""
        self._require_differentiable()
        ins, outs = self._input_leaves.differentiable, self._output_leaves.differentiable
        return EndpointSchemas(
            _payload(
                "JacobianInputSchema", "Payload of jacobian.", self._gradient_inputs("Jacobian_"), self._paths("jac")
            ),
            _root(
                "JacobianOutputSchema",
                "Result of jacobian: for each output and input an array of shape (*output shape, *input shape).",
                Annotated[dict, JacobianResult(ins, outs)],
            ),
        )

    def jacobian_vector_product(self) -> EndpointSchemas:
        """Models of `jacobian_vector_product`."""
        self._require_differentiable()
        tangent = Annotated[dict, TangentVector(self._input_leaves.differentiable)]
        vector = (tangent, Field(description="One array for each of jvp_inputs, of the shape of that input"))
        fields = {**self._paths("jvp"), "tangent_vector": vector}
        result = Annotated[dict, ProductResult("JVP", self._output_leaves.differentiable)]
        return EndpointSchemas(
            _payload("JVPInputSchema", "Payload of jacobian_vector_product.", self._gradient_inputs("Jvp_"), fields),
            _root("JVPOutputSchema", "Result of jacobian_vector_product: an array for each output.", result),
        )

    def vector_jacobian_product(self) -> EndpointSchemas:
        """Models of `vector_jacobian_product`."""
        self._require_differentiable()
        cotangent = Annotated[dict, CotangentVector(self._output_leaves.differentiable)]
        vector = (cotangent, Field(description="One array for each of vjp_outputs, of the shape of that output"))
        fields = {**self._paths("vjp"), "cotangent_vector": vector}
        result = Annotated[dict, ProductResult("VJP", self._input_leaves.differentiable)]
        return EndpointSchemas(
            _payload("VJPInputSchema", "Payload of vector_jacobian_product.", self._gradient_inputs("Vjp_"), fields),
            _root("VJPOutputSchema", "Result of vector_jacobian_product: an array for each input.", result),
        )

    def _require_differentiable(self) -> None:
        for what, leaves in (("inputs", self._input_leaves), ("outputs", self._output_leaves)):
            if not leaves.differentiable:
                raise RuntimeError(
                    f"No differentiable {what} were found, but a gradient endpoint is defined; "
                    "mark array types in the schemas with Differentiable[...]"
                )

    def _gradient_inputs(self, prefix: str) -> type[BaseModel]:
        return Rewriter(prefix).model(self._inputs)

    def _paths(self, kind: str) -> dict[str, Any]:
        ins, outs = f"{kind}_inputs", f"{kind}_outputs"
        return {
            ins: (
                path_set(self._input_leaves.differentiable, ins, inputs=True),
                Field(description="Paths of the inputs to differentiate with respect to"),
            ),
            outs: (
                path_set(self._output_leaves.differentiable, outs, inputs=False),
                Field(description="Paths of the outputs to differentiate"),
            ),
        }


def _metadata(leaves: Leaves) -> dict[str, Any]:
    return {"differentiable_arrays": leaves.differentiable_arrays(), "field_order": leaves.field_order}


def _payload(
    name: str,
    doc: str,
    inputs: type[BaseModel],
    fields: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> type[BaseModel]:
    model = create_model(
        name,
        __base__=Payload,
        __cls_kwargs__={"extra": "forbid", "json_schema_extra": extra},
        __doc__=doc,
        __module__=__name__,
        inputs=(inputs, Field(description="The inputs")),
        **(fields or {}),
    )
    model.place = Place(inputs)
    return model


def _root(name: str, doc: str, root: Any, extra: dict[str, Any] | None = None) -> type[BaseModel]:
    config = ConfigDict(json_schema_extra=extra, ser_json_inf_nan="constants")
    body = {"__doc__": doc, "__module__": __name__, "model_config": config}
    model: Any = type(name, (Result, RootModel[root]), body)
    model.place = _changing_place(root)
    return model


def _changing_place(annotation: Any) -> Place | None:
    place = Place(annotation) if isinstance(annotation, type) else None  # not the mappings of gradients
    return None if place is None or place.idle() else place
