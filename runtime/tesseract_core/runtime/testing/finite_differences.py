"""Check gradient endpoints against finite differences of `apply`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np

from tesseract_core.runtime.config import override_config, snapshot_config
from tesseract_core.runtime.core import create_endpoints
from tesseract_core.runtime.finite_differences import Index
from tesseract_core.runtime.mpa import start_run
from tesseract_core.runtime.testing.derivatives import GRADIENT_ENDPOINTS, Derivatives, chosen


@dataclass(frozen=True)
class GradientFailure:
    """A derivative of one output with respect to one input element that is wrong, or could not be computed."""

    in_path: str
    out_path: str
    idx: Index
    grad_val: np.ndarray | None
    ref_val: np.ndarray | None
    exception: str | None


def check_gradients(
    api_module: ModuleType,
    inputs: Mapping[str, Any],
    *,
    input_paths: Collection[str] | None = None,
    output_paths: Collection[str] | None = None,
    base_dir: str | os.PathLike[str] | None = None,
    endpoints: Sequence[str] | None = None,
    max_evals: int = 1000,
    max_output_samples: int | None = None,
    eps: float | Mapping[str, float] = 1e-4,
    eps_for: Mapping[str, float] | None = None,
    rtol: float = 0.1,
    seed: int | None = None,
    show_progress: bool = True,
) -> Iterator[tuple[str, list[GradientFailure], int]]:
    """Compare gradient endpoints with central differences of `apply`.

    Each evaluation of `apply` serves all outputs and endpoints. What user code prints and logs meanwhile is dropped.

    Args:
        api_module: The user's module.
        inputs: Payload of `apply`, `{"inputs": ...}`.
        input_paths: Paths to differentiate with respect to; all differentiable ones by default.
        output_paths: Paths to differentiate; all differentiable ones by default.
        base_dir: What relative binary references in `inputs` refer to; the input path by default.
        endpoints: Names of gradient endpoints; all that are implemented by default.
        max_evals: Number of input elements to check, shared among the inputs by their size (each gets at least one).
            Where there are no more, all are checked.
        max_output_samples: Check that many elements of each output only (`vector_jacobian_product` costs one call per
            output element).
        eps: Absolute step, or one for each input path that is checked.
        eps_for: Steps of some input paths; `eps`, then a number, is for the others.
        rtol: Relative tolerance; the absolute one is 1e-8.
        seed: Seed of the samples.
        show_progress: Show progress on stderr, if that is a terminal.

    Yields:
        For each endpoint its name, the failures, and how many derivatives (input element, output) were checked. An
        interrupted check (Ctrl-C) yields what it has found by then.

    Raises:
        ValueError: An endpoint or path is unknown, no gradient endpoint is implemented, or `eps` or
            `max_output_samples` is out of range.
    """
    functions = {function.__name__: function for function in create_endpoints(api_module)}
    names = chosen(endpoints, [name for name in GRADIENT_ENDPOINTS if name in functions], "gradient endpoint")
    if not names:
        raise ValueError("no gradient endpoint is implemented, so there is nothing to check")
    if max_output_samples is not None and max_output_samples < 1:
        raise ValueError(f"max_output_samples must be at least 1, got {max_output_samples}")
    rng = np.random.default_rng(seed)
    with _quietly():
        derivatives = Derivatives(functions, inputs, input_paths, output_paths, base_dir, eps, eps_for)
    derivatives.sample(max_evals, max_output_samples, rng)
    rows = [(path, idx, out) for path, idx in derivatives.elements for out in derivatives.parts]

    for name in names:
        failures: list[GradientFailure] = []
        checks = 0
        with suppress(KeyboardInterrupt), _progress(name, len(rows), show_progress) as advance, _quietly():
            for path, idx, out in rows:
                failure = _check(derivatives, name, path, idx, out, rtol)
                checks += 1
                if failure is not None:
                    failures.append(failure)
                advance()
        yield name, failures, checks


def _check(
    derivatives: Derivatives, endpoint: str, path: str, idx: Index, out: str, rtol: float
) -> GradientFailure | None:
    """Compare the derivative of one output with respect to one input element."""
    gradient = reference = None
    try:
        reference = derivatives.reference(path, idx, out)
        gradient = derivatives.computed(endpoint, path, idx, out)
        if np.allclose(gradient, reference, rtol=rtol, atol=1e-8):
            return None
    except Exception as error:
        return GradientFailure(path, out, idx, gradient, reference, f"{type(error).__name__}: {error}")
    return GradientFailure(path, out, idx, gradient, reference, None)


@contextmanager
def _quietly() -> Iterator[None]:
    """A run of its own, which ends in nothing: endpoints may print and log as they like."""
    with (
        TemporaryDirectory(prefix="tesseract_check_") as directory,
        override_config({**snapshot_config(), "mlflow_tracking_uri": ""}),
        start_run(directory),
    ):
        yield


@contextmanager
def _progress(name: str, total: int, show: bool) -> Iterator[Callable[[], None]]:
    """A counter on the terminal, if stderr is one. Its stream is taken before a run captures stderr."""
    if not (show and sys.stderr.isatty()):
        yield lambda: None
        return
    with os.fdopen(os.dup(sys.stderr.fileno()), "w") as terminal:
        done = count(1)

        def advance() -> None:
            print(f"\r{name}: {next(done)} / {total}", end="", file=terminal, flush=True)

        try:
            yield advance
        finally:
            print("\r\033[K", end="", file=terminal, flush=True)
