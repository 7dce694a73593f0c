"""Modules of Tesseracts: in a process of their own, and as guests in somebody else's, where nobody else's are met."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tesseract_core import Tesseract
from tesseract_core.runtime.core import load_module_from_path
from tesseract_core.user_code.reserved import is_reserved

pytestmark = pytest.mark.fast

SCHEMAS = """
from pydantic import BaseModel
class InputSchema(BaseModel):
    x: float = 1
class OutputSchema(BaseModel):
    y: float
"""


@pytest.fixture(autouse=True)
def _nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    monkeypatch.delitem(sys.modules, "tesseract_api", raising=False)
    path, modules = sys.path.copy(), set(sys.modules)
    yield
    assert sys.path == path
    assert os.environ["PYTHONPATH"] == "/somewhere/else"
    for name in set(sys.modules) - modules:
        if not name.startswith("tesseract_core"):
            del sys.modules[name]


Project = Callable[[str, Mapping[str, str]], Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Write the files of a Tesseract and return its API file."""

    def write(name: str, files: Mapping[str, str]) -> Path:
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        api = tmp_path / name / "tesseract_api.py"
        api.write_text(SCHEMAS + api.read_text())
        return api

    return write


def times(factor: int, body: str) -> dict[str, str]:
    """A Tesseract whose helper module knows a factor."""
    return {"tesseract_api.py": body, "utils.py": f"FACTOR = {factor}\ndef times(x): return FACTOR * x\n"}


AT_TOP = "from utils import FACTOR\ndef apply(inputs): return {'y': FACTOR * inputs.x}\n"
INSIDE = "def apply(inputs):\n    import utils as helpers\n    return {'y': helpers.times(inputs.x)}\n"


class TestGuests:
    @pytest.mark.parametrize("body", [AT_TOP, INSIDE])
    def test_helpers_of_one_name(self, project: Project, body: str) -> None:
        mine = project("client", {"utils.py": "OWNER = 'client'", "tesseract_api.py": ""}).parent
        apis = [project(str(factor), times(factor, body)) for factor in (1, 2, 3)]
        sys.path.insert(0, str(mine))
        first = Tesseract.from_tesseract_api(apis[0])
        import utils  # type: ignore[import-not-found]

        others = [Tesseract.from_tesseract_api(api) for api in apis[1:]]
        assert [tesseract.apply({"x": 10})["y"] for tesseract in (first, *others)] == [10, 20, 30]
        assert utils.OWNER == "client"
        assert sys.modules["utils"] is utils
        sys.path.remove(str(mine))

    def test_two_at_once(self, project: Project) -> None:
        body = "import threading, time\n" + INSIDE.replace("    import", "    time.sleep(0.01)\n    import")
        both = [Tesseract.from_tesseract_api(project(str(factor), times(factor, body))) for factor in (1, 2)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda n: both[n % 2].apply({"x": 1})["y"], range(40)))
        assert answers == [1, 2] * 20

    def test_every_kind_of_import(self, project: Project) -> None:
        api = project(
            "a",
            {
                "tesseract_api.py": """
                    import os.path, json as j
                    import package.deep.leaf
                    import package.deep as deep, helper
                    from package import NAME, deep as same
                    from package.deep.leaf import *
                    from helper import api_stem
                    import namespace.inside
                    class Holder:
                        import helper as held
                    assert package.deep is deep is same and Holder.held is helper
                    def apply(inputs):
                        import package.deep.leaf as leaf
                        assert api_stem() == 'tesseract_api.py' and namespace.inside.VALUE == 4
                        return {'y': package.deep.leaf.VALUE + leaf.VALUE + VALUE}
                """,
                "helper.py": """
                    from __future__ import annotations
                    import tesseract_api, os
                    def api_stem(): return os.path.basename(tesseract_api.__file__)
                """,
                "package/__init__.py": "from .deep import leaf\nfrom . import deep\nNAME = 'x'\n",
                "package/deep/__init__.py": "from .. import deep as myself\n",
                "package/deep/leaf.py": "VALUE = 1\n",
                "namespace/inside.py": "VALUE = 4\n",
            },
        )
        assert Tesseract.from_tesseract_api(api).apply({})["y"] == 3

    @pytest.mark.parametrize("line", ["from . import utils", "from .utils import FACTOR", "from .. import x"])
    def test_a_relative_import_without_package_fails_as_in_a_script(self, project: Project, line: str) -> None:
        api = project("a", times(1, line))
        with pytest.raises(ImportError, match="attempted relative import with no known parent package"):
            load_module_from_path(api)

    def test_what_is_missing_is_named_as_it_was_written(self, project: Project) -> None:
        api = project("a", {"tesseract_api.py": "import package.more", "package/__init__.py": ""})
        with pytest.raises(ImportError, match=r"No module named 'package\.more'"):
            load_module_from_path(api)
        api.write_text("import no_such_thing")
        with pytest.raises(ImportError, match="No module named 'no_such_thing'"):
            load_module_from_path(api)

    def test_exceptions_that_a_test_case_names(self, project: Project) -> None:
        body = "import utils\ndef apply(inputs): raise utils.Trouble('deep')\n"
        for number in range(2):
            files = {"tesseract_api.py": body, "utils.py": "class Trouble(Exception): pass"}
            tesseract = Tesseract.from_tesseract_api(project(str(number), files))
            case = {"endpoint": "apply", "payload": {"inputs": {}}, "expected_exception": "utils.Trouble"}
            tesseract.test(case)
            with pytest.raises((AssertionError, RuntimeError), match="Unknown exception"):
                tesseract.test({**case, "expected_exception": "utils.NoSuchTrouble"})

    def test_a_name_computed_at_run_time_is_explained(self, project: Project) -> None:
        body = """
            import importlib, pickle, sys
            import utils
            def apply(inputs):
                assert importlib.util.find_spec('utils') is None
                assert importlib.util.find_spec('no_such_thing') is None
                for name in ('utils', 'no_such_thing'):
                    try:
                        importlib.import_module(name)
                    except ModuleNotFoundError as error:
                        print(error)
                sys.modules['utils'] = utils
                return {'y': pickle.loads(b'cutils\\ntimes\\n.')(inputs.x)}
        """
        said: list[str] = []
        tesseract = Tesseract.from_tesseract_api(project("a", times(6, body)), stream_logs=said.append)
        assert tesseract.apply({"x": 1})["y"] == 6
        assert said[0].startswith("No module named 'utils'. In a process that is not the Tesseract's own")
        assert said[0].endswith("import utils; sys.modules['utils'] = utils")
        assert said[1] == "No module named 'no_such_thing'"

    def test_paths_that_it_adds(self, project: Project) -> None:
        body = """
            import os, sys
            sys.path.insert(0, os.path.join(os.path.dirname(__file__), 'src'))
            import helpers
            def apply(inputs):
                import late
                return {'y': helpers.FACTOR * late.FACTOR}
        """
        both = []
        for factor in (2, 3):
            files = {"src/helpers.py": f"FACTOR = {factor}", "src/late.py": "FACTOR = 10"}
            both.append(Tesseract.from_tesseract_api(project(str(factor), {"tesseract_api.py": body, **files})))
        assert [tesseract.apply({})["y"] for tesseract in both] == [20, 30]

    def test_files_written_by_a_run_can_be_imported(self, project: Project) -> None:
        body = """
            from pathlib import Path
            def apply(inputs):
                (Path(__file__).parent / 'generated.py').write_text('VALUE = 7')
                import generated
                return {'y': generated.VALUE}
        """
        assert Tesseract.from_tesseract_api(project("a", {"tesseract_api.py": body})).apply({})["y"] == 7

    def test_the_first_keeps_its_stem_and_all_can_be_pickled(self, project: Project) -> None:
        body = "from utils import *\nclass Thing: pass\ndef apply(inputs): return {'y': 0}\n"
        apis = [project(str(factor), times(factor, body)) for factor in (1, 2)]
        first, second = (load_module_from_path(api) for api in apis)
        again = load_module_from_path(apis[0])
        assert sys.modules["tesseract_api"] is first
        assert first.__name__ == "tesseract_api"
        for module in (first, second, again):
            assert pickle.loads(pickle.dumps(module.Thing)) is module.Thing
            assert pickle.loads(pickle.dumps(module.times)) is module.times

    def test_spawned_workers_compute_with_their_own_helpers(self, project: Project, tmp_path: Path) -> None:
        body = """
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context
            from utils import times
            def work(x): return times(x) + 100
            def apply(inputs):
                with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
                    return {'y': pool.submit(work, inputs.x).result() + pool.submit(times, inputs.x).result()}
        """
        for factor in (1, 2):
            project(str(factor), times(factor, body))
        script = tmp_path / "client" / "script.py"
        script.parent.mkdir()
        (script.parent / "utils.py").write_text("def times(x): return -1000\n")
        script.write_text(
            "from tesseract_core import Tesseract\nimport utils\n"
            "if __name__ == '__main__':\n"
            f"    both = [Tesseract.from_tesseract_api(f'{tmp_path}/{{n}}/tesseract_api.py') for n in (1, 2)]\n"
            "    print([tesseract.apply({'x': 10})['y'] for tesseract in both], utils.times(1))\n"
        )
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
        assert done.stdout == "[120.0, 140.0] -1000\n"

    def test_programs_that_a_call_starts_find_the_helpers(self, project: Project) -> None:
        body = """
            import subprocess, sys
            def apply(inputs):
                out = subprocess.check_output([sys.executable, '-c', 'import utils; print(utils.FACTOR)'])
                return {'y': float(out)}
        """
        assert Tesseract.from_tesseract_api(project("a", times(5, body))).apply({})["y"] == 5

    def test_modules_of_python_and_the_runtime_are_not_replaced(self, project: Project) -> None:
        files = {"calendar.py": "1 / 0", "numpy.py": "1 / 0", "pydantic/__init__.py": "1 / 0"}
        body = "import calendar, numpy\ndef apply(inputs): return {'y': numpy.float64(calendar.MONDAY)}\n"
        assert Tesseract.from_tesseract_api(project("a", {"tesseract_api.py": body, **files})).apply({})["y"] == 0


class TestOneInAProcess:
    """As `tesseract-runtime` loads it."""

    @staticmethod
    def apply(api: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tesseract_core.runtime", "--output-path", "out", "apply", '{"inputs": {}}'],
            cwd=api.parent.parent,
            env={**os.environ, "TESSERACT_API_PATH": str(api), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_its_own_modules_come_before_installed_ones(self, project: Project, tmp_path: Path) -> None:
        """In it, in programs that it starts, and in spawned workers."""
        body = """
            import subprocess, sys
            from multiprocessing import get_context
            import helpers
            def work(): return helpers.FACTOR
            def apply(inputs):
                out = subprocess.check_output([sys.executable, '-c', 'import helpers as p; print(p.FACTOR)'])
                with get_context('spawn').Pool(1) as pool:
                    return {'y': helpers.FACTOR + 10 * float(out) + 100 * pool.apply(work)}
        """
        api = project("a", {"tesseract_api.py": body, "helpers.py": "FACTOR = 1"})
        installed = tmp_path / "site"
        installed.mkdir()
        (installed / "helpers.py").write_text("FACTOR = 2")
        done = self.apply(api, PYTHONPATH=str(installed))
        assert done.stdout == '{"y":111.0}', done.stderr

    @pytest.mark.parametrize("name", ["calendar", "rich"])
    def test_but_not_before_those_of_python_and_the_runtime(self, project: Project, name: str) -> None:
        body = """
            import subprocess, sys
            import NAME
            def apply(inputs):
                subprocess.run([sys.executable, '-c', 'import NAME; NAME.__path__ if NAME.__name__ == "rich" else 0'])
                return {'y': 1}
        """.replace("NAME", name)
        api = project("a", {"tesseract_api.py": body, f"{name}.py": "1 / 0"})
        done = self.apply(api)
        assert done.stdout == '{"y":1.0}', done.stderr
        assert f"{api.parent} has modules with names of " in done.stderr
        assert f"({name})" in done.stderr
        assert "ZeroDivisionError" not in done.stderr


def test_the_names_of_all_that_the_runtime_needs_are_reserved() -> None:
    import re
    import tomllib
    from importlib.metadata import PackageNotFoundError, distribution

    def top_level(name: str) -> set[str]:
        files = distribution(name).files or []
        code = [file for file in files if file.suffix in (".py", ".so") and ".." not in file.parts]
        return {file.parts[0].partition(".")[0] for file in code}

    text = (Path(__file__).parents[2] / "runtime/pyproject.toml").read_text()
    todo = [re.split(r"[^\w.-]", line)[0] for line in tomllib.loads(text)["project"]["dependencies"]]
    seen: set[str] = set()
    while todo:
        if (name := todo.pop()) in seen:
            continue
        seen.add(name)
        try:
            required = distribution(name).requires or []
        except PackageNotFoundError:  # for another Python or system
            continue
        assert {module for module in top_level(name) if not is_reserved(module)} == set(), name
        todo += [re.split(r"[^\w.-]", line)[0] for line in required if "extra ==" not in line]
