"""The API service that commands talk to: does it answer, or start on demand?"""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.backends.select import get_backend
from tesseract.doctor.model import Check, Finding, Machine, error, ok
from tesseract.errors import UserError


@dataclass(frozen=True)
class Probe:
    endpoint: str | None
    why: str = ""
    problem: str = ""


class Service(Check[Probe]):
    name = "service"
    title = "API service"

    def probe(self, machine: Machine) -> Probe:
        try:
            backend = get_backend()
            info = backend.info()
            backend.close()
        except UserError as problem:
            return Probe(None, problem=str(problem))
        return Probe(info.endpoint, info.why)

    def judge(self, probe: Probe) -> Finding:
        if probe.endpoint is None:
            return error(f"no answer: {probe.problem}", "Fix what the checks above say; then run this again.")
        return ok(f"{probe.endpoint} ({probe.why})")


CHECK = Service()
