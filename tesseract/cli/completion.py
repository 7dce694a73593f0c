"""Shell completion for bash, zsh and fish."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from tesseract.cli.console import logger
from tesseract.errors import UserError

if TYPE_CHECKING:
    from cyclopts import App

Shell = Literal["bash", "zsh", "fish"]
SHELLS = ("bash", "zsh", "fish")


def show(app: App) -> None:
    """Print the completion script for the caller's shell on stdout."""
    sys.stdout.write(app.generate_completion(prog_name="tesseract", shell=_shell()))


def install(app: App) -> None:
    """Put the completion script where the caller's shell looks for it."""
    path = app.install_completion(shell=_shell(), add_to_startup=True)
    logger.info("Completion installed in %s; open a new shell to use it.", path)


def _shell() -> Shell:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise UserError(
            f"There is no completion for the shell '{name or 'unknown'}', only for {', '.join(SHELLS)}. "
            "Say which one in SHELL, for example SHELL=/bin/bash tesseract --show-completion."
        )
    return cast(Shell, name)
