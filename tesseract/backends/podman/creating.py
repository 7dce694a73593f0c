"""Containers are made one at a time.

Podman's service asks libsubid for the caller's subordinate ids whenever a container is made with keep-id, and libsubid
is not safe for threads: of several requests at once some fail with "keep-id requires additional UIDs", or the service
dies (seen on 4.3.1). Making a container takes hundredths of a second, so nobody waits for long.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from tesseract.backends.podman.endpoint import Endpoint
from tesseract.backends.runtime_dir import runtime_dir


@contextmanager
def one_at_a_time(endpoint: Endpoint) -> Iterator[None]:
    """Hold the lock that all commands of this user take; an engine elsewhere needs none."""
    if endpoint.socket is None or endpoint.remote:
        yield
        return
    with (runtime_dir() / "podman.create.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
