"""All endpoints from one jitted JAX function. Needs `jax` and `equinox` (in the Tesseract's own requirements).

    @eqx.filter_jit
    def apply_jit(inputs: dict) -> dict: ...

    def apply(inputs):
        return jax_apply(apply_jit, inputs)

`apply_jit` gets the inputs as nested dicts and lists, with arrays as JAX arrays, which are traced; everything else is
static. Each recipe is compiled once per combination of shapes, dtypes, static values and paths.

JAX computes in 32 bits unless `jax_enable_x64` is set: set it where the schema says float64.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import BaseModel

from tesseract_core.runtime.schema_types import ShapeDType
from tesseract_core.runtime.tree_transforms import filter_func, flatten_with_paths, set_at_path
from tesseract_core.runtime.vjp_cache import vjp_cache

Tree = dict[str, Any]
Paths = tuple[str, ...]
ApplyJit = Callable[[Tree], Tree]


def as_jax_array(x: Any) -> jax.Array:
    """`x` as a JAX array; arrays that live on a GPU stay there (DLPack)."""
    if hasattr(x, "__cuda_array_interface__") and hasattr(x, "__dlpack__"):
        return jnp.from_dlpack(x)
    return jnp.asarray(x)


def as_jax_arrays(tree: Any) -> Any:
    """`tree` (nested dicts, lists and tuples) with every array as a JAX array and all else as it is."""
    return jax.tree.map(lambda leaf: as_jax_array(leaf) if _is_array(leaf) else leaf, tree)


def jax_apply(apply_jit: ApplyJit, inputs: BaseModel) -> Tree:
    """`apply_jit` at `inputs`. With the VJP cache on, its backward function is kept for `jax_vjp`."""
    arguments = as_jax_arrays(inputs.model_dump())
    cache = vjp_cache()
    key = _contents(apply_jit, inputs) if cache.maxsize > 0 else None
    if key is None:
        return apply_jit(arguments)
    outputs, backward = _forward(apply_jit, arguments)
    # The key holds the function by its id, so the entry keeps it alive.
    cache.put(key, (backward, _inexact(outputs), apply_jit))
    return outputs


def jax_jacobian(
    apply_jit: ApplyJit, inputs: BaseModel, jac_inputs: Collection[str], jac_outputs: Collection[str]
) -> dict[str, dict[str, jax.Array]]:
    """Jacobian by reverse mode: `{output path: {input path: array of shape (*output, *input)}}`."""
    return _jacobian(apply_jit, as_jax_arrays(inputs.model_dump()), _order(jac_inputs), _order(jac_outputs))


def jax_jvp(
    apply_jit: ApplyJit,
    inputs: BaseModel,
    jvp_inputs: Collection[str],
    jvp_outputs: Collection[str],
    tangent_vector: Mapping[str, Any],
) -> dict[str, jax.Array]:
    """Jacobian-vector product by forward mode: `{output path: array of the output's shape}`."""
    tangents = as_jax_arrays({path: tangent_vector[path] for path in jvp_inputs})
    return _jvp(apply_jit, as_jax_arrays(inputs.model_dump()), _order(jvp_inputs), _order(jvp_outputs), tangents)


def jax_vjp(
    apply_jit: ApplyJit,
    inputs: BaseModel,
    vjp_inputs: Collection[str],
    vjp_outputs: Collection[str],
    cotangent_vector: Mapping[str, Any],
) -> dict[str, jax.Array]:
    """Vector-Jacobian product by reverse mode: `{input path: array of the input's shape}`.

    With the VJP cache on and equal inputs in it, only the backward pass runs.
    """
    cotangents = as_jax_arrays({path: cotangent_vector[path] for path in vjp_outputs})
    cache = vjp_cache()
    key = _contents(apply_jit, inputs) if cache.maxsize > 0 else None
    entry = cache.get(key) if key is not None else None
    if entry is not None:
        backward, outputs, _ = entry
        return _backward(backward, outputs, _order(vjp_inputs), cotangents)
    return _vjp(apply_jit, as_jax_arrays(inputs.model_dump()), _order(vjp_inputs), _order(vjp_outputs), cotangents)


def jax_abstract_eval(apply_jit: ApplyJit, abstract_inputs: BaseModel) -> Tree:
    """Shapes and dtypes of the outputs, without computing them: leaves are `{"shape": tuple, "dtype": str}`."""
    outputs = eqx.filter_eval_shape(apply_jit, _abstract(abstract_inputs))
    return jax.tree.map(
        lambda leaf: {"shape": tuple(leaf.shape), "dtype": str(leaf.dtype)} if _is_shaped(leaf) else leaf, outputs
    )


@eqx.filter_jit
def _jacobian(apply_jit: ApplyJit, inputs: Tree, paths: Paths, outputs: Paths) -> Any:
    function = filter_func(apply_jit, inputs, outputs)
    return jax.jacrev(function)(flatten_with_paths(inputs, paths))


@eqx.filter_jit
def _jvp(apply_jit: ApplyJit, inputs: Tree, paths: Paths, outputs: Paths, tangents: dict[str, jax.Array]) -> Any:
    function = filter_func(apply_jit, inputs, outputs)
    primals = flatten_with_paths(inputs, paths)
    return jax.jvp(function, (primals,), (_like(primals, tangents),))[1]


@eqx.filter_jit
def _vjp(
    apply_jit: ApplyJit,
    inputs: Tree,
    paths: tuple[str, ...],
    outputs: tuple[str, ...],
    cotangents: dict[str, jax.Array],
) -> Any:
    function = filter_func(apply_jit, inputs, outputs)
    values, backward = jax.vjp(function, flatten_with_paths(inputs, paths))
    return backward(_like(values, cotangents))[0]


@eqx.filter_jit
def _forward(apply_jit: ApplyJit, inputs: Tree) -> tuple[Tree, Any]:
    """Outputs, and the function from cotangents of all their inexact leaves to those of all inexact inputs."""
    moving, fixed = eqx.partition(inputs, eqx.is_inexact_array)

    def function(moving: Tree) -> tuple[Tree, Tree]:
        return eqx.partition(apply_jit(eqx.combine(moving, fixed)), eqx.is_inexact_array)

    inexact, backward, others = jax.vjp(function, moving, has_aux=True)
    return eqx.combine(inexact, others), backward


@eqx.filter_jit
def _backward(backward: Any, outputs: Tree, paths: Paths, cotangents: dict[str, jax.Array]) -> Any:
    zeros = jax.tree.map(jnp.zeros_like, outputs)
    placed = set_at_path(zeros, _like(flatten_with_paths(zeros, cotangents), cotangents))
    (gradients,) = backward(placed)
    return flatten_with_paths(gradients, paths)


def _inexact(outputs: Tree) -> Tree:
    return eqx.partition(outputs, eqx.is_inexact_array)[0]


def _like(values: dict[str, jax.Array], given: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Each of `given` in the shape and dtype of the value that it belongs to."""
    return {path: jnp.broadcast_to(given[path], value.shape).astype(value.dtype) for path, value in values.items()}


def _order(paths: Collection[str]) -> Paths:
    return tuple(sorted(paths))  # sets have no order, and another order would compile anew


def _is_shaped(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct | jax.Array | np.ndarray)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | np.generic | jax.Array) or hasattr(leaf, "__cuda_array_interface__")


def _abstract(value: Any) -> Any:
    """Nested dicts and lists, as `model_dump` would make them, with every `ShapeDType` in JAX's words."""
    if isinstance(value, ShapeDType):
        return jax.ShapeDtypeStruct(value.shape, np.dtype(str(value.dtype)))
    if isinstance(value, BaseModel):
        return _abstract(dict(value))
    if isinstance(value, Mapping):
        return {key: _abstract(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_abstract, value))
    return as_jax_array(value) if _is_array(value) else value


def _contents(apply_jit: ApplyJit, inputs: BaseModel) -> tuple[Any, ...] | None:
    """A key that is equal for equal structure, types and values only; None if some value cannot be part of a key."""
    leaves, structure = jax.tree.flatten(inputs.model_dump(), is_leaf=lambda leaf: leaf is None)
    key = (id(apply_jit), structure, *map(_content, leaves))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _content(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray | np.generic):
        return (type(leaf), leaf.dtype.str, leaf.shape, leaf.tobytes())
    return (type(leaf), repr(leaf) if isinstance(leaf, float) else leaf)  # as text, NaN equals itself and -0.0 not 0.0
