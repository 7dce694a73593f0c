"""The cyclopts application: commands from the registry, global options in front of them."""

from __future__ import annotations

import os
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from tesseract.cli import console
from tesseract.cli.options import switch
from tesseract.cli.registry import COMMANDS
from tesseract.errors import UsageError

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
ENGINES = ("auto", "podman", "docker")
_GLOBAL = Group("Global options", sort_key=100)


def make_app() -> App:
    """A fresh application. `app.meta` is what parses a whole command line."""
    app = App(
        name="tesseract",
        help="Build, serve and call Tesseracts: containerised, typed, differentiable components.",
        help_flags=["--help", "-h"],
        version_flags=[],
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for command in COMMANDS:
        app.command(
            command.target,
            name=command.name,
            help=command.help,
            usage=command.usage,
            help_epilogue=f"Example: `{command.example}`",
            **({"help_flags": []} if command.own_help else {}),
        )

    def launch(
        *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        loglevel: Annotated[
            str, Parameter(group=_GLOBAL, help=f"Least severity of messages on stderr: {', '.join(LOG_LEVELS)}.")
        ] = "info",
        engine: Annotated[
            str | None,
            Parameter(group=_GLOBAL, help=f"Container engine: {', '.join(ENGINES)} [env: TESSERACT_ENGINE]."),
        ] = None,
        version: Annotated[bool, switch(group=_GLOBAL, help="Print the version and exit.")] = False,
        install_completion: Annotated[
            bool,
            switch(group=_GLOBAL, help="Install completion for your shell."),
        ] = False,
        show_completion: Annotated[
            bool,
            switch(group=_GLOBAL, help="Print the completion for your shell."),
        ] = False,
    ) -> Any:
        console.set_level(_choice("--loglevel", loglevel, LOG_LEVELS))
        if engine is not None:
            os.environ["TESSERACT_ENGINE"] = _choice("--engine", engine, ENGINES)
        if version:
            from tesseract_core._version import __version__

            return print(__version__)
        if install_completion or show_completion:
            from tesseract.cli import completion

            return completion.install(app) if install_completion else completion.show(app)
        if not words:
            app.help_print([], console=console.error_console())
            raise UsageError("Missing command.")
        return app(list(words), exit_on_error=False, print_error=False)

    app.meta.suppress_keyboard_interrupt = False
    app.meta.default(launch)
    return app


def _choice(option: str, value: str, choices: tuple[str, ...]) -> str:
    if value.lower() not in choices:
        raise UsageError(f"Invalid value for {option}: '{value}' is not one of {', '.join(choices)}.")
    return value.lower()
