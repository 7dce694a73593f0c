"""Every error that a user can meet, with its exit code.

    Exception
    ├── UserError                       exit 1: what the user can set right; one clear line, ends with what to do next
    │   ├── ValidationError             a project folder (config, API module) is wrong
    │   ├── InvalidValue                also ValueError: a value given by the user is malformed
    │   ├── StagingError                also RuntimeError: a file that a build needs is missing or named twice
    │   ├── StartupFailed               also RuntimeError: a container ended, or never listened
    │   ├── StartupTimeout              also TimeoutError: not ready within --startup-timeout
    │   └── EngineError                 the container engine refused or failed (facade name: DockerException)
    │       ├── EngineUnavailable       no engine could be reached
    │       ├── EngineTimeout           also TimeoutError: a call to the engine passed its deadline
    │       ├── APIError                the engine answered with an error
    │       │   ├── DiskFull            a file system that the engine writes to has no room left
    │       │   ├── PortInUse           the host port belongs to somebody else
    │       │   └── NameInUse           a container of that name exists
    │       ├── NotFound
    │       │   ├── ImageNotFound
    │       │   ├── ContainerNotFound
    │       │   ├── NetworkNotFound
    │       │   └── GpuNotFound
    │       ├── BuildError              an image build failed (carries its log)
    │       └── ContainerError          a one-shot container ended with a non-zero status
    └── UsageError                      exit 2: the command line itself is wrong

Anything else that reaches `cli.main` is a bug of ours: exit 70.
"""

from __future__ import annotations

from collections.abc import Sequence

from tesseract_core.endings import describe_status, signal_of
from tesseract_core.visible import visible_lines

from tesseract import tail

EXIT_USER_ERROR = 1
EXIT_USAGE_ERROR = 2
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h


class UserError(Exception):
    """Something the user can set right. `str()` is the whole message; its last words say what to do next.

    Messages quote names, engines and containers; what would steer a terminal is shown as its escape.
    """

    def __str__(self) -> str:
        return visible_lines(super().__str__())


class ValidationError(UserError):
    """A project folder (configuration, requirements, API module) does not hold what it must."""


class InvalidValue(UserError, ValueError):
    """A value given by the user (volume, port, tag, secret, ...) is malformed."""


class StagingError(UserError, RuntimeError):
    """A file that a build needs (local dependency, package data) is missing, or two want the same place."""


class UsageError(Exception):
    """The command line is wrong: unknown command or option, missing argument."""


class StartupFailed(UserError, RuntimeError):
    """A container ended, or could not be started, before it answered its first health check."""


class StartupTimeout(UserError, TimeoutError):
    """A container runs but did not answer a health check in time."""


class EngineError(UserError):
    """The container engine refused or failed."""


class EngineUnavailable(EngineError):
    """No engine can be reached: not installed, not running, socket gone."""


class EngineTimeout(EngineError, TimeoutError):
    """A call to the engine passed its deadline."""


class APIError(EngineError, RuntimeError):
    """The engine answered a request with an error.

    Args:
        message: The line for the user.
        status: HTTP status of the engine's answer, if it came over its API.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class DiskFull(APIError):
    """A file system that the engine writes to has no room left.

    Args:
        said: What the engine said.
        shortage: Which file system, and how much is missing: a sentence without its end.
        remedy: What can go, as commands.
    """

    def __init__(self, said: str, shortage: str = "The disk is full", remedy: Sequence[str] = ()) -> None:
        self.said = said
        super().__init__(f"{shortage} ({said}). Make room there: {' or '.join(remedy or ['remove what you can'])}.")


class PortInUse(APIError):
    """The wanted host port belongs to somebody else."""


class NameInUse(APIError):
    """A container of that name exists already."""


class NotFound(EngineError):
    """The engine knows no such object."""


class ImageNotFound(NotFound):
    """No such image, or it is not a Tesseract."""


class ContainerNotFound(NotFound):
    """No such container, or it is not a Tesseract."""


class NetworkNotFound(NotFound):
    """No such network."""


class GpuNotFound(NotFound):
    """No CDI specification offers the wanted GPU."""


class BuildError(EngineError):
    """An image build failed.

    Args:
        message: Headline.
        build_log: The engine's build output, line by line.
        reason: Why the step failed, in the words of the program that did; empty where no step did.
    """

    def __init__(self, message: str, build_log: Sequence[str] = (), reason: str = "") -> None:
        self.headline = message
        self.reason = reason
        self.build_log = list(build_log)
        super().__init__("\n".join([message, *(["The build output:"] if build_log else []), *build_log]))


class ContainerError(EngineError):
    """A one-shot container, or a command in a running one, ended with a non-zero status.

    Args:
        container: Name or id.
        exit_status: Its exit status.
        command: What ran.
        image: Image reference.
        stderr: All it wrote to its standard error; the message quotes the end.
    """

    def __init__(
        self, container: str | None, exit_status: int, command: Sequence[str] | str, image: str, stderr: bytes = b""
    ) -> None:
        self.container = container
        self.exit_status = exit_status
        self.command = command
        self.image = image
        self.stderr = stderr
        end = tail.Tail()
        end.feed(stderr)
        how = f" ({describe_status(exit_status)})" if signal_of(exit_status) else ""
        super().__init__(
            f"Command '{command if isinstance(command, str) else ' '.join(command)}' in image '{image}' "
            f"returned non-zero exit status {exit_status}{how}" + (f":\n{end.text}" if end.text else "")
        )
