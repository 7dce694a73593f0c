"""What metrics, parameters and artifacts are handed to."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import Any


class Backend(ABC):
    """Keeps what one run logs. Made when the run starts; `close` is called once, at its end."""

    @abstractmethod
    def log_parameter(self, key: str, value: Any) -> None: ...

    @abstractmethod
    def log_metric(self, key: str, value: float, step: int | None) -> None: ...

    @abstractmethod
    def log_artifact(self, local_path: str | os.PathLike[str]) -> None: ...

    @abstractmethod
    def close(self, succeeded: bool) -> None: ...


class StepCounter:
    """Numbers the values of each metric from 0."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def number(self, key: str, step: int | None) -> int:
        """The step to record: `step`, or by default how many values of `key` there were before."""
        before = self._seen[key]
        self._seen[key] += 1
        return before if step is None else int(step)


def artifact_source(local_path: str | os.PathLike[str]) -> Path:
    """The absolute path of an artifact, whose last component is the artifact's name.

    Raises:
        FileNotFoundError: There is no such file or directory.
    """
    source = Path(os.path.abspath(local_path))
    if not source.exists():
        raise FileNotFoundError(f"the artifact {os.fspath(local_path)!r} does not exist")
    return source
