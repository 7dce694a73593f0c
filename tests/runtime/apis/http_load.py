"""A Tesseract whose calls keep their process busy in the way that the request says, and tell when and where."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from typing import Literal

import numpy as np
from pydantic import BaseModel
from tesseract_core.runtime import Array, Float64

THREADS_AT_IMPORT: list[int] = []
# BLAS and threads of user code start at import here, in the process that computes.
np.ones((300, 300)) @ np.ones((300, 300))
worker = threading.Thread(target=lambda: THREADS_AT_IMPORT.append(threading.get_native_id()))
worker.start()
worker.join()


class InputSchema(BaseModel):
    how: Literal[
        *("nothing", "sleep", "hold_gil", "note", "threads", "child", "pool"),
        *("kill", "segfault", "exit", "fork_then_die", "fork_and_return"),
    ]
    seconds: float = 0
    path: str = ""
    data: Array[(None,), Float64] = np.zeros(0)


class OutputSchema(BaseModel):
    pid: int
    started: float
    ended: float
    value: float = 0
    data: Array[(None,), Float64] = np.zeros(0)


def apply(inputs: InputSchema) -> OutputSchema:
    started = time.monotonic()
    value = 0.0
    match inputs.how:
        case "sleep":
            time.sleep(inputs.seconds)
        case "hold_gil":
            # A C call through PyDLL does not release the interpreter lock.
            ctypes.PyDLL(None).usleep(int(inputs.seconds * 1e6))
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(0)
        case "threads":
            value = float((np.ones((500, 500)) @ np.ones((500, 500)))[0, 0])
            assert threading.current_thread() is threading.main_thread()
        case "child":
            value = subprocess.run(["sleep", str(inputs.seconds)], check=True).returncode
        case "pool":
            with multiprocessing.get_context("fork").Pool(2) as pool:  # terminated at the end of the block
                value = float(sum(pool.map(abs, range(10))))
        case "fork_then_die":
            if os.fork() == 0:
                time.sleep(inputs.seconds)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        case "fork_and_return":
            if child := os.fork():
                value = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        case "note":
            with open(inputs.path, "a") as file:
                file.write("computed\n")
    return OutputSchema(pid=os.getpid(), started=started, ended=time.monotonic(), value=value, data=inputs.data)
