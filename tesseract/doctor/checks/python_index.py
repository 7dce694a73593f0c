"""The Python package index that builds install from."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, error, ok


@dataclass(frozen=True)
class Probe:
    reachable: bool
    problem: str = ""


class PythonIndex(Check[Probe]):
    name = "python-index"
    title = "Python package index"

    def probe(self, machine: Machine) -> Probe:
        from uv import find_uv_bin

        environ = {**machine.environ, "UV_NATIVE_TLS": "1", "UV_SYSTEM_CERTS": "1", "UV_HTTP_TIMEOUT": "10"}
        with tempfile.TemporaryDirectory(prefix="tesseract-doctor-") as target:
            options = ["--dry-run", "--no-deps", "--no-cache", "--target", target]
            done = Machine(environ).run(find_uv_bin(), "pip", "install", *options, "packaging", timeout=30)
        return Probe(done.status == 0, done.last_line)

    def judge(self, probe: Probe) -> Finding:
        if probe.reachable:
            return ok("reachable")
        return error(
            f"builds could not install packages: {probe.problem}",
            "Check the network, https_proxy, SSL_CERT_FILE (a company's certificates) and PIP_INDEX_URL (a mirror).",
        )


CHECK = PythonIndex()
