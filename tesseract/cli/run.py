"""`tesseract run`: one command of a Tesseract in a container that goes away; its result on stdout."""

import logging
from enum import StrEnum
from functools import partial
from typing import Annotated

from cyclopts import Group, Parameter

from tesseract import serving
from tesseract.cli import runtime_help
from tesseract.cli.console import LineLog, logger
from tesseract.cli.options import DATA, ENGINE, GLOBAL, ContainerOptions, parse_env, split_words, switch
from tesseract.cli.output import RawOutput
from tesseract.errors import UsageError, UserError
from tesseract.serving import endings, process

RUNTIME = Group("Runtime", sort_key=4)


class RuntimeCommand(StrEnum):
    """Commands of the runtime that make sense in a container which goes away."""

    ABSTRACT_EVAL = "abstract-eval"
    APPLY = "apply"
    CHECK = "check"
    CHECK_GRADIENTS = "check-gradients"
    HEALTH = "health"
    INPUT_SCHEMA = "input-schema"
    JACOBIAN = "jacobian"
    JACOBIAN_VECTOR_PRODUCT = "jacobian-vector-product"
    OPENAPI_SCHEMA = "openapi-schema"
    OUTPUT_SCHEMA = "output-schema"
    TEST = "test"
    VECTOR_JACOBIAN_PRODUCT = "vector-jacobian-product"


_NO_OPTIONS = ContainerOptions()


def run(
    image: Annotated[str | None, Parameter(help="Tesseract image, as `tesseract list` shows it.")] = None,
    cmd: Annotated[
        RuntimeCommand | None,
        Parameter(help="What to run; `tesseract run IMAGE CMD --help` explains it."),
    ] = None,
    payload: Annotated[
        str | None,
        Parameter(help="JSON text, @file, @scheme://... (read here, with your credentials), or - for stdin."),
    ] = None,
    /,
    *,
    options: ContainerOptions = _NO_OPTIONS,
    output_file: Annotated[
        str | None,
        Parameter(metavar="NAME", group=DATA, help="Write the result to that file below --output-path, not to stdout."),
    ] = None,
    runtime_args: Annotated[
        str | None,
        Parameter(
            metavar="ARGS",
            allow_leading_hyphen=True,
            group=RUNTIME,
            help="Options for the command, as one shell-quoted text.",
        ),
    ] = None,
    exit_code: Annotated[bool, switch(group=RUNTIME, help="Of `test`: end with 1 unless the case passed.")] = False,
    profiling: Annotated[bool, switch(group=RUNTIME, help="Profile the call.")] = False,
    tracing: Annotated[bool, switch(group=RUNTIME, help="Log inputs and outputs.")] = False,
    debug: Annotated[bool, switch(group=RUNTIME, help="Wait for a debugger to attach.")] = False,
    docker_args: Annotated[
        str | None,
        Parameter(
            metavar="ARGS",
            name=["--engine-args", "--docker-args"],
            allow_leading_hyphen=True,
            group=ENGINE,
            help="Further arguments for the engine's run command, as one shell-quoted text.",
        ),
    ] = None,
    help_: Annotated[
        bool,
        switch(name=["--help", "-h"], group=GLOBAL, help="This help; after IMAGE and CMD, help of that command."),
    ] = False,
) -> None:
    if help_ and not (image and cmd):
        return runtime_help.print_own("run")
    if not image:
        raise UsageError("Tesseract image name is required.")
    if not cmd:
        raise UsageError(f"Command is required. Are you sure your Tesseract image name is `{image}`?")
    if exit_code and cmd != RuntimeCommand.TEST:
        raise UsageError(f"--exit-code is an option of the command test, not of {cmd}.")
    words = [*split_words("--runtime-args", runtime_args), *(["--exit-code"] if exit_code else [])]
    request = serving.RunRequest(
        image=image,
        command=cmd,
        args=(*words, *([payload] if payload is not None else [])),
        volumes=options.volume,
        environment=parse_env(options.env, "Environment variables must be in the format 'key=value'."),
        gpus=options.gpus,
        network=options.network,
        user=options.user,
        userns=options.userns,
        memory=options.memory,
        shm_size=options.shm_size,
        input_path=options.input_path,
        output_path=options.output_path,
        output_format=options.output_format,
        output_file=output_file,
        debugger=debug and not help_,
        read_only_root=options.read_only,
        engine_args=split_words("--docker-args", docker_args),
        profiling=profiling,
        tracing=tracing,
        owner=process.current(),
    )
    if help_:
        return runtime_help.forward(request)
    log = LineLog(logging.INFO, partial(runtime_help.reworded, image=image))
    result = serving.run_once(request, RawOutput(), log)
    log.close()
    if result.exit_status != 0:
        message = _failure(request, result, log)
        raise UserError(f"{message}\n{result.problem}" if result.problem else message)
    if result.problem is not None:
        raise result.problem


def _failure(request: serving.RunRequest, result: serving.RunResult, log: LineLog) -> str:
    said = log.text
    if result.exit_status == 2 and ("No such command" in said or "Unknown command" in said):
        return f"Error running Tesseract '{request.image}'. Error: Unimplemented command '{request.command}'."
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    if result.exit_status == 1 and "--exit-code" in request.args and not errors:
        return "The test case did not pass; its verdict is the command's result."
    how = endings.by_signal(result.container, result.exit_status)
    ended = f"ended with status {result.exit_status}" + (f" ({how})" if how else "")
    parts = [f"Error running Tesseract: '{request.command}' {ended}."]
    parts += [text] if (text := endings.advice(result.container)) else []
    if log.empty:
        parts.append("It gave no output.")
    elif logger.isEnabledFor(logging.INFO):
        parts.append("Its output is above.")
    elif logger.isEnabledFor(logging.ERROR):
        logger.error("%s", said)
        parts.append("Its output is above.")
    else:
        parts.append("Run again with --loglevel info to see its output.")
    return " ".join(parts)
