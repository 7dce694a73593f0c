"""The command line as cyclopts sees it: parsing, help and shell completion."""

# Annotations are evaluated here and now: those of the commands below use names of the functions around them.

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.validators import Number

from tesseract_core.runtime.cli import options
from tesseract_core.runtime.cli.errors import CommandFailed, UsageError
from tesseract_core.runtime.cli.gradients import COMMAND as CHECK_GRADIENTS
from tesseract_core.runtime.cli.gradients import GradientCheck
from tesseract_core.runtime.cli.options import env_var

if TYPE_CHECKING:
    from tesseract_core.runtime.cli.program import Program

_GLOBAL = Group("Global options (before the command)")
_SHELLS = ("bash", "zsh", "fish")


def build_app(program: "Program | None" = None, endpoints: Mapping[str, Callable[..., Any]] | None = None) -> App:
    """Return the application.

    Args:
        program: Runs the commands; without it there are only the global options, parsed into a dict by field.
        endpoints: The endpoints by command.
    """
    app = App(
        name="tesseract-runtime",
        help="Call or serve a Tesseract: the Python module that TESSERACT_API_PATH names, or ./tesseract_api.py.",
        usage="Usage: tesseract-runtime [GLOBAL OPTIONS] COMMAND [ARGS]",
        help_flags=options.HELP_FLAGS,
        help_format="plaintext",
        version_flags=(),
    )
    app.default(_global_options())
    if program is not None:
        for name, (function, text) in _commands(program, endpoints or {}).items():
            app.command(function, name=name, help=text)
    return app


def parse(app: App, tokens: list[str], command: str = "") -> Callable[[], Any]:
    """Return the call that `tokens` ask for.

    Raises:
        UsageError: They are not understood.
    """
    try:
        function, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False, help_on_error=False)
    except CycloptsError as error:
        raise UsageError(str(error), command) from None
    return lambda: function(*bound.args, **bound.kwargs)


def print_help(app: App, *command: str) -> None:
    """Print help on stderr."""
    import os
    import sys

    from rich.console import Console

    # A pipe has no width of its own: as wide as its reader says, else long enough for one option per line.
    known = sys.stderr.isatty() or "COLUMNS" in os.environ
    app.help_print([*command], console=Console(stderr=True, width=None if known else 140))


def completion(app: App, *, install: bool, shell: str | None) -> bytes:
    """The completion script for a shell, or, once installed, where it is.

    Raises:
        CommandFailed: The shell is not known.
    """
    import os

    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in _SHELLS:
        raise CommandFailed(f"no completion for the shell {shell!r}; name one of {', '.join(_SHELLS)} after the option")
    if install:
        return f"installed in {app.install_completion(shell=shell)}".encode()  # type: ignore[arg-type]
    return app.generate_completion(shell=shell).encode()  # type: ignore[arg-type]


def _global_options() -> Callable[..., dict[str, Any]]:
    def global_options(**values: Any) -> dict[str, Any]:
        return {field: value for field, value in values.items() if value is not None}

    parameters = []
    for field, info in options.FIELDS.items():
        flag = field in options.FLAGS
        # Values go through the configuration's own validation, which names the option in its message. Variables
        # likewise: an option must be told from a variable there.
        annotation: Any = Annotated[
            (bool if flag else str) | None,
            Parameter(
                name=options.option_name(field),
                negative=f"--no-{field.replace('_', '-')}" if flag else (),
                help=f"{info.description} [env var: {env_var(field)}]",
                group=_GLOBAL,
                allow_leading_hyphen=not flag,
            ),
        ]
        parameters.append(inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    global_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    global_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return global_options


def _option(command: str, name: str, text: str, *more_variables: str, **settings: Any) -> Parameter:
    return Parameter(name=f"--{name}", help=text, env_var=(env_var(command, name), *more_variables), **settings)


_PAYLOAD = Parameter(name="PAYLOAD", help="JSON text, or @ and the path or URL of a file that holds it (@- for stdin).")


def _commands(
    program: "Program", endpoints: Mapping[str, Callable[..., Any]]
) -> dict[str, tuple[Callable[..., int], str]]:
    """All commands: the function that runs one, and its short help."""
    from tesseract_core.runtime.cli.program import FIXED_COMMANDS

    functions: dict[str, Callable[..., int]] = {
        "check": program.check,
        CHECK_GRADIENTS: _check_gradients(program),
        "serve": _serve(program),
        "health": program.health,
        "input-schema": program.input_schema,
        "output-schema": program.output_schema,
        "openapi-schema": program.openapi_schema,
    }
    commands = {name: (function, FIXED_COMMANDS[name]) for name, function in functions.items()}
    for name, endpoint in endpoints.items():
        if name not in commands:
            first_line = (inspect.getdoc(endpoint) or "").partition("\n")[0]
            commands[name] = (_endpoint(program, name), first_line or f"Call {endpoint.__name__}.")
    return commands


def _endpoint(program: "Program", name: str) -> Callable[..., int]:
    def call(payload: Annotated[str, _PAYLOAD], /) -> int:
        return program.call(name, payload)

    def call_test(
        payload: Annotated[str, _PAYLOAD],
        /,
        *,
        exit_code: Annotated[bool, _option("test", "exit-code", "Exit with 1 unless passed.", negative=())] = False,
    ) -> int:
        return program.call(name, payload, exit_code)

    return call_test if name == "test" else call


def _serve(program: "Program") -> Callable[..., int]:
    def serve(
        *,
        host: Annotated[str, _option("serve", "host", "Name or address to listen on.")] = "127.0.0.1",
        port: Annotated[
            int,
            _option("serve", "port", "TCP port.", env_var("port"), validator=Number(gte=0, lte=65535)),
        ] = 8000,
        num_workers: Annotated[
            int, _option("serve", "num-workers", "Calls that may run at the same time.", validator=Number(gte=1))
        ] = 1,
        uds: Annotated[Path | None, _option("serve", "uds", "Unix socket to listen on instead.")] = None,
        allowed_origin: Annotated[
            list[str] | None,
            _option(
                "serve",
                "allowed-origin",
                "Web page that may call (repeatable; *: any).",
                negative=(),
                consume_multiple=False,
            ),
        ] = None,
        parent_pipe_fd: Annotated[int | None, Parameter(name="--parent-pipe-fd", show=False)] = None,
    ) -> int:
        options.allow_origins(allowed_origin or ())
        return program.serve(parent_pipe_fd, host=host, port=port, num_workers=num_workers, uds=uds)

    return serve


def _check_gradients(program: "Program") -> Callable[..., int]:
    def option(name: str, text: str, **settings: Any) -> Parameter:
        return _option(CHECK_GRADIENTS, name, text, **settings)

    several: dict[str, Any] = {"negative": (), "consume_multiple": False}

    def check_gradients(
        json_payload: Annotated[
            str, Parameter(name="JSON_PAYLOAD", help="Payload of apply: JSON text, or @ and where to read it.")
        ],
        /,
        *,
        input_paths: Annotated[
            list[str] | None, option("input-paths", "Differentiable input to check (repeatable; all).", **several)
        ] = None,
        output_paths: Annotated[
            list[str] | None, option("output-paths", "Differentiable output to check (repeatable; all).", **several)
        ] = None,
        endpoints: Annotated[
            list[str] | None, option("endpoints", "Gradient endpoint to check (repeatable; all).", **several)
        ] = None,
        eps: Annotated[float, option("eps", "Absolute step of the finite differences.")] = 1e-4,
        eps_for: Annotated[
            list[str] | None,
            option("eps-for", "PATH=VALUE: the step for one input; --eps for the others (repeatable).", **several),
        ] = None,
        rtol: Annotated[float, option("rtol", "Relative tolerance.")] = 0.1,
        max_evals: Annotated[int, option("max-evals", "Entries to check, over all inputs.")] = 1000,
        max_output_samples: Annotated[
            int | None, option("max-output-samples", "Outputs to check for each of them (all).")
        ] = None,
        max_failures: Annotated[int, option("max-failures", "Failures to show.")] = 10,
        seed: Annotated[int | None, option("seed", "Seed of the sampling.")] = None,
        show_progress: Annotated[
            bool, option("show-progress", "Show a progress bar.", negative="--no-show-progress")
        ] = True,
    ) -> int:
        return program.check_gradients(
            json_payload,
            GradientCheck(
                input_paths=input_paths,
                output_paths=output_paths,
                endpoints=endpoints,
                eps=eps,
                eps_for=eps_for or [],
                rtol=rtol,
                max_evals=max_evals,
                max_output_samples=max_output_samples,
                max_failures=max_failures,
                seed=seed,
                show_progress=show_progress,
            ),
        )

    return check_gradients
