"""Ctrl-C reaches a command that waits, also where the operating system gives the signal to another thread."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.fast

# With SIGINT blocked in the main thread the kernel hands it to another one, so that no system call is interrupted:
# the state that a signal in the instant before the call leads to, too.
WAITS = """
import signal, socket
from tesseract.cli import interrupts
interrupts.set_up()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
here, there = socket.socketpair()
try:
    print("waiting", flush=True)
    here.recv(1)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupt_that_ends_no_system_call_is_noticed() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        try:
            said, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    assert said == "interrupted\n"
    assert process.returncode == 0
