"""`runtime_config` means the same in process, from an image and from source."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tesseract_core import Tesseract
from tesseract_core.runtime.config import get_config, override_config, update_config

from tesseract.errors import InvalidValue
from tesseract.serving import ServeRequest, plan
from tesseract.serving.runtime_settings import as_variables, warn_of_unknown

pytestmark = pytest.mark.fast

SETTINGS: list[dict[str, Any]] = [
    {"allowed_hosts": ["a", "b"]},
    {"allowed_url_prefixes": ("https://a/x", "http://b:80/")},
    {"binref_roots": [Path("/data"), "/more"]},
    {"binref_roots": set()},
    {"allowed_references": []},
    {"allowed_references": ["image", "url"]},
    {"compression": None},
    {"compression": "lz4"},
    {"profiling": True, "tracing": False, "max_queue": 3, "shutdown_timeout": 1.5},
    {"output_path": Path("/")},
    {"mlflow_run_extra_args": {"run_name": "it's", "tags": {"a": None, "b": [1, True]}}},
    {"mlflow_run_extra_args": {}},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_same_as_in_process(settings: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {key: list(map(str, value)) if key == "binref_roots" else value for key, value in settings.items()}
    with override_config():
        in_process = update_config(**texts)
    monkeypatch.setenv("TESSERACT_ALLOWED_REFERENCES", "api_path")  # as an image may say
    monkeypatch.setenv("TESSERACT_COMPRESSION", "lz4")
    for name, text in as_variables(settings).items():
        monkeypatch.setenv(name, text)
    with override_config():
        served = get_config()
    assert {key: getattr(served, key) for key in settings} == {key: getattr(in_process, key) for key in settings}


@pytest.mark.parametrize(
    "value",
    [["a,b"], [""], [" a"], [1], {"a": object()}, {"a": Path("/")}, "a\0b", ["a\0b"]],
    ids=["comma", "empty", "space", "number", "object", "path", "null", "null in list"],
)
def test_what_no_variable_can_hold_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue, match=r"runtime_config\['allowed_hosts'\]"):
        as_variables({"allowed_hosts": value})


def test_hosts_of_a_list_are_allowed() -> None:
    host = plan.Host(uid=1, gid=1, cwd=Path("/"))
    request = ServeRequest(
        image="i", runtime_config={"allowed_hosts": ["lab", "10.0.0.1"], "allowed_url_prefixes": None}
    )
    env = plan.serve_spec(request, "i", "n", host).env
    assert env["TESSERACT_ALLOWED_HOSTS"].split(",")[-2:] == ["lab", "10.0.0.1"]
    assert env["TESSERACT_ALLOWED_URL_PREFIXES"] == ""


def test_unknown_settings_are_told() -> None:
    with pytest.warns(UserWarning, match=r"no setting 'allowed_host'\. Did you mean 'allowed_hosts'\?"):
        Tesseract.from_image("x", runtime_config={"allowed_host": ["a"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unknown({"allowed_hosts": ["a"]}, stacklevel=1)
