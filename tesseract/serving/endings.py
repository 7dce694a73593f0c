"""How a container ended, in words: from what the engine says about it."""

from __future__ import annotations

from tesseract_core.endings import describe_status, signal_of

from tesseract.backends.spec import ContainerInfo


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


def advice(state: ContainerInfo) -> str:
    """What the user can do about it, or what else the engine says; may be empty."""
    if state.oom_killed:
        return "Raise the limit with --memory."
    if state.exit_code == 137:
        return "If memory was short, raise the limit with --memory."
    return f"The engine says: {state.error}" if state.error else ""
