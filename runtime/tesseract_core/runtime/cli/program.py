"""From arguments to an exit status: configure, load the user's module, find the command, run it."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from tesseract_core.runtime.cli import options
from tesseract_core.runtime.cli.errors import EXIT_USAGE_ERROR, CommandFailed, UsageError, report_failure
from tesseract_core.runtime.config import get_config

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode

    from tesseract_core.runtime.cli.gradients import GradientCheck

# Commands that there are whatever the user's module holds. The other endpoints come from the module.
FIXED_COMMANDS = {
    "check": "Check that the Tesseract API module is complete.",
    "check-gradients": "Compare gradient endpoints with finite differences.",
    "serve": "Serve the endpoints over HTTP.",
    "input-schema": "Print the JSON schema of the payload of apply.",
    "output-schema": "Print the JSON schema of the result of apply.",
    "openapi-schema": "Print the OpenAPI document.",
    "health": "Print the status.",
}
# Their grammar is nothing, and one word: no parser need be loaded for these.
_NO_ARGUMENTS = {"check", "input-schema", "output-schema", "openapi-schema", "health"}
# Commands that run functions of the user, who may want to step through them.
_DEBUGGED = {
    "apply",
    "jacobian",
    "jacobian-vector-product",
    "vector-jacobian-product",
    "abstract-eval",
    "test",
    "check-gradients",
}
# Commands that say something about a module, and need none of the files that it reads.
_WITHOUT_REQUIRED_FILES = {"check", "input-schema", "output-schema", "openapi-schema"}


class Program:
    """One invocation of `tesseract-runtime`.

    Args:
        result_fd: Descriptor that an encoded result is written to.
        may_fork: Run user code in a child process, so that a crash can be told.
    """

    def __init__(self, result_fd: int, *, may_fork: bool = False) -> None:
        self._result_fd = result_fd
        self._may_fork = may_fork

    def run(self, arguments: list[str]) -> int:
        """Run the command and return its exit status.

        Raises:
            UsageError: The command line is wrong.
            CommandFailed: The command did not succeed.
        """
        before, rest = options.split(arguments)
        command, tokens = (rest[0], rest[1:]) if rest else ("", [])
        asks_help = any(token in options.HELP_FLAGS for token in (command, *tokens))
        self._skip_required_files(asks_help or command in _WITHOUT_REQUIRED_FILES)
        if command in options.COMPLETION_FLAGS:
            return self._completion(command, tokens)
        if not command or command in options.HELP_FLAGS:
            self._general_help(before)
            return 0 if command else EXIT_USAGE_ERROR
        self._configure(before)
        with ExitStack() as stack:
            if command in _DEBUGGED and not asks_help:
                if self._may_fork:
                    from tesseract_core.runtime.cli.guardian import in_child

                    stack.enter_context(in_child(command.replace("-", "_")))
                self._attach_debugger()
            if command not in FIXED_COMMANDS:
                self._require_command(command)
            if asks_help:
                self._command_help(command)
                return 0
            return self._dispatch(command, tokens)

    @staticmethod
    def _configure(tokens: list[str]) -> None:
        values = options.parse(tokens)
        if values is None:
            from tesseract_core.runtime.cli.app import build_app, parse

            values = parse(build_app(), tokens)()
        options.configure(values)

    @staticmethod
    def _skip_required_files(skip: bool) -> None:
        from tesseract_core.runtime import experimental

        if skip or os.environ.get("_TESSERACT_IS_BUILDING") == "1":
            experimental.SKIP_REQUIRED_FILE_CHECK = True

    # The user's module

    @cached_property
    def api_module(self) -> ModuleType:
        """The user's module, imported.

        Raises:
            CommandFailed: There is none, or it cannot be imported.
        """
        require_api_file()
        from tesseract_core.runtime.user_module import get_tesseract_api

        try:
            return get_tesseract_api()
        except ImportError as error:
            details = "".join(traceback.format_exception(error.__cause__)) if error.__cause__ else ""
            raise CommandFailed(str(error), details) from None

    @cached_property
    def endpoints(self) -> dict[str, Callable[..., Any]]:
        """The endpoints by the name of their command.

        Raises:
            CommandFailed: The module is no Tesseract.
        """
        from tesseract_core.runtime.core import create_endpoints
        from tesseract_core.runtime.user_module import NotATesseract, explained

        api_module = self.api_module
        try:
            with explained():
                return {function.__name__.replace("_", "-"): function for function in create_endpoints(api_module)}
        except NotATesseract as error:
            raise CommandFailed(str(error)) from None

    def _require_command(self, command: str) -> None:
        known = {*FIXED_COMMANDS, *self.endpoints}
        if command not in known:
            similar = difflib.get_close_matches(command, sorted(known), n=1, cutoff=0.6)
            raise UsageError(f"No such command '{command}'." + (f" Did you mean '{similar[0]}'?" if similar else ""))

    # Help

    def _general_help(self, before: list[str]) -> None:
        from tesseract_core.runtime.cli.app import build_app, print_help

        problem: CommandFailed | None = None
        endpoints: dict[str, Callable[..., Any]] = {}
        try:
            self._configure(before)
            endpoints = self.endpoints
        except CommandFailed as error:
            problem = error
        print_help(build_app(self, endpoints))
        if problem is not None:
            print("\nThe commands of the endpoints are missing above:", file=sys.stderr)
            report_failure(problem)

    def _command_help(self, command: str) -> None:
        if command in FIXED_COMMANDS:
            from tesseract_core.runtime.cli.app import build_app, print_help

            print_help(build_app(self), command)
            return
        from tesseract_core.runtime.cli.help import endpoint_help

        function = self.endpoints[command]
        print(endpoint_help(function, command), file=sys.stderr)

    def _completion(self, flag: str, tokens: list[str]) -> int:
        from tesseract_core.runtime.cli.app import build_app, completion

        app = build_app(self, self.endpoints)
        self.write(completion(app, install=flag == "--install-completion", shell=tokens[0] if tokens else None))
        return 0

    # Commands

    def _dispatch(self, command: str, tokens: list[str]) -> int:
        if not tokens and command in _NO_ARGUMENTS:
            return getattr(self, command.replace("-", "_"))()
        if len(tokens) == 1 and command not in FIXED_COMMANDS and not tokens[0].startswith("-"):
            return self.call(command, tokens[0])
        if command == "serve" and (plain := options.parse_serve(tokens)) is not None:
            self.serve(**plain)
        from tesseract_core.runtime.cli.app import build_app, parse

        # A lone dash would be taken for an option.
        tokens = ["@-" if token == "-" else token for token in tokens]
        app = build_app(self, {} if command in FIXED_COMMANDS else self.endpoints)
        status: int = parse(app, [command, *tokens], command)()
        return status

    def call(self, command: str, payload: str, exit_code: bool = False) -> int:
        """Run an endpoint in a run of its own and write its result.

        Args:
            command: The endpoint's command.
            payload: As given on the command line.
            exit_code: Let a failed verdict of `test` decide the status.
        """
        from tesseract_core.runtime import stray_files
        from tesseract_core.runtime.cli.payload import read_payload, validate_payload
        from tesseract_core.runtime.core import get_input_schema
        from tesseract_core.runtime.mpa import stream_run
        from tesseract_core.runtime.profiler import Profiler

        value = read_payload(payload, command)
        function = self.endpoints[command]
        model = validate_payload(get_input_schema(function), value, command)
        config = get_config()
        stray_files.watch()
        with ExitStack() as stack:
            try:
                stack.enter_context(stream_run(function.__name__))
            except OSError as error:
                raise CommandFailed(f"cannot write to the output path {config.output_path}: {error}") from None
            except (RuntimeError, ValueError) as error:
                raise CommandFailed(str(error)) from None
            try:
                with Profiler() as profiler:
                    result = function(model)
                profiler.print_stats()
                content = _encode(result)
            except (CommandFailed, KeyboardInterrupt):
                raise
            except BaseException:
                traceback.print_exc()
                raise CommandFailed from None
        self.write(content, config.output_file)
        return 1 if exit_code and result.status != "passed" else 0

    def check(self) -> int:
        """Check the user's module."""
        _ = self._document()
        print("✅ Tesseract API check successful ✅", file=sys.stderr)
        return 0

    def check_gradients(self, payload: str, check: GradientCheck) -> int:
        """Check gradient endpoints at an apply payload."""
        from tesseract_core.runtime.cli import gradients
        from tesseract_core.runtime.cli.payload import read_payload, validate_payload
        from tesseract_core.runtime.core import get_input_schema

        value = read_payload(payload, gradients.COMMAND)
        validate_payload(get_input_schema(self.endpoints["apply"]), value, gradients.COMMAND)
        gradients.check(self.api_module, value, check)
        return 0

    def health(self) -> int:
        """Print the status: the module can be loaded."""
        _ = self.endpoints
        self.write(b'{"status":"ok"}', get_config().output_file)
        return 0

    def input_schema(self) -> int:
        """Print the JSON schema of what `apply` takes."""
        from tesseract_core.runtime.core import get_input_schema

        return self._json_schema(get_input_schema(self.endpoints["apply"]), "validation")

    def output_schema(self) -> int:
        """Print the JSON schema of what `apply` returns."""
        from tesseract_core.runtime.core import get_output_schema

        return self._json_schema(get_output_schema(self.endpoints["apply"]), "serialization")

    def _json_schema(self, model: type[BaseModel], mode: JsonSchemaMode) -> int:
        import orjson

        self.write(orjson.dumps(model.model_json_schema(mode=mode)), get_config().output_file)
        return 0

    def openapi_schema(self) -> int:
        """Print the OpenAPI document."""
        self.write(self._document(), get_config().output_file)
        return 0

    def _document(self) -> bytes:
        import orjson

        from tesseract_core.runtime.openapi import build_openapi
        from tesseract_core.runtime.user_module import NotATesseract, explained

        config = get_config()
        offered = [function for name, function in self.endpoints.items() if name != "test" or config.debug]
        try:
            with explained():
                return orjson.dumps(build_openapi(offered, config))
        except NotATesseract as error:
            raise CommandFailed(str(error)) from None

    def serve(self, parent_pipe_fd: int | None = None, **where: Any) -> NoReturn:
        """Serve `where` (arguments of `serve.serve`) until a signal comes, then end this process."""
        require_api_file()
        from tesseract_core.runtime.serve import serve
        from tesseract_core.runtime.serve.processes import leave

        try:
            if parent_pipe_fd is not None:
                os.fstat(parent_pipe_fd)
        except (OSError, OverflowError):
            raise UsageError(f"Invalid value for --parent-pipe-fd: {parent_pipe_fd} is not open", "serve") from None
        try:
            serve(**where, parent_pipe_fd=parent_pipe_fd)
        except ValueError as error:
            raise CommandFailed(str(error)) from None
        leave(0)  # nothing of the user's is in this process, whose end a container waits for

    def _attach_debugger(self) -> None:
        """In debug mode wait for a debugger, before the user's module is imported."""
        if get_config().debug:
            from tesseract_core.runtime import debugger

            if debugger.listen():
                debugger.wait_for_client()

    def write(self, content: bytes, output_file: str = "") -> None:
        """Write a result to stdout, or to `output_file` below the output path.

        Raises:
            CommandFailed: It cannot be written.
        """
        from tesseract_core.runtime.cli.payload import write_result

        try:
            write_result(content, get_config().output_path, output_file, self._result_fd)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise CommandFailed(f"cannot write the result: {error}") from None


def _encode(result: Any) -> bytes:
    """Return an endpoint's result as it is written, with its arrays in files where the format says so.

    Raises:
        CommandFailed: The files cannot be written.
    """
    from tesseract_core.runtime.file_interactions import output_to_bytes

    config = get_config()
    try:
        return output_to_bytes(
            result,
            config.output_format,
            base_dir=config.output_path,
            compression=config.compression,
            nonfinite=config.nonfinite,
        )
    except OSError as error:
        raise CommandFailed(f"cannot write the result to the output path {config.output_path}: {error}") from None


def require_api_file() -> None:
    """Check that the API file is there.

    Raises:
        CommandFailed: It is not; the message says how to name another one.
    """
    path = get_config().api_path
    if not path.is_file():
        raise CommandFailed(
            f"no Tesseract API file {str(path)!r} in {os.getcwd()}. Set TESSERACT_API_PATH to yours, for example:\n"
            "    export TESSERACT_API_PATH=/path/to/tesseract_api.py\n"
            "Aborted."
        )
