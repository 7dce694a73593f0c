"""Places on the host that a request names: checked, made, and cleaned up."""

from __future__ import annotations

import errno
import logging
import os
import socket
from pathlib import Path

from tesseract.backends.runtime_dir import runtime_dir
from tesseract.errors import InvalidValue, UserError
from tesseract.remove_tree import remove_tree
from tesseract.serving import lookup
from tesseract.serving.plan import SOCKET_NAME, Host, is_our_name
from tesseract.serving.requests import ContainerRequest

logger = logging.getLogger("tesseract")

# sockaddr_un.sun_path holds 108 bytes with the final NUL (unix(7)).
_LONGEST_SOCKET_PATH = 107


def this_host(*, port: int = 0, debugger_port: int = 0, socket_dir: Path | None = None) -> Host:
    """The machine and the caller as they are now."""
    name = socket.gethostname()
    names = tuple(dict.fromkeys((name, name.partition(".")[0])))
    engine_args = lookup.settings().docker_run_args
    return Host(os.getuid(), os.getgid(), Path.cwd(), names, port, debugger_port, socket_dir, engine_args)


def prepare(request: ContainerRequest, host: Host) -> None:
    """Check the input directory and make the output directory (URLs: see `data.localised`).

    Raises: InvalidValue.
    """
    if request.input_path is not None:
        check_input(host.cwd / Path(request.input_path).expanduser(), request.input_path)
    if request.output_path is not None:
        make_output(host.cwd / Path(request.output_path).expanduser(), request.output_path)


def check_input(directory: Path, shown: str | Path | None = None) -> None:
    """Raises: InvalidValue if it is no directory, or closed to the caller. `shown` is the path as it was written."""
    if not directory.is_dir():
        raise InvalidValue(f"Path {shown or directory} provided as input path is not a directory.")
    if not os.access(directory, os.R_OK | os.X_OK):
        raise InvalidValue(f"The input path {shown or directory} may not be read by you. Check its owner and mode.")


def make_output(directory: Path, shown: str | Path | None = None) -> None:
    """Make an output directory, if it is missing. Raises: InvalidValue if the caller cannot make or use it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise InvalidValue(
            f"Cannot write to the output path {shown or directory}: {error.strerror}. Give another --output-path."
        ) from error


def socket_dir(name: str) -> Path:
    """Where the Unix socket of container `name` belongs. Raises: UserError if that is too long for a socket."""
    directory = runtime_dir() / name
    if len(os.fsencode(directory / SOCKET_NAME)) > _LONGEST_SOCKET_PATH:
        raise UserError(f"The socket path {directory / SOCKET_NAME} is too long: set XDG_RUNTIME_DIR to a shorter one.")
    return directory


def make_private(directory: Path) -> None:
    """Make a socket directory that only the caller can enter."""
    directory.mkdir(mode=0o700)


def remove_socket_dir(directory: Path) -> None:
    """Remove what `make_private` made, and nothing else: a directory where ours are, with a name of ours."""
    if directory.parent == runtime_dir() and is_our_name(directory.name):
        try:
            remove_tree(directory)
        except OSError as error:
            logger.warning("The directory %s, which had a socket, could not be removed: %s.", directory, error.strerror)
    else:
        logger.warning("The directory %s, which has a socket, is left: not where it is made now.", directory)
