"""`LazySequence`: items from files on demand, from within the input path only."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from tesseract_core.runtime import Array, Differentiable, Float64
from tesseract_core.runtime.config import override_config, update_config
from tesseract_core.runtime.core import create_endpoints, get_input_schema
from tesseract_core.runtime.experimental import LazySequence
from tesseract_core.runtime.trust import network_payload

pytestmark = pytest.mark.fast

Vector = Array[(None,), Float64]


class Data(BaseModel):
    data: LazySequence[Vector]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An input path with three items, a working directory with one, and a file outside of both."""
    inputs, here = tmp_path / "in[1]", tmp_path / "here"  # with a wildcard in its own name
    inputs.mkdir()
    here.mkdir()
    for number in (2, 10, 1):
        (inputs / f"{number:02}.json").write_text(f"[{number}.0, NaN]")
    (here / "local.json").write_text("[7.0]")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.json").write_text("[42.0]")
    monkeypatch.chdir(here)
    with override_config():
        update_config(input_path=str(inputs))
        yield inputs


def test_items_of_files_are_sorted_and_read_on_each_access(folder: Path) -> None:
    data = Data(data="@*.json").data
    assert len(data) == 3
    assert data.keys == [str(folder / name) for name in ("01.json", "02.json", "10.json")]
    assert [item[0] for item in data] == [1.0, 2.0, 10.0]
    assert np.isnan(data[0][1])
    (folder / "10.json").write_text("[11.0]")
    assert data[-1][0] == 11.0
    (folder / "10.json").write_text('["x"]')
    with pytest.raises(ValidationError) as caught:
        data[2]
    assert any("10.json" in note for note in caught.value.__notes__)


def test_behaves_like_a_sequence(folder: Path) -> None:
    data = LazySequence([1, 2, 3], lambda key: key * 10)
    assert list(data) == [10, 20, 30]
    assert data[-1] == 30
    assert repr(data) == "LazySequence(keys=[1, 2, 3])"
    assert data.getter(5) == 50
    with pytest.raises(IndexError):
        data[3]
    with pytest.raises(TypeError, match="sliced"):
        data[0:2]


def test_inline_items_are_checked_at_once(folder: Path) -> None:
    data = Data(data=[[1, 2], np.array([3.0])]).data
    assert [item.tolist() for item in data] == [[1.0, 2.0], [3.0]]
    assert Data(data=data).data[1][0] == 3.0
    with pytest.raises(ValidationError) as caught:
        Data(data=[[1.0], ["x"]])
    assert caught.value.errors()[0]["loc"] == ("data", 1)


def test_no_match_is_empty(folder: Path) -> None:
    assert len(Data(data="@nothing/*.json").data) == 0


@pytest.mark.parametrize("value", ["*.json", "", 5, None])
def test_other_values_are_refused(folder: Path, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Data(data=value)
    assert len(caught.value.errors()) == 1


def test_working_directory_serves_the_operator_only(folder: Path) -> None:
    assert Data(data="@local.json").data[0][0] == 7.0
    with network_payload():
        assert len(Data(data="@local.json").data) == 0


PATTERNS = ["{out}/secret/*.json", "../secret/*.json", "*/../../secret/*.json", "link/*.json", "../secret/key.json"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_of_requests_stay_below_the_input_path(folder: Path, pattern: str) -> None:
    (folder / "link").symlink_to(folder.parent / "secret")
    with network_payload(), pytest.raises(ValidationError, match=r"outside|behind a wildcard") as caught:
        Data(data="@" + pattern.format(out=folder.parent))
    message = caught.value.errors()[0]["msg"]
    if "{" in pattern:
        assert f"allows the directory '{folder.parent}/secret' with TESSERACT_BINREF_ROOTS" in message
    else:
        assert str(folder) not in message


@pytest.mark.parametrize("pattern", [pattern for pattern in PATTERNS if not pattern.startswith("*")])
def test_patterns_of_the_operator_lead_anywhere(folder: Path, pattern: str) -> None:
    (folder / "link").symlink_to(folder.parent / "secret")
    assert Data(data="@" + pattern.format(out=folder.parent)).data[0][0] == 42.0


def test_roots_bind_everyone_and_are_offered_to_everyone(folder: Path) -> None:
    update_config(binref_roots=(str(folder.parent / "secret"),))
    for served in (True, False):
        with network_payload(served):
            assert Data(data=f"@{folder.parent}/secret/*.json").data[0][0] == 42.0
            assert len(Data(data="@*.json").data) == 3
            assert len(Data(data="@local.json").data) == 0
            with pytest.raises(ValidationError, match=f"directory '{folder.parent}/here' with TESSERACT_BINREF_ROOTS"):
                Data(data=f"@{folder.parent}/here/*.json")


def test_links_that_lead_out_are_refused_when_matched_and_when_read(folder: Path) -> None:
    with network_payload():
        data = Data(data="@0*.json").data
        (folder / "01.json").unlink()
        (folder / "01.json").symlink_to(folder.parent / "secret" / "key.json")
        with pytest.raises(ValidationError):
            Data(data="@0*.json")
    with pytest.raises(ValueError, match=r"file '01\.json' is outside"):
        data[0]


@pytest.mark.parametrize("kind", ["dangling link", "pipe"])
def test_a_match_that_is_no_file_is_not_left_out(folder: Path, kind: str) -> None:
    os.mkfifo(folder / "odd.json") if kind == "pipe" else (folder / "odd.json").symlink_to(".git/annex/objects/x")
    (folder / "directory.json").mkdir()
    for pattern in ("@*.json", f"@{folder}/**/*.json"):
        with pytest.raises(ValidationError, match=r"'odd\.json' matches .* but is no file, perhaps a link"):
            Data(data=pattern)


def test_absolute_patterns_inside_are_fine(folder: Path) -> None:
    assert len(Data(data=f"@{folder}/*.json").data) == 3
    assert len(Data(data=f"@{folder}/nothing*.json").data) == 0


def test_binary_files_stand_beside_the_item(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "x.bin").write_bytes(np.array([5.0, 6.0]).tobytes())
    encoded = {"shape": [2], "dtype": "float64", "data": {"buffer": "x.bin:0", "encoding": "binref"}}
    (folder / "sub" / "x.json").write_text(json.dumps(encoded))
    (item,) = Data(data="@sub/*.json").data
    assert item.tolist() == [5.0, 6.0]


def test_what_another_tesseract_wrote_are_items(folder: Path) -> None:
    class Point(BaseModel):
        n: int
        x: Vector

    number = {"object_type": "array", "shape": [], "dtype": "int64", "data": {"buffer": 3, "encoding": "json"}}
    (folder / "result.json").write_text(json.dumps({"n": number, "x": [1.0]}))
    (item,) = TypeAdapter(LazySequence[Point]).validate_python("@result.json")
    assert (type(item.n), item.n) == (int, 3)


def test_urls_need_leave(folder: Path) -> None:
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        with network_payload(), pytest.raises(ValidationError, match="TESSERACT_ALLOWED_URL_PREFIXES"):
            Data(data=f"@{base}/01.json")
        assert Data(data=f"@{base}/01.json").data[0][0] == 1.0
        update_config(allowed_url_prefixes=(base,))
        try:
            assert Data(data=f"@{base}/01.json").data[0][0] == 1.0
            with pytest.raises(ValidationError, match="TESSERACT_ALLOWED_URL_PREFIXES"):
                Data(data=f"@{base}.evil.example/01.json")
            with pytest.raises(ValidationError, match="TESSERACT_ALLOWED_URL_PREFIXES"):
                Data(data=f"@{base}@evil.example/01.json")
        finally:
            server.shutdown()


def test_json_schema_and_json_mode(folder: Path) -> None:
    for mode in ("validation", "serialization"):
        schema = TypeAdapter(LazySequence[float]).json_schema(mode=mode)  # type: ignore[arg-type]
        assert schema == {
            "anyOf": [{"items": {"type": "number"}, "type": "array"}, {"pattern": "^@", "type": "string"}]
        }
    data = Data.model_validate_json('{"data": "@01.json"}').data
    assert isinstance(data, LazySequence)
    assert data[0][0] == 1.0


def test_arrays_in_it_are_differentiable(folder: Path) -> None:
    class Out(BaseModel):
        y: Differentiable[Float64]

    class In(BaseModel):
        data: LazySequence[Differentiable[Vector]]

    api = ModuleType("api")
    api.InputSchema, api.OutputSchema = In, Out  # type: ignore[attr-defined]
    api.apply = lambda inputs: {"y": sum(item[0] for item in inputs.data)}  # type: ignore[attr-defined]
    api.jacobian = (
        lambda inputs, jac_inputs, jac_outputs: {  # type: ignore[attr-defined]
            "y": {path: inputs.data[int(path[6:-1])] for path in jac_inputs}
        }
    )
    apply, jacobian, *_ = create_endpoints(api)
    assert list(get_input_schema(apply).differentiable_arrays) == ["data.[]"]  # type: ignore[attr-defined]
    request = {"inputs": {"data": "@*.json"}, "jac_inputs": ["data.[2]"], "jac_outputs": ["y"]}
    result = jacobian(get_input_schema(jacobian).model_validate(request)).model_dump()
    assert result["y"]["data.[2]"][0] == 10.0
    with pytest.raises(ValidationError, match="jac_inputs"):
        get_input_schema(jacobian).model_validate({**request, "jac_inputs": ["data.[3]"]})


def test_serialised_as_a_list(folder: Path) -> None:
    model = Data(data="@0[12].json")
    assert [item["data"]["buffer"] for item in json.loads(model.model_dump_json())["data"]] == [
        [1.0, None],
        [2.0, None],
    ]
    assert [item[0] for item in model.model_dump()["data"]] == [1.0, 2.0]


def test_bare_annotation_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="type of its items"):

        class Bare(BaseModel):
            data: LazySequence  # type: ignore[type-arg]
