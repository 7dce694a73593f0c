"""What is asked of a build, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tesseract.backends.spec import ImageInfo


@dataclass(frozen=True)
class BuildRequest:
    """A build.

    Attributes:
        src_dir: Project folder.
        tag: Tag of the image; None gives `<name>:<version>` and `<name>:latest`.
        build_dir: Where to make the build context, which is then kept; None makes a temporary one.
        forward_ssh_agent: Offer the caller's SSH agent to the installation of dependencies.
        secrets: `id=NAME,env=VARIABLE` or `id=NAME,src=FILE`, for the installation of dependencies.
        config_override: Configuration values by key path, e.g. `{("build_config", "base_image"): "ubuntu:24.04"}`.
        generate_only: Make the build context and stop; needs no engine.
    """

    src_dir: str | Path
    tag: str | None = None
    build_dir: str | Path | None = None
    forward_ssh_agent: bool = False
    secrets: Sequence[str] = ()
    config_override: Mapping[Sequence[str], Any] = field(default_factory=dict)
    generate_only: bool = False


@dataclass(frozen=True)
class BuildResult:
    """The outcome of a build.

    Attributes:
        image: The image, or None with `generate_only`.
        tags: Its names in short form, the wanted ones first.
        build_dir: The build context where it was kept, else None.
        command: What a person would type to build the context.
        removed: Ids of the images that lost their last tag to this one and were removed.
    """

    image: ImageInfo | None
    tags: tuple[str, ...]
    build_dir: Path | None
    command: tuple[str, ...]
    removed: tuple[str, ...] = ()
