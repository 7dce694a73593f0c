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


# What cyclopts writes splits names at their spaces, and puts a space after the name of a folder.
_SPLIT = 'COMPREPLY=( $(compgen -f -- "${cur}") )'
_WHOLE = 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "${cur}")'


def script(app: App, shell: Shell) -> str:
    """The completion script for a shell."""
    return app.generate_completion(prog_name="tesseract", shell=shell).replace(_SPLIT, _WHOLE)


def show(app: App) -> None:
    """Print the completion script for the caller's shell on stdout."""
    sys.stdout.write(script(app, _shell()))


def install(app: App) -> None:
    """Put the completion script where the caller's shell looks for it."""
    shell = _shell()
    try:
        path = app.install_completion(shell=shell, add_to_startup=True)
        path.write_text(script(app, shell), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"The completion cannot be installed: {error.strerror}: {error.filename}. "
            "`tesseract --show-completion` prints it, so that you can put it where your shell finds it."
        ) from error
    logger.info("Completion installed in %s; open a new shell to use it.", path)
    if shell == "zsh":
        logger.info("It works where ~/.zshrc holds `autoload -Uz compinit && compinit`.")


def _shell() -> Shell:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise UserError(
            f"There is no completion for the shell '{name or 'unknown'}', only for {', '.join(SHELLS)}. "
            "Say which one in SHELL, for example SHELL=/bin/bash tesseract --show-completion."
        )
    return cast(Shell, name)
