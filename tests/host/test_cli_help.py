"""Every help screen is pinned by a golden file; none imports an engine or anything heavy."""

from __future__ import annotations

import os
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


COMPLETE = """
source <("$1" -m tesseract --show-completion)
while read -r line; do
  eval "COMP_WORDS=($line)"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  _tesseract
  (IFS='|'; echo "${COMPREPLY[*]}")
done
"""


def test_completion_in_bash(tmp_path: Path) -> None:
    (tmp_path / "my solver").mkdir()
    offered = {
        "tesseract te": "teardown",
        "tesseract --loglevel de": "debug",
        "tesseract --loglevel debug serve --num": "--num-workers",
        "tesseract run vectoradd app": "apply",
        "tesseract run vectoradd apply --output-f": "--output-format|--output-file",
        "tesseract init --recipe j": "jax",
        "tesseract build my": "my solver",  # one name
    }
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", sys.executable],
        input="\n".join(offered) + "\n",
        capture_output=True,
        text=True,
        env={**os.environ, "SHELL": "/bin/bash"},
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.splitlines() == list(offered.values())


def test_completion_is_installed_or_says_why_not(tmp_path: Path) -> None:
    def install(shell: str) -> subprocess.CompletedProcess[str]:
        environment = {"SHELL": f"/bin/{shell}", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        words = [sys.executable, "-m", "tesseract", "--install-completion"]
        return subprocess.run(words, capture_output=True, text=True, env=environment, check=False)

    assert install("bash").returncode == 0
    installed = tmp_path / ".local/share/bash-completion/completions/tesseract"
    assert "_tesseract" in installed.read_text()
    assert str(installed) in (tmp_path / ".bashrc").read_text()
    (tmp_path / ".config").touch()  # where fish wants a directory
    failed = install("fish")
    assert failed.returncode == 1
    assert "cannot be installed" in failed.stderr
    assert "--show-completion" in failed.stderr
    assert "no completion for the shell 'tcsh'" in install("tcsh").stderr
