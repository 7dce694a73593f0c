"""The package root and what a `Tesseract` can tell without a server."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import weakref

import pytest
import tesseract_core
from tesseract_core import Tesseract

pytestmark = pytest.mark.fast


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print('\\n'.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_public_names() -> None:
    assert tesseract_core.__all__ == ["Tesseract", "build_tesseract", "run_tesseract", "serve", "teardown"]
    assert all(callable(getattr(tesseract_core, name)) for name in tesseract_core.__all__)
    assert set(tesseract_core.__all__) <= set(dir(tesseract_core))
    assert tesseract_core.__version__.startswith("1.15.0+podman.")
    with pytest.raises(AttributeError, match="nothing"):
        _ = tesseract_core.nothing


def test_the_engine_module_that_other_packages_import() -> None:
    from tesseract_core.sdk import engine

    for name in ("build_tesseract", "run_tesseract", "serve", "teardown"):
        assert getattr(engine, name) is getattr(tesseract_core, name)
    port = engine.get_free_port()
    assert 49152 <= port <= 65535
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"No free ports found in range {busy}"):
            engine.get_free_port((busy, busy))
    assert engine.get_free_port(within_range=(50000, 50999), exclude=range(50000, 50990)) >= 50990
    with pytest.raises(ValueError):
        engine.get_free_port((2, 1))


def test_importing_the_package_is_almost_free() -> None:
    new = modules_after("import tesseract_core") - modules_after("pass")
    assert new <= {"__future__", "tesseract_core", "tesseract_core._version"}


def test_a_client_needs_neither_engine_nor_server_packages() -> None:
    new = modules_after("from tesseract_core import Tesseract; Tesseract.from_url('localhost:1')")
    assert not {name.partition(".")[0] for name in new} & {
        "podman",
        "docker",
        "litestar",
        "granian",
        "rich",
        "yaml",
        "fcntl",
    }


def test_without_the_host_package_there_is_still_a_client() -> None:
    code = """
import sys
sys.modules["tesseract"] = None
sys.modules["tesseract.sdk"] = None
import tesseract_core
print(tesseract_core.Tesseract.from_url("localhost:1"))
try:
    tesseract_core.serve
except AttributeError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert "Tesseract object" in out[0]
    assert (
        out[1] == "tesseract_core.serve needs the host package, which is not installed here: pip install tesseract-core"
    )


def test_remote_calls_need_nothing_that_only_linux_has() -> None:
    code = """
import sys
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
import socket
del socket.AF_UNIX
from tesseract_core import Tesseract
try:
    Tesseract.from_url("127.0.0.1:9").health()
except Exception as error:
    print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ConnectionError\n"


def test_deeper_import_paths() -> None:
    from tesseract_core.sdk import docker_client, exceptions, tesseract

    assert tesseract.Tesseract is Tesseract
    assert issubclass(exceptions.ValidationError, exceptions.UserError)
    assert issubclass(docker_client.ImageNotFound, docker_client.NotFound)
    assert issubclass(docker_client.NotFound, docker_client.DockerException)
    for name in ("APIError", "BuildError", "ContainerError"):
        assert issubclass(getattr(docker_client, name), docker_client.DockerException)


def test_aliases_of_settings_and_project_models() -> None:
    from tesseract_core.sdk.api_parse import TesseractBuildConfig, TesseractConfig
    from tesseract_core.sdk.config import get_config, update_config

    assert TesseractConfig(name="x").build_config == TesseractBuildConfig()
    assert callable(get_config)
    assert callable(update_config)


def test_direct_instantiation_works_and_warns() -> None:
    with pytest.warns(UserWarning, match="from_url"):
        tesseract = Tesseract("localhost:8000", server_output_path="/tmp", timeout=1.0)
    with tesseract as same:
        assert same is tesseract


def test_objects_are_told_apart_by_identity() -> None:
    one, two = Tesseract.from_url("h"), Tesseract.from_url("h")
    assert one != two
    assert len({one, two}) == 2
    reference = weakref.ref(one)
    del one
    gc.collect()
    assert reference() is None


def test_nothing_happens_before_serve() -> None:
    tesseract = Tesseract.from_image("no-such-image", input_path="/no/such/dir", num_workers=4)
    for call in (
        lambda: tesseract.apply({}),
        lambda: tesseract.openapi_schema,
        lambda: tesseract.available_endpoints,
        lambda: tesseract.jacobian({}, [], []),
        tesseract.health,
    ):
        with pytest.raises(RuntimeError, match="context manager"):
            call()
    with pytest.raises(RuntimeError, match="not being served"):
        tesseract.teardown()
    with pytest.raises(RuntimeError, match="only available for served"):
        tesseract.container_info()
    assert tesseract.server_logs() == ""
    assert tesseract._serve_context is None


def test_a_remote_tesseract_has_no_life_cycle() -> None:
    tesseract = Tesseract.from_url("h")
    with pytest.raises(RuntimeError, match="Can only serve a Tesseract created via from_image"):
        tesseract.serve()
    with pytest.raises(RuntimeError, match="from_image"):
        tesseract.teardown()
    with pytest.raises(RuntimeError, match="Can only retrieve logs"):
        tesseract.server_logs()
    with pytest.raises(RuntimeError, match="only available when using"):
        tesseract.container_info()


def test_the_callers_dictionaries_stay_as_they_are() -> None:
    environment, settings = {"A": "1"}, {"profiling": True}
    Tesseract.from_image("x", environment=environment, runtime_config=settings)
    assert (environment, settings) == ({"A": "1"}, {"profiling": True})


def test_temporary_output_goes_with_the_object() -> None:
    tesseract = Tesseract.from_image("x", output_format="json+binref")
    request = tesseract._shared.launcher._request
    directories = [request.output_path, request.input_path]
    assert all(path.is_dir() for path in directories)
    del tesseract
    gc.collect()
    assert not any(path.exists() for path in directories)


def test_from_source_wants_a_file(tmp_path: pytest.TempPathFactory) -> None:
    with pytest.raises(ValueError, match="module"):
        Tesseract.from_source(pytest)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        Tesseract.from_source(f"{tmp_path}/missing.py")
    with pytest.raises(RuntimeError, match="not a file"):
        Tesseract.from_source(str(tmp_path))


def test_teardown_of_nothing_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="container IDs"):
        tesseract_core.teardown()
