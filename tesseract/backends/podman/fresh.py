"""Start a program as a new login of the same user would, run as `python -I -S fresh.py PROGRAM [ARG...]`.

Podman's service outlives the command that starts it, and its containers get its limits. What somebody has set for a
shell or a script (`ulimit -n 256`, `nice`, `taskset`, ...) must not stick to everything that is started afterwards. How
the machine sets things is read from the oldest process of the user's above us: the login shell, the user's systemd, a
job. What cannot be undone is printed, a line each.

On its own: it imports nothing of ours.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

KEPT = "kept: "
"""What a line begins with that names something which could not be undone."""

# As /proc/PID/limits calls them; by name because not every system has every one.
_LIMITS = {
    "Max cpu time": ("RLIMIT_CPU", "seconds of CPU time (ulimit -t)"),
    "Max file size": ("RLIMIT_FSIZE", "bytes in a file (ulimit -f)"),
    "Max data size": ("RLIMIT_DATA", "bytes of data (ulimit -d)"),
    "Max stack size": ("RLIMIT_STACK", "bytes of stack (ulimit -s)"),
    "Max core file size": ("RLIMIT_CORE", "bytes in a core file (ulimit -c)"),
    "Max processes": ("RLIMIT_NPROC", "processes (ulimit -u)"),
    "Max open files": ("RLIMIT_NOFILE", "open files (ulimit -n)"),
    "Max locked memory": ("RLIMIT_MEMLOCK", "bytes of locked memory (ulimit -l)"),
    "Max address space": ("RLIMIT_AS", "bytes of memory (ulimit -v)"),
    "Max pending signals": ("RLIMIT_SIGPENDING", "pending signals (ulimit -i)"),
    "Max msgqueue size": ("RLIMIT_MSGQUEUE", "bytes in message queues (ulimit -q)"),
}
_IDLE = "the idle scheduling policy (chrt --idle)"
_Limit = tuple[int, int]  # soft, hard; -1: none


def held() -> list[str]:
    """What of this process cannot be undone, in words: hard limits below those of a new login, and niceness."""
    login = _login()
    if login is not None and os.geteuid() != 0:
        with suppress(OSError):  # that process may have ended
            return _held(login)
    return []


def _held(login: int) -> list[str]:
    lower = [_in_words(ours[1], name) for name, ours, theirs in _compared(login) if _less(ours[1], theirs[1])]
    idle = os.sched_getscheduler(0) == os.SCHED_IDLE != os.sched_getscheduler(login)
    return [
        *lower,
        *([_IDLE] if idle and not _may_be_nice(_niceness()) else []),
        *([] if _niceness() <= (wanted := _niceness(login)) or _may_be_nice(wanted) else [f"nice {_niceness()}"]),
    ]


def undo() -> list[str]:
    """Undo what can be undone. Returns the rest, in words."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    login = _login()
    return [] if login is None else [*_undo_limits(login), *_undo_scheduling(login), *_undo_oom(login)]


def main(words: list[str]) -> None:
    """Become the program."""
    for kept in undo():
        print(f"{KEPT}{kept}", file=sys.stderr, flush=True)
    try:
        os.execvp(words[0], words)
    except OSError as problem:
        sys.exit(f"Error: '{words[0]}' could not be run: {problem.strerror}")


def _login() -> int | None:
    """The oldest process of this user's above us; None where there is none, or no /proc."""
    found, pid = None, os.getppid()
    with suppress(OSError, ValueError, IndexError):
        while pid > 0 and os.stat(f"/proc/{pid}").st_uid == os.getuid():
            found = pid
            pid = int(_read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
    return found


def _compared(login: int) -> list[tuple[str, _Limit, _Limit]]:
    """Limits in words, ours and those of another process."""
    import resource

    found = []
    try:
        text = _read(f"/proc/{login}/limits")
    except OSError:  # it may have ended
        return []
    for line in text.splitlines():
        name, values = line[:26].strip(), line[26:].split()
        if name in _LIMITS and hasattr(resource, _LIMITS[name][0]):
            soft, hard = (-1 if value == "unlimited" else int(value) for value in values[:2])
            found.append((name, resource.getrlimit(getattr(resource, _LIMITS[name][0])), (soft, hard)))
    return found


def _undo_limits(login: int) -> list[str]:
    import resource

    kept = []
    for name, ours, theirs in _compared(login):
        which = getattr(resource, _LIMITS[name][0])
        hard = theirs[1] if _less(ours[1], theirs[1]) else ours[1]
        try:
            resource.setrlimit(which, (hard if _less(hard, theirs[0]) else theirs[0], hard))
        except (OSError, ValueError):  # only root raises a hard limit
            kept.append(_in_words(ours[1], name))
            with suppress(OSError, ValueError):
                resource.setrlimit(which, (ours[1] if _less(ours[1], theirs[0]) else theirs[0], ours[1]))
    return kept


def _undo_scheduling(login: int) -> list[str]:
    with suppress(OSError):
        os.sched_setaffinity(0, os.sched_getaffinity(login))
    kept = []
    try:
        if os.sched_getscheduler(0) != os.sched_getscheduler(login):
            os.sched_setscheduler(0, os.sched_getscheduler(login), os.sched_getparam(login))
    except PermissionError:
        kept.append(_IDLE)
    except OSError:  # no such call in this C library, or that process has ended
        pass
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _niceness(login))
    except PermissionError:
        kept.append(f"nice {_niceness()}")
    except OSError:
        pass
    return kept


def _undo_oom(login: int) -> list[str]:
    path = "/proc/self/oom_score_adj"
    try:
        with open(path, "w") as file:
            file.write(_read(f"/proc/{login}/oom_score_adj"))
    except PermissionError:
        return [f"oom_score_adj {_read(path).strip()}"]
    except OSError:
        pass
    return []


def _niceness(pid: int = 0) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def _may_be_nice(wanted: int) -> bool:
    """Whether somebody without privileges may set that niceness, if it is lower than now."""
    import resource

    return wanted >= 20 - resource.getrlimit(resource.RLIMIT_NICE)[0]


def _less(one: int, other: int) -> bool:
    return one != -1 and (other == -1 or one < other)


def _in_words(value: int, name: str) -> str:
    return f"{value} {_LIMITS[name][1]}"


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


if __name__ == "__main__":
    main(sys.argv[1:])
