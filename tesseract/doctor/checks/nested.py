"""Is this a container or a CI job, where other rules hold?"""

from __future__ import annotations

import os
from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, note, ok, warning

CI_VARIABLES = {
    "GITHUB_ACTIONS": "GitHub Actions",
    "GITLAB_CI": "GitLab CI",
    "JENKINS_URL": "Jenkins",
    "CI": "a CI job",
}


@dataclass(frozen=True)
class Probe:
    container: str | None
    ci: str | None
    fuse: bool
    driver: str | None
    slurm_job: str | None


class Nested(Check[Probe]):
    name = "nested"
    title = "Container, CI or batch job"

    def probe(self, machine: Machine) -> Probe:
        container = None
        if os.path.exists("/run/.containerenv"):
            container = "Podman"
        elif os.path.exists("/.dockerenv"):
            container = "Docker"
        elif "KUBERNETES_SERVICE_HOST" in machine.environ:
            container = "Kubernetes"
        ci = next((name for key, name in CI_VARIABLES.items() if machine.environ.get(key)), None)
        driver = machine.podman_info.get("store", {}).get("graphDriverName")
        return Probe(
            container, ci, os.access("/dev/fuse", os.R_OK | os.W_OK), driver, machine.environ.get("SLURM_JOB_ID")
        )

    def judge(self, probe: Probe) -> Finding:
        where = " and ".join(
            text
            for text in (
                f"inside a {probe.container} container" if probe.container else "",
                f"in {probe.ci}" if probe.ci else "",
                f"in SLURM job {probe.slurm_job}" if probe.slurm_job else "",
            )
            if text
        )
        if not where:
            return ok("neither")
        if probe.container and probe.driver == "overlay" and not probe.fuse:
            return warning(
                f"{where}, without /dev/fuse: builds may be slow or fail",
                "Start the outer container with --device /dev/fuse, or a volume on the store's directory.",
            )
        if probe.slurm_job:
            return note(where, "End the job's containers in a trap: they outlive scancel (docs/hpc.md).")
        return note(where, "docs/ci.md lists the flags that nested containers need.")


CHECK = Nested()
