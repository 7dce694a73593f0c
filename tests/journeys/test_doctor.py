"""`tesseract doctor` on a machine that is really made to fail, and on one that is fine."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.engine import podman
from support.images import remove_image

pytestmark = pytest.mark.needs_engine("podman")

TESSERACT = str(Path(sys.executable).parent / "tesseract")
Finding = dict[str, Any]


@pytest.fixture
def doctor() -> Callable[..., Finding]:
    """Run one check in a changed environment; `prelude` runs first, in a user and mount namespace of its own."""

    def run(check: str, prelude: str | None = None, **environ: str | None) -> Finding:
        env = {key: value for key, value in {**os.environ, **environ}.items() if value is not None}
        command = [TESSERACT, "doctor", "--format", "json", check]
        if prelude is not None:
            script = f"{prelude}; exec {shlex.join(command)}"
            command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)
        rows = json.loads(done.stdout)
        assert [row["check"] for row in rows] == [check], done.stderr
        assert done.returncode == (rows[0]["severity"] == "error")
        return dict(rows[0])

    return run


def test_a_healthy_machine_passes_with_every_check(base_image: str, tesseract_cli: Any) -> None:
    done = tesseract_cli("doctor")
    assert done.returncode == 0, done.stdout
    assert "the file it wrote is yours" in done.stdout
    assert len([line for line in done.stdout.splitlines() if line[:1] in "✓i!"]) == 21


def test_podman_not_installed(doctor: Callable[..., Finding], tmp_path: Path) -> None:
    finding = doctor("engine", PATH=str(tmp_path), DOCKER_HOST=None, CONTAINER_HOST=None, TESSERACT_ENGINE=None)
    assert (finding["severity"], finding["message"]) == ("error", "Podman is not installed")


def _end_podman(state: Path) -> None:
    """End the service of a Podman state of a test's own, and the process that keeps its namespace."""
    pids = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if str(state) in _command(pid)]
    for pid in [*pids, *(int(path.read_text()) for path in state.rglob("pause.pid"))]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def killed_podman(short_path: Path) -> Iterator[dict[str, str]]:
    """A Podman state of its own in which a container runs, as far as Podman knows; yields its environment."""
    (short_path / "run").mkdir(mode=0o700)
    env = {"XDG_DATA_HOME": str(short_path / "data"), "XDG_RUNTIME_DIR": str(short_path / "run")}

    def podman(*words: str) -> str:
        done = subprocess.run(["podman", *words], env={**os.environ, **env}, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    podman("pod", "create", "--network=none", "lost")  # its own container needs no image from elsewhere
    podman("pod", "start", "lost")
    container = podman("pod", "inspect", "--format={{.InfraContainerID}}", "lost")
    pids = podman("inspect", "--format={{.State.Pid}} {{.State.ConmonPid}}", container).split()
    pids += [path.read_text() for path in (short_path / "run").rglob("pause.pid")]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    yield env
    _end_podman(short_path)
    subprocess.run(["podman", "unshare", "rm", "-rf", str(short_path / "data")], check=True)


def test_all_processes_were_killed(
    killed_podman: dict[str, str], doctor: Callable[..., Finding], tesseract_cli: Any
) -> None:
    done = tesseract_cli("ps", env=killed_podman)
    assert done.returncode == 1
    assert "podman system migrate" in done.stderr
    finding = doctor("engine", **killed_podman)
    assert "lost the processes" in finding["message"]
    fixed = tesseract_cli("doctor", "--fix", "engine", env=killed_podman)
    assert (fixed.returncode, "ran podman system migrate" in fixed.stdout) == (0, True), fixed.stdout
    assert tesseract_cli("ps", env=killed_podman).returncode == 0


def test_no_newuidmap(doctor: Callable[..., Finding], tmp_path: Path) -> None:
    podman = shutil.which("podman")
    assert podman
    (tmp_path / "podman").symlink_to(podman)
    finding = doctor("idmap-tools", PATH=str(tmp_path))
    assert finding["severity"] == "error"
    assert "uidmap" in finding["remediation"]


def test_no_subordinate_ids(doctor: Callable[..., Finding], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    finding = doctor("subids", prelude=f"mount --bind {empty} /etc/subuid; mount --bind {empty} /etc/subgid")
    assert finding["severity"] == "error"
    assert "usermod --add-subuids" in finding["remediation"]


def test_user_namespaces_switched_off(doctor: Callable[..., Finding]) -> None:
    finding = doctor("user-namespaces", prelude="echo 0 > /proc/sys/user/max_user_namespaces")
    assert finding["severity"] == "error"
    assert "max_user_namespaces" in finding["message"]


def test_no_runtime_directory(doctor: Callable[..., Finding]) -> None:
    assert doctor("runtime-dir", XDG_RUNTIME_DIR=None)["severity"] == "warning"
    assert doctor("runtime-dir", XDG_RUNTIME_DIR="/run/user/does-not-exist")["severity"] == "error"


def test_full_file_system(doctor: Callable[..., Finding], tmp_path: Path) -> None:
    prelude = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}; export TMPDIR={tmp_path}"
    finding = doctor("space", prelude=prelude)
    assert finding["severity"] == "error"
    assert str(tmp_path) in finding["message"]


def test_vfs_store(doctor: Callable[..., Finding], tmp_path: Path) -> None:
    # A home of its own, because Podman remembers the driver of a store that it knows.
    conf = tmp_path / ".config" / "containers" / "storage.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text('[storage]\ndriver = "vfs"\n')
    try:
        finding = doctor("storage", HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path))
    finally:
        _end_podman(tmp_path)
    assert finding["severity"] == "warning"
    assert "vfs" in finding["message"]


def test_no_tun_device(doctor: Callable[..., Finding]) -> None:
    finding = doctor("network", prelude="mount -t tmpfs tmpfs /dev/net")
    assert finding["severity"] == "error"


def test_no_oci_runtime(doctor: Callable[..., Finding], tmp_path: Path) -> None:
    (tmp_path / "containers.conf").write_text('[engine]\nruntime = "/no/such/runtime"\n')
    finding = doctor("oci-runtime", CONTAINERS_CONF=str(tmp_path / "containers.conf"))
    assert finding["severity"] == "error"
    assert "crun" in finding["remediation"]


def test_no_init_program(doctor: Callable[..., Finding], tesseract_cli: Any, base_image: str, tmp_path: Path) -> None:
    (tmp_path / "containers.conf").write_text('[engine]\ninit_path = "/no/such/catatonit"\n')
    conf = str(tmp_path / "containers.conf")
    finding = doctor("init-program", CONTAINERS_CONF=conf)
    assert finding["severity"] == "error"
    assert "catatonit" in finding["remediation"]
    (tmp_path / "Containerfile").write_text(f"FROM {base_image}\nENV TESSERACT_NAME=no-init\n")
    podman("build", "--quiet", "--tag", "no-init", str(tmp_path))
    ran = tesseract_cli("run", "no-init", "apply", "{}", env={"CONTAINERS_CONF": conf})
    remove_image("no-init")
    assert " [-] Podman needs catatonit, which is not installed. Install the package catatonit.\n" in ran.stderr


def test_mixed_cgroups(doctor: Callable[..., Finding]) -> None:
    group = "/sys/fs/cgroup"
    finding = doctor(
        "cgroups", prelude=f"mount -t tmpfs x {group}; mkdir {group}/unified; : >{group}/unified/cgroup.procs"
    )
    assert finding["severity"] == "error"
    assert "hybrid" in finding["message"]


def test_a_gpu_that_has_gone(doctor: Callable[..., Finding], tmp_path: Path) -> None:
    device = {"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/gone-gpu0"}]}}
    spec = {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [device]}
    (tmp_path / "cdi").mkdir()
    (tmp_path / "cdi" / "gone.json").write_text(json.dumps(spec))
    finding = doctor("gpus", prelude=f"mount -t overlay -o lowerdir={tmp_path}:/etc overlay /etc")
    assert finding["severity"] == "error"
    assert "/dev/gone-gpu0" in finding["message"]
    assert "nvidia-ctk cdi generate" in finding["remediation"]


def test_no_base_image_and_no_registry(doctor: Callable[..., Finding], tmp_path: Path) -> None:
    (tmp_path / "registries.conf").write_text('[[registry]]\nlocation = "docker.io"\nblocked = true\n')
    own = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "XDG_DATA_HOME": None}
    try:
        finding = doctor("base-image", **own, CONTAINERS_REGISTRIES_CONF=str(tmp_path / "registries.conf"))
    finally:
        _end_podman(tmp_path)
    assert finding["severity"] == "warning"
    assert "doctor --fix" in finding["remediation"]


def test_an_image_that_was_not_prepared(doctor: Callable[..., Finding], base_image: str, tmp_path: Path) -> None:
    name = f"localhost/unprepared-{secrets.token_hex(3)}"
    (tmp_path / "Containerfile").write_text(f"FROM {base_image}\nENV TESSERACT_NAME=unprepared\nRUN echo {name} >/x\n")
    podman("build", "-q", "-t", name, str(tmp_path))
    try:
        finding = doctor("mapping-cost")
    finally:
        podman("rmi", name)
    assert finding["severity"] == "note"
    assert name.removeprefix("localhost/") in finding["message"]


def test_a_batch_job(doctor: Callable[..., Finding]) -> None:
    finding = doctor("nested", SLURM_JOB_ID="4711", CI="true")
    assert finding["severity"] == "note"
    assert "SLURM job 4711" in finding["message"]


def test_no_container_starts(doctor: Callable[..., Finding], base_image: str, tmp_path: Path) -> None:
    finding = doctor("smoke", CONTAINER_HOST=f"unix://{tmp_path}/gone.sock")
    assert finding["severity"] == "error"
    assert "a container did not start" in finding["message"]


def test_dead_socket(doctor: Callable[..., Finding], tmp_path: Path) -> None:
    finding = doctor("service", CONTAINER_HOST=f"unix://{tmp_path}/gone.sock")
    assert finding["severity"] == "error"
    assert "gone.sock" in finding["message"]


def test_no_package_index(doctor: Callable[..., Finding]) -> None:
    finding = doctor("python-index", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple", HTTP_PROXY=None, http_proxy=None)
    assert finding["severity"] == "error"


def test_unknown_check_is_a_usage_error(tesseract_cli: Any) -> None:
    done = tesseract_cli("doctor", "no-such-check")
    assert done.returncode == 2
    assert "no-such-check" in done.stderr
    assert "engine" in done.stderr
