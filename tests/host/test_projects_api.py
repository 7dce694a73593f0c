"""Static checks of the API module: first fault wins, with file and line; nothing is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tesseract.errors import ValidationError
from tesseract.projects.api_checks import check_api
from tesseract.projects.recipe import RECIPES, render_recipe

pytestmark = pytest.mark.fast

GOOD = """raise RuntimeError("imported!")
class InputSchema(Base): ...
class OutputSchema(Base): ...
def apply(inputs): ...
"""


def faults(folder: Path, source: str | bytes) -> str:
    path = folder / "tesseract_api.py"
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    with pytest.raises(ValidationError) as caught:
        check_api(path)
    return str(caught.value)


def test_good_module_is_not_imported(tmp_path: Path) -> None:
    path = tmp_path / "tesseract_api.py"
    path.write_text(GOOD)
    check_api(path)
    path.write_bytes(b"# -*- coding: latin-1 -*-\nname = '\xe9'\n" + GOOD.encode())
    check_api(path)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def apply(:\n", "line 1"),
        (GOOD.replace("def apply(inputs): ...", "from foo import apply"), "apply not defined in"),
        (GOOD.replace("def apply", "if True:\n  def apply"), "apply not defined in"),
        (GOOD.replace("def apply", "async def apply"), "apply is not a FunctionDef in"),
        (GOOD.replace("(inputs)", "(x)"), "must be named inputs, but"),
        (GOOD.replace("(inputs)", "(inputs, y)"), "`apply` must have 1 arguments: inputs."),
        (GOOD.replace("(inputs)", "(inputs, *, y=1)"), "must not have keyword-only arguments"),
        (GOOD.replace("(inputs)", "(inputs, /)"), "must not have positional-only arguments"),
        (GOOD.replace("InputSchema(Base)", "InputSchema"), "InputSchema must inherit from pydantic.BaseModel"),
        (GOOD.replace("class OutputSchema(Base)", "def OutputSchema()"), "OutputSchema is not a ClassDef in"),
    ],
)
def test_faults(tmp_path: Path, source: str, line: str) -> None:
    assert line in faults(tmp_path, source)


def test_all_wrong_names_of_a_function_are_reported_together(tmp_path: Path) -> None:
    text = faults(tmp_path, GOOD + "def jacobian(x, y, jac_outputs): ...\n")
    assert "The first argument (argument 0) of jacobian must be named inputs" in text
    assert "The second argument (argument 1) of jacobian must be named jac_inputs" in text
    assert text.count("(line 5)") == 2


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_pass(tmp_path: Path, recipe: str) -> None:
    from tesseract import projects

    for name, text in render_recipe(recipe, "my-project", "2026-01-01T00:00:00+00:00", "1.15.0").items():
        (tmp_path / name).write_text(text)
    project = projects.load(tmp_path)
    assert project.config.name == "my-project"
    assert project.config.version == ("unknown" if recipe == "base" else "0.1.0")


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_are_pinned(recipe: str) -> None:
    from support.golden import check_golden

    for name, text in render_recipe(recipe, "hello", "2026-01-01T00:00:00+00:00", "1.15.0").items():
        check_golden(Path(__file__).parent / "golden/recipes" / recipe / f"{name}.txt", text)
