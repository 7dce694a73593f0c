"""One-shot runs: both output streams of a container, byte-exact and live.

The connection is attached before the container starts, so nothing it writes can be missed; the container's log, which
works by lines, is not involved.
"""

from __future__ import annotations

from tesseract.backends.base import ByteSink
from tesseract.backends.frames import STDERR, frames
from tesseract.backends.http import EngineApi, quote
from tesseract.deadline import Deadline
from tesseract.errors import EngineTimeout


def run_attached(
    api: EngineApi, container_id: str, stdout: ByteSink, stderr: ByteSink, deadline: Deadline | None
) -> None:
    """Attach, start, hand over what is written, return when both streams have ended.

    Raises:
        EngineTimeout: The deadline passed; the container may still run.
    """
    path = f"/containers/{quote(container_id)}"
    params = {"stream": True, "stdin": False, "stdout": True, "stderr": True, "logs": False}
    with api.stream("POST", f"{path}/attach", params=params, deadline=deadline, timeout=None) as answer:
        api.request("POST", f"{path}/start", accept=(304,), deadline=deadline)
        for stream, payload in frames(answer.read):
            (stderr if stream == STDERR else stdout)(payload)
            if deadline is not None and deadline.expired:
                raise EngineTimeout(f"The container did not end within {deadline.seconds:g} s.")
    api.check_alive()
