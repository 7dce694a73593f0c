"""`Tesseract.from_url` and `from_source` against the real server, without containers."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import requests
from pydantic import ValidationError
from support.served import Served, served
from tesseract_core import Tesseract

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "tests/runtime/apis/http_demo.py"
INPUTS = {"a": np.arange(3.0)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(
        DEMO, tmp_path_factory.mktemp("server"), serve_options=("--num-workers", "2"), env={"TESSERACT_DEBUG": "1"}
    ) as server:
        yield server


@pytest.fixture
def demo(server: Served) -> Iterator[Tesseract]:
    with Tesseract.from_url(server.url) as tesseract:
        yield tesseract


def test_the_expected_exception_may_be_a_class(demo: Tesseract) -> None:
    case = {"endpoint": "apply", "payload": {"inputs": {}}, "expected_exception": ValidationError}
    demo.test(case)
    with pytest.raises(AssertionError, match="Expected KeyError, but got ValidationError"):
        demo.test({**case, "expected_exception": KeyError})
    with pytest.raises(ValidationError, match="the nearest is KeyError"):
        demo.test({**case, "expected_exception": "KeyErr"})


def test_apply_and_derivatives(demo: Tesseract) -> None:
    result = demo.apply(INPUTS)
    np.testing.assert_array_equal(result["y"], [0, 2, 4])
    assert isinstance(result["stats"]["mean"], np.ndarray)
    assert result["stats"]["mean"].shape == ()
    assert result["y"].flags.writeable
    assert result["note"] == "default"
    np.testing.assert_array_equal(demo.jacobian(INPUTS, ["a"], ["y"])["y"]["a"], 2 * np.eye(3))
    jvp = demo.jacobian_vector_product(INPUTS, ["a"], ["y", "stats.mean"], {"a": np.ones(3)})
    np.testing.assert_array_equal(jvp["y"], [2, 2, 2])
    vjp = demo.vector_jacobian_product(INPUTS, ["a"], ["y"], {"y": np.ones(3)})
    np.testing.assert_array_equal(vjp["a"], [2, 2, 2])
    abstract = demo.abstract_eval({"a": {"shape": (3,), "dtype": "float64"}, "s": {"shape": (), "dtype": "float64"}})
    assert abstract["y"]["shape"] == [3]
    assert demo.health() == {"status": "ok"}


def test_infinities_survive_a_server_that_prefers_json(demo: Tesseract) -> None:
    result = demo.apply({"a": np.array([np.inf, -np.inf, np.nan])})["y"]
    np.testing.assert_array_equal(result, [np.inf, -np.inf, np.nan])


def test_schema_and_capabilities(demo: Tesseract) -> None:
    assert {"apply", "jacobian", "health", "abstract_eval", "test"} <= set(demo.available_endpoints)
    assert demo.openapi_schema is demo.openapi_schema
    capabilities = demo.server_capabilities
    assert capabilities is not None
    assert {"json", "json+base64", "json+binref"} <= set(capabilities.output_formats or ())
    assert demo.resolve_gpu_transport() == "none"


def test_views_ask_for_other_encodings(demo: Tesseract, server: Served) -> None:
    assert demo.current_encoding.output_format is None
    for wanted in ({"output_format": "json"}, {"output_format": "json+base64", "compression": "lz4"}):
        view = demo.with_encoding(**wanted)
        assert isinstance(view, Tesseract)
        assert type(view) is type(demo)
        with view as same:
            assert same is view
        np.testing.assert_array_equal(view.apply(INPUTS)["y"], [0, 2, 4])
    with pytest.raises(ValueError, match="output_format 'xml'"):
        demo.with_encoding(output_format="xml")
    with pytest.raises(ValueError, match="gpu_transport"):
        demo.with_encoding(gpu_transport="smoke")
    binref = Tesseract.from_url(server.url, server_output_path=server.output).with_encoding(output_format="json+binref")
    np.testing.assert_array_equal(binref.apply(INPUTS)["y"], [0, 2, 4])
    with pytest.raises(ValueError, match="server_output_path"):
        demo.with_encoding(output_format="json+binref").apply(INPUTS)


def test_validation_errors_are_pydantics(demo: Tesseract) -> None:
    with pytest.raises(ValidationError) as caught:
        demo.apply({"a": [1.0, 2.0], "mode": "{nonsense}"})
    assert caught.value.title == "endpoint apply"
    shape, mode = sorted(caught.value.errors(), key=lambda item: item["loc"])
    assert shape["loc"] == ("body", "inputs", "a")
    assert shape["type"] == "array_shape_mismatch"
    assert shape["ctx"] == {"actual_shape": [2], "expected_shape": [3]}
    assert mode["input"] == "{nonsense}"


def test_server_errors_carry_the_traceback(demo: Tesseract) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)Error 500 from Tesseract: Traceback.*RuntimeError: kaboom"):
        demo.apply({**INPUTS, "mode": "raise"})
    with pytest.raises(RuntimeError, match="Error 404 from Tesseract"):
        Tesseract.from_url(f"{demo._shared.transport.url}/elsewhere").health()


def test_run_ids_name_the_runs(demo: Tesseract, server: Served) -> None:
    demo.apply({**INPUTS, "mode": "print"}, run_id="named")
    assert "printed by user code" in (server.output / "run_named/logs/tesseract.log").read_text()


def test_many_threads_share_one_object(demo: Tesseract) -> None:
    def call(i: int) -> float:
        return float(demo.apply({"a": np.full(3, float(i))})["y"][0])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(call, range(320))) == [2.0 * i for i in range(320)]


def test_tokens(tmp_path: Path) -> None:
    with served(DEMO, tmp_path, env={"TESSERACT_TOKEN": "secret"}) as server:
        assert Tesseract.from_url(server.url, token="secret").apply(INPUTS)["note"] == "default"
        with pytest.raises(RuntimeError, match="Error 401"):
            Tesseract.from_url(server.url).apply(INPUTS)


def source(tmp_path: Path, **options: object) -> Tesseract:
    return Tesseract.from_source(DEMO, output_path=tmp_path, python_executable=sys.executable, **options)


def test_from_source_life_cycle(tmp_path: Path) -> None:
    lines: list[str] = []
    tesseract = source(tmp_path, stream_logs=lines.append)
    with tesseract as same:
        assert same is tesseract
        np.testing.assert_array_equal(tesseract.apply({**INPUTS, "mode": "print"})["y"], [0, 2, 4])
        assert lines == ["printed by user code", "written to descriptor 2"]
        assert "test" in tesseract.available_endpoints
        with pytest.raises(RuntimeError, match="already being served"):
            tesseract.serve()
        with pytest.raises(RuntimeError, match="multiple times"):
            tesseract.__enter__()
        with pytest.raises(RuntimeError, match="only available when using"):
            tesseract.container_info()
        assert "Serving" in tesseract.server_logs()
        process = tesseract._shared.launcher._process
    assert process.poll() is not None
    assert "Serving" in tesseract.server_logs()
    with pytest.raises(RuntimeError, match="context manager"):
        tesseract.apply(INPUTS)
    tesseract.serve()  # again
    assert tesseract.health() == {"status": "ok"}
    tesseract.teardown()


def test_from_source_by_file(tmp_path: Path) -> None:
    with source(tmp_path, output_format="json+binref", experimental_binref_pool=True) as tesseract:
        np.testing.assert_array_equal(tesseract.apply(INPUTS)["y"], [0, 2, 4])
        assert not list(tesseract._shared.transport.input_path.iterdir())


def test_from_source_that_cannot_start(tmp_path: Path) -> None:
    broken = tmp_path / "tesseract_api.py"
    broken.write_text("raise ImportError('no such solver')\n")
    with (
        pytest.raises(RuntimeError, match=r"(?s)stopped running during startup.*no such solver"),
        Tesseract.from_source(broken, python_executable=sys.executable),
    ):
        pass
    broken.write_text("import time; time.sleep(60)\n")
    with (
        pytest.raises(TimeoutError, match="startup_timeout"),
        Tesseract.from_source(broken, python_executable=sys.executable, startup_timeout=1.0),
    ):
        pass


def test_how_a_server_ended_is_in_the_error(tmp_path: Path) -> None:
    api = tmp_path / "tesseract_api.py"
    api.write_text(
        "import os, signal, time\nfrom pydantic import BaseModel\n"
        "class InputSchema(BaseModel):\n    whom: str\n"
        "class OutputSchema(BaseModel): pass\n"
        "def apply(inputs):\n"
        "    os.kill(os.getppid() if inputs.whom == 'server' else os.getpid(), signal.SIGSEGV)\n"
        "    time.sleep(60)\n"
    )
    with Tesseract.from_source(api, python_executable=sys.executable) as tesseract:
        with pytest.raises(RuntimeError, match=r"Error 503 from Tesseract: .*crashed: segmentation fault"):
            tesseract.apply({"whom": "me"})
        with pytest.raises(requests.exceptions.ConnectionError, match=r"has ended: crashed: segmentation fault\. \("):
            tesseract.apply({"whom": "server"})


def test_from_source_with_paths_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for options, message in (
        ({"input_path": tmp_path / "nope"}, "nope provided as input path is not a directory"),
        ({"output_path": tmp_path / "file/below"}, "Cannot write to the output path .*: Not a directory"),
    ):
        tesseract = Tesseract.from_source(DEMO, python_executable=sys.executable, **options)
        with pytest.raises(ValueError, match=message):
            tesseract.serve()


def test_the_server_goes_with_the_object(tmp_path: Path) -> None:
    tesseract = source(tmp_path)
    tesseract.serve()
    view = tesseract.with_encoding(output_format="json")
    process = tesseract._shared.launcher._process
    del tesseract
    gc.collect()
    assert view.health() == {"status": "ok"}  # a view keeps it
    del view
    gc.collect()
    assert process.poll() is not None


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "os.kill(os.getpid(), 9)"])
def test_the_server_goes_with_its_process(short_path: Path, end: str) -> None:
    code = f"""
import os, sys
from tesseract_core import Tesseract
tesseract = Tesseract.from_source({str(DEMO)!r}, python_executable=sys.executable)
tesseract.serve()
print(tesseract._shared.launcher._process.pid, tesseract._shared.launcher._directory, flush=True)
{end}
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(short_path)},  # a killed process leaves its directories
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    pid, directory = done.stdout.split()
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")
    if "kill" not in end:
        assert not os.path.exists(directory)


def test_a_socket_in_the_file_system(tmp_path: Path) -> None:
    with source(tmp_path) as tesseract:
        path = tesseract._shared.launcher._directory / "api.sock"
        assert path.parent.stat().st_mode & 0o077 == 0
        other = Tesseract.from_url(f"http+unix://{quote(str(path), safe='')}")
        np.testing.assert_array_equal(other.apply(INPUTS)["y"], [0, 2, 4])


def run_script(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_forked_processes_get_their_own_answers(server: Served) -> None:
    code = """
import multiprocessing, sys
from tesseract_core import Tesseract

tesseract = Tesseract.from_url(sys.argv[1])

def call(number):
    return [tesseract.apply({"a": [number, number, number + i]})["y"].tolist() for i in range(20)]

call(0)  # leaves an open connection, which the children inherit
with multiprocessing.get_context("fork").Pool(4) as pool:
    answers = pool.map(call, range(1, 9), chunksize=1)
assert answers == [[[2.0 * n, 2.0 * n, 2.0 * (n + i)] for i in range(20)] for n in range(1, 9)], answers
"""
    run_script(code, server.url)


def test_a_forked_child_that_ends_leaves_the_server_to_its_parent(tmp_path: Path) -> None:
    code = """
import gc, os, sys
from pathlib import Path
from tesseract_core import Tesseract

with Tesseract.from_source(sys.argv[1], python_executable=sys.executable) as tesseract:
    output = Path(tesseract._shared.launcher._output_path)
    if os.fork() == 0:
        sys.exit()  # leaves the block and the interpreter
    os.wait()
    assert tesseract.health() == {"status": "ok"}
    assert output.is_dir()
assert not tesseract._shared.launcher._process
del tesseract
gc.collect()
assert not output.exists()
"""
    run_script(code, str(DEMO))
