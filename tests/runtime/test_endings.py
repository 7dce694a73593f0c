"""How a process ended, in words."""

from __future__ import annotations

import signal

import pytest
from tesseract_core.endings import describe_signal, describe_status, signal_of

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("number", "facts", "words"),
    [
        (signal.SIGSEGV, {}, "crashed: segmentation fault"),
        (signal.SIGABRT, {}, "crashed: aborted (SIGABRT)"),
        (signal.SIGKILL, {"out_of_memory": True}, "killed: out of memory"),
        (signal.SIGKILL, {"out_of_memory": False}, "killed by signal 9 (SIGKILL)"),
        (signal.SIGKILL, {}, "killed by signal 9 (SIGKILL), perhaps out of memory"),
        (
            signal.SIGBUS,
            {"shm_size": 64 * 2**20},
            "bus error: /dev/shm is full (64 MiB), most likely; --shm-size gives a container more",
        ),
        (signal.SIGBUS, {}, "bus error: /dev/shm is full, most likely; --shm-size gives a container more"),
        (signal.SIGTERM, {}, "killed by signal 15 (SIGTERM)"),
        (signal.SIGRTMIN + 3, {}, f"killed by signal {signal.SIGRTMIN + 3}"),
    ],
)
def test_signals(number: int, facts: dict[str, int], words: str) -> None:
    assert describe_signal(number, **facts) == words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (139, "crashed: segmentation fault"),
        (137, "killed by signal 9 (SIGKILL), perhaps out of memory"),
        (1, "exited with status 1"),
        (128, "exited with status 128"),
        (255, "exited with status 255"),
    ],
)
def test_statuses_of_shells_and_containers(status: int, words: str) -> None:
    assert describe_status(status) == words


def test_every_signal_has_a_number_again() -> None:
    assert all(signal_of(128 + number) == number for number in signal.valid_signals())
