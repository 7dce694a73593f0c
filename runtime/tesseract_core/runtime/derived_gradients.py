"""One gradient endpoint from another: products from a Jacobian, a Jacobian from products.

The user's gradient functions are called by keyword, as the runtime calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np

from tesseract_core.runtime.tree_transforms import get_at_path

Jacobian = dict[str, dict[str, np.ndarray]]


def vjp_from_jacobian(
    jacobian_fn: Callable[..., Mapping[str, Mapping[str, Any]]],
    inputs: Any,
    vjp_inputs: Collection[str],
    vjp_outputs: Collection[str],
    cotangent_vector: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Vector-Jacobian product: each cotangent contracted over all axes of its output, summed over the outputs.

    Returns:
        `{input path: array of the input's shape}`. `jacobian_fn` is called once.
    """
    jacobian = jacobian_fn(inputs=inputs, jac_inputs=set(vjp_inputs), jac_outputs=set(vjp_outputs))
    result = {}
    for path in vjp_inputs:
        terms = []
        for out in vjp_outputs:
            block = np.asarray(jacobian[out][path])
            cotangent = np.asarray(cotangent_vector[out])
            cotangent = np.broadcast_to(cotangent, block.shape[: cotangent.ndim])
            terms.append(np.tensordot(cotangent, block, axes=cotangent.ndim))
        result[path] = sum(terms[1:], start=terms[0])
    return result


def jvp_from_jacobian(
    jacobian_fn: Callable[..., Mapping[str, Mapping[str, Any]]],
    inputs: Any,
    jvp_inputs: Collection[str],
    jvp_outputs: Collection[str],
    tangent_vector: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Jacobian-vector product: each tangent contracted over all axes of its input, summed over the inputs.

    Returns:
        `{output path: array of the output's shape}`. `jacobian_fn` is called once.
    """
    jacobian = jacobian_fn(inputs=inputs, jac_inputs=set(jvp_inputs), jac_outputs=set(jvp_outputs))
    result = {}
    for out in jvp_outputs:
        terms = []
        for path in jvp_inputs:
            block = np.asarray(jacobian[out][path])
            tangent = np.asarray(tangent_vector[path])
            tangent = np.broadcast_to(tangent, block.shape[block.ndim - tangent.ndim :])
            terms.append(np.tensordot(block, tangent, axes=tangent.ndim))
        result[out] = sum(terms[1:], start=terms[0])
    return result


def jacobian_from_vjp(
    vjp_fn: Callable[..., Mapping[str, Any]],
    eval_fn: Callable[[Any], Any],
    inputs: Any,
    jac_inputs: Collection[str],
    jac_outputs: Collection[str],
) -> Jacobian:
    """Jacobian from one vector-Jacobian product per output element.

    Args:
        vjp_fn: Usually `vector_jacobian_product`.
        eval_fn: `apply` or `abstract_eval`; called once, for the shapes and dtypes of the outputs.
        inputs: Where to differentiate.
        jac_inputs: Paths of the inputs to differentiate with respect to.
        jac_outputs: Paths of the outputs to differentiate.

    Returns:
        `{output path: {input path: array of shape (*output shape, *input shape)}}` in the output's dtype.
    """
    outputs = eval_fn(inputs)
    jacobian: Jacobian = {}
    for out in jac_outputs:
        shape, dtype = _shape_and_dtype(get_at_path(outputs, out))
        row = {path: np.zeros((*shape, *np.shape(get_at_path(inputs, path))), dtype) for path in jac_inputs}
        for index, cotangent in _one_hot(shape, dtype):
            product = vjp_fn(
                inputs=inputs, vjp_inputs=set(jac_inputs), vjp_outputs={out}, cotangent_vector={out: cotangent}
            )
            for path in jac_inputs:
                row[path][index] = product[path]
        jacobian[out] = row
    return jacobian


def jacobian_from_jvp(
    jvp_fn: Callable[..., Mapping[str, Any]],
    inputs: Any,
    jac_inputs: Collection[str],
    jac_outputs: Collection[str],
) -> Jacobian:
    """Jacobian from one Jacobian-vector product per input element.

    Args:
        jvp_fn: Usually `jacobian_vector_product`.
        inputs: Where to differentiate.
        jac_inputs: Paths of the inputs to differentiate with respect to.
        jac_outputs: Paths of the outputs to differentiate.

    Returns:
        `{output path: {input path: array of shape (*output shape, *input shape)}}` in the dtype of the products.
    """
    jacobian: Jacobian = {out: {} for out in jac_outputs}
    for path in jac_inputs:
        value = np.asarray(get_at_path(inputs, path))

        def probe(tangent: Any, path: str = path) -> Mapping[str, Any]:
            return jvp_fn(
                inputs=inputs, jvp_inputs={path}, jvp_outputs=set(jac_outputs), tangent_vector={path: tangent}
            )

        columns = [(index, probe(tangent)) for index, tangent in _one_hot(value.shape, value.dtype)]
        # An input without elements has no columns, but the output's shape still has to be learnt.
        first = columns[0][1] if columns else probe(value)
        for out in jac_outputs:
            sample = np.asarray(first[out])
            block = np.zeros((*sample.shape, *value.shape), sample.dtype)
            for index, product in columns:
                block[(..., *index)] = product[out]  # type: ignore[index]
            jacobian[out][path] = block
    return jacobian


def _shape_and_dtype(leaf: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Of an array, a number, a `ShapeDType` or a dict `{"shape", "dtype"}`."""
    if isinstance(leaf, Mapping):
        return tuple(leaf["shape"]), np.dtype(leaf["dtype"])
    if not hasattr(leaf, "shape"):
        leaf = np.asarray(leaf)
    return tuple(leaf.shape), np.dtype(leaf.dtype)


def _one_hot(shape: tuple[int, ...], dtype: np.dtype) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Each index with the array that is 1 there and 0 elsewhere (a NumPy scalar for rank 0, as in every endpoint)."""
    for index in np.ndindex(shape):
        unit = np.zeros(shape, dtype)
        unit[index] = 1
        yield index, unit[()]
