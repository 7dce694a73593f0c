"""`tesseract build`: make an image of a project and print its tags, as JSON."""

from __future__ import annotations

import logging
import re
import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from tesseract import images
from tesseract.cli.console import is_debug, logger
from tesseract.cli.options import switch
from tesseract.cli.output import human_size, print_json
from tesseract.cli.progress import BuildProgress, describe
from tesseract.errors import BuildError, UsageError, UserError
from tesseract.projects.overrides import parse_override

CONTEXT = Group("Build context", sort_key=2)
CREDENTIALS = Group("Credentials", sort_key=3)
# What engines say of steps that went well.
_NOISE = re.compile(r"--> |#\d+ (CACHED|DONE|sha256:)")


def build(
    src_dir: Annotated[Path, Parameter(help="Project folder: tesseract_api.py, tesseract_config.yaml, requirements.")],
    /,
    *,
    tag: Annotated[
        str | None,
        Parameter(metavar="TAG", name=["--tag", "-t"], help="Tag of the image; else its version and `latest`."),
    ] = None,
    config_override: Annotated[
        list[str] | None,
        switch(
            metavar="KEY=VALUE",
            help="Set a value of the configuration, repeatable: build_config.base_image=ubuntu:24.04.",
            allow_leading_hyphen=False,
        ),
    ] = None,
    build_dir: Annotated[
        Path | None,
        Parameter(metavar="DIR", group=CONTEXT, help="Where to make the build context, which is then kept."),
    ] = None,
    generate_only: Annotated[
        bool, Parameter(group=CONTEXT, show_default=False, help="Make the build context, print its path and stop.")
    ] = False,
    forward_ssh_agent: Annotated[
        bool,
        Parameter(
            group=CREDENTIALS, show_default=False, help="Let the installation of dependencies use your SSH agent."
        ),
    ] = False,
    secret: Annotated[
        list[str] | None,
        switch(metavar="SPEC", group=CREDENTIALS, help="id=NAME,env=VARIABLE or id=NAME,src=FILE, repeatable."),
    ] = None,
) -> None:
    if not src_dir.is_dir():
        what = "is a file" if src_dir.exists() else "does not exist"
        raise UsageError(f"Invalid value for SRC_DIR: Directory '{src_dir}' {what}.")
    request = images.BuildRequest(
        src_dir=src_dir,
        tag=tag,
        build_dir=build_dir,
        forward_ssh_agent=forward_ssh_agent,
        secrets=secret or (),
        config_override=dict(parse_override(text) for text in config_override or ()),
        generate_only=generate_only,
    )
    try:
        if generate_only:
            _explain_context(images.build(request))
            return
        with BuildProgress(logger) as progress:
            result = images.build(request, progress.line)
    except BuildError as error:
        raise UserError(_explain_failure(error)) from error
    except PermissionError as error:
        raise UserError(f"Permission denied: {error.filename or error}") from error
    image = result.image
    assert image is not None
    for old in result.removed:
        logger.debug("Removed the image %s, which no tag named any more", old[:12])
    sizes = human_size(image.size) + (f", {human_size(image.mapped_size)} mapped" if image.mapped_size else "")
    logger.info("Built image %s (%s), %s", image.short_id, sizes, list(result.tags))
    print_json(list(result.tags))


def _explain_context(result: images.BuildResult) -> None:
    logger.info("Build context written to %s; the build was skipped.", result.build_dir)
    if result.command:
        logger.info("To build it: %s", shlex.join(result.command))
    print(result.build_dir)


def _explain_failure(error: BuildError) -> str:
    if not is_debug():  # else the log has been seen as it came
        for line in error.build_log:
            if not _NOISE.match(line):
                logger.error("%s", line)
    step = next((shown for line in reversed(error.build_log) if (shown := describe(line))), None)
    what = f"{step} failed: {error.reason}" if step and error.reason else error.headline
    seen = logger.isEnabledFor(logging.ERROR)
    where = "Its output is above." if seen else "Run again with `tesseract --loglevel debug` to see why."
    return f"Error building Tesseract. {what.removesuffix('.')}. {where}"
