"""Containers that stay: start, look at, talk to, stop, remove."""

from __future__ import annotations

import secrets
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tesseract.backends.base import Backend
from tesseract.backends.spec import LOG_MEGABYTES, ContainerSpec, Mount, PortBinding
from tesseract.deadline import Deadline
from tesseract.errors import APIError, ContainerNotFound, EngineTimeout, ImageNotFound, NameInUse, PortInUse

Python = Callable[..., ContainerSpec]
WAIT = "import time; time.sleep(600)"
ENDS_ON = """
import signal, sys, time
signal.signal(signal.{signal}, lambda *args: sys.exit({status}))
print("ready")
time.sleep(600)
"""
SERVE = "import http.server as h; h.ThreadingHTTPServer(('', 8000), h.SimpleHTTPRequestHandler).serve_forever()"


@pytest.mark.parametrize("raw", [(), ("--hostname=by-the-executable",)])
def test_start_reads_back_what_was_asked_for(
    backend: Backend, python: Python, image: str, name: str, raw: tuple[str, ...]
) -> None:
    env = {"PLAIN": "1", "SPACES": " two words ", "EQUALS": "a=b", "LINES": "one\ntwo", "UNICODE": "ä→ß", "NONE": ""}
    env |= {"QUOTED": "\"a\" 'b' \\n", "HASH": "# a", "END": "text\r", "LONG": "x" * 70_000}
    info = backend.start(python(WAIT, env=env, labels={"org.tesseract.test": name}, raw_args=raw))
    assert (info.name, info.status, info.exit_code) == (name, "running", None)
    assert info.image_id.removeprefix("sha256:") == image.removeprefix("sha256:")
    assert info.command == ("-uc", WAIT)
    assert {key: info.env[key] for key in env} == env
    assert info.env["GREETING"] == "hello world"
    assert info.labels["org.tesseract.test"] == name
    assert info.labels["org.example.kind"] == "contract"
    for reference in (info.id, info.id[:12], name):
        assert backend.container(reference).id == info.id
    assert [found.id for found in backend.containers(labels={"org.tesseract.test": name})] == [info.id]
    assert info.id in {found.id for found in backend.containers()}


def test_the_engine_chooses_a_free_port(backend: Backend, python: Python) -> None:
    info = backend.start(python(SERVE, ports=(PortBinding(8000),)))
    (port,) = info.ports
    assert (port.container_port, port.host_ip) == (8000, "127.0.0.1")
    assert port.host_port > 1023
    _fetch(port.host_port)


def test_a_port_of_ones_own_choice_and_its_collision(backend: Backend, python: Python) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            backend.start(python(SERVE, ports=(PortBinding(8000, "127.0.0.1", taken),)))
    assert str(taken) in str(caught.value)
    with pytest.raises(ContainerNotFound):
        backend.container(python(SERVE).name)
    info = backend.start(python(SERVE, ports=(PortBinding(8000, "127.0.0.1", taken),)))
    assert info.ports[0].host_port == taken
    _fetch(taken)


def test_a_name_that_is_taken(backend: Backend, python: Python, name: str) -> None:
    first = backend.start(python(WAIT))
    with pytest.raises(NameInUse) as caught:
        backend.start(python(WAIT))
    assert name in str(caught.value)
    assert backend.container(name).id == first.id, "the stranger's container stays"
    with pytest.raises(NameInUse):
        backend.run(python(WAIT), lambda data: None, lambda data: None)
    assert backend.container(name).status == "running"


def test_an_image_that_is_not_there_is_never_pulled(backend: Backend, name: str) -> None:
    with pytest.raises(ImageNotFound) as caught:
        backend.start(ContainerSpec("no-such-image:1", name))
    assert "no-such-image" in str(caught.value)


def test_a_start_that_fails_leaves_nothing(backend: Backend, python: Python, name: str) -> None:
    with pytest.raises(APIError) as caught:
        backend.start(python(WAIT, mounts=(Mount("bind", "/no/such/place", "/data"),)))
    assert "/no/such/place" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ContainerNotFound):
        backend.container(name)


def test_a_command_that_does_not_exist(backend: Backend, python: Python, name: str) -> None:
    backend.start(python(WAIT, entrypoint=("/no/such/program",)))
    assert backend.wait(name) != 0
    assert b"No such file or directory" in backend.logs(name)


def test_how_it_ended(backend: Backend, python: Python, name: str) -> None:
    backend.start(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"))
    assert backend.wait(name) == 7
    info = backend.container(name)
    assert (info.status, info.exit_code, info.oom_killed) == ("exited", 7, False)
    assert name not in {found.name for found in backend.containers()}
    assert name in {found.name for found in backend.containers(all=True)}
    assert sorted(backend.logs(name).splitlines()) == [b"err", b"out"]
    assert backend.logs(name, stdout=False).strip() == b"err"
    assert backend.logs(name, stderr=False).strip() == b"out"


def test_logs_can_be_followed_to_the_end(backend: Backend, python: Python, name: str) -> None:
    backend.start(python("import time\nfor i in range(3): print('line', i); time.sleep(0.1)"))
    assert b"".join(backend.follow_logs(name)) == b"line 0\nline 1\nline 2\n"


def test_exec(backend: Backend, python: Python, name: str) -> None:
    backend.start(python(WAIT))
    code = "import sys; sys.stdout.buffer.write(bytes(range(256))); sys.stderr.write('e'); sys.exit(5)"
    assert backend.exec(name, ["python3", "-c", code]) == (5, bytes(range(256)), b"e")


def test_signals_and_a_graceful_end(backend: Backend, python: Python, name: str) -> None:
    code = ENDS_ON.format(signal="SIGTERM", status=3)
    backend.start(python(code))
    _until(lambda: b"ready" in backend.logs(name))
    backend.stop(name, timeout=20)
    assert backend.container(name).exit_code == 3
    backend.stop(name)  # stopped already


@pytest.mark.parametrize("grace", [0, 20])
def test_removal_gives_time_to_end_where_it_is_asked_to(
    backend: Backend, python: Python, name: str, shared_dir: Path, grace: float
) -> None:
    shared_dir.chmod(0o777)
    code = ENDS_ON.format(signal="SIGTERM", status="open('/data/ended', 'w')")
    backend.start(python(code, mounts=(Mount("bind", str(shared_dir), "/data"),)))
    _until(lambda: b"ready" in backend.logs(name))
    backend.remove(name, grace=grace)
    assert (shared_dir / "ended").exists() is bool(grace)
    backend.remove(name, grace=grace)  # gone already
    with pytest.raises(ContainerNotFound):
        backend.container(name)


def test_kill_reaches_the_process_through_init(backend: Backend, python: Python, name: str) -> None:
    code = ENDS_ON.format(signal="SIGUSR1", status=4)
    backend.start(python(code))
    _until(lambda: b"ready" in backend.logs(name))
    backend.kill(name, "USR1")
    assert backend.wait(name) == 4


def test_removal_takes_anonymous_volumes_along_and_may_be_repeated(backend: Backend, python: Python, name: str) -> None:
    before = set(backend.volumes())
    backend.start(python(WAIT))
    assert len(set(backend.volumes()) - before) == 1
    backend.remove(name)
    backend.remove(name)
    assert set(backend.volumes()) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda b, n: b.container(n),
        lambda b, n: b.logs(n),
        lambda b, n: list(b.follow_logs(n)),
        lambda b, n: b.exec(n, ["true"]),
        lambda b, n: b.stop(n),
        lambda b, n: b.kill(n),
        lambda b, n: b.wait(n),
    ],
)
def test_a_container_that_is_not_there(backend: Backend, call: Callable[[Backend, str], object]) -> None:
    absent = f"contract-{secrets.token_hex(4)}"
    with pytest.raises(ContainerNotFound) as caught:
        call(backend, absent)
    assert absent in str(caught.value)


def test_no_capability_and_no_way_to_get_one(backend: Backend, python: Python, name: str) -> None:
    backend.start(python(WAIT))
    status = backend.exec(name, ["sh", "-c", "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/1/status"])[1].decode().split()
    assert status[1::2] == ["0" * 16, "0" * 16, "1"]


def test_memory_limit_is_asked_for(backend: Backend, python: Python, name: str) -> None:
    info = backend.start(python(WAIT, memory="128m"))
    assert info.attrs["HostConfig"]["Memory"] in (128 << 20, 0), "rootless engines without delegation drop it"
    if backend.info().name == "docker":
        assert info.attrs["HostConfig"]["Memory"] == 128 << 20


def test_a_read_only_root_with_writable_places(backend: Backend, python: Python, run: Callable[..., tuple]) -> None:
    code = (
        "import os, pathlib\n"
        "for place in ('/tmp', '/var/tmp', os.environ['HOME']): pathlib.Path(place, 'x').write_text('x')\n"
        "try: pathlib.Path('/opt/x').write_text('x')\nexcept OSError as e: print(e.errno)\n"
    )
    status, out, err, _ = run(python(code, read_only_root=True, env={"HOME": "/home/somebody"}))
    assert (status, out.strip()) == (0, b"30"), err


def test_engine_arguments_come_last_and_win(backend: Backend, python: Python, name: str) -> None:
    raw = ("--env=PLAIN=raw", "--label", "org.example.raw=1", "--hostname=elsewhere")
    spec = python(SERVE, env={"PLAIN": "1"}, raw_args=raw, ports=(PortBinding(8000),))
    info = backend.start(spec)
    assert info.env["PLAIN"] == "raw"
    assert info.labels["org.example.raw"] == "1"
    assert (
        backend.exec(name, ["hostname"])[1] == b"elsewhere\n"
        or backend.exec(name, ["cat", "/etc/hostname"])[1] == b"elsewhere\n"
    )
    _fetch(info.ports[0].host_port)
    with pytest.raises(NameInUse):
        backend.start(spec)


def test_a_wrong_engine_argument(backend: Backend, python: Python, name: str) -> None:
    with pytest.raises(APIError) as caught:
        backend.start(python(WAIT, raw_args=("--no-such-option",)))
    assert "no-such-option" in str(caught.value)
    with pytest.raises(ContainerNotFound):
        backend.container(name)


def test_a_deadline_bounds_every_wait(backend: Backend, python: Python, name: str) -> None:
    backend.start(python(WAIT))
    with pytest.raises(EngineTimeout):
        backend.wait(name, Deadline(0.3))
    with pytest.raises(EngineTimeout):
        backend.container(name, Deadline(0.0))


def test_many_at_once(backend: Backend, python: Python, name: str) -> None:
    names = [f"{name}-{i}" for i in range(3)]
    errors: list[BaseException] = []

    def start(each: str) -> None:
        try:
            backend.start(replace(python(WAIT, ports=(PortBinding(8000),)), name=each))
        except BaseException as exc:
            errors.append(exc)

    try:
        threads = [threading.Thread(target=start, args=(each,)) for each in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        ports = [backend.container(each).ports[0].host_port for each in names]
        assert len(set(ports)) == 3
    finally:
        for each in names:
            backend.remove(each)


def _fetch(port: int) -> None:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    _until(answers)


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


LIMIT = """
from pathlib import Path
for name in ("memory.max", "memory/memory.limit_in_bytes"):
    if (path := Path("/sys/fs/cgroup", name)).exists():
        print(path.read_text().strip())
"""


def test_whether_a_memory_limit_is_enforced(backend: Backend, python: Python) -> None:
    out = bytearray()
    assert backend.run(python(LIMIT, memory="256m"), out.extend, lambda data: None)[0] == 0
    assert backend.limits_memory() == (str(256 << 20) in out.decode().split())


@pytest.mark.parametrize("raw", [(), ("--hostname=by-the-executable",)])
def test_the_size_of_shared_memory(backend: Backend, python: Python, raw: tuple[str, ...]) -> None:
    code = "import os; state = os.statvfs('/dev/shm'); print(state.f_blocks * state.f_frsize)"
    out = bytearray()
    assert backend.run(python(code, shm_size="100m", raw_args=raw), out.extend, lambda data: None)[0] == 0
    assert int(out) == 100 << 20


CHATTER = """
import sys, time
for number in range(12_000):
    print(number, "x" * 8_000)
print("the end")
time.sleep(600)
"""


def test_the_last_lines_are_whole_whatever_pieces_they_were_written_in(backend: Backend, python: Python) -> None:
    info = backend.start(
        python("import os, time\nfor piece in (b'rea', b'son', b'\\n'): os.write(2, piece); time.sleep(0.3)")
    )
    backend.wait(info.id)
    assert b"".join(backend.last_logs(info.id, 10)) == b"reason\n"


def test_the_log_is_bounded(backend: Backend, python: Python) -> None:
    info = backend.start(python(CHATTER))
    end = time.monotonic() + 120
    while not (log := backend.logs(info.id)).endswith(b"the end\n"):
        assert time.monotonic() < end
        time.sleep(1)
    assert len(log) < (LOG_MEGABYTES + 1) * 1_000_000 < 12_000 * 8_000
    numbers = [int(line.split()[0]) for line in log.splitlines()[1:-1]]
    assert numbers == list(range(numbers[0], 12_000)), "of what is kept, nothing is missing"
