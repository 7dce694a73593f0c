"""The build verb: project → context → image, old images removed, user mapping prepared."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

from tesseract import projects
from tesseract.backends.base import Backend
from tesseract.backends.fullness import is_full
from tesseract.backends.spec import BuildSpec, ImageInfo, UserMapping
from tesseract.errors import BuildError, EngineError, ImageNotFound, UserError
from tesseract.images import buildcache, credentials, hostsettings, staging, unfinished
from tesseract.images.context import ContextRequest, make_context
from tesseract.images.request import BuildRequest, BuildResult
from tesseract.images.tags import image_tags, qualified
from tesseract.settings import get_config

logger = logging.getLogger("tesseract")

_SOMETHING_FETCHED = 5.0
"""Seconds: a build that takes less has fetched too little for a look at the size of the cache."""


def build(
    request: BuildRequest, on_line: Callable[[str], None] | None = None, backend: Backend | None = None
) -> BuildResult:
    """Build the image of a project.

    Args:
        request: What to build.
        on_line: Gets each line of the engine's output as it comes.
        backend: The engine; the caller's by default.

    Returns:
        The image, its tags, and where the context is if it was kept.

    Raises:
        ValidationError: The project is wrong.
        UserError: A build directory, an override or a dependency file is wrong.
        InvalidValue: Malformed tag, missing secret or SSH key.
        StagingError: A local dependency or package data is missing.
        BuildError: The engine's build failed; carries its log.
    """
    buildcache.limit()  # a malformed one is told before, not after
    project = projects.load(request.src_dir, request.config_override)
    tags = image_tags(project.config, request.tag)
    secrets = credentials.build_secrets(project.config, request.secrets)
    ssh = (credentials.ssh_agent(),) if request.forward_ssh_agent else ()
    settings = hostsettings.read()
    if request.generate_only:
        # The files of index settings do not outlive this call; a manual build brings its own.
        settings = hostsettings.HostSettings(settings.bundle)
    engine = _engine(backend, optional=request.generate_only)
    wanted = project.config.build_config.target_platform
    platform = None if wanted == "native" else wanted
    base_image, pull = _base_image(engine, project.config.build_config.base_image, platform)
    if pull == "missing" and base_image.startswith("localhost/") and not request.generate_only:
        if engine is not None:
            engine.require_room()
        raise UserError(f"build_config.base_image: there is no image {base_image} in the local store. Build it first.")
    if engine is not None and not request.generate_only:
        unfinished.sweep(engine)
    with ExitStack() as stack:
        mark = stack.enter_context(unfinished.begun())
        folder = stack.enter_context(_context_dir(request, project.src_dir, mark))
        containerfile = make_context(
            project,
            ContextRequest(
                folder=folder,
                base_image=base_image,
                whole_source=request.generate_only or request.build_dir is not None,
                host_ids=settings.ids,
                secret_ids=[secret.id for secret in secrets],
                ssh=bool(ssh),
            ),
        )
        private = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tesseract_secrets_", suffix=f".{mark}")))
        spec = BuildSpec(
            context=folder,
            containerfile=containerfile,
            tags=tags,
            secrets=(*settings.secrets(private), *secrets),
            ssh=ssh,
            platform=platform,
            pull=pull,
            raw_args=tuple(get_config().docker_build_args),
            mark=mark,
        )
        command = tuple(engine.build_command(spec)) if engine is not None else ()
        if request.generate_only or engine is None:
            return BuildResult(None, tags, folder, command)
        begun = time.monotonic()
        image, removed = _build_image(engine, spec, on_line or (lambda line: None))
        if time.monotonic() - begun > _SOMETHING_FETCHED:
            buildcache.bound(engine, mark)
    kept = folder if request.build_dir is not None else None
    return BuildResult(image, _short_tags(image, tags), kept, command, removed)


def _engine(backend: Backend | None, optional: bool) -> Backend | None:
    if backend is not None:
        return backend
    from tesseract.backends.select import get_backend

    try:
        engine = get_backend()
        if optional:
            engine.info()  # one that does not answer is none
        return engine
    except EngineError:
        if optional:
            return None
        raise


def _base_image(engine: Backend | None, name: str, platform: str | None) -> tuple[str, Literal["missing", "never"]]:
    """The base image as its engine finds it, and whether a registry may be asked for it.

    `debian:12` means an image of Docker Hub, but a local image of that name comes first where there is no other. One
    for another platform does not count.
    """
    full = qualified(name)
    if engine is not None:
        for candidate in dict.fromkeys((full, f"localhost/{name}", name)):
            with suppress(ImageNotFound):
                found = engine.image(candidate, sizes=False).platform
                if platform is None or platform.split("/")[:2] == found.split("/"):
                    return candidate, "never"
    return full, "missing"


@contextmanager
def _context_dir(request: BuildRequest, src_dir: Path, mark: str) -> Iterator[Path]:
    """The folder of the context; a temporary one goes away, unless it is what was asked for."""
    if request.build_dir is not None:
        yield staging.make_context_dir(Path(request.build_dir))
        return
    name = re.sub(r"[^\w.-]", "_", src_dir.resolve().name)
    folder = Path(tempfile.mkdtemp(prefix=f"tesseract_build_{name}_", suffix=f".{mark}"))
    keep = False
    try:
        yield folder
        keep = request.generate_only
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                logger.info("The temporary build directory %s could not be removed.", folder)


def _build_image(engine: Backend, spec: BuildSpec, on_line: Callable[[str], None]) -> tuple[ImageInfo, tuple[str, ...]]:
    before = _ids(engine, spec.tags)
    try:
        image_id = engine.build(spec, on_line)
    except BuildError as error:
        raise _explained(spec, error) from None
    try:
        removed = tuple(old for old in before if old != image_id and engine.remove_if_unused(old))
        on_line("Preparing the image for containers that run as you")
        engine.prepare_mapping(image_id, UserMapping(os.getuid(), os.getgid()))
    except BaseException:
        logger.warning("%s is built, but not prepared for your user: its first container will start late", spec.tags[0])
        raise
    return engine.image(image_id), removed


def _explained(spec: BuildSpec, error: BuildError) -> BuildError:
    """The same error with what to do about it, where it says too little by itself."""
    if is_full(error):
        return error  # and not one whose base image is missing
    if spec.pull == "missing" and not any(line.startswith(("STEP 2", "#5")) for line in error.build_log):
        platform = f" for {spec.platform}" if spec.platform else ""
        answer = error.headline.partition(": ")[2].rstrip(".")
        return BuildError(
            f"The base image is not in the local store{platform}, and no registry gave it: {answer}. Check "
            "build_config.base_image, and your login there; where no registry answers, "
            "containers/base/make-base-image.sh makes the default one.",
            error.build_log,
        )
    refused = re.compile(r"Host key verification failed|Permission denied \(publickey")
    if not spec.ssh and any(refused.search(line) for line in error.build_log):
        advice = ". Lend your SSH keys to the build with --forward-ssh-agent"
        return BuildError(error.headline + advice, error.build_log, error.reason + advice)
    return error


def _ids(engine: Backend, references: Sequence[str]) -> list[str]:
    """Ids of the images that have those names now."""
    found = []
    for reference in references:
        with suppress(ImageNotFound):
            found.append(engine.image(reference, sizes=False).id)
    return list(dict.fromkeys(found))


def _short_tags(image: ImageInfo, wanted: Sequence[str]) -> tuple[str, ...]:
    others = sorted(set(image.tags) - set(wanted))
    return (*(tag for tag in wanted if tag in image.tags), *others)
