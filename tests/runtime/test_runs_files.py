"""Runs without MLflow: their directories, logs, metrics, parameters and artifacts."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from tesseract_core.runtime.config import override_config
from tesseract_core.runtime.mpa import log_artifact, log_metric, log_parameter, serve_run, start_run, stream_run

pytestmark = pytest.mark.fast


@pytest.fixture(autouse=True)
def output_path(tmp_path: Path) -> Iterator[Path]:
    with override_config({"output_path": str(tmp_path / "out")}):
        yield tmp_path / "out"


def rows(logs: Path) -> list[list[str]]:
    with (logs / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_layout_of_a_run(output_path: Path) -> None:
    with start_run():
        print("hello")
    assert sorted(str(path.relative_to(output_path)) for path in output_path.rglob("*")) == [
        "logs",
        "logs/artifacts",
        "logs/metrics.csv",
        "logs/run.json",
        "logs/tesseract.log",
    ]
    assert (output_path / "logs/metrics.csv").read_text() == "timestamp,key,value,step\n"
    assert (output_path / "logs/tesseract.log").read_text() == "hello\n"


def test_metrics_count_earlier_values_of_their_key(tmp_path: Path) -> None:
    with start_run(tmp_path):
        log_metric("m", 1)
        log_metric("other, quoted", 2.5, step=7)
        log_metric("m", 3.0, step=100)
        log_metric("m", 4)
    header, *values = rows(tmp_path / "logs")
    assert header == ["timestamp", "key", "value", "step"]
    assert [row[1:] for row in values] == [
        ["m", "1.0", "0"],
        ["other, quoted", "2.5", "7"],
        ["m", "3.0", "100"],
        ["m", "4.0", "2"],
    ]
    for row in values:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", row[0])
        assert abs((datetime.now() - datetime.fromisoformat(row[0])).total_seconds()) < 60


def test_metrics_can_be_watched_while_the_run_goes_on(tmp_path: Path) -> None:
    with start_run(tmp_path):
        log_metric("m", 1)
        assert len(rows(tmp_path / "logs")) == 2


def test_parameters(tmp_path: Path) -> None:
    with start_run(tmp_path):
        assert not (tmp_path / "logs/parameters.json").exists()
        log_parameter("p", 1)
        log_parameter("q", "v")
        log_parameter("p", 2)
        log_parameter("path", Path("/x"))
    text = (tmp_path / "logs/parameters.json").read_text()
    assert text == '{\n  "p": 2,\n  "q": "v",\n  "path": "/x"\n}'


def test_parameters_are_kept_as_they_were(tmp_path: Path) -> None:
    """Whatever they are, and whatever becomes of them: later ones are logged, too."""
    circle: list[object] = []
    circle.append(circle)
    growing = [1]
    with start_run(tmp_path):
        for key, value in {"tuples": {(1, 2): 3}, "circle": circle, "growing": growing}.items():
            log_parameter(key, value)
        growing.append(2)
        log_parameter("last", True)
    kept = json.loads((tmp_path / "logs/parameters.json").read_text())
    assert kept == {"tuples": "{(1, 2): 3}", "circle": "[[...]]", "growing": [1], "last": True}


def test_artifacts(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text("one")
    os.utime(source, (1e9, 1e9))
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/b.txt").write_text("two")
    run = tmp_path / "run"
    with start_run(run):
        log_artifact(str(source))
        log_artifact(f"{folder}/")
        kept = run / "logs/artifacts"
        assert (kept / "a.txt").read_text() == "one"
        assert (kept / "a.txt").stat().st_mtime == 1e9
        assert (kept / "folder/sub/b.txt").read_text() == "two"
        source.write_text("three")
        (folder / "sub/b.txt").unlink()
        log_artifact(source)
        log_artifact(folder)
        assert (kept / "a.txt").read_text() == "three"
        assert not (kept / "folder/sub/b.txt").exists()
        assert sorted(path.name for path in kept.iterdir()) == ["a.txt", "folder"]
        with pytest.raises(FileNotFoundError, match=r"missing\.txt"):
            log_artifact("missing.txt")
        with pytest.raises(ValueError, match="own artifacts"):
            log_artifact(tmp_path)


def test_outside_of_a_run() -> None:
    for log in (lambda: log_metric("m", 1), lambda: log_parameter("p", 1), lambda: log_artifact("x")):
        with pytest.raises(RuntimeError, match="no active run"):
            log()


def test_nested_runs(tmp_path: Path) -> None:
    with start_run(tmp_path / "outer"):
        print("before")
        with start_run(tmp_path / "inner"):
            print("within")
            log_metric("inner", 1)
        print("after")
        log_metric("outer", 1)
    assert (tmp_path / "outer/logs/tesseract.log").read_text() == "before\nafter\n"
    assert (tmp_path / "inner/logs/tesseract.log").read_text() == "within\n"
    assert [row[1] for row in rows(tmp_path / "outer/logs")[1:]] == ["outer"]
    assert [row[1] for row in rows(tmp_path / "inner/logs")[1:]] == ["inner"]


def test_threads_that_user_code_starts_log_to_its_run(tmp_path: Path) -> None:
    with start_run(tmp_path):
        thread = threading.Thread(target=log_metric, args=("m", 1))
        thread.start()
        thread.join()
    assert [row[1] for row in rows(tmp_path / "logs")[1:]] == ["m"]


def test_logs_are_kept_when_the_endpoint_raises(tmp_path: Path) -> None:
    def fail() -> None:
        with start_run(tmp_path):
            print("so far", end="")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (tmp_path / "logs/tesseract.log").read_text() == "so far"


def test_all_writers_end_in_the_log(tmp_path: Path) -> None:
    with start_run(tmp_path):
        print("print")
        os.write(1, b"descriptor\n")
        subprocess.run(["echo", "child"], check=True)
        print("stderr", file=sys.stderr)
    assert (tmp_path / "logs/tesseract.log").read_text() == "print\ndescriptor\nchild\nstderr\n"


def test_a_sink_gets_each_line_and_may_print(tmp_path: Path) -> None:
    lines: list[str] = []

    def sink(line: str) -> None:
        print("sink prints", line)
        lines.append(line)

    with start_run(tmp_path, log_sink=sink):
        print("one\ntwo")
        print("unterminated", end="")
    assert lines == ["one", "two", "unterminated"]
    assert (tmp_path / "logs/tesseract.log").read_text() == "one\ntwo\nunterminated"


def test_a_sink_that_logs_does_not_feed_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import logging

    logger = logging.getLogger("test_sink")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("logged: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel("INFO")
    try:
        with start_run(tmp_path, log_sink=logger.info):
            print("one")
            time.sleep(0.1)
            logger.info("of the user")
    finally:
        logger.removeHandler(handler)
    assert (tmp_path / "logs/tesseract.log").read_text() == "one\nlogged: of the user\n"
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "logged: one\nlogged: logged: of the user\n")
    assert "write" not in vars(sys.stderr)


def test_a_sink_gets_long_lines_whole(tmp_path: Path) -> None:
    lines: list[str] = []
    with start_run(tmp_path, log_sink=lines.append):
        os.write(1, b"progress " * 1_000_000)
        os.write(1, b"\nshort\nunfinished")
    assert lines == ["progress " * 1_000_000, "short", "unfinished"]


def test_a_sink_is_called_while_the_run_goes_on(tmp_path: Path) -> None:
    heard = threading.Event()
    with start_run(tmp_path, log_sink=lambda line: heard.set()):
        print("now")
        assert heard.wait(10)


def test_a_broken_sink_costs_neither_the_run_nor_its_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def sink(line: str) -> None:
        raise OSError("sink is broken")

    with start_run(tmp_path, log_sink=sink):
        print("one")
        print("two")
    assert (tmp_path / "logs/tesseract.log").read_text() == "one\ntwo\n"
    assert "sink is broken" in capfd.readouterr().err


def test_nested_sinks_that_print(tmp_path: Path) -> None:
    with start_run(tmp_path / "outer", log_sink=lambda line: print("outer:", line)):
        print("a")
        with start_run(tmp_path / "inner", log_sink=lambda line: print("inner:", line)):
            print("b")
        print("c")
    assert (tmp_path / "inner/logs/tesseract.log").read_text() == "b\n"
    outer = (tmp_path / "outer/logs/tesseract.log").read_text().splitlines()
    assert sorted(outer) == ["a", "c", "inner: b"]


def test_without_descriptors_nothing_is_redirected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with start_run(tmp_path):
        print("hello")
    assert out.getvalue() == "hello\n"
    assert (tmp_path / "logs/tesseract.log").read_text() == ""


def test_runs_in_threads_take_turns(tmp_path: Path) -> None:
    def work(name: str) -> None:
        with start_run(tmp_path / name):
            for _ in range(20):
                print(name)
                time.sleep(0.001)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abc":
        assert (tmp_path / name / "logs/tesseract.log").read_text() == f"{name}\n" * 20


def test_much_output(tmp_path: Path) -> None:
    with start_run(tmp_path):
        subprocess.run(["head", "-c", "5000000", "/dev/zero"], check=True)
        print("end")
    assert (tmp_path / "logs/tesseract.log").stat().st_size == 5_000_004


def test_a_child_that_outlives_the_run_neither_holds_it_nor_is_killed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve_run("r", named=True):
        child = subprocess.Popen(["sh", "-c", "echo first; read _; echo late; echo later"], stdin=subprocess.PIPE)
        time.sleep(0.2)
    with serve_run("next", named=True):
        child.communicate(b"\n")
        time.sleep(0.2)
    assert child.returncode == 0
    assert capfd.readouterr().err == "[run r] first\n[run r] late\n[run r] later\n"


# Served runs


def test_a_served_run_streams_to_stderr_line_by_line(output_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serve_run("abc", named=True):
        print("one")
        print("two\nthree", end="")
    assert (output_path / "run_abc/logs/tesseract.log").read_text() == "one\ntwo\nthree"
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == "[run abc] one\n[run abc] two\n[run abc] three\n"


def test_an_unnamed_run_leaves_nothing_unless_it_has_something(output_path: Path) -> None:
    with serve_run("silent", named=False):
        pass
    assert not output_path.exists()
    with serve_run("prints", named=False):
        print("x")
    with serve_run("measures", named=False):
        log_metric("m", 1)
    with serve_run("described", named=False):
        log_parameter("p", 1)
    with serve_run("keeps", named=False):
        log_artifact(__file__)
    assert sorted(path.name for path in output_path.iterdir()) == [
        "run_described",
        "run_keeps",
        "run_measures",
        "run_prints",
    ]
    for run in output_path.iterdir():
        assert {path.name for path in (run / "logs").iterdir()} >= {"tesseract.log", "metrics.csv", "artifacts"}


def test_a_named_run_is_there_from_the_start(output_path: Path) -> None:
    with serve_run("abc", named=True):
        assert (output_path / "run_abc/logs/metrics.csv").exists()


def test_a_run_id_used_again_starts_afresh(output_path: Path) -> None:
    for text in ("first run\n", "second\n"):
        with serve_run("abc", named=True):
            print(text, end="")
            log_metric("m", 1)
            if text.startswith("first"):
                log_parameter("p", 1)
    logs = output_path / "run_abc/logs"
    assert (logs / "tesseract.log").read_text() == "second\n"
    assert len(rows(logs)) == 2
    assert not (logs / "parameters.json").exists()


@pytest.mark.parametrize("run_id", ["../x", "", "a/b", ".."])
def test_a_run_id_is_one_safe_component(output_path: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="run id"), serve_run(run_id, named=True):
        pass
    assert not output_path.exists()


def test_a_run_directory_may_not_be_a_link_to_elsewhere(output_path: Path, tmp_path: Path) -> None:
    output_path.mkdir()
    (output_path / "run_x").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="outside"), serve_run("x", named=True):
        pass


def _write_run(output_path: str, text: str, started: object) -> None:
    with override_config({"output_path": output_path}), serve_run("same", named=True):
        started.set()  # type: ignore[attr-defined]
        for _ in range(30):
            log_metric(text, 1)
            time.sleep(0.01)


def test_two_processes_with_one_run_id_take_turns(output_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    events = [context.Event(), context.Event()]
    workers = [
        context.Process(target=_write_run, args=(str(output_path), text, event))
        for text, event in zip("ab", events, strict=True)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    _, *values = rows(output_path / "run_same/logs")
    assert len({row[1] for row in values}) == 1, "the second run has overwritten the first"
    assert len(values) == 30


def test_only_the_newest_runs_are_kept_where_a_limit_is_set(output_path: Path) -> None:
    with override_config({"output_path": str(output_path), "max_runs": 2}):
        with serve_run("busy", named=True):
            os.utime(output_path / "run_busy", (1, 1))
            for number in range(4):
                with serve_run(f"n{number}", named=True):
                    pass
                os.utime(output_path / f"run_n{number}", (number + 10, number + 10))
            assert (output_path / "run_busy").exists(), "a run in progress stays"
        assert sorted(path.name for path in output_path.iterdir()) == ["run_n2", "run_n3"]


def test_a_full_disk_costs_the_log_and_not_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_run(tmp_path):
        (tmp_path / "logs/tesseract.log").unlink()
        (tmp_path / "logs/tesseract.log").symlink_to("/dev/full")
        print("x" * 100_000)
    assert "log is incomplete: [Errno 28] No space left on device" in capfd.readouterr().err


def test_a_command_streams_as_it_comes(output_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with stream_run():
        print("no newline", end="")
    assert capfd.readouterr().err == "no newline"
    assert (output_path / "logs/tesseract.log").read_text() == "no newline"


def test_a_process_forked_within_a_run_can_have_runs_of_its_own(tmp_path: Path) -> None:
    with start_run(tmp_path / "parent"):
        print("parent")
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with start_run(tmp_path / "child"):
                    print("child")
                    log_metric("m", 1)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        print("parent again")
    assert (tmp_path / "child/logs/tesseract.log").read_text() == "child\n"
    assert (tmp_path / "parent/logs/tesseract.log").read_text() == "parent\nparent again\n"


def test_parameters_are_valid_json_at_any_moment(tmp_path: Path) -> None:
    stop = threading.Event()
    broken: list[Exception] = []

    def read() -> None:
        while not stop.is_set():
            try:
                json.loads((tmp_path / "logs/parameters.json").read_text())
            except FileNotFoundError:
                pass
            except ValueError as error:
                broken.append(error)

    with start_run(tmp_path):
        reader = threading.Thread(target=read)
        reader.start()
        for number in range(200):
            log_parameter(f"p{number}", "x" * 100)
        stop.set()
        reader.join()
    assert not broken
