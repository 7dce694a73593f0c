"""What the profiler and the tracer print."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from tesseract_core.runtime import Array, Float32
from tesseract_core.runtime.config import override_config, update_config
from tesseract_core.runtime.profiler import Profiler
from tesseract_core.runtime.tracing import trace_call, trace_return

pytestmark = pytest.mark.fast


@pytest.fixture(autouse=True)
def _blank_configuration() -> Iterator[None]:
    with override_config():
        yield


def slow_user_function() -> int:
    return sum(number * number for number in range(1000))


def test_profiler_reports_by_cumulative_and_total_time(capsys: pytest.CaptureFixture[str]) -> None:
    with Profiler(enabled=True) as profiler:
        slow_user_function()
    profiler.print_stats()
    text = capsys.readouterr().out
    first, cumulative, total = re.split(r"=== By .* ===", text)
    assert first == "--- Profiling Statistics ---\n"
    assert "slow_user_function" in cumulative
    assert "slow_user_function" in total
    assert "profiler.py" not in text
    assert "=== By Cumulative Time (includes sub-calls) ===" in text
    assert "=== By Total Time (excluding sub-calls) ===" in text
    assert profiler.get_stats(limit=1) != profiler.get_stats()


def test_profiler_follows_the_setting(capsys: pytest.CaptureFixture[str]) -> None:
    profiler = Profiler()
    assert not profiler.enabled
    profiler.start()
    profiler.stop()
    assert profiler.get_stats() == ""
    profiler.print_stats()
    assert capsys.readouterr().out == ""
    update_config(profiling=True)
    assert Profiler().enabled
    assert Profiler().get_stats() == ""  # never started
    with Profiler() as outer, Profiler() as inner:
        slow_user_function()
    assert "slow_user_function" in outer.get_stats() + inner.get_stats()


class Part(BaseModel):
    x: Array[(None,), Float32]


class Payload(BaseModel):
    part: Part
    names: set[str]
    numbers: dict[str, Any]


def test_trace_shows_arrays_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    payload = Payload(part={"x": np.arange(12, dtype="float32")}, names={"b", "a"}, numbers={"k": np.float64(0.5)})
    trace_call("apply", payload)
    assert capsys.readouterr().out == ""
    update_config(tracing=True)
    trace_call("apply", payload)
    trace_return("apply", {"y": np.array([1.0, 2.0, 3.0])})
    logging.getLogger("tesseract_runtime").debug("%s", "from elsewhere")
    text = capsys.readouterr().out
    assert re.match(r"\d{4}-\d\d-\d\d .* - tesseract_runtime - DEBUG - apply called with\n{\n", text)
    assert (
        '"x": "Array(shape=(12,), dtype=float32, data=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, ...])"' in text
    )
    assert '"k": "Array(shape=(), dtype=float64, data=[0.5])"' in text
    assert "apply returned" in text
    assert '"y": "Array(shape=(3,), dtype=float64, data=[1.0, 2.0, 3.0])"' in text
    assert text.count("tesseract_runtime - DEBUG") == 3


def test_trace_survives_odd_values(capsys: pytest.CaptureFixture[str]) -> None:
    update_config(tracing=True)
    trace_call("apply", {"object": object(), "nan": float("nan"), "none": None, 5: (1, "ä")})
    assert '"5": [\n    1,\n    "ä"\n  ]' in capsys.readouterr().out
