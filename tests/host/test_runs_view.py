"""Looking at the runs below an output path."""

from __future__ import annotations

import json
import os
from array import array
from pathlib import Path

import pytest

from tesseract.cli.runs import runs
from tesseract.errors import InvalidValue
from tesseract.runs import plot, read
from tesseract.runs.metrics import MOST_KEYS, Metric, thinned
from tesseract.runs.read import read_runs

pytestmark = pytest.mark.fast


@pytest.fixture
def output_path(tmp_path: Path) -> Path:
    """Two runs of a server, the second with a metric and without a record."""
    first, second = tmp_path / "run_one" / "logs", tmp_path / "run_two" / "logs"
    (first / "artifacts").mkdir(parents=True)
    (first / "artifacts" / "mesh.vtk").write_text("x")
    record = {"endpoint": "apply", "started": "2026-11-23T08:00:00", "seconds": 1.5, "status": "succeeded"}
    (first / "run.json").write_text(json.dumps(record))
    (first / "parameters.json").write_text('{"p": 2}')
    second.mkdir(parents=True)
    lines = "".join(f"2026-11-23T08:00:0{i},loss,{10 - i},{i}\n" for i in range(10))
    (second / "metrics.csv").write_text("timestamp,key,value,step\n" + lines + "2026-11-23T08:01:00,lo")
    (tmp_path / "run_nothing").mkdir()
    return tmp_path


def test_runs_are_read_oldest_first(output_path: Path) -> None:
    one, two = read_runs(output_path)
    assert (one.id, one.endpoint, one.seconds, one.status) == ("one", "apply", 1.5, "succeeded")
    assert (one.parameters, one.artifacts, one.metrics) == ({"p": 2}, ("mesh.vtk",), ())
    assert (two.id, two.endpoint, two.status) == ("two", None, None)
    assert [(m.key, m.last, len(m.values)) for m in two.metrics] == [("loss", 1.0, 10)], (
        "a torn last line is passed over"
    )


HEADER = b"timestamp,key,value,step\n"
ODD = {
    "binary": (
        {"run.json": b"\xff\xfe\0", "metrics.csv": b"\xff\xfe\0\n"},
        ["run.json: not read: not valid", "metrics.csv: not read: its"],
    ),
    "list": (
        {"run.json": b"[1]", "metrics.csv": b"key\nloss\n"},
        ["run.json: not read: not a JSON object", "metrics.csv: not read: its"],
    ),
    "words": (
        {"run.json": b'{"seconds": "long", "started": 7, "status": {}, "endpoint": ["x"]}'},
        ["its 'started'", "its 'endpoint'", "its 'seconds'", "its 'status'"],
    ),
    "huge": ({"run.json": b'{"seconds": 1' + b"0" * 400 + b', "started": "soon"}'}, ["its 'started'", "its 'seconds'"]),
    "endless": ({"run.json": b'{"seconds": 1e999}'}, ["its 'seconds'"]),
    "digits": ({"run.json": b'{"seconds": ' + b"9" * 5000 + b"}"}, ["run.json: not read: not valid"]),
    "deep": ({"run.json": b"[" * 100_000}, ["run.json: not read: not valid"]),
    "nested": ({"parameters.json": b'{"p": ' + b"[" * 40 + b"]" * 40 + b"}"}, ["parameters.json: not read: nested"]),
    "large": (
        {"parameters.json": b'{"p": "' + b"x" * 1_000_000 + b'"}'},
        ["parameters.json: not read: more than 1,000,000"],
    ),
    "lines": (
        {"metrics.csv": HEADER + b"1,loss,low,0\n\n1,loss\n1,loss,1,1\n"},
        ["metrics.csv: 3 lines are no value"],
    ),
    "quote": (
        {"metrics.csv": HEADER + b'1,loss,1,0\n1,"' + b"x" * 200_000 + b"\n"},
        ["metrics.csv: line 3: field larger"],
    ),
    "nokey": ({"metrics.csv": b"value,step\n1,1\n"}, ["metrics.csv: not read: its first line"]),
    "keys": (
        {"metrics.csv": HEADER + b"".join(b"1,key%d,1,1\n" % n for n in range(MOST_KEYS + 2))},
        ["metrics.csv: more than 1000 metrics; 2 values"],
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_a_damaged_run_hides_nothing_and_is_named(
    output_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    written, said = ODD[name]
    logs = output_path / "run_odd/logs"
    logs.mkdir(parents=True)
    for file, content in written.items():
        (logs / file).write_bytes(content)
    runs(output_path)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines[1:]) == ["odd", "one", "two"]
    assert len(caplog.messages) == len(said)
    for message, part in zip(caplog.messages, said, strict=True):
        assert "run_odd/logs/" in message
        assert part in message
    runs(output_path, format="json")
    assert len(json.loads(capsys.readouterr().out, parse_constant=pytest.fail)) == 3


def test_what_a_container_plants_is_neither_followed_nor_waited_for(
    output_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    private = tmp_path.parent / f"{tmp_path.name}-private"
    (private / "logs/artifacts").mkdir(parents=True)
    (private / "logs/artifacts/id_ed25519").touch()
    (private / "secret.json").write_text('{"token": "hunter2"}')
    for name in ("pipe", "zero", "link", "artifacts", "logs"):
        (output_path / f"run_{name}").mkdir()
    (output_path / "run_logs/logs").symlink_to(private / "logs")
    (output_path / "run_itself").symlink_to(private)
    for name in ("pipe", "zero", "link", "artifacts"):
        (output_path / f"run_{name}/logs").mkdir()
    for file in ("run.json", "parameters.json", "metrics.csv"):
        os.mkfifo(output_path / "run_pipe/logs" / file)
        (output_path / "run_zero/logs" / file).symlink_to("/dev/zero")
        (output_path / "run_link/logs" / file).symlink_to(private / "secret.json")
    (output_path / "run_artifacts/logs/artifacts").symlink_to(private)
    runs(output_path)
    shown = capsys.readouterr().out
    found = {line.split()[0] for line in shown.splitlines()[1:]}
    assert found == {"one", "two", "pipe", "zero", "link", "artifacts"}
    assert "hunter2" not in shown + caplog.text
    assert "secret" not in shown + caplog.text
    assert "id_ed25519" not in shown
    assert sum("named pipe" in message for message in caplog.messages) == 3
    assert sum("symbolic link" in message for message in caplog.messages) == 9


def test_control_characters_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    evil = "\x1b]0;owned\a\u202e"
    logs = tmp_path / f"run_{evil}/logs"
    (logs / f"artifacts/{evil}").mkdir(parents=True)
    (logs / os.fsdecode(b"artifacts/not-utf8-\xff")).touch()
    record = {"endpoint": evil, "started": "2026-11-23T08:00:00", "seconds": 1e300, "status": evil + "\ud800"}
    (logs / "run.json").write_text(json.dumps(record))
    (logs / "parameters.json").write_text(json.dumps({evil: evil, "other": [evil]}))
    (logs / "metrics.csv").write_text(f"timestamp,key,value,step\n1,{evil},1,0\n1,{evil},2,1\n")
    (tmp_path / f"run_{evil}link").symlink_to(logs)
    runs(tmp_path)
    runs(tmp_path, plot=True)
    shown = capsys.readouterr().out
    shown.encode()
    assert r"\x1b]0;owned\x07\u202e" in shown
    assert {"\x1b", "\a", "\u202e"}.isdisjoint(shown + "".join(caplog.messages))


def test_numbers_are_bounded(output_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MOST_RUNS", 1)
    monkeypatch.setattr(read, "_MOST_METRICS", 100)
    monkeypatch.setattr(read, "_MOST_VALUES_IN_ALL", 1)
    (output_path / "logs/artifacts").mkdir(parents=True)
    for name in ("run_one", "run_nothing"):
        os.utime(output_path / name, (1, 1))
    told: list[tuple[str, str]] = []
    assert {run.id for run in read_runs(output_path, lambda *what: told.append(what))} == {"two", "-"}
    assert told == [
        (".", "3 runs, of which the latest 1 are read"),
        ("run_two/logs/metrics.csv", "only its first 100 bytes are read"),
        ("run_two/logs/metrics.csv", "there are too many values in all; those from here on are left out"),
    ]


def test_a_crowded_directory_hides_no_record(output_path: Path) -> None:
    for number in range(1100):
        (output_path / f"run_one/logs/{number}").touch()
    assert read_runs(output_path)[0].endpoint == "apply"


def test_parameters_have_columns_and_metrics_their_minimum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, point in enumerate(({"lr": 0.1, "solver": "cg"}, {"lr": 0.01, "mesh": [2, 3]})):
        logs = tmp_path / f"run_{number}/logs"
        logs.mkdir(parents=True)
        (logs / "run.json").write_text(json.dumps({"started": f"2026-11-23T08:00:0{number}"}))
        (logs / "parameters.json").write_text(json.dumps(point))
        (logs / "metrics.csv").write_text(
            "timestamp,key,value,step\n1,loss,0.5,0\n1,loss,nan,1\n1,loss,2,2\n1,one,3,0\n"
        )
    runs(tmp_path)
    header, first, second = capsys.readouterr().out.splitlines()
    columns = ["Run", "Started", "Endpoint", "Seconds", "Status", "lr", "solver", "mesh", "Metrics", "Artifacts"]
    assert header.split() == columns
    assert "0.1   cg      -       loss=2 (min 0.5), one=3  -" in first
    assert "0.01  -       [2, 3]  loss=2 (min 0.5), one=3  -" in second


def test_of_many_parameters_those_that_differ_have_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2):
        logs = tmp_path / f"run_{number}/logs"
        logs.mkdir(parents=True)
        (logs / "parameters.json").write_text(json.dumps({**{f"same{n}": 1 for n in range(20)}, "differs": number}))
    runs(tmp_path)
    assert capsys.readouterr().out.split()[5:13] == [*(f"same{n}" for n in range(7)), "differs"]
    assert "13 parameters have no column here; --format json has them" in caplog.text


def test_json_of_a_solver_that_diverged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/metrics.csv").write_text("timestamp,key,value,step\n1,loss,0.5,0\n2,loss,nan,1\n3,loss,inf,2\n")
    runs(tmp_path, format="json")
    (run,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert run["metrics"] == [{"key": "loss", "steps": [0, 1, 2], "values": [0.5, None, None]}]


@pytest.mark.parametrize("odd", ["inf", "-inf", "nan", "1e308", "-1e308"])
def test_what_is_finite_is_drawn_and_the_rest_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], odd: str
) -> None:
    (tmp_path / "logs").mkdir()
    rows = f"1,$loss_{{$,0.5,0\n1,$loss_{{$,{odd},1\n1,$loss_{{$,0.25,2\n1,$loss_{{$,1,{odd}\n1,$loss_{{$,1e308,3\n"
    (tmp_path / "logs/metrics.csv").write_text(f"timestamp,key,value,step\n{rows}")
    runs(tmp_path, plot=True, plot_file=tmp_path / "plot.svg")
    assert "0.50" in capsys.readouterr().out
    assert (tmp_path / "plot.svg").stat().st_size > 1000
    value = f"{float(odd):g}"
    said = f"Not drawn of $loss_{{$, as too large or not finite: {value} at step 1, 1 at step {value}, 1e+308 at step 3"
    assert said in caplog.text
    (tmp_path / "logs/metrics.csv").write_text(f"timestamp,key,value,step\n1,loss,{odd},1\n")
    with pytest.raises(InvalidValue, match="No value of the metric 'loss' can be drawn"):
        runs(tmp_path, plot=True)


def test_a_long_history_is_drawn_by_its_extremes() -> None:
    long = Metric("loss", array("d", range(100_000)), array("d", (step % 1000 for step in range(100_000))))
    short = thinned(long, 100)
    assert len(short.values) <= 100
    assert (min(short.values), max(short.values)) == (0, 999)
    assert list(short.steps) == sorted(short.steps)
    assert thinned(short, 100) is short


def test_a_run_whose_process_died(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").mkdir()
    record = {"endpoint": "apply", "status": "failed", "reason": "crashed: segmentation fault"}
    (tmp_path / "logs/run.json").write_text(json.dumps(record))
    runs(tmp_path)
    assert "failed: crashed: segmentation fault" in capsys.readouterr().out


def test_json_of_parameters_that_json_has_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/parameters.json").write_text('{"a": NaN, "b": [Infinity, {"c": -1e999}], "d": 1.5}')
    runs(tmp_path, format="json")
    (run,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert run["parameters"] == {"a": None, "b": [None, {"c": None}], "d": 1.5}


def test_the_run_of_a_single_command(output_path: Path) -> None:
    (run,) = read_runs(output_path / "run_one")
    assert run.path == output_path / "run_one"


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="not a directory"):
        read_runs(tmp_path / "missing")


def test_the_metric_is_found_and_drawn(output_path: Path) -> None:
    key, drawn = plot.curves(read_runs(output_path), None)
    assert key == "loss"
    text = plot.to_terminal(key, drawn, 60, 15, colour=False)
    assert "loss" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 60


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_plots_are_written_as_files(output_path: Path, tmp_path: Path, suffix: str, magic: bytes) -> None:
    key, drawn = plot.curves(read_runs(output_path), "loss")
    plot.to_file(key, drawn, tmp_path / f"loss{suffix}")
    assert (tmp_path / f"loss{suffix}").read_bytes().startswith(magic)


def test_what_cannot_be_drawn_is_one_line(output_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="There are: loss"):
        plot.curves(read_runs(output_path), "gain")
    with pytest.raises(InvalidValue, match="No run has logged"):
        plot.curves(read_runs(output_path / "run_one"), None)
    with pytest.raises(InvalidValue, match=r"\.png or \.svg"):
        plot.to_file(*plot.curves(read_runs(output_path), None), tmp_path / "x.pdf")
