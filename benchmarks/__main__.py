"""`make bench`: all ratios as a table; exit status 1 if one is over its budget."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from benchmarks import building, calling, serving, starting
from benchmarks.measure import Ratio

SUITES: dict[str, Callable[[], Iterator[Ratio]]] = {
    "starting": starting.ratios,
    "building": building.ratios,
    "serving": serving.ratios,
    "calling": calling.ratios,
}


def main() -> int:
    wanted = sys.argv[1:] or list(SUITES)
    print(f"{'what':<48} {'seconds':>8}  {'yardstick':<44} {'seconds':>8} {'ratio':>6} {'budget':>6}")
    over = 0
    for name in wanted:
        for row in SUITES[name]():
            over += not row.within
            print(
                f"{row.name:<48} {row.seconds:8.3f}  {row.yardstick:<44} {row.yardstick_seconds:8.3f} {row.ratio:6.2f} "
                f"{row.budget:6.1f}{'' if row.within else '  over budget'}",
                flush=True,
            )
    return 1 if over else 0


sys.exit(main())
