"""Gradients of `apply` by finite differences, for Tesseracts that have no derivatives of their own.

Every evaluation of `apply` serves all outputs, so a central Jacobian with N input elements costs 2 N + 1 evaluations
whatever the number of outputs. `eps` is an absolute step in the units of the input. Nested models that do not move are
shared by all evaluations, so `apply` must not change arrays in them in place.

Formulas: central (f(x+e) - f(x-e)) / 2e, forward (f(x+e) - f(x)) / e, and simultaneous perturbation (SPSA): all
elements move by ±e at once, J_ij is the mean over samples of (f_i(x+eD) - f_i(x-eD)) / (2 e D_j)
(J. C. Spall, IEEE Trans. Autom. Control 37 (1992) 332-341).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, RootModel

from tesseract_core.runtime.tree_transforms import get_at_path, path_to_index_op, split_path

Algorithm = Literal["central", "forward", "stochastic"]
Array = NDArray[np.float64]
Index = tuple[int, ...]
Model = TypeVar("Model", bound=BaseModel)
_MAX_TURN = 0.01


def finite_difference_jacobian(
    apply_fn: Callable[[Any], Any],
    inputs: BaseModel,
    jac_inputs: Collection[str],
    jac_outputs: Collection[str],
    *,
    algorithm: Algorithm = "central",
    eps: float | Mapping[str, float] = 1e-4,
    num_samples: int | None = None,
    seed: int | None = None,
) -> dict[str, dict[str, Array]]:
    """Jacobian of `apply_fn` at `inputs`.

    Args:
        apply_fn: Function of one model instance, usually `apply`.
        inputs: Where to differentiate. Moved inputs are validated by its class, so float32 fields stay float32.
        jac_inputs: Paths of the inputs to differentiate with respect to.
        jac_outputs: Paths of the outputs to differentiate.
        algorithm: "central" (2 N + 1 evaluations), "forward" (N + 1) or "stochastic" (2 samples + 1), for N elements.
        eps: Absolute step, or one for each path in `jac_inputs`.
        num_samples: Samples of "stochastic"; by default max(10, sqrt(N)). From N samples on, "central" is used.
        seed: Seed of "stochastic".

    Returns:
        `{output path: {input path: float64 array of shape (*output shape, *input shape)}}`.

    Raises:
        ValueError: Unknown algorithm; `eps` not positive, not naming exactly `jac_inputs`, or lost in rounding.
    """
    problem = FiniteDifferences(apply_fn, inputs, jac_inputs, jac_outputs, algorithm, eps)
    base = problem.evaluate({})
    jacobian = {
        out: {path: np.zeros((*value.shape, *problem.start[path].shape)) for path in problem.paths}
        for out, value in base.items()
    }
    if problem.samples_randomly(num_samples):
        for weight, change in problem.random_differences(num_samples, seed):
            for out, path, block in _blocks(jacobian):
                block += np.multiply.outer(change[out], weight[path])
    else:
        for path, index, change in problem.element_differences(base):
            for out, value in change.items():
                jacobian[out][path][(..., *index)] = value  # type: ignore[index]
    return jacobian


def finite_difference_jvp(
    apply_fn: Callable[[Any], Any],
    inputs: BaseModel,
    jvp_inputs: Collection[str],
    jvp_outputs: Collection[str],
    tangent_vector: Mapping[str, Any],
    *,
    algorithm: Algorithm = "central",
    eps: float | Mapping[str, float] = 1e-4,
) -> dict[str, Array]:
    """Jacobian-vector product of `apply_fn` at `inputs`: the change of the outputs along `tangent_vector`.

    All inputs move at once: two evaluations per distinct value of `eps` ("forward": one, and one at `inputs`).
    "stochastic" means "central", as one direction needs no sampling.

    Args:
        apply_fn: Function of one model instance, usually `apply`.
        inputs: Where to differentiate.
        jvp_inputs: Paths of the inputs that move.
        jvp_outputs: Paths of the outputs to differentiate.
        tangent_vector: For each path in `jvp_inputs` an array that broadcasts to the shape of that input.
        algorithm: "central", "forward" or "stochastic".
        eps: Absolute step, or one for each path in `jvp_inputs`.

    Returns:
        `{output path: float64 array of the output's shape}`.

    Raises:
        ValueError: Unknown algorithm; `eps` not positive, not naming exactly `jvp_inputs`, or lost in rounding.

    Warns:
        RuntimeWarning: In the dtype of an input, rounding turns the direction by more than 1 %.
    """
    problem = FiniteDifferences(apply_fn, inputs, jvp_inputs, jvp_outputs, algorithm, eps)
    tangents = {path: _as_float64(tangent_vector[path], path) for path in problem.paths}
    base = problem.evaluate({}) if algorithm == "forward" else None
    product: dict[str, Array] = {}
    for step in sorted(set(problem.eps.values())):
        along = {path: tangents[path] for path in problem.paths if problem.eps[path] == step}
        parts = problem.directional_difference(along, step, base)
        product = {out: product[out] + part if out in product else part for out, part in parts.items()}
    return product


def finite_difference_vjp(
    apply_fn: Callable[[Any], Any],
    inputs: BaseModel,
    vjp_inputs: Collection[str],
    vjp_outputs: Collection[str],
    cotangent_vector: Mapping[str, Any],
    *,
    algorithm: Algorithm = "central",
    eps: float | Mapping[str, float] = 1e-4,
    num_samples: int | None = None,
    seed: int | None = None,
) -> dict[str, Array]:
    """Vector-Jacobian product of `apply_fn` at `inputs`: the gradient of `cotangent_vector` times the outputs.

    Costs 2 N evaluations for N input elements ("forward": N + 1, "stochastic": 2 samples), and never stores a Jacobian.

    Args:
        apply_fn: Function of one model instance, usually `apply`.
        inputs: Where to differentiate.
        vjp_inputs: Paths of the inputs to differentiate with respect to.
        vjp_outputs: Paths of the outputs.
        cotangent_vector: For each path in `vjp_outputs` an array that broadcasts to the shape of that output.
        algorithm: "central", "forward" or "stochastic".
        eps: Absolute step, or one for each path in `vjp_inputs`.
        num_samples: Samples of "stochastic"; by default max(10, sqrt(N)). From N samples on, "central" is used.
        seed: Seed of "stochastic".

    Returns:
        `{input path: float64 array of the input's shape}`, NumPy scalars for scalar inputs.

    Raises:
        ValueError: Unknown algorithm; `eps` not positive, not naming exactly `vjp_inputs`, or lost in rounding.
    """
    problem = FiniteDifferences(apply_fn, inputs, vjp_inputs, vjp_outputs, algorithm, eps)
    cotangents = {path: _as_float64(cotangent_vector[path], path) for path in problem.outputs}

    def contracted(change: dict[str, Array]) -> float:
        return sum(float(np.sum(cotangents[out] * value)) for out, value in change.items())

    gradient = {path: np.zeros_like(value) for path, value in problem.start.items()}
    if problem.samples_randomly(num_samples):
        for weight, change in problem.random_differences(num_samples, seed):
            slope = contracted(change)
            for path in problem.paths:
                gradient[path] += slope * weight[path]
    else:
        base = problem.evaluate({}) if algorithm == "forward" else None
        for path, index, change in problem.element_differences(base):
            gradient[path][index] = contracted(change)
    return {path: value[()] for path, value in gradient.items()}


def moved(inputs: Model, values: Mapping[str, Any]) -> Model:
    """`inputs` with other values at some paths, validated by its class.

    Only what lies along the paths is copied; everything beside them is passed on as it is.
    """
    if not values:
        return inputs
    tree: Any = inputs
    for path, value in values.items():
        tree = _replaced(tree, [path_to_index_op(part) for part in split_path(path)], value)
    return type(inputs).model_validate(tree, by_name=True)


def _replaced(node: Any, steps: list[tuple[str, Any]], value: Any) -> Any:
    if not steps:
        return value
    (kind, key), *rest = steps
    if kind == "seq":
        items = list(node)
        items[key] = _replaced(items[key], rest, value)
        return items
    if isinstance(node, RootModel):
        return _replaced(node.root, rest, value)
    fields = _fields(node) if isinstance(node, BaseModel) else dict(node)
    if key not in fields:  # keys in paths are text, those of a mapping may be integers
        key = next((other for other in fields if str(other) == key), key)
    fields[key] = _replaced(fields[key], rest, value)
    return fields


def _fields(model: BaseModel) -> dict[str, Any]:
    # An unset field holds its default, whose models are of the user's class and not of the generated one: only as
    # plain data does it pass validation again.
    unset = type(model).model_fields.keys() - model.model_fields_set
    given = {name: getattr(model, name) for name in type(model).model_fields if name not in unset}
    return {**model.model_dump(include=unset), **given, **(model.model_extra or {})}


def _as_float64(value: Any, path: str) -> Array:
    array = np.asarray(value)
    if array.dtype.kind == "c":
        raise ValueError(f"{path} is complex: finite differences need real inputs and outputs")
    return array.astype(np.float64)


def _blocks(jacobian: dict[str, dict[str, Array]]) -> Iterator[tuple[str, str, Array]]:
    for out, row in jacobian.items():
        for path, block in row.items():
            yield out, path, block


class FiniteDifferences:
    """A function of a model, seen as a function of the float64 arrays at some input paths."""

    def __init__(
        self,
        apply_fn: Callable[[Any], Any],
        inputs: BaseModel,
        paths: Collection[str],
        outputs: Collection[str],
        algorithm: Algorithm,
        eps: float | Mapping[str, float],
    ) -> None:
        if algorithm not in get_args(Algorithm):
            raise ValueError(f"unknown algorithm {algorithm!r}; choose one of {', '.join(get_args(Algorithm))}")
        self.apply_fn = apply_fn
        self.inputs = inputs
        self.algorithm = algorithm
        self.paths = sorted(paths)  # path sets have no order of their own, and seeded results must not depend on it
        self.outputs = sorted(outputs)
        self.eps = steps_per_path(eps, self.paths)
        original = {path: get_at_path(inputs, path) for path in self.paths}
        self.start = {path: _as_float64(value, path) for path, value in original.items()}
        # A default may be the Python number that the user wrote, say 1.
        # Of the dtype: by value, NumPy 1 would find that a scalar fits into float16.
        self.dtype = {path: np.result_type(np.float16, np.asarray(value).dtype) for path, value in original.items()}
        self.size = sum(value.size for value in self.start.values())

    def evaluate(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs, with other values for some of the inputs."""
        # At the starting point, too, `apply` gets a copy, which it may change.
        result = self.apply_fn(moved(self.inputs, values or self.start))
        return {path: _as_float64(get_at_path(result, path), path) for path in self.outputs}

    def element_differences(self, base: dict[str, Array] | None) -> Iterator[tuple[str, Index, dict[str, Array]]]:
        """For each input element its path, its index and the difference quotient of every output."""
        for path in self.paths:
            for index in np.ndindex(self.start[path].shape):
                yield path, index, self.element_difference(path, index, base)

    def element_difference(self, path: str, index: Index, base: dict[str, Array] | None = None) -> dict[str, Array]:
        """Difference quotient of every output for one input element: against `base` if "forward", else central."""
        ahead, plus = self._one_moved(path, index, self.eps[path])
        if self.algorithm == "forward" and base is not None:
            behind, minus = base, self.start[path][index]
        else:
            behind, minus = self._one_moved(path, index, -self.eps[path])
        return {out: (ahead[out] - behind[out]) / (plus - minus) for out in self.outputs}

    def _one_moved(self, path: str, index: Index, step: float) -> tuple[dict[str, Array], np.float64]:
        values = self.start[path].copy()
        values[index] += step
        seen = self._seen(path, values[index])
        if seen == self.start[path][index]:
            raise self._lost(path, step, seen)
        return self.evaluate({path: values}), seen

    def directional_difference(
        self, tangents: Mapping[str, Array], step: float, base: dict[str, Array] | None
    ) -> dict[str, Array]:
        """Difference quotient of every output along the tangents, which `step` scales; from `base` if there is one."""
        values = {path: self.start[path] + step * tangent for path, tangent in tangents.items()}
        ahead, plus = self.evaluate(values), {path: self._seen(path, value) for path, value in values.items()}
        if base is None:
            values = {path: self.start[path] - step * tangent for path, tangent in tangents.items()}
            behind, minus = self.evaluate(values), {path: self._seen(path, value) for path, value in values.items()}
        else:
            behind, minus = base, self.start
        way = {path: plus[path] - minus[path] for path in tangents}
        length = self._length(way, tangents, step) or 2 * step
        return {out: (ahead[out] - behind[out]) / length for out in self.outputs}

    def _length(self, way: Mapping[str, Array], tangents: Mapping[str, Array], step: float) -> float:
        """By how many tangents the inputs went: for rounding, not just by what was asked for. 0 without tangents."""
        square = sum(float(np.sum(np.broadcast_to(tangents[path] ** 2, way[path].shape))) for path in way)
        if square == 0:
            return 0.0
        length = sum(float(np.sum(way[path] * tangents[path])) for path in way) / square
        if length == 0:
            path = next(path for path in way if np.any(tangents[path]))
            raise self._lost(path, step, self.start[path].flat[0])
        for path in way:
            meant = np.broadcast_to(length * tangents[path], way[path].shape)
            off = float(np.linalg.norm(way[path] - meant))
            if off > _MAX_TURN * float(np.linalg.norm(meant)):
                warnings.warn(
                    f"eps={step} is little more than the rounding of {path}, which is {self.dtype[path]}: the "
                    f"direction is off by {off / float(np.linalg.norm(meant)):.0%}; use a larger eps",
                    RuntimeWarning,
                    stacklevel=4,
                )
        return length

    def _seen(self, path: str, values: Any) -> Any:
        """The values as the field's dtype holds them: what survives of a step counts."""
        return values.astype(self.dtype[path]).astype(np.float64)

    def _lost(self, path: str, step: float, value: Any) -> ValueError:
        return ValueError(
            f"eps={abs(step)} is lost in rounding: {path} is {self.dtype[path]} with value {value}; use a larger eps"
        )

    def samples_randomly(self, num_samples: int | None) -> bool:
        return self.algorithm == "stochastic" and self._samples(num_samples) < self.size

    def random_differences(
        self, num_samples: int | None, seed: int | None
    ) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
        """For each sample 1 / (2 e D samples) of every input and f(x + eD) - f(x - eD) of every output."""
        samples = self._samples(num_samples)
        rng = np.random.default_rng(seed)
        for _ in range(samples):
            steps = {
                path: self.eps[path] * rng.choice((-1.0, 1.0), size=value.shape) for path, value in self.start.items()
            }
            plus = {path: self.start[path] + step for path, step in steps.items()}
            minus = {path: self.start[path] - step for path, step in steps.items()}
            way = {path: self._seen(path, plus[path]) - self._seen(path, minus[path]) for path in steps}
            for path, lengths in way.items():
                if not lengths.all():
                    raise self._lost(path, self.eps[path], self.start[path][lengths == 0].flat[0])
            ahead, behind = self.evaluate(plus), self.evaluate(minus)
            weight = {path: 1 / (samples * length) for path, length in way.items()}
            yield weight, {out: ahead[out] - behind[out] for out in self.outputs}

    def _samples(self, num_samples: int | None) -> int:
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        return num_samples or max(10, int(self.size**0.5))


def steps_per_path(eps: float | Mapping[str, float], paths: Collection[str]) -> dict[str, float]:
    """One positive step for each path.

    Raises:
        ValueError: A mapping does not name exactly `paths`, or a step is not positive and finite.
    """
    if isinstance(eps, Mapping):
        if missing := sorted(set(paths) - eps.keys()):
            raise ValueError(f"eps names no step for {', '.join(missing)}")
        if unknown := sorted(eps.keys() - set(paths)):
            raise ValueError(
                f"eps names {', '.join(unknown)}, which is not differentiated here; choose among {', '.join(paths)}"
            )
        steps = {path: float(eps[path]) for path in paths}
    else:
        steps = dict.fromkeys(paths, float(eps))
    for path, step in steps.items():
        if not 0 < step < np.inf:
            raise ValueError(f"eps must be positive and finite, got {step} for {path}")
    return steps
