"""The cyclopts application: commands from the registry, global options in front of them."""

import os
from enum import StrEnum
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from tesseract.cli import console
from tesseract.cli.options import GLOBAL, switch
from tesseract.cli.registry import COMMANDS, GROUPS
from tesseract.errors import UsageError

LogLevel = StrEnum("LogLevel", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
Engine = StrEnum("Engine", ["AUTO", "PODMAN", "DOCKER"])
_FIRST_STEPS = """First steps:
  tesseract init --name hello --target-dir hello
  tesseract build hello
  tesseract run hello apply '{"inputs": {}}'
Help for a command:
  tesseract COMMAND --help"""


def make_app() -> App:
    """A fresh application. `app.meta` is what parses a whole command line."""
    app = App(
        name="tesseract",
        help="Build, serve and call Tesseracts: containerised, typed, differentiable components.",
        help_flags=["--help", "-h"],
        version_flags=[],
        help_format="plaintext",
        help_epilogue=_FIRST_STEPS,
        group_parameters=Group("Options", sort_key=0),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    app["--help"].group = GLOBAL
    groups = {name: Group(name, sort_key=place) for place, name in enumerate(GROUPS)}
    for place, command in enumerate(COMMANDS):
        app.command(
            command.target,
            name=command.name,
            help=command.help,
            usage=command.usage,
            help_epilogue=f"Example:\n  {command.example}",
            group=groups[command.group],
            sort_key=place,
            **({"help_flags": []} if command.own_help else {}),
        )

    def launch(
        *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        loglevel: Annotated[
            LogLevel,
            Parameter(group=GLOBAL, metavar="LEVEL", help="Least severity of messages on stderr."),
        ] = LogLevel.INFO,
        engine: Annotated[
            Engine | None,
            Parameter(group=GLOBAL, metavar="NAME", help="Container engine [env: TESSERACT_ENGINE]."),
        ] = None,
        version: Annotated[bool, switch(group=GLOBAL, help="Print the version and exit.")] = False,
        install_completion: Annotated[
            bool,
            switch(group=GLOBAL, help="Install completion for your shell."),
        ] = False,
        show_completion: Annotated[
            bool,
            switch(group=GLOBAL, help="Print the completion for your shell."),
        ] = False,
    ) -> Any:
        console.set_level(loglevel)
        if engine is not None:
            os.environ["TESSERACT_ENGINE"] = engine
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
