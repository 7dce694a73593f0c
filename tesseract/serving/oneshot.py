"""Run one command of the runtime in a container that goes away by itself."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tesseract.backends.base import Backend, ByteSink
from tesseract.backends.spec import ContainerInfo
from tesseract.serving import data, limits, networks, paths, payload, plan, ports
from tesseract.serving.lookup import engine, find_image
from tesseract.serving.requests import RunRequest, RunResult
from tesseract.serving.testcase import with_test_defaults
from tesseract.serving.volumes import check_sources

if TYPE_CHECKING:
    from tesseract.transfer.output import Output

logger = logging.getLogger("tesseract")


def run_once(request: RunRequest, stdout: ByteSink, stderr: ByteSink, backend: Backend | None = None) -> RunResult:
    """Run to the end. `stdout` and `stderr` get what the container writes, live and byte-exact.

    Nothing is left behind, also when this call is interrupted. A non-zero exit status is no exception here, nor is
    output that could not be uploaded: the caller knows what they mean.

    Raises: InvalidValue, ImageNotFound, TransferError, EngineError.
    """
    if request.command == "test":
        request = with_test_defaults(request, Path.cwd())
    if data.is_remote(request):
        find_image(engine(backend), request.image)  # before anything is moved in vain
    with data.localised(request, backend) as (local, output):
        status, container = _run(local, output, stdout, stderr, backend)
        return RunResult(status, container, data.deliver([output]) if output else None)


def _run(
    request: RunRequest, output: Output | None, stdout: ByteSink, stderr: ByteSink, backend: Backend | None
) -> tuple[int, ContainerInfo]:
    host = paths.this_host(debugger_port=ports.free_port("127.0.0.1") if request.debugger else 0)
    paths.prepare(request, host)
    with payload.staged(request.args, Path.cwd()) as staged:
        name = plan.new_name()
        spec = data.labelled(plan.run_spec(request, request.image, name, host, staged), request, output)
        check_sources(spec.mounts)
        backend = engine(backend)
        image = find_image(backend, request.image)
        limits.warn_if_ignored(backend, spec.memory)
        with networks.present(backend, spec.network, keep=False):
            if request.debugger:
                logger.info("Waiting for a debugger at 127.0.0.1:%s ...", host.debugger_port)
            return backend.run(replace(spec, image=image.id), stdout, stderr)
