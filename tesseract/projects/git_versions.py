"""Versions that packages take from git: `.git` does not travel into an image, so the version is found on the host.

The copy of the package gets what a source distribution has in place of `.git`: a PKG-INFO with the version, and for
setuptools the names of the tracked files, which it would ask git for. Only git itself runs, with its hooks, filters and
monitors off: a project must not be able to start programs on the host by being built.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from tesseract import proc
from tesseract.errors import EngineError, ValidationError

_PRETEND = "SETUPTOOLS_SCM_PRETEND_VERSION"
_TAG = re.compile(r"(?:[\w-]+-)?(?P<version>[vV]?\d+(?:\.\d+){0,2}[^+]*)(?:\+.*)?")
_DESCRIBED = re.compile(r"(?P<tag>.+)-(?P<distance>\d+)-(?P<node>g[0-9a-f]+)")
# Options under which the defaults of setuptools-scm, which are those here, no longer tell the version.
_OWN_RULES = ("version_scheme", "tag_regex", "git_describe_command", "parse", "tag-pattern", "scm", "normalize")
_LOCAL_SCHEMES = ("node-and-date", "no-local-version")
# Others that ask git: the variable by which a build is told the version.
_OTHERS = {
    "pdm": "PDM_BUILD_SCM_VERSION",
    "poetry-dynamic-versioning": "POETRY_DYNAMIC_VERSIONING_BYPASS",
    "uv-dynamic-versioning": "UV_DYNAMIC_VERSIONING_BYPASS",
}


@dataclass(frozen=True)
class _Rule:
    """How a package finds its version: by whom, with which options; `variable` tells it otherwise."""

    by: str
    name: str = ""
    options: Mapping[str, Any] | None = None
    variable: str = _PRETEND

    @property
    def given_by(self) -> str:
        """The variable of this package alone, where there is one."""
        normalized = re.sub(r"[-_.]+", "_", self.name).upper()
        return f"{_PRETEND}_FOR_{normalized}" if self.variable == _PRETEND and normalized else self.variable


def complete(source: Path, staged: Path, environment: Mapping[str, str]) -> str | None:
    """Give the copy of a package that takes its version from git what it needs in place of `.git`.

    Args:
        source: Folder of the package.
        staged: The copy, which is written to.
        environment: The build's own variables; a version that they give holds.

    Returns:
        The version; None where it does not come from git, or is given otherwise.

    Raises: ValidationError if it comes from git, but cannot be found.
    """
    rule = _rule(source)
    if rule is None or (source / "PKG-INFO").exists() or {rule.variable, rule.given_by} & environment.keys():
        return None
    try:
        version = _version(source, rule)
    except (_Unknown, EngineError) as error:
        raise ValidationError(
            f"{source}: {rule.by} takes its version from git, and {str(error).removesuffix('.')}. "
            f'Give it by build_config.build_env: {{{rule.given_by}: "1.2.3"}}.'
        ) from error
    if version is None:
        return None
    (staged / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {rule.name or source.name}\nVersion: {version}\n")
    if rule.by == "setuptools-scm":
        # A template splits at spaces, and knows `?` for any character.
        names = [re.sub(r"[\s#*?\[\]]", "?", name) for name in _git(source, "ls-files", "-z").split("\0") if name]
        with (staged / "MANIFEST.in").open("a", encoding="utf-8") as manifest:
            manifest.writelines(f"\ninclude {name}" for name in names)
    return version


class _Unknown(Exception):
    """Why the version cannot be found."""


def _rule(folder: Path) -> _Rule | None:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or one that the build backend will complain of
        project = {}
    tools = project.get("tool") or {}
    name = str((project.get("project") or {}).get("name") or "")
    requires = " ".join((project.get("build-system") or {}).get("requires") or ()).replace("_", "-").lower()
    dynamic = "version" in ((project.get("project") or {}).get("dynamic") or ()) or "project" not in project
    hatch = (tools.get("hatch") or {}).get("version") or {}
    if not dynamic:
        return None
    if hatch.get("source") == "vcs":
        return _Rule("hatch-vcs", name, {**hatch, **(hatch.get("raw-options") or {})})
    if hatch.get("source") in _OTHERS:
        return _Rule(hatch["source"], name, variable=_OTHERS[hatch["source"]])
    if ((tools.get("pdm") or {}).get("version") or {}).get("source") == "scm":
        return _Rule("pdm", name, variable=_OTHERS["pdm"])
    if "poetry-dynamic-versioning" in tools:
        return _Rule("poetry-dynamic-versioning", name, variable=_OTHERS["poetry-dynamic-versioning"])
    if "setuptools-scm" in requires or "setuptools_scm" in tools or _setup_py_asks(folder):
        return _Rule("setuptools-scm", name, tools.get("setuptools_scm") or {})
    return None


def _setup_py_asks(folder: Path) -> bool:
    path = folder / "setup.py"
    return path.is_file() and "use_scm_version" in path.read_text(encoding="utf-8", errors="replace")


def _version(folder: Path, rule: _Rule) -> str | None:
    """By the defaults of setuptools-scm: `1.2.3` at a tag, else `1.2.4.dev5+gabc1234`, with a date after changes."""
    if rule.options is None:
        raise _Unknown("only its own program knows by which rules")
    own = [option for option in _OWN_RULES if rule.options.get(option)]
    local = rule.options.get("local_scheme", _LOCAL_SCHEMES[0])
    if own or local not in _LOCAL_SCHEMES:
        raise _Unknown(f"the option {own[0] if own else 'local_scheme'} makes rules of its own")
    fallback = rule.options.get("fallback_version") or rule.options.get("fallback-version")
    try:
        _git(folder, "rev-parse", "--verify", "HEAD")
    except _Unknown:
        if fallback:
            return None  # without git the package itself takes that one
        raise
    try:
        described = _git(folder, "describe", "--tags", "--long", "--match", "*[0-9]*")
    except _Unknown:
        described = f"0.0-{_git(folder, 'rev-list', '--count', 'HEAD')}-g{_git(folder, 'rev-parse', '--short', 'HEAD')}"
    match = _DESCRIBED.fullmatch(described)
    assert match is not None
    return _numbered(match, _git(folder, *_CHANGED) != "", local)


_CHANGED = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")


def _numbered(described: re.Match[str], changed: bool, local: str) -> str:
    tag = _TAG.fullmatch(described["tag"])
    try:
        version = str(Version(tag["version"])) if tag else ""
    except InvalidVersion:
        version = ""
    if not version:
        raise _Unknown(f"its last tag, {described['tag']}, names none")
    distance = int(described["distance"])
    if distance == 0 and not changed:
        return version
    base, dev, _ = version.partition(".dev")
    if not dev:
        base = re.sub(r"\d+$", lambda last: str(int(last[0]) + 1), base)
    words = [described["node"]] if distance else []
    words += [f"d{datetime.datetime.now(datetime.UTC):%Y%m%d}"] if changed else []
    return f"{base}.dev{distance}" + (f"+{'.'.join(words)}" if local == _LOCAL_SCHEMES[0] else "")


def _git(folder: Path, *words: str) -> str:
    """What git prints. Nothing that the repository's own settings name is run."""
    off = ["core.fsmonitor=false", "core.hooksPath=/dev/null", *(f"{name}=" for name in _filters(folder))]
    return _run(folder, *(word for setting in off for word in ("-c", setting)), *words)


def _filters(folder: Path) -> list[str]:
    listed = proc.run(["git", "-C", str(folder), "config", "--name-only", "--get-regexp", r"^filter\."])
    return listed.stdout.decode(errors="replace").splitlines()


def _run(folder: Path, *words: str) -> str:
    done = proc.run(["git", "--no-optional-locks", "-C", str(folder), *words])
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise _Unknown(f"git says: {(said or ['nothing'])[0]}")
    return done.stdout.decode(errors="replace").strip()
