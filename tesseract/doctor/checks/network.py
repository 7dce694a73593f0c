"""The helper that connects rootless containers: pasta or slirp4netns."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, error, ok, warning


@dataclass(frozen=True)
class Probe:
    version: str | None
    pasta: bool
    slirp4netns: bool
    tun_usable: bool
    backend: str | None
    dns: bool


class Network(Check[Probe]):
    name = "network"
    title = "Rootless network"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        host = machine.podman_info.get("host", {})
        dns = any(os.path.exists(f"{place}/aardvark-dns") for place in ("/usr/lib/podman", "/usr/libexec/podman"))
        return Probe(
            (machine.podman_info.get("version") or {}).get("Version"),
            machine.which("pasta") is not None,
            machine.which("slirp4netns") is not None,
            os.access("/dev/net/tun", os.R_OK | os.W_OK),
            host.get("networkBackend"),
            dns,
        )

    def judge(self, probe: Probe) -> Finding:
        if probe.version is None:
            return error("Podman could not tell (podman info failed)", "See the checks above.")
        major = int(probe.version.split(".")[0])
        unaided = "; until then `tesseract serve --socket --network none` works without a network"
        if major >= 6 and not probe.pasta:
            return error(f"pasta is missing, the only helper of Podman {major}", f"Install the package passt{unaided}.")
        if major < 5 and not probe.slirp4netns:
            return error("slirp4netns is missing", f"Install the package slirp4netns{unaided}.")
        if major == 5 and not (probe.pasta or probe.slirp4netns):
            return error("neither pasta nor slirp4netns is there", f"Install the package passt{unaided}.")
        if not probe.tun_usable:
            return error(
                "/dev/net/tun is missing or not yours to use",
                f"Ask for: chmod 666 /dev/net/tun; in a container add --device /dev/net/tun{unaided}.",
            )
        if probe.backend == "netavark" and not probe.dns:
            return warning(
                "no aardvark-dns: --network-alias names would not resolve", "Install the package aardvark-dns."
            )
        if probe.backend == "cni":
            return warning(
                "the old CNI backend: names in networks may not resolve", "Install netavark and aardvark-dns."
            )
        return ok(f"{'pasta' if probe.pasta and major >= 5 else 'slirp4netns'}, {probe.backend} with DNS")


CHECK = Network()
