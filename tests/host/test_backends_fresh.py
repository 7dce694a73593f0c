"""What somebody sets for a shell does not stick to the service that is started from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tesseract.backends.podman import fresh

pytestmark = [
    pytest.mark.fast,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

REPORT = """
import json, os, resource, signal
mask = os.umask(0)
print(json.dumps({
    "files": resource.getrlimit(resource.RLIMIT_NOFILE), "stack": resource.getrlimit(resource.RLIMIT_STACK),
    "umask": mask, "nice": os.nice(0), "oom": open("/proc/self/oom_score_adj").read().strip(),
    "cpus": sorted(os.sched_getaffinity(0)), "policy": os.sched_getscheduler(0),
    "ignored": [line for line in open("/proc/self/status") if line[:6] in ("SigIgn", "SigBlk")],
}))
"""


def reported(shell: str, *words: str) -> tuple[dict[str, Any], str]:
    """What a program says about itself that bash starts by `words` after the commands in `shell`; and its stderr."""
    script = f'{shell}\nexec "$@"'
    argv = ["bash", "-c", script, "bash", *words, sys.executable, "-c", REPORT]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


FRESH = (sys.executable, "-I", "-S", fresh.__file__)
UNDONE = """
ulimit -S -n 100; ulimit -S -s 1024; umask 077; echo 321 >/proc/self/oom_score_adj; trap '' HUP INT TERM
"""


def test_what_can_be_undone_is() -> None:
    plain, _ = reported("umask 022", *FRESH)
    limited, _ = reported(f"umask 022; {UNDONE}")
    assert limited != plain
    again, said = reported(UNDONE, "chrt", "--batch", "0", "taskset", "-c", str(plain["cpus"][0]), *FRESH)
    assert (again, said) == (plain, "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may undo everything")
def test_what_cannot_be_undone_is_said() -> None:
    assert fresh.held() == []
    expected = ["100 open files (ulimit -n)", "the idle scheduling policy (chrt --idle)", f"nice {os.nice(0) + 1}"]
    nicer = ("nice", "-n", "1", "chrt", "--idle", "0")
    _, said = reported("ulimit -n 100", *nicer, *FRESH)
    assert said.splitlines() == [f"{fresh.KEPT}{what}" for what in expected]
    code = "from tesseract.backends.podman.fresh import held; print(*held(), sep='\\n')"
    argv = ["bash", "-c", 'ulimit -n 100\nexec "$@"', "bash", *nicer, sys.executable, "-c", code]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines() == expected


def test_a_login_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "_login", lambda: 2**22 + 1)  # more than the kernel gives
    assert fresh.held() == []


def test_a_program_that_is_not_there() -> None:
    done = subprocess.run([*FRESH, "/no/such/program"], capture_output=True, text=True, check=False)
    assert done.stderr == "Error: '/no/such/program' could not be run: No such file or directory\n"
