"""URLs as input and output path: containers only ever see local directories.

Input is fetched before the container is made. Output is collected in a directory of ours and uploaded when it is
complete; labels on the container say where that is, so that whoever removes the container can do it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tesseract_core.visible import visible

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerInfo, ContainerSpec
from tesseract.errors import UserError
from tesseract.serving import labels
from tesseract.serving.lookup import engine
from tesseract.serving.requests import ContainerRequest
from tesseract.transfer.remote import is_url

if TYPE_CHECKING:
    from tesseract.transfer.output import Output

logger = logging.getLogger("tesseract")

Request = TypeVar("Request", bound=ContainerRequest)


def is_remote(request: ContainerRequest) -> bool:
    """Whether its input or output path is a URL."""
    return is_url(str(request.input_path)) or is_url(str(request.output_path))


@contextmanager
def localised(request: Request, backend: Backend | None) -> Iterator[tuple[Request, Output | None]]:
    """The request with local directories in place of URLs, and its output if that belongs at a URL.

    If the block fails, output without a file in it is removed; else its place is logged. What containers of `backend`
    have mounted stays in the cache.

    Raises: InvalidValue, TransferError, UserError.
    """
    output: Output | None = None
    if is_url(str(request.output_path)):
        from tesseract.transfer.output import Output

        output = Output.make(str(request.output_path))
        request = replace(request, output_path=output.directory)
    try:
        if is_url(str(request.input_path)):
            request = replace(request, input_path=_fetched(str(request.input_path), backend))
        yield request, output
    except BaseException:
        if output is not None:
            output.give_up()
        raise


def labelled(spec: ContainerSpec, request: ContainerRequest, output: Output | None) -> ContainerSpec:
    """The container with labels that say which entry of the cache it mounts, and where its output is and belongs."""
    ours = {}
    if request.input_path is not None:
        from tesseract.transfer.cache import cache_dir

        if Path(request.input_path).is_relative_to(cache_dir()):
            ours[labels.INPUT_DIR] = str(request.input_path)
    if output is not None:
        ours |= {labels.OUTPUT_DIR: str(output.directory), labels.OUTPUT_URL: output.shown_url}
    return replace(spec, labels={**spec.labels, **ours})


def deliver(outputs: Iterable[Output]) -> UserError | None:
    """Upload what has not arrived yet, and remove the local copies of what has.

    Returns:
        What went wrong, or None. One that fails does not keep the others from being uploaded.
    """
    problems: list[UserError] = []
    for output in outputs:
        try:
            output.finish()
        except UserError as problem:
            problems.append(problem)
    if len(problems) < 2:
        return problems[0] if problems else None
    return type(problems[0])("\n".join(map(str, problems)))


def pending(backend: Backend | None = None) -> list[tuple[Output, bool]]:
    """Output on its way to a URL, and for each whether a program or a container still works on it."""
    from tesseract.transfer.output import Output

    outputs = Output.all()
    if not outputs:
        return []
    containers = engine(backend).containers(all=True, labels=labels.mine())
    written = {labels.of(container).get(labels.OUTPUT_DIR) for container in containers}
    return [(output, str(output.directory) in written or output.is_held()) for output in outputs]


def output_of(container: ContainerInfo) -> Output | None:
    """The output of a container that we made for the caller, if it is still here."""
    directory = labels.of(container).get(labels.OUTPUT_DIR)
    if directory is None or not labels.is_mine(container):
        return None
    from tesseract.transfer.output import Output, outputs_dir

    if Path(directory).parent != outputs_dir():
        logger.warning(
            "The output of %s in %s is not uploaded: your output is in %s now. Set XDG_STATE_HOME as it was, then "
            "`tesseract uploads --retry` uploads it.",
            container.name,
            visible(directory),
            outputs_dir(),
        )
        return None
    return Output.at(Path(directory))


def _fetched(url: str, backend: Backend | None) -> Path:
    from tesseract.transfer.fetch import fetch
    from tesseract.transfer.progress import shown

    with shown("Fetching") as on_progress:
        return fetch(url, on_progress, in_use=lambda: mounted(engine(backend)))


def mounted(backend: Backend) -> set[Path]:
    """The entries of the cache that containers have mounted, running or not."""
    containers = backend.containers(all=True, labels=labels.mine())
    return {Path(entry) for container in containers if (entry := labels.of(container).get(labels.INPUT_DIR))}
