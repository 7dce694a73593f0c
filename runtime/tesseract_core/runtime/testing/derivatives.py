"""Derivatives at one point, through the endpoints of a Tesseract and by finite differences of its `apply`.

Nothing is computed twice: evaluations of `apply` are shared by all outputs and endpoints, calls of a gradient endpoint
by all elements that they cover.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np

from tesseract_core.runtime.core import get_input_schema, get_output_schema
from tesseract_core.runtime.finite_differences import FiniteDifferences, Index
from tesseract_core.runtime.tree_transforms import escape_dict_key, get_at_path

GRADIENT_ENDPOINTS = ("jacobian", "jacobian_vector_product", "vector_jacobian_product")


class Derivatives:
    """What a Tesseract says of its derivatives at one point, and what its `apply` says.

    Args:
        functions: Its endpoints by name.
        payload: Payload of `apply`, `{"inputs": ...}`.
        input_paths: Paths to differentiate with respect to; None takes all differentiable ones.
        output_paths: Paths to differentiate; None takes all differentiable ones.
        base_dir: What relative binary references in `payload` refer to; None takes the input path.
        eps: Absolute step of finite differences, or one for each input path.
        eps_for: Steps of some input paths instead.

    Raises:
        pydantic.ValidationError: `payload` is no payload of `apply`.
        ValueError: A path is not differentiable, or `eps` does not fit the input paths.
    """

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any]],
        payload: Mapping[str, Any],
        input_paths: Collection[str] | None,
        output_paths: Collection[str] | None,
        base_dir: str | os.PathLike[str] | None,
        eps: float | Mapping[str, float],
        eps_for: Mapping[str, float] | None = None,
    ) -> None:
        self._functions = functions
        self._raw_inputs = payload.get("inputs")
        self._context = None if base_dir is None else {"base_dir": os.fspath(base_dir)}
        apply = functions["apply"]
        schema = get_input_schema(apply)
        inputs: Any = schema.model_validate(payload, context=self._context).inputs  # type: ignore[attr-defined]

        def evaluate(moved: Any) -> Any:
            return apply(schema.model_construct(inputs=moved)).root

        outputs = evaluate(inputs)
        inputs_found = dict(_arrays(inputs, schema.differentiable_arrays))  # type: ignore[attr-defined]
        outputs_found = dict(_arrays(outputs, get_output_schema(apply).differentiable_arrays))  # type: ignore[attr-defined]
        self._inputs = {path: inputs_found[path] for path in chosen(input_paths, inputs_found, "input path")}
        self._outputs = {path: outputs_found[path] for path in chosen(output_paths, outputs_found, "output path")}
        if eps_for:
            eps = {**(eps if isinstance(eps, Mapping) else dict.fromkeys(self._inputs, eps)), **eps_for}
        self._differences = FiniteDifferences(evaluate, inputs, self._inputs, self._outputs, "central", eps)
        self.elements: list[tuple[str, Index]] = []
        self.parts: dict[str, list[Index]] = {}
        # What all endpoints and outputs share is kept for the sampled elements only; the rest is used at once.
        self._difference = cache(self._call_apply)
        self._vjp = cache(self._call_vjp)
        self._jacobian = lru_cache(maxsize=1)(self._call_jacobian)
        self._jvp = lru_cache(maxsize=1)(self._call_jvp)

    def sample(self, max_inputs: int, max_per_output: int | None, rng: np.random.Generator) -> None:
        """Choose at random what to compute, nothing twice: sets `elements` of the inputs, and `parts` of the outputs.

        Args:
            max_inputs: Number of input elements, shared among the inputs by their size (each gets at least one).
            max_per_output: Number of elements of each output; None takes all.
            rng: Where randomness comes from.
        """
        sizes = {path: np.size(value) for path, value in self._inputs.items()}
        for path, value in self._inputs.items():
            share = max(1, max_inputs * sizes[path] // max(1, sum(sizes.values())))
            self.elements += [(path, idx) for idx in _sample(np.shape(value), share, rng)]
        for out, value in self._outputs.items():
            limit = np.size(value) if max_per_output is None else max_per_output
            self.parts[out] = _sample(np.shape(value), limit, rng)

    def reference(self, path: str, idx: Index, out: str) -> np.ndarray:
        """Central difference of the sampled part of an output with respect to element `idx` of an input."""
        return self._difference(path, idx)[out]

    def computed(self, endpoint: str, path: str, idx: Index, out: str) -> np.ndarray:
        """The same as a gradient endpoint has it."""
        match endpoint:
            case "jacobian":
                return self._part(out, np.asarray(self._jacobian(path)[out][path])[(..., *idx)])  # type: ignore[arg-type]
            case "jacobian_vector_product":
                return self._part(out, np.asarray(self._jvp(path, idx)[out]))
            case "vector_jacobian_product":
                return np.array([self._vjp(out, element)[path, idx] for element in self.parts[out]])
        raise ValueError(f"{endpoint} is not a gradient endpoint")

    def _part(self, out: str, values: np.ndarray) -> np.ndarray:
        return np.array([values[element] for element in self.parts[out]])

    def _call_apply(self, path: str, idx: Index) -> dict[str, np.ndarray]:
        change = self._differences.element_difference(path, idx)
        return {out: self._part(out, values) for out, values in change.items()}

    def _call_jacobian(self, path: str) -> dict[str, Any]:
        return self._call("jacobian", jac_inputs=[path], jac_outputs=list(self._outputs))

    def _call_jvp(self, path: str, idx: Index) -> dict[str, Any]:
        return self._call(
            "jacobian_vector_product",
            jvp_inputs=[path],
            jvp_outputs=list(self._outputs),
            tangent_vector={path: _one_hot(self._inputs[path], idx)},
        )

    def _call_vjp(self, out: str, idx: Index) -> dict[tuple[str, Index], Any]:
        result = self._call(
            "vector_jacobian_product",
            vjp_inputs=list(self._inputs),
            vjp_outputs=[out],
            cotangent_vector={out: _one_hot(self._outputs[out], idx)},
        )
        return {(path, element): np.asarray(result[path])[element] for path, element in self.elements}

    def _call(self, endpoint: str, **arguments: Any) -> dict[str, Any]:
        function = self._functions[endpoint]
        payload = get_input_schema(function).model_validate(
            {"inputs": self._raw_inputs, **arguments}, context=self._context
        )
        return function(payload).model_dump()


def chosen(wanted: Collection[str] | None, offered: Collection[str], what: str) -> list[str]:
    """`wanted`, if all of it is offered; None means all.

    Raises:
        ValueError: Something is not offered.
    """
    if wanted is None:
        return list(offered)
    if unknown := [name for name in wanted if name not in offered]:
        raise ValueError(f"unknown {what} {', '.join(unknown)}; choose among {', '.join(offered) or 'none'}")
    return list(wanted)


def _arrays(tree: Any, patterns: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Concrete paths that match a pattern, with the arrays (or numbers) that they lead to."""
    for pattern in patterns:
        for path in _expand(tree, pattern.split("."), ""):
            leaf = get_at_path(tree, path)
            if leaf is not None and np.asarray(leaf).dtype.kind in "biufc":
                yield path, leaf


def _expand(node: Any, parts: list[str], path: str) -> Iterator[str]:
    if not parts:
        yield path
        return
    if node is None:  # an optional part that is not there
        return
    first, *rest = parts
    if first == "[]":
        steps = [f"[{index}]" for index in range(len(node))]
    elif first == "{}":
        steps = [f"{{{escape_dict_key(str(key))}}}" for key in node if str(key)]  # no path leads to ""
    else:
        steps = [first]
    for step in steps:
        yield from _expand(get_at_path(node, step), rest, f"{path}.{step}".lstrip("."))


def _sample(shape: tuple[int, ...], limit: int, rng: np.random.Generator) -> list[Index]:
    size = math.prod(shape)
    elements = range(size) if limit >= size else np.sort(rng.choice(size, limit, replace=False))
    return [tuple(int(i) for i in np.unravel_index(element, shape)) for element in elements]


def _one_hot(like: Any, idx: Index) -> np.ndarray:
    unit = np.zeros_like(np.asarray(like))
    unit[idx] = 1
    return unit
