"""Importing and checking a user's module, the import surface, and standard output."""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel
from tesseract_core.runtime import Float64
from tesseract_core.runtime.core import (
    check_tesseract_api,
    create_endpoints,
    get_input_schema,
    get_output_schema,
    get_supported_endpoints,
    get_tesseract_api,
    load_module_from_path,
)

pytestmark = pytest.mark.fast


@pytest.fixture(autouse=True)
def _restore(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path, modules = sys.path.copy(), set(sys.modules)
    monkeypatch.setenv("PYTHONPATH", "")
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


class Schema(BaseModel):
    x: Float64


def module(**members: Any) -> ModuleType:
    made = ModuleType("made")
    made.__dict__.update({"InputSchema": Schema, "OutputSchema": Schema, "apply": lambda inputs: inputs, **members})
    return made


class TestLoading:
    def test_registered_before_it_runs(self, tmp_path: Path) -> None:
        (tmp_path / "beside_it.py").write_text("value = 5")
        file = tmp_path / "my_api.py"
        file.write_text("import sys, beside_it\nme = sys.modules[__name__]\nclass Thing: value = beside_it.value\n")
        loaded = load_module_from_path(file)
        assert sys.modules["my_api"] is loaded is loaded.me
        assert pickle.loads(pickle.dumps(loaded.Thing)) is loaded.Thing

    def test_children_find_what_lies_beside_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "beside_us.py").write_text("value = 5")
        (tmp_path / "my_api.py").write_text("")
        monkeypatch.setenv("TESSERACT_API_PATH", str(tmp_path / "my_api.py"))
        get_tesseract_api()
        subprocess.run([sys.executable, "-c", "import beside_us"], check=True)
        assert os.environ["PYTHONPATH"] == str(tmp_path)  # and nothing else leaks into other interpreters

    def test_a_failing_import_leaves_nothing_behind(self, tmp_path: Path) -> None:
        file = tmp_path / "broken_api.py"
        file.write_text("1 / 0")
        path = sys.path.copy()
        with pytest.raises(ImportError, match=r"broken_api\.py: ZeroDivisionError") as caught:
            load_module_from_path(file)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert sys.path == path
        assert os.environ["PYTHONPATH"] == ""
        assert "broken_api" not in sys.modules

    def test_an_import_that_exits_has_failed(self, tmp_path: Path) -> None:
        (tmp_path / "exiting_api.py").write_text("import sys; sys.exit(0)")
        with pytest.raises(ImportError, match=r"exiting_api\.py: SystemExit: 0"):
            load_module_from_path(tmp_path / "exiting_api.py")
        assert "exiting_api" not in sys.modules

    @pytest.mark.parametrize("name", ["none.py", "."])
    def test_not_a_file(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ImportError, match="no such file"):
            load_module_from_path(tmp_path / name)

    def test_the_configured_module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "configured.py").write_text("x = 1")
        monkeypatch.setenv("TESSERACT_API_PATH", str(tmp_path / "configured.py"))
        assert get_tesseract_api().x == 1


class TestCheck:
    def test_passes(self) -> None:
        check_tesseract_api(module())

    @pytest.mark.parametrize("name", ["InputSchema", "OutputSchema", "apply"])
    def test_missing(self, name: str) -> None:
        broken = module()
        delattr(broken, name)
        with pytest.raises(TypeError, match=rf"made\.py must define the .* {name}"):
            check_tesseract_api(broken)
        with pytest.raises(AttributeError, match=rf"made\.py must define the .* {name}"):
            create_endpoints(broken)

    @pytest.mark.parametrize("schema", [dict, 5, Schema(x=1), BaseModel])
    def test_no_model(self, schema: Any) -> None:
        with pytest.raises(TypeError, match=r"InputSchema in made\.py must be a subclass"):
            check_tesseract_api(module(InputSchema=schema))

    @pytest.mark.parametrize("name", ["apply", "jacobian", "abstract_eval"])
    def test_no_functions(self, name: str) -> None:
        with pytest.raises(TypeError, match=rf"{name} in made\.py must be a function"):
            check_tesseract_api(module(**{name: 5}))

    def test_coroutine_functions(self) -> None:
        async def apply(inputs: Any) -> Any:
            return inputs

        class Callable:
            async def __call__(self, inputs: Any) -> Any:
                return inputs

        for check in (check_tesseract_api, create_endpoints):
            for function in (apply, functools.partial(apply), Callable()):
                with pytest.raises(TypeError, match="async"):
                    check(module(apply=function))

    def test_objects_and_classes_that_are_called(self) -> None:
        class Callable:
            def __call__(self, inputs: Any) -> Any:
                return inputs

        for function in (Callable(), functools.partial(Callable()), Callable, max):
            check_tesseract_api(module(apply=function))


class TestEndpoints:
    def test_order_and_names(self) -> None:
        def nothing(**_: Any) -> Any:
            return {}

        full = module(vector_jacobian_product=nothing, abstract_eval=nothing)
        full.InputSchema = full.OutputSchema = _differentiable()
        names = ["apply", "vector_jacobian_product", "health", "abstract_eval", "test"]
        endpoints = create_endpoints(full)
        assert [endpoint.__name__ for endpoint in endpoints] == names == list(get_supported_endpoints(full))
        for endpoint in endpoints:
            assert endpoint.__doc__
            if endpoint.__name__ != "health":
                assert issubclass(get_input_schema(endpoint), BaseModel)
                assert issubclass(get_output_schema(endpoint), BaseModel)

    def test_docstring_of_the_user(self) -> None:
        def apply(inputs: Any) -> Any:
            """Mine.

            And more.
            """

        assert create_endpoints(module(apply=apply))[0].__doc__.endswith("\n\nMine.\n\nAnd more.")  # type: ignore[union-attr]

    def test_health(self) -> None:
        assert create_endpoints(module())[1]() == {"status": "ok"}


def _differentiable() -> type[BaseModel]:
    from tesseract_core.runtime import Differentiable

    class Marked(BaseModel):
        x: Differentiable[Float64]

    return Marked


class TestImports:
    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    def test_cheap(self) -> None:
        heavy = [
            "numpy",
            "pydantic",
            "litestar",
            "granian",
            "mlflow",
            "fsspec",
            "s3fs",
            "requests",
            "lz4",
            "tesseract",
            "cyclopts",
            "jax",
        ]
        code = f"import sys, tesseract_core.runtime; print([m for m in {heavy} if m in sys.modules])"
        assert self.run(code).stdout.strip() == "[]"

    def test_missing_dependencies(self) -> None:
        code = "import sys; sys.modules['pydantic'] = None; import tesseract_core.runtime"
        result = self.run(code)
        assert result.returncode == 1
        assert "pip install tesseract-core[runtime]" in result.stderr
        assert "Traceback" not in result.stderr


def test_redirect_fd() -> None:
    code = """
import os, subprocess, sys
from tesseract_core.runtime.core import redirect_fd
with redirect_fd(1, 2) as original:
    print("python"); os.write(1, b"descriptor\\n"); subprocess.run(["echo", "child"])
    original.write(b"result")
print("after")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "resultafter\n"
    assert sorted(result.stderr.split()) == ["child", "descriptor", "python"]


def test_redirect_fd_of_file_objects() -> None:
    code = """
import os, sys
from tesseract_core.runtime.core import redirect_fd
with redirect_fd(sys.stdout, sys.stderr) as original:
    print("python"); os.write(1, b"descriptor\\n")
    original.write(b"result")
print("after")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "resultafter\n"
    assert sorted(result.stderr.split()) == ["descriptor", "python"]


@pytest.mark.parametrize("module", ["tesseract_core.runtime", "tesseract_core.runtime.cli"])
def test_the_command_as_a_module(module: str) -> None:
    result = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert "Usage: tesseract-runtime" in result.stderr
