"""The image store: which driver, on which file system?"""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, error, ok, warning

NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "lustre", "gpfs", "cifs", "smb3", "beegfs", "ceph", "fuse.sshfs", "afs"}


@dataclass(frozen=True)
class Probe:
    driver: str | None
    root: str | None
    file_system: str | None
    options: tuple[str, ...] = ()
    mount_program: bool = False


def mount_of(path: str, mountinfo: str) -> tuple[str, tuple[str, ...]] | None:
    """(File system type, mount options) of the mount that holds `path`, by the text of /proc/self/mountinfo."""
    best: tuple[int, str, tuple[str, ...]] | None = None
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        parts = fields.split()
        if len(parts) < 6 or not rest:
            continue
        point = parts[4].encode().decode("unicode_escape")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and (best is None or len(point) >= best[0]):
            best = len(point), rest.split()[0], tuple(parts[5].split(","))
    return None if best is None else (best[1], best[2])


class Storage(Check[Probe]):
    name = "storage"
    title = "Image store"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        store = machine.podman_info.get("store", {})
        root = store.get("graphRoot")
        mount = mount_of(root, machine.read("/proc/self/mountinfo") or "") if root else None
        options = store.get("graphOptions") or {}
        return Probe(
            store.get("graphDriverName"),
            root,
            mount[0] if mount else None,
            mount[1] if mount else (),
            any("mount_program" in key for key in options),
        )

    def judge(self, probe: Probe) -> Finding:
        if probe.driver is None:
            return error("Podman could not tell (podman info failed)", "See the checks above.")
        local = "Set rootless_storage_path in ~/.config/containers/storage.conf to a directory on a local disk."
        if probe.file_system in NETWORK_FILE_SYSTEMS:
            return error(
                f"{probe.root} is on a network file system ({probe.file_system}), which cannot hold mapped ids", local
            )
        refused = [option for option in ("noexec", "nodev") if option in probe.options]
        if "noexec" in refused:
            return error(f"{probe.root} is mounted {' and '.join(refused)}: nothing in an image could run", local)
        if probe.driver == "vfs":
            return warning(
                "the store's driver is vfs: every layer is a full copy, about ten times slower and larger",
                "Set driver = 'overlay' in storage.conf, then (deletes images) podman system reset",
            )
        how = " with fuse-overlayfs (no copy at first use, slower files)" if probe.mount_program else ""
        return ok(f"{probe.driver}{how} on {probe.file_system or 'unknown file system'}: {probe.root}")


CHECK = Storage()
