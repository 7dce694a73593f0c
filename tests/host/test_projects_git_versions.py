"""Packages that take their version from git: it travels, `.git` does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tesseract.errors import ValidationError
from tesseract.projects import git_versions

pytestmark = [pytest.mark.fast, pytest.mark.needs("git")]

SCM = '[build-system]\nrequires = ["setuptools_scm>=8"]\n[project]\nname = "my.pkg"\ndynamic = ["version"]\n'
HATCH = '[project]\nname = "my-pkg"\ndynamic = ["version"]\n[tool.hatch.version]\nsource = "vcs"\n'


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", folder, *settings, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A repository whose package lies below its root."""
    folder = tmp_path / "repository/python"
    (folder / "my pkg").mkdir(parents=True)
    (folder / "my pkg/table.csv").write_text("1")
    (folder / "pyproject.toml").write_text(SCM)
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-qm", "one")
    return folder


def complete(folder: Path, tmp_path: Path, **environment: str) -> str | None:
    staged = tmp_path / "staged"
    staged.mkdir(exist_ok=True)
    return git_versions.complete(folder, staged, environment)


def test_versions(package: Path, tmp_path: Path) -> None:
    def node() -> str:
        return "g" + git(package, "rev-parse", "--short", "HEAD")

    assert complete(package, tmp_path) == f"0.1.dev1+{node()}"
    git(package, "tag", "v1.2.3")
    assert complete(package, tmp_path) == "1.2.3"
    git(package, "commit", "-qm", "two", "--allow-empty")
    assert complete(package, tmp_path) == f"1.2.4.dev1+{node()}"
    worktree = tmp_path / "worktree"
    git(package, "worktree", "add", "-q", str(worktree), "v1.2.3")
    assert complete(worktree / "python", tmp_path) == "1.2.3"
    git(package, "tag", "pkg-2.0rc1")
    (package / "pyproject.toml").write_text(HATCH)
    changed = complete(package, tmp_path)
    assert changed is not None
    assert changed.startswith("2.0rc2.dev0+d20")


def test_the_copy_has_what_a_source_distribution_has(package: Path, tmp_path: Path) -> None:
    git(package, "tag", "1.0")
    complete(package, tmp_path)
    assert "\nName: my.pkg\nVersion: 1.0\n" in (tmp_path / "staged/PKG-INFO").read_text()
    assert "\ninclude my?pkg/table.csv" in (tmp_path / "staged/MANIFEST.in").read_text()
    assert not (package / "PKG-INFO").exists()


@pytest.mark.parametrize("variable", ["SETUPTOOLS_SCM_PRETEND_VERSION", "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_PKG"])
def test_a_version_that_the_project_gives_holds(package: Path, tmp_path: Path, variable: str) -> None:
    assert complete(package, tmp_path, **{variable: "9.9"}) is None
    assert not list((tmp_path / "staged").iterdir())


@pytest.mark.parametrize(
    ("added", "reason", "variable"),
    [
        (
            '[tool.setuptools_scm]\ngit_describe_command = "touch ran"\n',
            "the option git_describe_command",
            "FOR_MY_PKG",
        ),
        ('[tool.setuptools_scm]\nlocal_scheme = "mine"\n', "the option local_scheme", "FOR_MY_PKG"),
        ('[tool.pdm.version]\nsource = "scm"\n', "only its own program", "PDM_BUILD_SCM_VERSION"),
    ],
)
def test_what_cannot_be_known_is_said_with_the_variable(
    package: Path, tmp_path: Path, added: str, reason: str, variable: str
) -> None:
    (package / "pyproject.toml").write_text(SCM + added)
    with pytest.raises(ValidationError, match=rf"from git, and {reason}.*build_env: \{{.*{variable}: "):
        complete(package, tmp_path)


def test_no_repository(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(SCM)
    with pytest.raises(
        ValidationError, match="setuptools-scm takes its version from git, and git says: fatal: not a git"
    ):
        complete(tmp_path, tmp_path)
    (tmp_path / "pyproject.toml").write_text(SCM + '[tool.setuptools_scm]\nfallback_version = "0.0"\n')
    assert complete(tmp_path, tmp_path) is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    assert complete(tmp_path, tmp_path) is None


def test_a_repository_starts_no_program(package: Path, tmp_path: Path) -> None:
    """Its monitor, hooks and filters are somebody else's programs."""
    ran = tmp_path / "ran"
    (package / ".gitattributes").write_text("*.csv filter=mine\n")
    git(package, "add", ".")
    git(package, "commit", "-qm", "attributes")
    git(package, "tag", "3.0")
    for name in ("core.fsmonitor", "filter.mine.clean", "filter.mine.process"):
        git(package, "config", name, f"touch {ran}; cat")
    (package / "my pkg/table.csv").write_text("2")
    version = complete(package, tmp_path)
    assert version is not None
    assert version.startswith("3.1.dev0+d")
    assert not ran.exists()
