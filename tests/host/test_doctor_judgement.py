"""What the doctor says about recorded probes: every check failing and passing, each failure with something to do."""

from __future__ import annotations

import pytest

from tesseract.doctor.checks import (
    base_image,
    cgroups,
    engine,
    exposure,
    gpus,
    idmap_tools,
    init_program,
    linger,
    mapping_cost,
    nested,
    network,
    oci_runtime,
    python_index,
    runtime_dir,
    selinux,
    service,
    smoke,
    space,
    storage,
    subids,
    user_namespaces,
)
from tesseract.doctor.model import Check, Output, Severity

pytestmark = pytest.mark.fast

GIB = 1 << 30
NO, YES = Output(1, "", "unshare: unshare failed: Operation not permitted"), Output(0)
RANGES = {"/etc/subuid": (("ann", 100000, 65536),), "/etc/subgid": (("ann", 100000, 65536),)}


def _network(version: str | None = "4.3.1", **change: object) -> network.Probe:
    fine = {"pasta": False, "slirp4netns": True, "tun_usable": True, "backend": "netavark", "dns": True}
    return network.Probe(version, **{**fine, **change})  # type: ignore[arg-type]


def _subids(**change: object) -> subids.Probe:
    return subids.Probe(**{"user": "ann", "uid": 1000, "ranges": RANGES, **change})  # type: ignore[arg-type]


CASES = [
    (engine, engine.Probe(None, None), "error", "not installed"),
    (engine, engine.Probe("/usr/bin/podman", None, "exec format error"), "error", "exec format error"),
    (engine, engine.Probe("/usr/bin/podman", None, "invalid internal status, try"), "error", "lost the processes"),
    (engine, engine.Probe("/usr/bin/podman", "3.4.4"), "error", "needs 4.3"),
    (engine, engine.Probe("/usr/bin/podman", "4.3.1"), "ok", "pasta"),
    (engine, engine.Probe("/usr/bin/podman", "5.6.0"), "ok", "Podman 5.6.0"),
    (idmap_tools, idmap_tools.Probe({"newuidmap": None, "newgidmap": None}, {}), "error", "newuidmap and newgidmap"),
    (
        idmap_tools,
        idmap_tools.Probe(
            {"newuidmap": "/usr/bin/newuidmap", "newgidmap": "/g"}, {"newuidmap": False, "newgidmap": True}
        ),
        "error",
        "/usr/bin/newuidmap may not",
    ),
    (
        idmap_tools,
        idmap_tools.Probe({"newuidmap": "/a", "newgidmap": "/b"}, {"newuidmap": True, "newgidmap": True}),
        "ok",
        "",
    ),
    (subids, _subids(ranges={"/etc/subuid": (), "/etc/subgid": ()}), "error", "no range for ann in /etc/subuid"),
    (subids, _subids(ranges={**RANGES, "/etc/subgid": (("ann", 1, 1000),)}), "warning", "only 1000 ids"),
    (
        subids,
        _subids(ranges={**RANGES, "/etc/subuid": (("ann", 100000, 65536), ("bob", 165000, 65536))}),
        "warning",
        "overlaps that of bob",
    ),
    (subids, _subids(uid_map=((0, 1000, 1),)), "error", "ids of before"),
    (subids, _subids(uid_map=((0, 1000, 1), (1, 100000, 65536))), "ok", "65536 ids"),
    (
        user_namespaces,
        user_namespaces.Probe({"unprivileged_userns_clone": "0"}, NO, NO),
        "error",
        "unprivileged_userns_clone",
    ),
    (user_namespaces, user_namespaces.Probe({"max_user_namespaces": "0"}, NO, NO), "error", "max_user_namespaces"),
    (
        user_namespaces,
        user_namespaces.Probe({"apparmor_restrict_unprivileged_userns": "1"}, NO, NO),
        "error",
        "AppArmor",
    ),
    (user_namespaces, user_namespaces.Probe({}, NO, NO), "error", "Operation not permitted"),
    (user_namespaces, user_namespaces.Probe({}, YES, NO), "warning", "podman unshare"),
    (
        user_namespaces,
        user_namespaces.Probe({"apparmor_restrict_unprivileged_userns": "1"}, NO, YES),
        "ok",
        "AppArmor profile",
    ),
    (user_namespaces, user_namespaces.Probe({}, YES, YES), "ok", "permitted"),
    (runtime_dir, runtime_dir.Probe(1000, None), "warning", "not set"),
    (runtime_dir, runtime_dir.Probe(1000, "/run/user/1000"), "error", "does not exist"),
    (runtime_dir, runtime_dir.Probe(1000, "/run/user/0", owner=0), "error", "belongs to uid 0"),
    (runtime_dir, runtime_dir.Probe(1000, "/run/user/1000", owner=1000, writable=False), "error", "not writable"),
    (runtime_dir, runtime_dir.Probe(1000, "/run/user/1000", owner=1000, writable=True), "ok", "/run/user/1000"),
    (linger, linger.Probe("ann", "no"), "warning", "log out"),
    (linger, linger.Probe("ann", "yes"), "ok", "linger is on"),
    (linger, linger.Probe("ann", None), "note", "no systemd"),
    (cgroups, cgroups.Probe("v1", (), True, "crun", None), "error", "hybrid"),
    (cgroups, cgroups.Probe(None, (), False, None, None), "error", "podman info"),
    (cgroups, cgroups.Probe("v1", (), False, "runc", None), "warning", "v1"),
    (cgroups, cgroups.Probe("v2", ("hugetlb",), False, "crun", None), "warning", "memory, pids, cpu"),
    (cgroups, cgroups.Probe("v2", ("cpu", "memory", "pids"), False, "crun", None), "ok", "cgroup v2"),
    (storage, storage.Probe(None, None, None), "error", "podman info"),
    (storage, storage.Probe("overlay", "/home/ann", "nfs4"), "error", "nfs4"),
    (storage, storage.Probe("overlay", "/mnt", "ext4", ("rw", "noexec")), "error", "noexec"),
    (storage, storage.Probe("vfs", "/home/ann", "ext4"), "warning", "vfs"),
    (storage, storage.Probe("overlay", "/home/ann", "ext4", ("rw",), True), "ok", "fuse-overlayfs"),
    (space, space.Probe({"store": ("/", GIB)}), "error", "store"),
    (space, space.Probe({"store": ("/", 5 * GIB), "shared memory": ("/dev/shm", GIB)}), "warning", "5.0 GiB"),
    (space, space.Probe({"store": ("/", 50 * GIB), "shared memory": ("/dev/shm", 1 << 20)}), "error", "/dev/shm"),
    (space, space.Probe({"store": ("/", 50 * GIB)}), "ok", "50 GiB"),
    (network, _network(None), "error", "podman info"),
    (network, _network(slirp4netns=False), "error", "slirp4netns"),
    (network, _network("6.0.0"), "error", "pasta"),
    (network, _network("5.4.2", slirp4netns=False), "error", "neither"),
    (network, _network(tun_usable=False), "error", "/dev/net/tun"),
    (network, _network(dns=False), "warning", "aardvark-dns"),
    (network, _network(backend="cni"), "warning", "CNI"),
    (network, _network(), "ok", "slirp4netns"),
    (oci_runtime, oci_runtime.Probe(None), "error", "podman info"),
    (oci_runtime, oci_runtime.Probe("runc", "runc version 1.1.5"), "warning", "supplementary groups"),
    (oci_runtime, oci_runtime.Probe("crun", "crun version 1.8.1"), "ok", "1.8.1"),
    (init_program, init_program.Probe(None), "error", "Install the package catatonit"),
    (init_program, init_program.Probe(None, "/opt/init"), "error", "containers.conf names /opt/init"),
    (init_program, init_program.Probe("/usr/bin/catatonit"), "ok", "/usr/bin/catatonit"),
    (selinux, selinux.Probe("1"), "note", "label"),
    (selinux, selinux.Probe("0"), "ok", "not enforcing"),
    (selinux, selinux.Probe(None), "ok", "not present"),
    (nested, nested.Probe("Podman", None, False, "overlay", None), "warning", "/dev/fuse"),
    (nested, nested.Probe("Docker", "GitLab CI", True, "overlay", None), "note", "GitLab CI"),
    (nested, nested.Probe(None, None, True, "overlay", "42"), "note", "SLURM job 42"),
    (nested, nested.Probe(None, None, False, "overlay", None), "ok", "neither"),
    (exposure, exposure.Probe(3), "note", "3 others"),
    (exposure, exposure.Probe(0), "ok", "alone"),
    (gpus, gpus.Probe(None, ()), "note", "none"),
    (gpus, gpus.Probe("NVRM version: 580", (), podman=(4, 3, 1)), "error", "sudo nvidia-ctk cdi generate"),
    (gpus, gpus.Probe("NVRM version: 580", (), podman=(5, 6)), "error", "$XDG_RUNTIME_DIR/cdi/nvidia.yaml"),
    (gpus, gpus.Probe(None, (), own_specs=True, podman=(4, 3)), "warning", "before Podman 5.5"),
    (gpus, gpus.Probe(None, ("nvidia.com/gpu=0",), ("/dev/nvidia0",)), "error", "stale"),
    (gpus, gpus.Probe(None, (), unread=("/etc/cdi/a.json cannot be read. Renew it",)), "error", "pass over it"),
    (gpus, gpus.Probe(None, ("nvidia.com/gpu=0",), unread=("/etc/cdi/a.json: no. Renew it",)), "warning", "Renew it"),
    (gpus, gpus.Probe(None, ("nvidia.com/gpu=0", "nvidia.com/gpu=all")), "ok", "nvidia.com/gpu=all"),
    (service, service.Probe(None, problem="socket gone"), "error", "socket gone"),
    (service, service.Probe("unix:///run/x.sock", "CONTAINER_HOST is set"), "ok", "CONTAINER_HOST"),
    (mapping_cost, mapping_cost.Probe((("torchy:latest", 5_000_000_000, 0),), True), "note", "about 20 s"),
    (mapping_cost, mapping_cost.Probe((("small:latest", 10**8, 10**8),), True), "ok", "100 MB"),
    (mapping_cost, mapping_cost.Probe((("any:latest", 10**8, 0),), False), "ok", "fuse-overlayfs"),
    (base_image, base_image.Probe(False, False), "warning", "--fix"),
    (base_image, base_image.Probe(False, True), "ok", "fetched"),
    (base_image, base_image.Probe(True, False), "ok", "in the store"),
    (python_index, python_index.Probe(False, "error: certificate"), "error", "SSL_CERT_FILE"),
    (python_index, python_index.Probe(True), "ok", "reachable"),
    (smoke, smoke.Probe(None, 1000), "note", "no image"),
    (smoke, smoke.Probe("debian", 1000, problem="crun: no such file"), "error", "crun"),
    (smoke, smoke.Probe("debian", 1000, owner=101000, seconds=0.2), "warning", "uid 101000"),
    (smoke, smoke.Probe("debian", 1000, owner=1000, seconds=0.2), "ok", "0.20 s"),
]


@pytest.mark.parametrize(("module", "probe", "severity", "words"), CASES)
def test_judgement(module: object, probe: object, severity: str, words: str) -> None:
    check: Check[object] = module.CHECK  # type: ignore[attr-defined]
    finding = check.judge(probe)
    assert (finding.severity, words in finding.message + finding.remediation) == (Severity(severity), True), finding
    if finding.severity in (Severity.WARNING, Severity.ERROR):
        assert finding.remediation, "a finding that is not fine says what to do"


def test_subids_file_with_comments_and_nonsense() -> None:
    text = "# who\nann:100000:65536\nbroken\nbob:x:1\ncarl:300000:10 # few\n"
    assert subids.parse(text) == (("ann", 100000, 65536), ("carl", 300000, 10))


def test_the_deepest_mount_holds_a_path() -> None:
    mountinfo = (
        "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "30 21 0:40 / /home rw,noexec - nfs4 server:/home rw\n"
        "31 21 0:41 / /homes rw - xfs /dev/vdb rw\n"
    )
    assert storage.mount_of("/home/ann/.local", mountinfo) == ("nfs4", ("rw", "noexec"))
    assert storage.mount_of("/homework", mountinfo) == ("ext4", ("rw", "relatime"))
