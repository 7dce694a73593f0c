"""What keep-id costs: images whose first start would have to copy them."""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.backends.select import get_backend
from tesseract.doctor.model import Check, Finding, Machine, note, ok

# Measured: a copy of 320 MB takes about a second on a local disk.
BYTES_PER_SECOND = 250e6


@dataclass(frozen=True)
class Probe:
    """Tesseract images: first tag, size and mapped size in bytes. `copies`: whether this store copies at all."""

    images: tuple[tuple[str, int, int], ...]
    copies: bool


class MappingCost(Check[Probe]):
    name = "mapping-cost"
    title = "Images prepared for your user"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        backend = get_backend()
        images = tuple(
            (image.tags[0] if image.tags else image.short_id, image.size, image.mapped_size)
            for image in backend.images()
            if "TESSERACT_NAME" in image.env
        )
        backend.close()
        options = machine.podman_info.get("store", {}).get("graphOptions") or {}
        return Probe(images, not any("mount_program" in key for key in options))

    def judge(self, probe: Probe) -> Finding:
        if not probe.copies:
            return ok("fuse-overlayfs maps ids without a copy")
        cold = [(name, size) for name, size, mapped in probe.images if mapped == 0]
        if cold:
            seconds = sum(size for _, size in cold) / BYTES_PER_SECOND
            return note(
                f"{', '.join(name for name, _ in cold)}: the first start copies the image (about {seconds:.0f} s)",
                "`tesseract build` does it beforehand; images from elsewhere pay once.",
            )
        total = sum(mapped for _, _, mapped in probe.images)
        return ok(f"{len(probe.images)} Tesseract images, {total / 1e6:.0f} MB of prepared copies")


CHECK = MappingCost()
