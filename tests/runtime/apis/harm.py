"""A Tesseract that does to its process what the request says."""

import ctypes
import getpass
import mmap
import os
import resource
import signal
import subprocess
import tempfile
from multiprocessing import get_context
from typing import Literal

from pydantic import BaseModel

resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
kept: list[int] = []


class InputSchema(BaseModel):
    how: Literal[
        *("nothing", "segfault", "abort", "kill", "exit", "raise", "bus_error", "leak", "close_ours", "close_all"),
        *("wait_for_child", "wait_for_pool", "wait_for_signal", "input", "breakpoint", "read", "stty", "getpass"),
    ]
    path: str = ""


class OutputSchema(BaseModel):
    pid: int
    text: str = ""


def apply(inputs: InputSchema) -> OutputSchema:
    text = ""
    match inputs.how:
        case "segfault":
            print("the last words")
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(0)
        case "raise":
            raise RuntimeError("no idea")
        case "bus_error":
            with tempfile.TemporaryFile() as file:
                file.truncate(4096)
                memory = mmap.mmap(file.fileno(), 4096)
                file.truncate(0)
                memory[0] = 1
        case "leak":
            while len(kept) < 1000:
                try:
                    kept.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    break
        case "close_ours":
            os.closerange(3, 128)
        case "close_all":
            os.closerange(0, 128)
        case "wait_for_child":
            command = f"echo $$ >> {inputs.path}; sleep 300 & echo $! >> {inputs.path}; wait"
            subprocess.run(["sh", "-c", command], check=False)
        case "wait_for_pool":
            with get_context("fork").Pool(2) as pool:
                pool.map(_note_and_wait, [inputs.path] * 2, chunksize=1)
        case "wait_for_signal":
            _note_and_wait(inputs.path)
        case "input":
            input("How many? ")
        case "breakpoint":
            breakpoint()
        case "read":
            text = str(subprocess.run(["sh", "-c", "read x"], check=False).returncode)
        case "stty":
            text = str(subprocess.run(["sh", "-c", "stty -echo < /dev/tty"], check=False).returncode)
        case "getpass":
            getpass.getpass()
    return OutputSchema(pid=os.getpid(), text=text)


def _note_and_wait(path: str) -> None:
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    signal.pause()
