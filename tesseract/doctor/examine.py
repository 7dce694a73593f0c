"""Run the checks. One that crashes is reported, not fatal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tesseract.doctor.model import Check, Finding, Machine, Severity
from tesseract.errors import EngineUnavailable


@dataclass(frozen=True)
class Examined:
    """A check with its finding; `fixed` says what was fixed on the way."""

    name: str
    title: str
    finding: Finding
    fixed: str | None = None


def examine(checks: Iterable[Check[Any]], machine: Machine, fix: bool = False) -> Iterator[Examined]:
    """Probe and judge each check, one after the other, so that a person sees them come in.

    Args:
        checks: What to look at.
        machine: Where to look.
        fix: Also fix what needs no root, then look again.
    """
    for check in checks:
        fixed = None
        try:
            probe = check.probe(machine)
            finding = check.judge(probe)
            if fix and finding.severity not in (Severity.OK, Severity.NOTE):
                fixed = check.fix(probe)
                if fixed:
                    finding = check.judge(check.probe(Machine(machine.environ)))
        except EngineUnavailable:
            finding = Finding(Severity.WARNING, "not known: the engine does not answer", "See the checks above.")
        except Exception as problem:
            finding = Finding(
                Severity.WARNING,
                f"the check itself failed: {type(problem).__name__}: {problem}",
                "Please report this as a bug of tesseract doctor.",
            )
        yield Examined(check.name, check.title, finding, fixed)
