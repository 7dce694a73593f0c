"""The default base image: in the store, to be had from a registry, or to be made."""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, ok, warning

IMAGE = "docker.io/library/debian:bookworm-slim"


@dataclass(frozen=True)
class Probe:
    local: bool
    registry: bool


class BaseImage(Check[Probe]):
    name = "base-image"
    title = "Default base image"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        if machine.run("podman", "image", "exists", IMAGE).status == 0:
            return Probe(True, False)
        return Probe(False, machine.run("podman", "manifest", "inspect", IMAGE, timeout=15).status == 0)

    def judge(self, probe: Probe) -> Finding:
        if probe.local:
            return ok("debian:bookworm-slim is in the store")
        if probe.registry:
            return ok("debian:bookworm-slim will be fetched by the first build")
        return warning(
            "debian:bookworm-slim is not in the store, and no registry answers",
            "Make it from Debian packages: tesseract doctor --fix (needs mmdebstrap).",
        )

    def fix(self, probe: Probe) -> str | None:
        from tesseract.images.installed import containers_dir

        done = Machine().run(str(containers_dir() / "base" / "make-base-image.sh"), timeout=600)
        return "made debian:bookworm-slim from Debian packages" if done.status == 0 else None


CHECK = BaseImage()
