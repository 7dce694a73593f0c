"""What README and user guide show is run, in order, as a reader would type it, and compared with what they show.

In a ```console block, a line that starts with `$ ` is a command (it goes on where a line ends with a backslash), and
the lines below it are what it prints on stdout or stderr; `…` stands for anything. A command must succeed, unless what
is shown is its stderr. A ```python block is a program that must succeed; a ```yaml block is a `tesseract_config.yaml`.
All blocks of a file share one shell, in a directory that holds a copy of `examples/`. Ports 8080 to 8089 become free
ones.

A block below `<!-- file: PATH -->` is what the reader is told to put there. One below `<!-- not run: reason -->` cannot
run here; `pytest -rs tests/journeys/test_docs_snippets.py` lists the reasons.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tesseract_core.runtime.experimental
import yaml
from support.engine import podman, snapshot
from support.images import remove_image
from support.pages import Block, blocks_of
from tesseract_core.runtime.config import RuntimeConfig, env_name

from tesseract.projects.config import TesseractConfig

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "examples/pipeline/README.md", *sorted((ROOT / "docs").glob("*.md"))]
PORT = re.compile(r"\b808\d\b")


@dataclass(frozen=True)
class Step:
    """One thing that the shell does, and what the page shows of its output (empty: anything goes)."""

    command: str
    shown: str
    line: int


def steps_of(block: Block, programs: Path) -> Iterator[Step]:
    if block.file:
        text = programs / f"line_{block.line}.txt"
        text.write_text(block.text)
        yield Step(f"cp {text} {block.file}", "", block.line)
        return
    if block.language == "python":
        program = programs / f"line_{block.line}.py"
        program.write_text(block.text)
        yield Step(f"python {program}", "", block.line)
        return
    for match in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block.text, re.M):
        yield Step(match[1], match[2].strip(), block.line + block.text.count("\n", 0, match.start()))


def matches(shown: str, printed: str) -> bool:
    pattern = ".*".join(re.escape(part.strip(" ")) for part in shown.split("…"))
    # How far columns are apart depends on what stands in them.
    pattern = re.sub(r"(\\ )+", r"\\s+", pattern)
    return re.fullmatch(pattern, printed.strip(), re.S) is not None


def with_ports(text: str, ports: dict[str, str]) -> str:
    return PORT.sub(lambda match: ports.get(match[0], match[0]), text)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def play(steps: list[Step], cwd: Path, logs: Path) -> None:
    """Run the steps in one shell. Raises: AssertionError for the first that does not do what the page says.

    Args:
        steps: What to run.
        cwd: Where the shell starts.
        logs: Directory for what each step prints.
    """
    script = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    for number, step in enumerate(steps):
        log = logs / str(number)
        script.append(f"{{ {step.command}\n}} >{log}.out 2>{log}.err </dev/null; echo $? >{log}.rc")
        # Of a step without output, failure can only be an error: the rest would wait for what never comes.
        if not step.shown:
            script.append(f'[ "$(cat {log}.rc)" = 0 ] || exit')
    environ = {k: v for k, v in os.environ.items() if not k.startswith("TESSERACT_")}
    environ |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        # What pages fetch and clear is not to be the tester's own.
        "XDG_CACHE_HOME": str(logs / "cache"),
        "XDG_STATE_HOME": str(logs / "state"),
    }
    shell = subprocess.Popen(["bash", "-c", "\n".join(script)], cwd=cwd, env=environ)
    try:
        shell.wait(timeout=480)
    finally:
        shell.kill()
    for number, step in enumerate(steps):
        out, err, rc = ((logs / f"{number}.{kind}") for kind in ("out", "err", "rc"))
        printed, complained = (path.read_text() if path.exists() else "" for path in (out, err))
        status = rc.read_text().strip() if rc.exists() else "not finished"
        ok = status == "0" and matches(step.shown or "…", printed)
        ok = ok or (bool(step.shown) and matches(step.shown, complained))
        assert ok, (
            f"line {step.line}: $ {step.command}\nstatus {status}\n--- shown\n{step.shown}\n--- stdout\n{printed}"
            f"\n--- stderr\n{complained}"
        )


@pytest.fixture(scope="module", autouse=True)
def images(tesseract_image: Callable[[str], str]) -> Iterator[None]:
    """Images of examples are the suite's; builds on the pages find all their layers. Other images are removed."""
    text = "\n".join(page.read_text() for page in PAGES)
    for path in sorted(set(re.findall(r"^\$ tesseract build examples/(\S+)", text, re.M))):
        tesseract_image(path)
    before = names_of_images()
    yield
    for name in names_of_images() - before:
        remove_image(name.removeprefix("localhost/"))


def names_of_images() -> set[str]:
    return set(podman("images", "--format", "{{.Repository}}").split())


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_programs_do_what_the_page_says(
    page: Path, tmp_path: Path, tesseract_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    cwd, logs = tmp_path / "cwd", tmp_path / "logs"
    logs.mkdir()
    shutil.copytree(ROOT / "examples", cwd / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    steps = [
        step
        for block in blocks_of(page)
        if (block.language in ("console", "python") or block.file) and not block.reason
        for step in steps_of(block, logs)
    ]
    ports = {port: free_port() for step in steps for port in PORT.findall(step.command)}
    steps = [Step(with_ports(step.command, ports), with_ports(step.shown, ports), step.line) for step in steps]
    before = snapshot()
    try:
        play(steps, cwd, logs)
        assert snapshot() == before, "the page leaves something behind"
    finally:
        subprocess.run(
            [Path(sys.executable).parent / "tesseract", "teardown", "--all"], capture_output=True, check=False
        )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_configurations_are_valid(page: Path) -> None:
    for block in blocks_of(page):
        document = yaml.safe_load(block.text) if block.language == "yaml" else {}
        if "name" in document:  # not one of a CI service
            TesseractConfig.model_validate(document)


def test_settings_and_imports_are_complete() -> None:
    configuration, writing = ((ROOT / "docs" / name).read_text() for name in ("configuration.md", "writing.md"))
    settings = {env_name(field) for field in RuntimeConfig.model_fields}
    assert settings - set(re.findall(r"`(TESSERACT_\w+)`", configuration)) == set()
    for module in (tesseract_core.runtime, tesseract_core.runtime.experimental):
        (row,) = re.findall(rf"^\| `{module.__name__}` \|(.*)\|$", writing, re.M)
        assert set(re.findall(r"`(\w+)`", row)) == set(module.__all__)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    ("page", "line", "reason"),
    [
        pytest.param(page, block.line, block.reason, id=f"{name_of(page)}:{block.line}")
        for page in PAGES
        for block in blocks_of(page)
        if block.reason
    ],
)
def test_not_run_here(page: Path, line: int, reason: str) -> None:
    pytest.skip(reason)
