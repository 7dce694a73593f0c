"""A Tesseract for tests of the `tesseract-runtime` command, and what the command makes of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

API = '''
"""A Tesseract that prints, logs, fails and differentiates."""
import asyncio, os, subprocess, sys
from typing import Annotated
from pydantic import BaseModel, Field
from tesseract_core.runtime import Array, Differentiable, Float64
from tesseract_core.runtime.experimental import log_metric

print("module level print")

class Part(BaseModel):
    weight: float = Field(2.0, description="Weight of the part")
    label: str

class InputSchema(BaseModel):
    x: Differentiable[Array[(None,), Float64]] = Field(description="The points")
    parts: list[Part] = []
    how: str = "well"

class OutputSchema(BaseModel):
    y: Differentiable[Array[(None,), Float64]]

def apply(inputs: InputSchema) -> OutputSchema:
    """Double the points.

    In several ways.
    """
    match inputs.how:
        case "loudly":
            print("print")
            os.write(1, b"descriptor\\n")
            subprocess.run(["echo", "child"])
            print("stderr", file=sys.stderr)
            print("unterminated", end="")
        case "with a child":  # which has standard streams, too
            subprocess.run(["sh", "-c", "cat && echo printed >&2 && : <&0"], check=True)
        case "measured":
            log_metric("m", 1)
        case "measured often":
            for step in range(1000):
                log_metric("m", step)
        case "badly":
            raise KeyError("kaboom")
        case "exit":
            sys.exit(0)
        case "cancelled":
            raise asyncio.CancelledError
        case "forked":
            if child := os.fork():
                print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        case "forked and exited":
            if child := os.fork():
                print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            else:
                sys.exit(7)
        case "wrongly":
            return {"z": 1}
        case "environment":
            print("cwd", os.getcwd())
    return OutputSchema(y=2 * inputs.x)

def jacobian(inputs, jac_inputs, jac_outputs):
    n = len(inputs.x)
    factor = 3 if inputs.how == "badly differentiated" else 2
    return {"y": {"x": [[factor * (i == j) for j in range(n)] for i in range(n)]}}
'''

Run = Callable[..., subprocess.CompletedProcess[str]]


def payload(how: str = "well", x: object = (1.0, 2.0)) -> str:
    return json.dumps({"inputs": {"x": list(x) if isinstance(x, tuple) else x, "how": how}})


RESULT = '{"y":{"object_type":"array","shape":[2],"dtype":"float64","data":{"buffer":[2.0,4.0],"encoding":"json"}}}'
