"""Where an endpoint spends its time, by cProfile."""

from __future__ import annotations

import cProfile
import io
import os
import pstats
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tesseract_core.runtime.config import get_config

# Frames of what carries a call to user code. Helpers that user code calls, such as finite differences, are shown.
_FRAMEWORKS = {"granian", "litestar", "cyclopts", "anyio", "asyncio", "pydantic", "cProfile.py"}
_OURS = tuple(
    str(Path(__file__).with_name(name)) for name in ("core.py", "profiler.py", "schema_generation", "tracing.py")
)


class Profiler:
    """Profiles what runs between `start()` and `stop()`, or within a `with` block.

    Args:
        enabled: Whether to profile at all; None takes the setting `profiling`.
    """

    def __init__(self, enabled: bool | None = None) -> None:
        self.enabled = get_config().profiling if enabled is None else enabled
        self._profile = cProfile.Profile() if self.enabled else None

    def start(self) -> None:
        """Start measuring."""
        if self._profile is not None:
            with suppress(ValueError):  # the profiler of an outer call is at work, and sees this one, too
                self._profile.enable()

    def stop(self) -> None:
        """Stop measuring; a later `start()` adds to what was measured."""
        if self._profile is not None:
            self._profile.disable()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def get_stats(self, limit: int = 30) -> str:
        """Two reports of at most `limit` functions each: by cumulative and by own time. Empty if switched off."""
        if self._profile is None:
            return ""
        self._profile.create_stats()
        if not self._profile.stats:  # never started
            return ""
        out = io.StringIO()
        stats = pstats.Stats(self._profile, stream=out)
        _drop_frameworks(stats)
        out.write("=== By Cumulative Time (includes sub-calls) ===\n")
        stats.sort_stats("cumulative").print_stats(limit)
        out.write("=== By Total Time (excluding sub-calls) ===\n")
        stats.sort_stats("tottime").print_stats(limit)
        return out.getvalue()

    def print_stats(self, limit: int = 30) -> None:
        """Print the reports; nothing if switched off."""
        if self.enabled:
            print(f"--- Profiling Statistics ---\n{self.get_stats(limit)}", flush=True)


def _drop_frameworks(stats: pstats.Stats) -> None:
    entries = stats.stats  # type: ignore[attr-defined]  # {(file, line, function): timings}
    for key in list(entries):  # the file comes first
        if key[0].startswith(_OURS) or not _FRAMEWORKS.isdisjoint(key[0].split(os.sep)):
            del entries[key]
