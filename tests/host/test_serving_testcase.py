"""`cli_config` of a regression test gives defaults for options that were not given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tesseract.serving import RunRequest
from tesseract.serving.testcase import with_test_defaults

pytestmark = pytest.mark.fast

CONFIG = {"input_path": "data", "volume_mounts": ["./mesh:/mesh:rw", "cache:/cache"], "user": "0:0"}


def test_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "one.json").write_text(json.dumps({"cli_config": CONFIG, "payload": {}}))
    request = with_test_defaults(RunRequest(image="x", command="test", args=["@cases/one.json"]), tmp_path)
    base = tmp_path.resolve() / "cases"
    assert request.input_path == base / "data"
    assert request.volumes == (f"{base}/mesh:/mesh:rw", "cache:/cache")
    assert request.user == "0:0"


def test_inline_is_relative_to_the_working_directory(tmp_path: Path) -> None:
    text = json.dumps({"cli_config": CONFIG})
    request = with_test_defaults(RunRequest(image="x", command="test", args=[text]), tmp_path)
    assert request.input_path == tmp_path / "data"


def test_options_win(tmp_path: Path) -> None:
    given = RunRequest(
        image="x",
        command="test",
        args=[json.dumps({"cli_config": CONFIG})],
        input_path="/i",
        volumes=["a:/a"],
        user="1",
    )
    assert with_test_defaults(given, tmp_path) == given


@pytest.mark.parametrize("text", ["{bad", "[]", "7", '{"cli_config": 5}', "@missing.json", '{"cli_config": null}'])
def test_what_cannot_be_read_is_left_to_the_runtime(text: str, tmp_path: Path) -> None:
    given = RunRequest(image="x", command="test", args=[text])
    assert with_test_defaults(given, tmp_path) == given
