"""File operations on local paths and URLs, and results as bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from tesseract_core.runtime import file_interactions as fi

pytestmark = pytest.mark.fast


@pytest.fixture(params=["local", "memory"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{request.node.name.partition('[')[0]}"


def test_write_append_read(base: str) -> None:
    path = fi.join_paths(base, "new", "sub", "x.bin")
    assert fi.get_filesize(path) == 0
    fi.write_to_path(b"abc", path)
    fi.write_to_path(b"def", path, append=True)
    assert fi.get_filesize(path) == 6
    assert fi.read_from_path(path) == b"abcdef"
    assert fi.read_from_path(path, 2, 3) == b"cde"
    assert fi.read_from_path(path, 4, 100) == b"ef"


def test_globs_are_sorted(base: str) -> None:
    for name in ("b.json", "a.json", "c.txt", "sub/d.json"):
        fi.write_to_path(b"", fi.join_paths(base, name))
    found = fi.expand_glob(fi.join_paths(base, "*.json"))
    assert [path.rpartition("/")[2] for path in found] == ["a.json", "b.json"]
    assert all(fi.is_absolute_path(path) for path in found)
    assert len(fi.expand_glob(fi.join_paths(base, "**", "*.json"))) == 3
    assert fi.expand_glob(fi.join_paths(base, "none*")) == []


def test_paths() -> None:
    assert fi.is_url("s3://bucket/x")
    assert not fi.is_url("c://x")
    assert not fi.is_url("a/b")
    assert fi.is_absolute_path("/a")
    assert fi.is_absolute_path("http://a/b")
    assert not fi.is_absolute_path("a/b")
    assert fi.join_paths("/a", "b", "c.bin") == "/a/b/c.bin"
    assert fi.join_paths("s3://bucket/", "b", "c.bin") == "s3://bucket/b/c.bin"
    assert fi.join_paths("/a", "/b") == "/b"
    assert fi.join_paths("/a", "http://b/c") == "http://b/c"
    assert fi.parent_path("/a/b.json") == "/a"
    assert fi.parent_path("s3://bucket/a/b.json") == "s3://bucket/a"
    assert fi.parent_path("s3://bucket/b.json") == "s3://bucket"


def test_offers() -> None:
    assert fi.available_formats() == ("json", "json+base64", "json+binref")
    assert fi.available_gpu_transports() == ("none",)
    assert fi.available_compressions() == ("none", "lz4")


@pytest.mark.parametrize(
    "options",
    [
        {"format": "json", "nonfinite": "zero"},
        {"format": "json", "complex_as": "pair"},
        {"format": "xml"},
        {"format": "json", "compression": "zip"},
        {"format": "json", "gpu_transport": "cuda_ipc"},
    ],
)
def test_what_is_not_offered(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Unknown"):
        fi.output_to_bytes({}, **options)


def test_plain_trees() -> None:
    class Model(BaseModel):
        n: int = 1
        m: int = 2

    assert fi.output_to_bytes({"status": "ok"}, "json") == b'{"status":"ok"}'
    assert fi.output_to_bytes(Model(m=3), "json") == b'{"m":3}'
    assert fi.output_to_bytes({"x": [float("inf"), float("nan")]}, "json") == b'{"x":[null,null]}'
    assert fi.output_to_bytes({"a": np.int8([1])}, "json") == (
        b'{"a":{"object_type":"array","shape":[1],"dtype":"int8","data":{"buffer":[1],"encoding":"json"}}}'
    )
    assert fi.output_to_bytes({"ä": "ö"}, "json") == '{"ä":"ö"}'.encode()


def test_infinities_of_plain_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    tree = {"a b": [1.0, float("inf")], "text": 'NaN, "Infinity"', "x": {"y": float("nan")}}
    assert fi.output_to_bytes(tree, "json", nonfinite="literal") == (
        b'{"a b":[1.0,Infinity],"text":"NaN, \\"Infinity\\"","x":{"y":NaN}}'
    )
    assert capsys.readouterr().err == ""
    assert fi.output_to_bytes(tree, "json") == b'{"a b":[1.0,null],"text":"NaN, \\"Infinity\\"","x":{"y":null}}'
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("infinite or NaN, and null in the JSON result: {a b}.[1], x.y. ")
    assert fi.output_to_bytes({"text": "NaN"}, "json") == b'{"text":"NaN"}'
    assert fi.output_to_bytes([float("inf")] * 12, "json").count(b"null") == 12
    assert "[9] and 2 more" in capsys.readouterr().err


def test_local_paths_need_no_fsspec(tmp_path: Path) -> None:
    code = (
        "import sys; from tesseract_core.runtime import file_interactions as fi\n"
        f"path = {str(tmp_path / 'x')!r}\n"
        "fi.write_to_path(b'1', path); fi.read_from_path(path); fi.expand_glob(path + '*'); fi.get_filesize(path)\n"
        "assert 'fsspec' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
