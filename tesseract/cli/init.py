"""`tesseract init`: start a new project from a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tesseract.cli.console import logger
from tesseract.errors import InvalidValue, UsageError
from tesseract.images import tags
from tesseract.projects.recipe import check_name, write_recipe


def init(
    *,
    name: Annotated[
        str | None, Parameter(metavar="NAME", help="Name of the Tesseract; asked for on a terminal.")
    ] = None,
    target_dir: Annotated[Path, Parameter(metavar="DIR", help="Folder for its files; made if missing.")] = Path("."),
    recipe: Annotated[
        Literal["base", "jax", "pytorch"], Parameter(metavar="NAME", help="What to start from.")
    ] = "base",
) -> None:
    try:
        chosen = check_name(name if name is not None else _ask_for_name())
    except InvalidValue as error:
        raise UsageError(str(error)) from error
    for path in write_recipe(recipe, chosen, target_dir):
        logger.info("Writing template %s to %s", path.name, path)
    if not tags.names_an_image(chosen):
        logger.warning(
            "The name '%s' %s Change it in tesseract_config.yaml before you build.", chosen, tags.NO_IMAGE_NAME
        )


def _ask_for_name() -> str:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("Name must be provided as an argument or interactively.")
    # On stderr: stdout is for results.
    print("Enter a name for the Tesseract: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()
