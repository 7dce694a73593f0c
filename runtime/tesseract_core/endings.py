"""How a process ended, in words. Both the runtime and the host tool say it with these functions."""

from __future__ import annotations

import signal

# By name, because not every system has every signal.
_WORDS = {
    "SIGSEGV": "crashed: segmentation fault",
    "SIGABRT": "crashed: aborted (SIGABRT)",
    "SIGFPE": "crashed: arithmetic error (SIGFPE), such as an integer division by zero",
    "SIGILL": "crashed: illegal instruction (SIGILL); it may have been compiled for another kind of CPU",
    "SIGSYS": "crashed: a system call is forbidden here (SIGSYS)",
    "SIGXCPU": "killed: its CPU time limit is used up (ulimit -t)",
    "SIGXFSZ": "killed: a file grew beyond the limit (ulimit -f)",
}


def describe_signal(number: int, *, out_of_memory: bool | None = None, shm_size: int | None = None) -> str:
    """Say how a process ended that a signal ended, as the end of a sentence: "crashed: segmentation fault".

    Args:
        number: The signal.
        out_of_memory: Whether the kernel's OOM killer did it; None: nobody knows.
        shm_size: Size of `/dev/shm` where the process ran, in bytes, if known.
    """
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"killed by signal {number}"
    if name == "SIGKILL":
        return _killed(out_of_memory)
    if name == "SIGBUS":
        return _bus_error(shm_size)
    return _WORDS.get(name) or f"killed by signal {number} ({name})"


def describe_status(status: int, *, out_of_memory: bool | None = None, shm_size: int | None = None) -> str:
    """Say how a process ended, given its exit status as shells and container engines count: 128 + n for signal n.

    Args: See `describe_signal`.
    """
    if (number := signal_of(status)) is not None:
        return describe_signal(number, out_of_memory=out_of_memory, shm_size=shm_size)
    return f"exited with status {status}"


def signal_of(status: int) -> int | None:
    """Return the signal that an exit status of a shell or container engine stands for (139: 11), if any."""
    number = status - 128
    return number if number in signal.valid_signals() else None


def _killed(out_of_memory: bool | None) -> str:
    if out_of_memory:
        return "killed: out of memory"
    return "killed by signal 9 (SIGKILL)" + ("" if out_of_memory is False else ", perhaps out of memory")


def _bus_error(shm_size: int | None) -> str:
    size = "" if shm_size is None else f" ({shm_size / 2**20:.0f} MiB)"
    return f"bus error: /dev/shm is full{size}, most likely; --shm-size gives a container more"
