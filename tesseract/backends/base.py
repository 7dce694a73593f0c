"""The driver contract. Whoever implements `Backend` is a container engine; `tests/engines/` is the contract's suite.

Rules for every driver:

* Only values of `spec` go in and come out; engine JSON stays in `attrs`.
* Only errors of `tesseract.errors` come out, each one line that a user can act on.
* Every call is bounded: by the `deadline` given, else by the driver's own default.
* Rendering a `ContainerSpec` is pure (golden-filed); what talks to the engine is thin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tesseract.backends.spec import BuildSpec, ContainerInfo, ContainerSpec, EngineInfo, ImageInfo, UserMapping
from tesseract.deadline import Deadline

LineSink = Callable[[str], None]
ByteSink = Callable[[bytes], object]


class Backend(Protocol):
    """A container engine. Raises: EngineUnavailable, EngineTimeout, APIError, unless said otherwise."""

    # ---- the engine ------------------------------------------------------------------------------------------------
    def info(self) -> EngineInfo:
        """Identity of the engine; cached, one cheap request at the first call (no full system report)."""

    def report(self) -> EngineInfo:
        """The same with storage driver, network backend and the engine's full report in `raw`; slow."""

    def limits_memory(self) -> bool:
        """Whether a memory limit of a container is enforced; true also where that cannot be found out. Slow."""

    def require_room(self) -> None:
        """Raises: DiskFull if the file system of the store is full; an engine then calls images missing that are there.

        For the way to an error: it may take a quarter of a second.
        """

    def close(self) -> None:
        """Give back connections. A service that was started on demand ends by itself when idle."""

    # ---- images ----------------------------------------------------------------------------------------------------
    def build(self, spec: BuildSpec, on_line: LineSink) -> str:
        """Build an image; `on_line` gets each line of output as it comes. Returns the image id. Raises: BuildError."""

    def build_command(self, spec: BuildSpec) -> list[str]:
        """The command line that a person would type for the same build."""

    def end_build(self, mark: str) -> None:
        """End what is still going on of the build with that mark, and remove what it was making; best effort."""

    def build_marks(self) -> set[str]:
        """Marks of builds of which something is going on, or left."""

    def build_cache(self) -> Path | None:
        """Where packages are that builds have fetched, if that is a directory of the caller's on this machine."""

    def clear_build_cache(self) -> None:
        """Remove what is in `build_cache()`; the caller knows that no build is going on."""

    def image(self, reference: str, deadline: Deadline | None = None, sizes: bool = True) -> ImageInfo:
        """Look an image up by id or (partial) name, locally. Raises: ImageNotFound.

        `sizes=False`: the caller does not need them, so they may be wrong where they would cost time.
        """

    def images(self, label: Mapping[str, str] | None = None) -> list[ImageInfo]:
        """All tagged images, with environment and labels; foreign and broken ones must not make it fail."""

    def remove_image(self, reference: str) -> None:
        """Remove an image with its mapped copies and the layers that nothing else uses. Raises: ImageNotFound."""

    def remove_if_unused(self, image_id: str) -> bool:
        """Remove an image unless it has a tag, a container uses it or another image builds on it. True if removed."""

    def unnamed_images(self, label: Mapping[str, str]) -> list[str]:
        """Ids of images that carry the labels, but no name, and on which no other image builds."""

    def prepare_mapping(self, image_id: str, user: UserMapping) -> bool:
        """Make the first start with `user` as fast as the tenth. True if that took an id-shifted copy of the image."""

    # ---- containers ------------------------------------------------------------------------------------------------
    def start(self, spec: ContainerSpec, deadline: Deadline | None = None) -> ContainerInfo:
        """Create and start a container and read it back (with its real ports); nothing is left behind on failure.

        Raises: ImageNotFound, PortInUse, NameInUse, GpuNotFound.
        """

    def run(
        self, spec: ContainerSpec, stdout: ByteSink, stderr: ByteSink, deadline: Deadline | None = None
    ) -> tuple[int, ContainerInfo]:
        """Run to the end; both streams are handed over live and byte-exact. Returns exit status and last state.

        The container is removed, also when this call is interrupted.
        """

    def container(self, reference: str, deadline: Deadline | None = None) -> ContainerInfo:
        """Look a container up by id or name. Raises: ContainerNotFound."""

    def containers(self, all: bool = False, labels: Mapping[str, str] | None = None) -> list[ContainerInfo]:
        """Running containers (or all), with environment, labels and ports."""

    def logs(self, reference: str, stdout: bool = True, stderr: bool = True, deadline: Deadline | None = None) -> bytes:
        """What the container has written so far."""

    def last_logs(self, reference: str, lines: int, deadline: Deadline | None = None) -> Iterator[bytes]:
        """The last lines that the container has written, or a few more, in pieces; they may be long."""

    def follow_logs(self, reference: str) -> Iterator[bytes]:
        """What the container has written and writes, until it ends."""

    def exec(self, reference: str, command: Sequence[str]) -> tuple[int, bytes, bytes]:
        """Run a command in a running container. Returns exit status, stdout, stderr."""

    def stop(self, reference: str, timeout: float | None = None) -> None:
        """Ask the container to end; kill it after `timeout` seconds."""

    def kill(self, reference: str, signal: str = "KILL") -> None:
        """Send a signal to the container's main process."""

    def wait(self, reference: str, deadline: Deadline | None = None) -> int:
        """Wait for its end. Returns the exit status."""

    def remove(self, reference: str, force: bool = True, deadline: Deadline | None = None, grace: float = 0.0) -> None:
        """Remove a container with its anonymous volumes; removing one that is gone already is fine.

        A running one (`force`) is asked to end and killed after `grace` seconds; at once if there are none.
        """

    # ---- networks and volumes --------------------------------------------------------------------------------------
    def ensure_network(self, name: str, labels: Mapping[str, str]) -> bool:
        """Create a network with DNS unless it exists. True if created."""

    def remove_network_if_empty(self, name: str) -> bool:
        """Remove a network that carries our labels and that no container uses. True if removed."""

    def networks(self, labels: Mapping[str, str] | None = None) -> list[str]:
        """Names of networks."""

    def volumes(self) -> list[str]:
        """Names of named volumes."""

    def ensure_volume(self, name: str) -> None:
        """Create a named volume unless it exists. (A container that mounts one makes it by itself.)"""

    def remove_volume(self, name: str) -> None:
        """Remove a named volume."""
