"""The commands: name, where the function is, one line of help, an example. Nothing is imported until it is called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command of `tesseract`.

    Attributes:
        name: As typed.
        target: `module:function`.
        help: One line.
        group: Under which heading `tesseract --help` shows it.
        example: What a user may copy, without the leading `$`.
        own_help: The function has `--help` as a parameter of its own.
        usage: Usage line, where the one that is made from the parameters would mislead.
    """

    name: str
    target: str
    group: str
    help: str
    example: str
    own_help: bool = False
    usage: str | None = None


GROUPS = ("Build", "Run", "Data", "Engine")

COMMANDS = (
    Command(
        "init",
        "tesseract.cli.init:init",
        "Build",
        "Start a new Tesseract project.",
        "tesseract init --name hello --target-dir hello",
    ),
    Command(
        "build",
        "tesseract.cli.build:build",
        "Build",
        "Build a Tesseract image from a project.",
        "tesseract build ./hello",
    ),
    Command(
        "list", "tesseract.cli.list:list_images", "Build", "List Tesseract images.", "tesseract list --format json"
    ),
    Command(
        "run",
        "tesseract.cli.run:run",
        "Run",
        "Run one command of a Tesseract and print its result.",
        'tesseract run vectoradd apply \'{"inputs": {"a": [1, 2], "b": [3, 4]}}\'',
        own_help=True,
        usage="Usage: tesseract run [OPTIONS] IMAGE CMD [PAYLOAD]",
    ),
    Command(
        "serve",
        "tesseract.cli.serve:serve",
        "Run",
        "Serve a Tesseract over HTTP and print where, as JSON.",
        "tesseract serve --num-workers 4 --port 8000-8010 vectoradd",
    ),
    Command("ps", "tesseract.cli.ps:ps", "Run", "List running Tesseracts.", "tesseract ps --format json"),
    Command("logs", "tesseract.cli.logs:logs", "Run", "Print what a Tesseract has written.", "tesseract logs -f NAME"),
    Command(
        "teardown",
        "tesseract.cli.teardown:teardown",
        "Run",
        "Stop and remove served Tesseracts.",
        "tesseract teardown --all",
        usage="Usage: tesseract teardown [OPTIONS] [NAME...]",
    ),
    Command(
        "apidoc",
        "tesseract.cli.apidoc:apidoc",
        "Run",
        "Open the API documentation of a Tesseract in a browser.",
        "tesseract apidoc vectoradd",
    ),
    Command(
        "runs",
        "tesseract.cli.runs:runs",
        "Data",
        "List the runs below an output path, and plot their metrics.",
        "tesseract runs ./output --plot",
        usage="Usage: tesseract runs [OPTIONS] [PATH]",
    ),
    Command(
        "cache",
        "tesseract.cli.cache:cache",
        "Data",
        "Show or clear what has been fetched from URLs as input.",
        "tesseract cache --clear",
    ),
    Command(
        "uploads",
        "tesseract.cli.uploads:uploads",
        "Data",
        "Show or send output that has not arrived at its URL.",
        "tesseract uploads --retry",
    ),
    Command(
        "prune",
        "tesseract.cli.prune:prune",
        "Engine",
        "Remove what killed builds and programs left behind, and caches.",
        "tesseract prune --dry-run",
    ),
    Command(
        "info",
        "tesseract.cli.info:info",
        "Engine",
        "Show which container engine is used, and why.",
        "tesseract info --format json",
    ),
    Command(
        "doctor",
        "tesseract.cli.doctor:doctor",
        "Engine",
        "Find out what keeps containers from running here, and what to do.",
        "tesseract doctor --fix",
        usage="Usage: tesseract doctor [OPTIONS] [CHECK...]",
    ),
)
