"""Every help screen is pinned by a golden file; none imports an engine or anything heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.golden import check_golden

from tesseract.cli.registry import COMMANDS

pytestmark = pytest.mark.fast

GOLDEN = Path(__file__).parent / "golden"


def tesseract(*args: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'tesseract'; from tesseract.cli.main import main; main()"
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "80", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def test_main_help() -> None:
    result = tesseract("--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert tesseract("-h").stdout == result.stdout
    check_golden(GOLDEN / "help.txt", _plain(result.stdout))


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_command_help(name: str) -> None:
    result = tesseract(name, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    check_golden(GOLDEN / f"help_{name}.txt", _plain(result.stdout))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_examples_name_their_command(command: object) -> None:
    assert command.example.startswith(f"tesseract {command.name}")  # type: ignore[attr-defined]


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def test_version_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from tesseract.cli.main import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'pydantic', 'numpy', 'podman', 'requests', 'rich', 'cyclopts', 'yaml', 'fsspec'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("1.15.0+podman.")


def test_version_after_other_options() -> None:
    assert tesseract("--loglevel", "debug", "--version").stdout == tesseract("--version").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    code = "import sys; from tesseract.cli.main import main; main(['--show-completion'])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"SHELL": f"/bin/{shell}"}, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "teardown" in result.stdout
    assert "num-workers" in result.stdout
