"""A live test: start a container, let it write a file, look whose file it is, and measure the start."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tesseract.backends.select import get_backend
from tesseract.backends.spec import ContainerSpec, ImageInfo, Mount, NetworkAttachment, UserMapping
from tesseract.deadline import Deadline
from tesseract.doctor.checks.base_image import IMAGE
from tesseract.doctor.model import Check, Finding, Machine, error, note, ok, warning
from tesseract.errors import ImageNotFound, UserError


@dataclass(frozen=True)
class Probe:
    """`owner` is the uid of the written file outside; `seconds` the second start, which pays no one-off costs."""

    image: str | None
    uid: int
    owner: int | None = None
    seconds: float = 0.0
    problem: str = ""


class Smoke(Check[Probe]):
    name = "smoke"
    title = "A container starts and its files are yours"

    def probe(self, machine: Machine) -> Probe:
        image = None
        try:
            backend = get_backend()
            image = _any_image(list(backend.images()))
            if image is None:
                return Probe(None, machine.uid)
            with tempfile.TemporaryDirectory(prefix="tesseract-doctor-") as shared:
                spec = ContainerSpec(
                    image=image.id,
                    name=f"tesseract-doctor-{secrets.token_hex(6)}",
                    entrypoint=("touch", "/shared/file"),
                    mounts=(Mount("bind", shared, "/shared"),),
                    network=NetworkAttachment("none"),
                    user=UserMapping(os.getuid(), os.getgid()),
                )
                output: list[bytes] = []
                for _ in range(2):
                    start = time.monotonic()
                    status, _ = backend.run(spec, output.append, output.append, Deadline(120))
                    seconds = time.monotonic() - start
                    if status != 0:
                        return Probe(
                            _name(image), machine.uid, problem=b"".join(output).decode(errors="replace").strip()
                        )
                owner = (Path(shared) / "file").stat().st_uid
            backend.close()
        except ImageNotFound:
            return Probe(None, machine.uid)
        except UserError as problem:
            return Probe(_name(image) if image else None, machine.uid, problem=str(problem))
        return Probe(_name(image), machine.uid, owner, seconds)

    def judge(self, probe: Probe) -> Finding:
        if probe.problem:
            return error(f"a container did not start: {probe.problem}", "Fix what the checks above say.")
        if probe.image is None:
            return note("not tried: no image in the store", "Build one (tesseract build), then run this again.")
        if probe.owner != probe.uid:
            return warning(
                f"a file written in a container belongs to uid {probe.owner}, not to you",
                "Check TESSERACT_DOCKER_RUN_ARGS for --user or --userns.",
            )
        return ok(f"started {probe.image} in {probe.seconds:.2f} s; the file it wrote is yours")


def _name(image: ImageInfo) -> str:
    return image.tags[0] if image.tags else image.short_id


def _any_image(images: list[ImageInfo]) -> ImageInfo | None:
    """The default base image, else a Tesseract: something with `touch` in it."""
    ranked = sorted(
        (image for image in images if "TESSERACT_NAME" in image.env or any("debian" in tag for tag in image.tags)),
        key=lambda image: (not any(tag in IMAGE or IMAGE.endswith(tag) for tag in image.tags), image.size),
    )
    return ranked[0] if ranked else None


CHECK = Smoke()
