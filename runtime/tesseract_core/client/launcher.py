"""What starts and ends the server behind a Tesseract."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Protocol

from tesseract_core.client.transport import Transport


class Launcher(Protocol):
    """Starts and ends the server behind a Tesseract. It must not refer to the Tesseract (garbage collection)."""

    def start(self) -> Transport:
        """Start the server and wait until it answers."""

    def stop(self) -> None:
        """End the server and remove what belongs to it; no error if it is gone already."""

    def logs(self) -> str:
        """What the server has written so far."""

    def container(self) -> Any:
        """The container that serves. Raises: RuntimeError if there is none by nature."""


def abandon(launcher: Launcher, transport: Transport, owner_pid: int) -> None:
    """End the server of an object that nobody has any more, or of an interpreter that ends."""
    if os.getpid() != owner_pid:  # a forked child has a copy of the object; the server belongs to its parent
        return
    with contextlib.suppress(Exception):
        transport.close()
    try:
        launcher.stop()
    except Exception as error:  # nobody is there to catch it; what could not be uploaded must not be forgotten
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
