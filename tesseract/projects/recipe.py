"""New projects: the three files of a recipe, written into a folder."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from tesseract.errors import InvalidValue, UserError

RECIPES = ("base", "jax", "pytorch")
FORBIDDEN = ":;,.@#$%^&*()[]{}<>?|\\`~"
_FOLDER = Path(__file__).parent / "recipes"


def check_name(name: str) -> str:
    """The name, if a project may have it. Raises: InvalidValue."""
    if not name or re.search(r"\s", name) or set(name) & set(FORBIDDEN):
        raise InvalidValue(
            f"Invalid name '{name}': it must not be empty nor contain whitespace or any of {' '.join(FORBIDDEN)}"
        )
    return name


def render_recipe(recipe: str, name: str, timestamp: str, version: str) -> dict[str, str]:
    """File name → text of a new project."""
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_FOLDER), undefined=jinja2.StrictUndefined)
    values = {"recipe": recipe, "name": name, "timestamp": timestamp, "version": version}
    templates = {
        "tesseract_api.py": f"{recipe}.py.j2",
        "tesseract_config.yaml": "tesseract_config.yaml.j2",
        "tesseract_requirements.txt": "tesseract_requirements.txt.j2",
    }
    return {file: environment.get_template(source).render(values) + "\n" for file, source in templates.items()}


def write_recipe(recipe: str, name: str, folder: Path) -> list[Path]:
    """Write a new project; files that exist are never overwritten.

    Returns:
        The files, in the order in which they were written.

    Raises:
        InvalidValue: Malformed name.
        UserError: A file exists already, or the folder cannot be made.
    """
    from tesseract_core._version import __version__

    check_name(name)
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    texts = render_recipe(recipe, name, now, __version__)
    existing = [str(folder / file) for file in texts if (folder / file).exists()]
    if existing:
        raise UserError(
            f"Nothing was written, because {', '.join(existing)} exists already. Choose another --target-dir."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"Cannot write to {folder}: {error.strerror}. Choose another --target-dir.") from error
    return [folder / file for file in texts]
