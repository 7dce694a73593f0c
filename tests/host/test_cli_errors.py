"""How a command line that goes wrong ends: exit status, and what it says where."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tesseract.cli.execute import execute

pytestmark = pytest.mark.fast


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ended]]:
    """Run a command line in this process, which is quick."""
    monkeypatch.setenv("COLUMNS", "100")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*args: str) -> Ended:
        status = execute(args)
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def tesseract(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tesseract", *args],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", **env},
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["biuld"], "No such command 'biuld'. Did you mean 'build'?"),
        (["nothing-like-it"], "No such command 'nothing-like-it'."),
        (["--loglevel", "loud", "ps"], 'Invalid value "loud" for --loglevel. Choose from: "debug", "info"'),
        (["--engine", "lxc", "ps"], 'Invalid value "lxc" for --engine. Choose from: "auto", "podman", "docker".'),
        (["ps", "--format", "xml"], "--format"),
        (["ps", "--nonsense"], "Unknown option"),
        (["serve"], "Missing argument IMAGE."),
        (["serve", "x", "y"], "Unexpected argument 'y'."),
        (["serve", "x", "--port"], "--port needs a value."),
        (["serve", "x", "--port", "1", "--port", "2"], "--port may be given only once."),
        (["serve", "x", "--num-worker", "2"], "Did you mean --num-workers?"),
        (["init", "hello"], "Give the name as --name NAME."),
        (["serve", "x", "-e", "foo"], "Environment variable 'foo' must be in the format 'key=value'."),
        (["serve", "x", "-p", "http"], "must be single integer or a range"),
        (["serve", "x", "-p", "1-2-3"], "must be single integer or a range"),
        (["serve", "x", "-p", "9-8"], "start port must not be greater"),
        (["serve", "x", "-p", "70000"], "between 0 and 65535"),
        (["serve", "x", "--network-alias", "y"], "Network alias can only be used with a specified network."),
        (["serve", "x", "--network", "host", "--network-alias", "y"], "can only be used with a specified network."),
        (["serve", "x", "--num-workers", "many"], "Invalid value for --num-workers: 'many' is not a whole number."),
        (["serve", "x", "--num-workers", "1.5"], "'1.5' is not a whole number."),
        (["serve", "x", "-f", "xml"], "json+base64"),
        (["run"], "Tesseract image name is required."),
        (["run", "x"], "Command is required. Are you sure your Tesseract image name is `x`?"),
        (["run", "x", "serve"], "A one-shot run cannot serve. Use `tesseract serve IMAGE`."),
        (["run", "x", "aply"], 'Invalid value "aply" for CMD. Choose from: "abstract-eval", "apply"'),
        (["run", "x", "aply"], 'Did you mean "apply"?'),
        (["run", "x", "apply", "{a", "b}"], "Unexpected argument 'b}'. Quote the payload as one word"),
        (["run", "x", "apply", "{}", "-e", "foo"], "Environment variables must be in the format 'key=value'."),
        (["teardown"], "Either container names or --all flag must be provided"),
        (["teardown", "x", "--all"], "but not both"),
        ([], "Missing command."),
    ],
)
def test_usage_error(args: list[str], message: str, here: Callable[..., Ended]) -> None:
    result = here(*args)
    assert result.returncode == 2
    assert result.stdout == ""
    words = " ".join(result.stderr.replace("│", " ").split())
    assert message in words
    assert "Usage: tesseract" in result.stderr
    assert "-h' for help." in result.stderr
    assert "Aborting" not in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("Did you mean") <= 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["serve", "x", "-v", "a:b:c:d"], "Invalid mount volume specification a:b:c:d"),
        (["serve", "x", "-v", "/does/not/exist:/y"], "Source path /does/not/exist does not exist"),
        (["serve", "x", "-i", "/does/not/exist"], "Path /does/not/exist provided as input path is not a directory"),
        (["serve", "x", "-o", "/proc/nope"], "Cannot write to the output path /proc/nope"),
        (["serve", "x", "-o", ""], "The output path is empty. Give a directory, or leave it out."),
        (["serve", "x", "-f", "json+binref"], "--output-path"),
        (["serve", "x", "--host-ip", ""], "Invalid host IP ''"),
        (["serve", "x", "--host-ip", "nowhere", "-p", "8000-8010"], "Invalid host IP 'nowhere'"),
        (["serve", "x", "--startup-timeout", "-1"], "must be more than 0 seconds, not -1"),
        (["serve", "x", "--token", ""], "Invalid token"),
        (["serve", "x", "--user", "ada"], "UID or UID:GID"),
        (["serve", "x", "-m", "much"], "Invalid memory limit 'much'"),
        (["serve", "x", "--num-workers", "0"], "at least 1"),
        (["serve", "x", "--socket", "-p", "8000"], "not on both"),
        (["serve", "x", "--network", "none"], "add --socket"),
        (["serve", "x", "--runtime-args", "'"], "Check the quotes"),
        (["run", "x", "apply", "@/does/not/exist.json"], "Path /does/not/exist.json provided as input is not a file"),
        (["run", "x", "apply", "{}", "-v", "a"], "Invalid mount volume specification a"),
        (["run", "x", "apply", "{}", "-i", "/does/not/exist"], "is not a directory"),
        (["run", "x", "apply", "{}", "--output-file", "r.json"], "/tesseract/output_data/r.json would go with"),
        (["run", "x", "apply", "{}", "--docker-args", "'"], "Check the quotes"),
    ],
)
def test_user_error(args: list[str], message: str, here: Callable[..., Ended]) -> None:
    result = here(*args)
    assert result.returncode == 1
    assert result.stdout == ""
    first, last = result.stderr.splitlines()[0], result.stderr.splitlines()[-1]
    assert first.startswith(" [-] ")
    assert message in first
    assert last == " [x] Aborting"
    assert "Traceback" not in result.stderr


def test_debug_shows_where_a_user_error_comes_from() -> None:
    result = tesseract("--loglevel", "debug", "serve", "x", "-v", "a:b:c:d")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert result.stderr.endswith(" [x] Aborting\n")


def test_bad_setting() -> None:
    result = tesseract("ps", TESSERACT_DOCKER_EXECUTABLE="nope")
    assert result.returncode == 1
    assert result.stderr.startswith(" [-] Error while parsing Tesseract configuration.")
    assert ' - TESSERACT_DOCKER_EXECUTABLE="nope": Value error, Executable `nope` not found.' in result.stderr
    assert tesseract("serve", "--help", TESSERACT_DOCKER_EXECUTABLE="nope").returncode == 0


def test_no_engine_installed() -> None:
    result = tesseract("ps", PATH="/nonexistent", CONTAINER_HOST="", DOCKER_HOST="")
    assert result.returncode == 1
    assert "No container engine was found" in result.stderr


@pytest.mark.parametrize(
    ("variable", "address", "message"),
    [
        (
            "CONTAINER_HOST",
            "podman.sock",
            "'podman.sock' (auto; CONTAINER_HOST is set) is no address of a Podman service",
        ),
        ("CONTAINER_HOST", "tcp://127.0.0.1:1", "Podman does not answer at tcp://127.0.0.1:1"),
        ("CONTAINER_HOST", "tcp://nowhere.invalid:1", "Podman does not answer at tcp://nowhere.invalid:1"),
        ("DOCKER_HOST", "tcp://127.0.0.1:1", "Docker does not answer at tcp://127.0.0.1:1"),
    ],
)
def test_nobody_at_that_address(variable: str, address: str, message: str) -> None:
    engine = "podman" if variable == "CONTAINER_HOST" else "docker"
    result = tesseract("--engine", engine, "ps", **{"CONTAINER_HOST": "", variable: address})
    assert result.returncode == 1
    assert message.replace("auto", "TESSERACT_ENGINE says podman") in result.stderr


@pytest.mark.skipif(os.getuid() == 0, reason="root may enter every directory")
def test_directories_that_are_closed(here: Callable[..., Ended], tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    for command in (["run", "x", "health"], ["serve", "x"]):
        result = here(*command, "-i", str(closed))
        assert (result.returncode, result.stdout) == (1, "")
        assert f"The input path {closed} may not be read by you. Check its owner and mode." in result.stderr
        result = here(*command, "-o", str(closed))
        assert (result.returncode, result.stdout) == (1, "")
        assert f"Cannot write to the output path {closed}: Permission denied." in result.stderr


BUG = """
import tesseract.serving.listing as listing
def broken(backend=None): raise ZeroDivisionError("seven")
listing.containers = broken
from tesseract.cli.main import main
main({words})
"""


def broken_ps(*words: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BUG.format(words=list(words))],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp)},
        check=False,
    )


def test_a_bug_of_ours_is_one_line_and_a_file(tmp_path: Path) -> None:
    result = broken_ps("ps", tmp=tmp_path)
    assert result.returncode == 70
    assert len(result.stderr.splitlines()) == 1
    (file,) = tmp_path.glob("tesseract-bug-*.txt")
    assert str(file) in result.stderr
    assert "ZeroDivisionError: seven" in file.read_text()


def test_a_bug_of_ours_in_debug(tmp_path: Path) -> None:
    result = broken_ps("--loglevel", "DEBUG", "ps", tmp=tmp_path)
    assert result.returncode == 70
    assert "Traceback" in result.stderr
    assert not list(tmp_path.iterdir())


INTERRUPTED = """
import os, signal, tesseract.serving.listing as listing
def slow(backend=None):
    try: os.kill(os.getpid(), signal.{name}); signal.pause()
    finally: print("cleaned", flush=True)
listing.containers = slow
from tesseract.cli.main import main
main(["ps"])
"""


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_clean_up(name: str, status: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(name=name)], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == status
    assert result.stdout == "cleaned\n"
    assert "Traceback" not in result.stderr


def test_a_reader_that_has_enough() -> None:
    command = f"{sys.executable} -m tesseract --help | head -c 10 >/dev/null; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env={**os.environ, "SHELL": "/bin/bash"}, check=False
    )
    assert result.stderr == ""
    assert result.stdout.strip() in ("0", "1", "141")


def in_shell(command: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `tesseract` is ours; what it says of exit statuses comes last on stdout."""
    line = f'tesseract() {{ {sys.executable} -m tesseract "$@"; }}; {command}; echo $?'
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=environment, timeout=60, check=False, **settings
    )


def test_closed_streams() -> None:
    for command in ("tesseract runs . >&-", "tesseract runs . <&-", "tesseract runs . 2>&-"):
        result = in_shell(command)
        assert (result.stdout.splitlines()[-1], result.stderr) == ("0", "")
    assert in_shell("tesseract biuld 2>&-").stdout == "2\n"


def test_output_that_cannot_be_written() -> None:
    result = in_shell("tesseract runs . >/dev/full")
    assert result.stdout == "1\n"
    assert result.stderr == " [-] Cannot write to standard output: No space left on device.\n [x] Aborting\n"


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    for command in ("run x apply {}", "build .", "serve x -v .:/data"):
        result = in_shell(f"mkdir gone; cd gone; rmdir ../gone; tesseract {command}", cwd=tmp_path)
        assert result.stdout == "1\n"
        assert result.stderr.startswith(" [-] The working directory does not exist any more. Change to another one.")


def test_a_name_that_is_no_text() -> None:
    result = in_shell("tesseract run $'caf\\xe9' apply {}")
    assert result.stdout == "1\n"
    assert "[-] 'caf\\udce9' is not UTF-8 text" in result.stderr


def test_terminals_of_any_width() -> None:
    for width in ("1", "5", "0", "nonsense", "1000"):
        result = tesseract("biuld", COLUMNS=width)
        assert result.returncode == 2
        words = result.stderr.replace("│", " ").split()
        assert "'build'?" in words


def on_a_terminal(*args: str, **env: str) -> str:
    """What a command writes to a terminal that is its standard error."""
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "tesseract", *args]
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run(
        command, stdin=writer, stdout=writer, stderr=writer, env={**environment, "TERM": "xterm", **env}, check=False
    )
    os.close(writer)
    said = os.read(reader, 65536).decode()
    os.close(reader)
    return said


def test_colours_are_for_terminals_that_want_them() -> None:
    for args in (["runs", "/does/not/exist"], ["doctor", "runtime-dir"]):
        assert "\033[3" in on_a_terminal(*args)
        assert "\033[" not in on_a_terminal(*args, NO_COLOR="1")
        assert "\033[" not in on_a_terminal(*args, TERM="dumb")
