"""One-shot runs: byte-exact stdout, live stderr, nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable

import pytest

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerSpec, Mount
from tesseract.deadline import Deadline
from tesseract.errors import APIError, ContainerNotFound, EngineTimeout, ImageNotFound

Python = Callable[..., ContainerSpec]
Run = Callable[[ContainerSpec], tuple]


def test_streams_are_kept_apart_and_the_status_is_told(python: Python, run: Run) -> None:
    status, out, err, info = run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(42)"))
    assert (status, out, err) == (42, b"out\n", b"err\n")
    assert (info.status, info.exit_code) == ("exited", 42)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import sys; sys.stdout.write('no newline')", b"no newline"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)) * 1000)", bytes(range(256)) * 1000),
        ("import sys; sys.stdout.buffer.write(b'\\r\\n\\0\\n\\n')", b"\r\n\0\n\n"),
        ("pass", b""),
    ],
)
def test_stdout_is_byte_exact(python: Python, run: Run, code: str, expected: bytes) -> None:
    for _ in range(3):
        assert run(python(code))[1] == expected


def test_large_output_arrives_whole(python: Python, run: Run) -> None:
    code = "import sys\nfor i in range(64): sys.stdout.buffer.write(bytes([i]) * (1 << 20))"
    out = run(python(code))[1]
    assert len(out) == 64 << 20
    assert out == b"".join(bytes([i]) * (1 << 20) for i in range(64))


def test_stderr_is_live(backend: Backend, python: Python) -> None:
    code = "import sys, time; print('first', file=sys.stderr); time.sleep(1.5); print('second', file=sys.stderr)"
    seen: list[tuple[float, bytes]] = []
    backend.run(python(code), lambda data: None, lambda data: seen.append((time.monotonic(), data)))
    assert b"".join(data for _, data in seen) == b"first\nsecond\n"
    assert seen[-1][0] - seen[0][0] > 1.0


def test_nothing_is_left_behind(backend: Backend, python: Python, run: Run, name: str) -> None:
    volumes = set(backend.volumes())
    for remove in (False, True):
        status, _, _, info = run(python("import sys; sys.exit(3)", remove=remove))
        assert (status, info.exit_code) == (3, 3)
    with pytest.raises(ContainerNotFound):
        backend.container(name)
    assert set(backend.volumes()) == volumes


def test_engine_arguments(python: Python, run: Run) -> None:
    code = "import os; print(os.environ['RAW'])"
    assert run(python(code, raw_args=("--env", "RAW=yes")))[:2] == (0, b"yes\n")


def test_a_deadline_ends_it(backend: Backend, python: Python, name: str) -> None:
    with pytest.raises(EngineTimeout):
        backend.run(python("import time; time.sleep(600)"), lambda d: None, lambda d: None, Deadline(1.5))
    with pytest.raises(ContainerNotFound):
        backend.container(name)


def test_a_reader_that_goes_away_ends_it(backend: Backend, python: Python, name: str) -> None:
    def refuse(data: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        backend.run(python("import time; print(1); time.sleep(600)"), refuse, lambda data: None)
    with pytest.raises(ContainerNotFound):
        backend.container(name)


def test_what_cannot_start(backend: Backend, python: Python, name: str) -> None:
    with pytest.raises(ImageNotFound):
        backend.run(ContainerSpec("no-such-image", name), lambda d: None, lambda d: None)
    with pytest.raises(APIError):
        backend.run(python("", mounts=(Mount("bind", "/no/such/place", "/data"),)), lambda d: None, lambda d: None)
    with pytest.raises(ContainerNotFound):
        backend.container(name)


def test_ctrl_c_leaves_nothing(backend: Backend, image: str, name: str) -> None:
    program = textwrap.dedent(
        """
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the suite runs in the background
        from tesseract.backends.select import get_backend
        from tesseract.backends.spec import ContainerSpec, Mount
        engine, image, name = sys.argv[1:]
        spec = ContainerSpec(image, name, command=("-uc", "import time; print('up'); time.sleep(600)"))
        def out(data):
            sys.stdout.buffer.write(data); sys.stdout.flush()
        get_backend(engine).run(spec, out, out)
        """
    )
    argv = [sys.executable, "-c", program, backend.info().name, image, name]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    with pytest.raises(ContainerNotFound):
        backend.container(name)
