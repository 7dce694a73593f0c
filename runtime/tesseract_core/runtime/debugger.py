"""The debugger of debug mode. It listens wherever it is told to, and whoever attaches can run any code."""

from __future__ import annotations

import os
import sys
import threading

from tesseract_core.runtime.config import get_config

ATTACH_TIMEOUT = 300.0  # seconds


def listen() -> bool:
    """Start the debugger that the configuration describes; port 0 means none.

    Returns:
        Whether it listens. Where it cannot, stderr says why: a debugger must not keep a Tesseract from running.
    """
    config = get_config()
    if not config.debug or config.debugpy_port == 0:
        return False
    # Else it warns, at length, about modules that come frozen with Python.
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    try:
        import debugpy
    except ImportError:
        print("debug mode without debugger: debugpy is not installed here (pip install debugpy)", file=sys.stderr)
        return False
    try:
        host, port = debugpy.listen((config.debugpy_host, config.debugpy_port))
    except (RuntimeError, OSError) as error:
        address = f"{config.debugpy_host}:{config.debugpy_port}"
        print(f"debug mode without debugger: cannot listen on {address}: {error}", file=sys.stderr)
        return False
    # The host tool looks for this line.
    print(f"Debugger listening on {host}:{port}", file=sys.stderr, flush=True)
    return True


def wait_for_client(timeout: float = ATTACH_TIMEOUT) -> None:
    """Wait until a client attaches to the debugger, for up to `timeout` seconds."""
    import debugpy

    print(f"Waiting up to {timeout:.0f} s for a debugger client to attach ...", file=sys.stderr, flush=True)
    timer = threading.Timer(timeout, debugpy.wait_for_client.cancel)
    timer.daemon = True
    timer.start()
    debugpy.wait_for_client()
    timer.cancel()
    attached = debugpy.is_client_connected()
    print("Debugger attached, going on" if attached else "No debugger attached, going on", file=sys.stderr, flush=True)
