"""Where settings come from, which of them stick, and what is said about wrong ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tesseract_core.runtime.config import (
    RuntimeConfig,
    describe_config_errors,
    get_config,
    override_config,
    snapshot_config,
    update_config,
)

pytestmark = pytest.mark.fast


@pytest.fixture(autouse=True)
def blank_slate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import os

    for name in [name for name in os.environ if name.startswith("TESSERACT_")]:
        monkeypatch.delenv(name)
    with override_config():
        yield


def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    config = update_config()
    assert (config.name, config.version, config.description) == ("Tesseract", "unknown", "")
    assert config.api_path == Path("tesseract_api.py")
    assert config.input_path == config.output_path == str(tmp_path.resolve())
    assert (config.output_format, config.output_file, config.compression) == ("json", "", None)
    assert (config.debug, config.profiling, config.tracing) == (False, False, False)
    assert (config.debugpy_host, config.debugpy_port) == ("127.0.0.1", 5678)
    assert (config.gpu_transport, config.cuda_ipc_pool_fraction) == ("none", 0.25)
    assert (config.mlflow_tracking_uri, config.mlflow_run_extra_args) == ("", {})
    assert config.allowed_references == ("url",)


def test_the_environment_is_read_again_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERACT_NAME", "one")
    assert get_config().name == "one"
    monkeypatch.setenv("TESSERACT_NAME", "two")
    assert get_config().name == "two"
    monkeypatch.delenv("TESSERACT_NAME")
    assert get_config().name == "Tesseract"


def test_only_keyword_overrides_stick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERACT_NAME", "env")
    update_config(name="kept")
    monkeypatch.setenv("TESSERACT_VERSION", "2")
    update_config(debug=True)
    monkeypatch.setenv("TESSERACT_VERSION", "3")
    assert (get_config().name, get_config().version, get_config().debug) == ("kept", "3", True)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEBUG", "OUTPUT_FORMAT", "COMPRESSION", "NAME", "MLFLOW_TRACKING_URI", "MAX_QUEUE"):
        monkeypatch.setenv(f"TESSERACT_{name}", "")
    assert get_config() == RuntimeConfig()


@pytest.mark.parametrize("text", ["1", "true", "yes", "on", "True"])
def test_booleans(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TESSERACT_PROFILING", text)
    assert get_config().profiling is True


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERACT_ALLOWED_HOSTS", "a.example, b.example,")
    monkeypatch.setenv("TESSERACT_ALLOWED_REFERENCES", "url,image")
    assert get_config().allowed_hosts == ("a.example", "b.example")
    assert get_config().allowed_references == ("url", "image")


def test_origins_are_what_browsers_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERACT_ALLOWED_ORIGINS", "https://a.example:8443, http://localhost/,null,*")
    assert get_config().allowed_origins == ("https://a.example:8443", "http://localhost/", "null", "*")
    for wrong in ("a.example", "https://a.example/page", "https://*.example.org/x", "http://"):
        monkeypatch.setenv("TESSERACT_ALLOWED_ORIGINS", wrong)
        with pytest.raises(ValidationError, match="no origin of a web page; write it like https://"):
            get_config()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'run_name': 'a', 'tags': {'x': 1}}", {"run_name": "a", "tags": {"x": 1}}),
        ("{'log_system_metrics': True, 'description': None}", {"log_system_metrics": True, "description": None}),
        ('{"log_system_metrics": true, "description": null}', {"log_system_metrics": True, "description": None}),
        ('{"tags": {"quote": "it\'s"}}', {"tags": {"quote": "it's"}}),
        ("{}", {}),
    ],
)
def test_mlflow_run_extra_args_are_json_or_a_python_literal(
    monkeypatch: pytest.MonkeyPatch, text: str, value: dict[str, Any]
) -> None:
    monkeypatch.setenv("TESSERACT_MLFLOW_RUN_EXTRA_ARGS", text)
    assert get_config().mlflow_run_extra_args == value


@pytest.mark.parametrize("text", ["__import__('os')", "{true}", "[" * 100_000, '["a"]', "null"])
def test_mlflow_run_extra_args_that_are_neither(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TESSERACT_MLFLOW_RUN_EXTRA_ARGS", text)
    with pytest.raises(ValidationError):
        get_config()


def test_paths_are_absolute_and_stay_where_they_were_resolved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "api.py").touch()
    monkeypatch.chdir(tmp_path)
    update_config(input_path="data", api_path="api.py")
    monkeypatch.chdir("/")
    monkeypatch.setenv("TESSERACT_NAME", "x")
    assert get_config().input_path == str(tmp_path.resolve() / "data")
    assert get_config().api_path == tmp_path / "api.py"


def test_paths_may_be_path_objects(tmp_path: Path) -> None:
    assert update_config(input_path=tmp_path, output_path=tmp_path / "out").output_path == str(tmp_path / "out")


def test_unknown_fields_and_frozen_values() -> None:
    with pytest.raises(ValidationError):
        update_config(no_such_field=1)
    with pytest.raises(ValidationError):
        get_config().name = "x"  # type: ignore[misc]


def test_unknown_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERACT_NO_SUCH_FIELD", "1")
    get_config()


def test_a_failed_update_changes_nothing() -> None:
    update_config(name="kept")
    with pytest.raises(ValidationError):
        update_config(name="lost", output_format="xml")
    assert get_config().name == "kept"


def test_override_restores_also_after_an_error() -> None:
    def fail() -> None:
        with override_config():
            assert get_config().name == "Tesseract"
            update_config(name="inner")
            with override_config(snapshot):
                assert get_config().name == "outer"
            assert get_config().name == "inner"
            raise KeyError

    update_config(name="outer")
    snapshot = snapshot_config()
    with pytest.raises(KeyError):
        fail()
    assert get_config().name == "outer"


def test_overrides_of_threads_do_not_meet_and_their_helper_threads_see_them() -> None:
    both_inside = threading.Barrier(2)
    seen = {}

    def own(name: str) -> None:
        with override_config({"name": name}):
            both_inside.wait(10)
            seen[name] = get_config().name
            both_inside.wait(10)

    threads = [threading.Thread(target=own, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"a": "a", "b": "b"}

    with override_config({"name": "user"}):
        helper = threading.Thread(target=lambda: seen.update(helper=get_config().name))
        helper.start()
        helper.join()
    assert seen["helper"] == "user"


def test_errors_are_one_line_per_field_and_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERACT_OUTPUT_FORMAT", "xml")
    monkeypatch.setenv("TESSERACT_API_PATH", "/no/such/file.py")
    monkeypatch.setenv("TESSERACT_OUTPUT_PATH", "s3://bucket/x")
    monkeypatch.setenv("TESSERACT_MAX_QUEUE", "-1")
    with pytest.raises(ValidationError) as caught:
        get_config()
    lines = describe_config_errors(caught.value, {"max_queue": "--max-queue"})
    assert len(lines) == 4
    assert all("\n" not in line for line in lines)
    by_source = {line.partition(":")[0]: line for line in lines}
    assert by_source.keys() == {
        "TESSERACT_OUTPUT_FORMAT", "TESSERACT_API_PATH", "TESSERACT_OUTPUT_PATH", "--max-queue"
    }  # fmt: skip
    assert "'xml'" in by_source["TESSERACT_OUTPUT_FORMAT"]
    assert "json+binref" in by_source["TESSERACT_OUTPUT_FORMAT"]
    assert "directories, not URLs" in by_source["TESSERACT_OUTPUT_PATH"]


def test_a_gpu_transport_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERACT_GPU_TRANSPORT", "cuda_ipc")
    with pytest.raises(ValidationError) as caught:
        get_config()
    assert describe_config_errors(caught.value) == [
        "TESSERACT_GPU_TRANSPORT: 'cuda_ipc': gpu_transport=cuda_ipc is not offered (so far only: none); leave it out: "
        "GPU arrays travel through memory"
    ]


def test_secrets_are_not_in_the_representation() -> None:
    update_config(token="geheim", mlflow_tracking_uri="http://user:geheim@host")
    assert "geheim" not in repr(get_config())
    assert "geheim" not in str(get_config())
