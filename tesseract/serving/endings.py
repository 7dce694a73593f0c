"""How a container ended, in words: from what the engine says about it."""

from __future__ import annotations

from tesseract_core.endings import describe_status, signal_of

from tesseract.backends.spec import ContainerInfo
from tesseract.deadline import Deadline
from tesseract.errors import EngineError
from tesseract.serving import lookup


def by_signal(state: ContainerInfo, status: int | None = None) -> str:
    """`crashed: segmentation fault`, or nothing where no signal ended it.

    Args:
        state: The container, as it was last seen.
        status: Its exit status, if not that of `state`.
    """
    status = state.exit_code if status is None else status
    if status is not None and signal_of(status):
        return describe_status(status, out_of_memory=state.oom_killed or None, shm_size=state.shm_size)
    return "a process in it was killed: out of memory" if state.oom_killed else ""


def ended(name: str, within: float = 1.0) -> str:
    """How a container of the caller's ended, as a sentence; nothing if it runs on, or nobody knows.

    Args:
        name: Of the container.
        within: Seconds that it may take to end after its connections.
    """
    try:
        backend = lookup.engine()
        backend.wait(name, Deadline(within))
        state = backend.container(name, Deadline(within))
    except EngineError:
        return ""
    how = by_signal(state) or f"exited with status {state.exit_code}"
    return " ".join(filter(None, [f"The Tesseract's container {name} has ended: {how}.", advice(state)]))


def advice(state: ContainerInfo) -> str:
    """What the user can do about it, or what else the engine says; may be empty."""
    if state.oom_killed:
        return "Raise the limit with --memory."
    if state.exit_code == 137:
        return "If memory was short, raise the limit with --memory."
    return f"The engine says: {state.error}" if state.error else ""
