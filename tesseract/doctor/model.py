"""The words of the doctor: finding, check, machine."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

P = TypeVar("P")


class Severity(StrEnum):
    """How bad a finding is. Only an `error` makes `tesseract doctor` fail."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """What a check found, why it matters, and what to do about it (empty when nothing is to do)."""

    severity: Severity
    message: str
    remediation: str = ""


def ok(message: str) -> Finding:
    return Finding(Severity.OK, message)


def note(message: str, remediation: str = "") -> Finding:
    return Finding(Severity.NOTE, message, remediation)


def warning(message: str, remediation: str) -> Finding:
    return Finding(Severity.WARNING, message, remediation)


def error(message: str, remediation: str) -> Finding:
    return Finding(Severity.ERROR, message, remediation)


@dataclass(frozen=True)
class Output:
    """What a command printed; `status` is None if it is not installed or did not end in time."""

    status: int | None
    stdout: str = ""
    stderr: str = ""

    @property
    def last_line(self) -> str:
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1] if lines else ""


class Machine:
    """The doctor's eyes: read-only looks at this machine, each taken once."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ = dict(os.environ if environ is None else environ)
        self.uid = os.getuid()

    @functools.cached_property
    def user(self) -> str:
        import pwd

        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def which(self, program: str) -> str | None:
        return shutil.which(program, path=self.environ.get("PATH"))

    def run(self, *command: str, timeout: float = 20) -> Output:
        """Run a command that changes nothing."""
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=self.environ,
                errors="replace",
                check=False,
            )
        except FileNotFoundError:
            return Output(None, stderr=f"{command[0]} is not installed")
        except (OSError, subprocess.TimeoutExpired) as problem:
            return Output(None, stderr=str(problem))
        return Output(done.returncode, done.stdout, done.stderr)

    def read(self, path: str | Path) -> str | None:
        """Text of a file, or None if it cannot be read."""
        try:
            return Path(path).read_text(errors="replace").strip()
        except OSError:
            return None

    @functools.cached_property
    def podman_info(self) -> dict[str, Any]:
        """`podman info`, or an empty mapping where Podman does not work."""
        done = self.run("podman", "info", "--format", "json")
        try:
            return dict(json.loads(done.stdout)) if done.status == 0 else {}
        except ValueError:
            return {}


class Check(ABC, Generic[P]):
    """One thing that can be wrong."""

    name: ClassVar[str]
    title: ClassVar[str]
    engine: ClassVar[str | None] = None
    """The engine that the check is about; None for every engine."""

    @abstractmethod
    def probe(self, machine: Machine) -> P:
        """Look at the machine; decide nothing."""

    @abstractmethod
    def judge(self, probe: P) -> Finding:
        """Decide, from what the probe saw alone."""

    def fix(self, probe: P) -> str | None:
        """Fix what needs no root; returns what was done, or None if there is nothing that we can do."""
        return None
