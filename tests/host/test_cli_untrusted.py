"""What others wrote (images, containers, engines) on the user's terminal: shown, never obeyed, never taken for ours."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator

import pytest
from tesseract_core.client.errors import error_from_response
from tesseract_core.client.logs import sink_for

from tesseract import errors
from tesseract.cli import console, output, progress
from tesseract.cli.doctor import _print
from tesseract.doctor.examine import Examined
from tesseract.doctor.model import error as doctor_error

pytestmark = pytest.mark.fast

EVIL = "a\x1b]0;owned\x07\x1b[2J\r\n [x] Aborting\n [i] Serving Tesseract at http://evil\u202e\x9b"
STEERING = set("\x1b\x07\r\x9b\u202e")


@pytest.fixture
def log() -> Iterator[Callable[[], None]]:
    before = logging.getLogger("tesseract").handlers[:], warnings.showwarning
    console.set_up()
    yield console.set_up
    logging.getLogger("tesseract").handlers[:], warnings.showwarning = before
    logging.getLogger("tesseract").propagate = True


def own_lines(text: str) -> list[str]:
    """The lines that look as if we had written them."""
    return [line for line in text.splitlines() if line.startswith((" [", "Usage"))]


SAYINGS: dict[str, Callable[[], object]] = {
    "log line": lambda: console.logger.warning("Container %s is gone", EVIL),
    "warning": lambda: warnings.warn(EVIL, stacklevel=1),
    "user error": lambda: console.user_error(errors.StartupFailed(f"It ended.\n\n{EVIL}")),
    "bug of ours": lambda: console.aborting(f"Uncaught error: {EVIL}"),
    "traceback": lambda: console.show_traceback(RuntimeError(EVIL)),
    "usage error": lambda: console.usage_error("Usage: tesseract run", "tesseract run", EVIL),
    "lines of a container": lambda: console.LineLog(logging.INFO)(EVIL.encode() + b"\n"),
    "streamed logs": lambda: [sink_for(True)(line) for line in EVIL.split("\n")],  # type: ignore[misc]
}


@pytest.mark.parametrize("name", SAYINGS)
def test_stderr(name: str, log: object, capsys: pytest.CaptureFixture[str]) -> None:
    SAYINGS[name]()
    said = capsys.readouterr().err
    assert said
    assert not STEERING & set(said)
    if name == "lines of a container":
        assert own_lines(said) == said.splitlines()  # each has our prefix, whatever it looks like
    elif name != "streamed logs":
        assert " [i] Serving Tesseract at http://evil" not in "\n".join(own_lines(said))
        assert sum(" [x] Aborting" in line for line in own_lines(said)) <= (name == "user error")


def test_every_user_error_shows_what_it_quotes() -> None:
    kinds = [errors.UserError, errors.APIError, errors.ImageNotFound, errors.BuildError, errors.StartupFailed]
    for kind in kinds:
        assert not STEERING & set(str(kind(EVIL)))
    failed = errors.ContainerError("c", 1, ["x", EVIL], EVIL, EVIL.encode())
    assert not STEERING & set(str(failed))
    assert failed.stderr == EVIL.encode()


def test_a_servers_words_in_an_exception() -> None:
    assert not STEERING & set(str(error_from_response("apply", 500, EVIL.encode())))
    detail = {"detail": [{"type": "value_error", "loc": ["body", EVIL], "msg": EVIL, "input": EVIL}]}
    assert not STEERING & set(str(error_from_response("apply", 422, json.dumps(detail).encode())))


def test_tables_have_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["Name", "Description"], [["a", EVIL], [EVIL, "b"]])
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 3
    assert not STEERING & set(said)


def test_json_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"description": EVIL + "\x7f"})
    said = capsys.readouterr().out
    assert json.loads(said)["description"] == EVIL + "\x7f"
    assert said[:-1].isprintable()


def test_the_doctor_and_the_progress_of_a_build(capsys: pytest.CaptureFixture[str]) -> None:
    _print(Examined("smoke", "A container starts", doctor_error(EVIL, EVIL), EVIL))
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 3
    shown = progress.describe(f"STEP 1/2: RUN {EVIL}") or ""
    assert not STEERING & set(said + shown)


RAW = f"""
import sys
from tesseract.cli.output import RawOutput
show = RawOutput()
data = {EVIL!r}.encode()
for i in range(len(data)): show(data[i:i + 1])
"""


def test_output_of_a_container_is_byte_exact_in_a_pipe_and_shown_on_a_terminal() -> None:
    piped = subprocess.run([sys.executable, "-c", RAW], capture_output=True, check=True).stdout
    assert piped == EVIL.encode()
    reader, writer = pty.openpty()
    subprocess.run([sys.executable, "-c", RAW], stdout=writer, check=True)
    os.close(writer)
    with open(reader, "rb", buffering=0) as terminal:
        shown = terminal.read(65536).decode()
    assert not STEERING - {"\r"} & set(shown)
    assert "\r" not in shown.replace("\r\n", "")
    assert r"a\x1b]0;owned\x07" in shown
