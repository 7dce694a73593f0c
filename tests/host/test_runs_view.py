"""Looking at the runs below an output path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tesseract.cli.runs import runs
from tesseract.errors import InvalidValue
from tesseract.runs import plot
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


def test_a_damaged_run_does_not_hide_the_others(output_path: Path) -> None:
    for name, record, metrics in (
        ("binary", b"\xff\xfe\0", b"\xff\xfe\0\n"),
        ("list", b"[1]", b"key\nloss\n"),
        ("words", b'{"seconds": "long", "started": 7}', b"timestamp,key,value,step\n1,loss,low,0\n"),
    ):
        logs = output_path / f"run_{name}" / "logs"
        logs.mkdir(parents=True)
        (logs / "run.json").write_bytes(record)
        (logs / "metrics.csv").write_bytes(metrics)
        (logs / "artifacts").touch()
    found = {run.id: run for run in read_runs(output_path)}
    assert found.keys() == {"one", "two", "binary", "list", "words"}
    assert all(not found[name].metrics and found[name].seconds is None for name in ("binary", "list", "words"))


def test_json_of_a_solver_that_diverged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/metrics.csv").write_text("timestamp,key,value,step\n1,loss,0.5,0\n2,loss,nan,1\n3,loss,inf,2\n")
    runs(tmp_path, format="json")
    (run,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert run["metrics"] == [{"key": "loss", "steps": [0, 1, 2], "values": [0.5, None, None]}]


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
