"""The `check-gradients` command."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from tesseract_core.runtime.cli.errors import CommandFailed, UsageError

COMMAND = "check-gradients"


@dataclass(frozen=True)
class GradientCheck:
    """What to check, and how closely. See `testing.finite_differences.check_gradients`."""

    input_paths: list[str] | None = None
    output_paths: list[str] | None = None
    endpoints: list[str] | None = None
    eps: float = 1e-4
    eps_for: list[str] = field(default_factory=list)
    rtol: float = 0.1
    max_evals: int = 1000
    max_output_samples: int | None = None
    max_failures: int = 10
    seed: int | None = None
    show_progress: bool = True


def check(api_module: ModuleType, payload: Any, options: GradientCheck) -> None:
    """Check all gradient endpoints and report on stderr.

    Raises:
        UsageError: `--eps-for` is malformed.
        CommandFailed: A check failed, or names something that the Tesseract does not have.
    """
    from tesseract_core.runtime.testing.finite_differences import check_gradients

    failed = False
    try:
        for endpoint, failures, checks in check_gradients(
            api_module,
            payload,
            input_paths=options.input_paths or None,
            output_paths=options.output_paths or None,
            endpoints=[name.replace("-", "_") for name in options.endpoints or ()] or None,
            max_evals=options.max_evals,
            max_output_samples=options.max_output_samples,
            eps=options.eps,
            eps_for=_steps(options.eps_for),
            rtol=options.rtol,
            seed=options.seed,
            show_progress=options.show_progress,
        ):
            _report(endpoint, failures, checks, options.max_failures)
            failed |= bool(failures)
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    if failed:
        _say("❌ Some gradient checks failed ❌")
        raise CommandFailed


def _steps(eps_for: Iterable[str]) -> dict[str, float]:
    """The steps of `PATH=VALUE` words."""
    steps = {}
    for word in eps_for:
        path, separator, value = word.rpartition("=")
        try:
            steps[path] = float(value)
        except ValueError:
            separator = ""
        if not separator or not path:
            raise UsageError(f"Invalid value for --eps-for: {word!r} is not PATH=NUMBER", COMMAND)
    return steps


def _report(endpoint: str, failures: list[Any], checks: int, max_failures: int) -> None:
    if not failures:
        _say(f"✅ Gradient check for {endpoint} passed ✅ (0 failures / {checks} checks)")
        return
    _say(f"\n⚠️ Gradient check for {endpoint} failed ⚠️ ({len(failures)} failures / {checks} checks)")
    shown = failures[:max_failures]
    _say(f"First {len(shown)} failures:")
    for failure in shown:
        _say(f"  Input path: '{failure.in_path}', Output path: '{failure.out_path}', Index: {failure.idx}")
        if failure.exception:
            _say(f"  Encountered exception: {failure.exception}")
        else:
            _say(f"  {endpoint} value: {failure.grad_val}")
            _say(f"  Finite difference value: {failure.ref_val}")
        _say("")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
