"""Files that user code leaves where they vanish."""

from __future__ import annotations

from pathlib import Path

import pytest
from tesseract_core import Tesseract
from tesseract_core.runtime import stray_files

pytestmark = pytest.mark.fast


def test_new_names_are_said_once(tmp_path: Path) -> None:
    (tmp_path / "tesseract_api.py").touch()
    strays = stray_files.StrayFiles(tmp_path, tmp_path / "runs/output")
    assert strays.new() == []
    (tmp_path / "result.txt").touch()
    (tmp_path / "plots").mkdir()
    (tmp_path / "runs").mkdir()
    assert strays.new() == ["plots", "result.txt"]
    (tmp_path / "result.txt").write_text("again")
    assert strays.new() == []


@pytest.fixture
def as_in_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory on the file system of `/`, and the mark of an engine."""
    mark = tmp_path / "containerenv"
    mark.touch()
    monkeypatch.setattr(stray_files, "_MARKS", (str(mark),))
    directory = tmp_path / "tesseract"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setattr(stray_files, "_device", lambda path: 1)
    monkeypatch.setattr(stray_files, "_watched", None)
    return directory


API = """
from pydantic import BaseModel
class InputSchema(BaseModel): pass
class OutputSchema(BaseModel): pass
def apply(inputs):
    open("result.txt", "w").close()
    return OutputSchema()
"""


def test_a_call_that_writes_into_a_container_is_warned(
    as_in_a_container: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tesseract_api.py").write_text(API)
    monkeypatch.setenv("TESSERACT_OUTPUT_PATH", str(tmp_path / "output"))
    (tmp_path / "output").mkdir()
    tesseract = Tesseract.from_tesseract_api(tmp_path / "tesseract_api.py", output_path=tmp_path / "output")
    stray_files.watch()
    tesseract.apply({})
    said = capsys.readouterr().err
    assert "WARNING: this call has written 'result.txt' into its working directory" in said
    assert "get_config().output_path" in said
    tesseract.apply({})
    assert "WARNING" not in capsys.readouterr().err


def test_a_directory_that_stays_is_not_watched(
    as_in_a_container: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSERACT_OUTPUT_PATH", str(as_in_a_container))
    stray_files.watch()
    assert stray_files._watched is None
    monkeypatch.setenv("TESSERACT_OUTPUT_PATH", str(tmp_path))
    monkeypatch.setattr(stray_files, "_MARKS", ())
    stray_files.watch()
    assert stray_files._watched is None
