"""`tesseract doctor`: what keeps containers from running without root here, and what to do about it."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter
from tesseract_core.visible import visible

from tesseract.cli import output
from tesseract.cli.console import in_colour
from tesseract.cli.options import switch
from tesseract.doctor.examine import Examined, examine
from tesseract.doctor.model import Machine, Severity
from tesseract.errors import EngineError

_SIGNS = {Severity.OK: "✓", Severity.NOTE: "i", Severity.WARNING: "!", Severity.ERROR: "✗"}
_COLOURS = {Severity.OK: "32", Severity.NOTE: "36", Severity.WARNING: "33", Severity.ERROR: "31"}


def doctor(
    *checks: Annotated[str, Parameter(help="Names of checks; all by default.")],
    fix: Annotated[bool, switch(help="Fix what needs no root.")] = False,
    format: output.Format = "table",
) -> int:
    """Returns the exit status: 1 if a check found an error."""
    from tesseract.doctor import registry

    chosen = registry.checks(_engine(), tuple(name.replace("_", "-") for name in checks))
    examined = []
    for one in examine(chosen, Machine(), fix):
        examined.append(one)
        if format == "table":
            _print(one)
    if format == "json":
        output.print_json([_row(one) for one in examined])
    return int(any(one.finding.severity is Severity.ERROR for one in examined))


def _engine() -> str:
    """The engine that the checks are about; where none is to be had, Podman, whose first check says so."""
    from tesseract.backends import select
    from tesseract.settings import get_config

    try:
        return select.choose(None, get_config(), None)[0]
    except EngineError:
        return "podman"


def _row(one: Examined) -> dict[str, str | None]:
    return {
        "check": one.name,
        "title": one.title,
        "severity": str(one.finding.severity),
        "message": one.finding.message,
        "remediation": one.finding.remediation or None,
        "fixed": one.fixed,
    }


def _print(one: Examined) -> None:
    sign = _SIGNS[one.finding.severity]
    if in_colour(sys.stdout):
        sign = f"\033[{_COLOURS[one.finding.severity]}m{sign}\033[0m"
    print(f"{sign} {one.title}: {visible(one.finding.message)}")
    if one.finding.remediation:
        print(f"    → {visible(one.finding.remediation)}")
    if one.fixed:
        print(f"    fixed: {visible(one.fixed)}")
    sys.stdout.flush()
