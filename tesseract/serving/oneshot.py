"""Run one command of the runtime in a container that goes away by itself."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from tesseract.backends.base import Backend, ByteSink
from tesseract.serving import networks, paths, payload, plan, ports
from tesseract.serving.lookup import engine, find_image
from tesseract.serving.requests import RunRequest, RunResult
from tesseract.serving.testcase import with_test_defaults
from tesseract.serving.volumes import check_sources

logger = logging.getLogger("tesseract")


def run_once(request: RunRequest, stdout: ByteSink, stderr: ByteSink, backend: Backend | None = None) -> RunResult:
    """Run to the end. `stdout` and `stderr` get what the container writes, live and byte-exact.

    Nothing is left behind, also when this call is interrupted. A non-zero exit status is no exception here: the
    caller knows what it means.

    Raises: InvalidValue, ImageNotFound, EngineError.
    """
    if request.command == "test":
        request = with_test_defaults(request, Path.cwd())
    host = paths.this_host(debugger_port=ports.free_port("127.0.0.1") if request.debugger else 0)
    paths.prepare(request, host)
    with payload.staged(request.args, Path.cwd()) as staged:
        name = plan.new_name()
        spec = plan.run_spec(request, request.image, name, host, staged)
        check_sources(spec.mounts)
        backend = engine(backend)
        image = find_image(backend, request.image)
        with networks.present(backend, spec.network, keep=False):
            if request.debugger:
                logger.info("Waiting for a debugger at 127.0.0.1:%s ...", host.debugger_port)
            status, container = backend.run(replace(spec, image=image.id), stdout, stderr)
    return RunResult(status, container)
