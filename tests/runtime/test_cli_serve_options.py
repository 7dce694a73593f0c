"""`serve` on the command line: what is understood without the parser means the same as with it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from tesseract_core.runtime.cli import options
from tesseract_core.runtime.cli.app import build_app, parse
from tesseract_core.runtime.cli.errors import UsageError
from tesseract_core.runtime.cli.program import Program
from tesseract_core.runtime.serve import serve

pytestmark = pytest.mark.fast


class Recorder(Program):
    """Takes down what would be served."""

    def __init__(self) -> None:
        super().__init__(result_fd=1)
        self.served: dict[str, Any] = {}

    def serve(self, parent_pipe_fd: int | None = None, **where: Any) -> int:  # type: ignore[override]
        bound = inspect.signature(serve).bind(**where, parent_pipe_fd=parent_pipe_fd)
        bound.apply_defaults()
        self.served = bound.arguments
        return 0


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--port 8000 --host 0.0.0.0",
        "--port 65535 --num-workers 4 --host ::",
        "--host localhost",
        "--num-workers 1",
    ],
)
def test_plain_options_mean_what_the_parser_says(words: str) -> None:
    plainly, parsed = Recorder(), Recorder()
    values = options.parse_serve(words.split())
    assert values is not None
    plainly.serve(**values)
    parse(build_app(parsed), ["serve", *words.split()])()
    assert plainly.served == parsed.served


@pytest.mark.parametrize(
    "words",
    [
        "--port",
        "--port 0",  # a free one
        "--port 65536",
        "--port 08000",
        "--port +80",
        "--port=8000",
        "--port 8000 --port 8001",
        "--num-workers 0",
        "--num-workers two",
        "--host --port",
        "--uds /tmp/socket",
        "--hots localhost",
        "8000",
        "8000 9000",
    ],
)
def test_all_else_is_the_parsers(words: str) -> None:
    assert options.parse_serve(words.split()) is None


def test_variables_are_the_parsers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERACT_RUNTIME_SERVE_PORT", "9000")
    assert options.parse_serve(["--host", "localhost"]) is None
    recorder = Recorder()
    parse(build_app(recorder), ["serve", "--host", "localhost"])()
    assert (recorder.served["host"], recorder.served["port"]) == ("localhost", 9000)


def test_a_wrong_port_is_named() -> None:
    with pytest.raises(UsageError, match="port"):
        parse(build_app(Recorder()), ["serve", "--port", "65536"])
