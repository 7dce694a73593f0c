"""Paired timing of two actions."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Action = Callable[[], float | None]


@dataclass(frozen=True)
class Ratio:
    """Median seconds of something and of its yardstick, with the budget for the ratio of the two."""

    name: str
    yardstick: str
    seconds: float
    yardstick_seconds: float
    budget: float

    @property
    def ratio(self) -> float:
        return self.seconds / self.yardstick_seconds

    @property
    def within(self) -> bool:
        return self.ratio <= self.budget


def command(*words: str) -> Action:
    """An action that runs a command to its end; a failing one ends the benchmark with its output."""

    def run() -> None:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")

    return run


def _seconds(action: Action) -> float:
    """Wall seconds of one call, unless the action measured a part of itself and returns that."""
    start = time.perf_counter()
    own = action()
    return time.perf_counter() - start if own is None else own


def paired(
    name: str,
    action: Action,
    yardstick_name: str,
    yardstick: Action,
    *,
    budget: float,
    rounds: int = 7,
    between: Sequence[Callable[[], object]] = (),
) -> Ratio:
    """Time the two in turn, after one round that is not counted.

    Args:
        budget: Greatest ratio of the medians that is fine.
        between: Called, untimed, before each call of `action`.
    """
    times: list[float] = []
    yard: list[float] = []
    for i in range(rounds + 1):
        for prepare in between:
            prepare()
        pair = _seconds(action), _seconds(yardstick)
        if i:
            times.append(pair[0])
            yard.append(pair[1])
    return Ratio(name, yardstick_name, statistics.median(times), statistics.median(yard), budget)
