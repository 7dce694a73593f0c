"""`Tesseract.from_tesseract_api`: no container, no server, this process."""

from __future__ import annotations

import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from support.served import served
from tesseract_core import Tesseract
from tesseract_core.runtime.config import get_config

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "tests/runtime/apis/http_demo.py"
VECTORADD = ROOT / "examples/vectoradd/tesseract_api.py"


@pytest.fixture
def demo(tmp_path: Path) -> Tesseract:
    return Tesseract.from_tesseract_api(DEMO, output_path=tmp_path)


def test_apply_and_derivatives() -> None:
    with Tesseract.from_tesseract_api(str(VECTORADD)) as tesseract:
        inputs = {"a": [1.0, 2.0], "b": np.array([3.0, 4.0])}
        np.testing.assert_array_equal(tesseract.apply(inputs)["result"], [4, 6])
        np.testing.assert_array_equal(tesseract.jacobian(inputs, ["a"], ["result"])["result"]["a"], np.eye(2))
        tangents, cotangents = {"a": np.ones(2)}, {"result": np.array([1.0, 2.0])}
        jvp = tesseract.jacobian_vector_product(inputs, ["a"], ["result"], tangents)
        np.testing.assert_array_equal(jvp["result"], [1, 1])
        vjp = tesseract.vector_jacobian_product(inputs, ["b"], ["result"], cotangents)
        np.testing.assert_array_equal(vjp["b"], [1, 2])
        shapes = {"a": {"shape": (2,), "dtype": "float64"}, "b": {"shape": (2,), "dtype": "float64"}}
        assert tuple(tesseract.abstract_eval(shapes)["result"]["shape"]) == (2,)
        assert tesseract.health() == {"status": "ok"}


def test_an_imported_module_will_do() -> None:
    spec = importlib.util.spec_from_file_location("demo_api", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = Tesseract.from_tesseract_api(module).apply({"a": [1, 2, 3]})
    assert result["stats"]["mean"] == 4


def test_schema_and_endpoints(demo: Tesseract) -> None:
    endpoints = demo.available_endpoints
    assert {"apply", "jacobian", "health", "abstract_eval", "test"} <= set(endpoints)
    schemas = demo.openapi_schema["components"]["schemas"]
    assert {"Apply_InputSchema", "Apply_OutputSchema"} <= schemas.keys()
    assert "differentiable_arrays" in schemas["ApplyInputSchema"]
    assert demo.server_capabilities is None
    assert demo.with_encoding(output_format="json").apply({"a": [1, 2, 3]})["note"] == "default"


def test_missing_endpoints() -> None:
    helloworld = Tesseract.from_tesseract_api(ROOT / "examples/helloworld/tesseract_api.py")
    assert helloworld.apply({"name": "Osborne"}) == {"greeting": "Hello Osborne!"}
    with pytest.raises(NotImplementedError, match="Jacobian not implemented for this Tesseract"):
        helloworld.jacobian({"name": "x"}, [], [])
    with pytest.raises(NotImplementedError, match="JVP"):
        helloworld.jacobian_vector_product({"name": "x"}, [], [], {})
    with pytest.raises(NotImplementedError, match="VJP"):
        helloworld.vector_jacobian_product({"name": "x"}, [], [], {})
    with pytest.raises(NotImplementedError, match="Abstract evaluation not implemented for this Tesseract"):
        helloworld.abstract_eval({})


def test_errors(demo: Tesseract) -> None:
    with pytest.raises(ValidationError, match="array_shape_mismatch"):
        demo.apply({"a": [1, 2]})
    with pytest.raises(RuntimeError) as caught:
        demo.apply({"a": [1, 2, 3], "mode": "raise"})
    text = str(caught.value)
    assert "Traceback" in text
    assert "in apply" in text
    assert "Error running Tesseract API apply: kaboom" in text
    with pytest.raises(RuntimeError, match="Error running Tesseract API apply: 7"):
        demo.apply({"a": [1, 2, 3], "mode": "exit"})
    assert caught.value.__suppress_context__


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Tesseract.from_tesseract_api(tmp_path / "missing.py")
    with pytest.raises(RuntimeError, match="not a file"):
        Tesseract.from_tesseract_api(tmp_path)
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_module_anywhere\n")
    with pytest.raises(RuntimeError, match="Cannot load Tesseract API from") as caught:
        Tesseract.from_tesseract_api(broken)
    assert caught.value.__cause__ is not None
    assert "no_such_module_anywhere" in str(caught.value)
    for text, reason in (("raise SystemExit(3)\n", "SystemExit: 3"), ("x = 1\n", "must define the class InputSchema")):
        broken.write_text(text)
        with pytest.raises(RuntimeError, match=f"Cannot load Tesseract API from {broken}: .*{reason}"):
            Tesseract.from_tesseract_api(broken)


def test_each_object_has_a_configuration_of_its_own(tmp_path: Path) -> None:
    before = get_config()
    Tesseract.from_tesseract_api(DEMO, output_path=tmp_path, runtime_config={"name": "Mine"})
    one = Tesseract.from_tesseract_api(DEMO, runtime_config={"name": "One"})
    two = Tesseract.from_tesseract_api(DEMO, runtime_config={"name": "Two"})
    assert one.openapi_schema["info"]["title"] == "One"
    assert two.openapi_schema["info"]["title"] == "Two"
    assert get_config() == before
    with pytest.raises(ValidationError):
        Tesseract.from_tesseract_api(DEMO, runtime_config={"no_such_setting": 1})


PATHS = """
from pathlib import Path
from pydantic import BaseModel
from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.experimental import InputPath, OutputPath

class InputSchema(BaseModel):
    source: InputPath

class OutputSchema(BaseModel):
    copies: list[OutputPath]
    source: InputPath | None
    plain: Path

def apply(inputs: InputSchema) -> OutputSchema:
    copy = Path(get_config().output_path) / "copy.txt"
    copy.write_bytes(inputs.source.read_bytes())
    return OutputSchema(copies=[copy], source=inputs.source, plain=Path("x"))
"""


def test_paths_in_results_are_text(tmp_path: Path) -> None:
    api = tmp_path / "tesseract_api.py"
    api.write_text(PATHS)
    (tmp_path / "in.txt").write_text("content")
    tesseract = Tesseract.from_tesseract_api(api, input_path=tmp_path, output_path=tmp_path / "out")
    result = tesseract.apply({"source": "in.txt"})
    assert tesseract.output_path == tmp_path / "out"
    assert len(list(tesseract.output_path.rglob(result["copies"][0]))) == 1
    assert result == {"copies": ["copy.txt"], "source": str(tmp_path / "in.txt"), "plain": Path("x")}


ALIASES = """
from pydantic import BaseModel, Field

class Part(BaseModel):
    n: int = Field(1, alias="n-th")

class InputSchema(BaseModel):
    rate: float

class OutputSchema(BaseModel):
    number: float = Field(serialization_alias="Re")
    parts: list[Part] = []

def apply(inputs: InputSchema) -> OutputSchema:
    return OutputSchema(number=inputs.rate * 2, parts=[Part()])
"""


def test_results_have_the_keys_that_they_have_by_url(tmp_path: Path) -> None:
    api = tmp_path / "tesseract_api.py"
    api.write_text(ALIASES)
    result = Tesseract.from_tesseract_api(api).apply({"rate": 2.0})
    assert result == {"Re": 4.0, "parts": [{"n-th": 1}]}
    with served(api, tmp_path) as server:
        assert server.post("/apply", {"inputs": {"rate": 2.0}}).json == result


def test_none_is_the_default_of_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESSERACT_BINREF_ROOTS", "/somewhere")
    settings = {"binref_roots": None, "max_queue": None}
    tesseract = Tesseract.from_tesseract_api(VECTORADD, runtime_config=settings)
    assert tesseract.apply({"a": [1.0], "b": [2.0]})["result"].tolist() == [3.0]


def test_a_gpu_transport_is_refused_in_one_line(demo: Tesseract) -> None:
    api = VECTORADD
    line = r"^gpu_transport=cuda_ipc is not offered \(so far only: none\); leave it out: [^\n]*$"
    for make in (
        lambda: Tesseract.from_image("image", gpu_transport="cuda_ipc"),
        lambda: Tesseract.from_source(api, gpu_transport="cuda_ipc"),
        lambda: Tesseract.from_source(api, runtime_config={"gpu_transport": "cuda_ipc"}),
        lambda: Tesseract.from_tesseract_api(api, gpu_transport="cuda_ipc"),
        lambda: Tesseract.from_tesseract_api(api, runtime_config={"gpu_transport": "cuda_ipc"}),
        lambda: demo.with_encoding(gpu_transport="cuda_ipc"),
    ):
        with pytest.raises(ValueError, match=line):
            make()


def test_runs_go_below_the_output_path(demo: Tesseract, tmp_path: Path) -> None:
    demo.apply({"a": [1, 2, 3], "mode": "print"}, run_id="mine")
    assert (tmp_path / "run_mine" / "logs").is_dir()
    with pytest.raises(ValueError, match=r"run.id"):
        demo.apply({"a": [1, 2, 3]}, run_id="../escape")
    assert sorted(os.listdir(tmp_path)) == ["run_mine"]


def test_logs_are_streamed(tmp_path: Path) -> None:
    lines: list[str] = []
    tesseract = Tesseract.from_tesseract_api(DEMO, output_path=tmp_path, stream_logs=lines.append)
    tesseract.apply({"a": [1, 2, 3], "mode": "print"})
    assert lines == ["printed by user code", "written to descriptor 2"]


def test_user_code_never_sees_the_callers_arrays(tmp_path: Path) -> None:
    api = tmp_path / "tesseract_api.py"
    api.write_text(
        "from pydantic import BaseModel\n"
        "from tesseract_core.runtime import Array, Float64\n"
        "class InputSchema(BaseModel):\n    x: Array[(None,), Float64]\n"
        "class OutputSchema(BaseModel):\n    y: Array[(None,), Float64]\n"
        "def apply(inputs: InputSchema) -> OutputSchema:\n"
        '    """In place."""\n    inputs.x[:] += 1\n    return OutputSchema(y=inputs.x)\n'
    )
    mine = np.zeros(3)
    result = Tesseract.from_tesseract_api(api, output_path=tmp_path).apply({"x": mine})
    np.testing.assert_array_equal(result["y"], [1, 1, 1])
    np.testing.assert_array_equal(mine, [0, 0, 0])


def test_regression_tests(demo: Tesseract) -> None:
    def case(factor: float) -> dict[str, object]:
        expected = {
            "object_type": "array",
            "shape": [3],
            "dtype": "float64",
            "data": {"buffer": [factor, factor, factor], "encoding": "json"},
        }
        mean = {"object_type": "array", "shape": [], "dtype": "float64", "data": {"buffer": 2.0, "encoding": "json"}}
        outputs = {"y": expected, "stats": {"mean": mean}, "note": "default"}
        return {"endpoint": "apply", "payload": {"inputs": {"a": np.ones(3)}}, "expected_outputs": outputs}

    demo.test(case(2.0))
    with pytest.raises(AssertionError, match="sufficiently close"):
        demo.test(case(3.0))
    with pytest.raises(RuntimeError, match="kaboom"):
        demo.test(
            {
                "endpoint": "apply",
                "payload": {"inputs": {"a": [1, 2, 3], "mode": "raise"}},
                "expected_outputs": case(2.0)["expected_outputs"],
            }
        )


def test_the_expected_exception_may_be_a_class(demo: Tesseract) -> None:
    case = {"endpoint": "apply", "payload": {"inputs": {}}, "expected_exception": ValidationError}
    demo.test(case)
    with pytest.raises(AssertionError, match="Expected KeyError, but got"):
        demo.test({**case, "expected_exception": KeyError})
    with pytest.raises(ValidationError, match="the nearest is KeyError"):
        demo.test({**case, "expected_exception": "KeyErr"})


def test_calls_from_many_threads_take_turns(demo: Tesseract) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda i: demo.apply({"a": [i, i, i]})["y"][0], range(40)))
    assert results == [2.0 * i for i in range(40)]
