"""Engine-neutral values that plans are made of and that drivers translate. No engine's word appears here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

LOG_MEGABYTES = 64
"""How much of a container's output an engine keeps (1 MB: 1,000,000 bytes), so that a server cannot fill the disk."""

# ---- what is asked of an engine -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mount:
    """Something that appears in the container's file system.

    Attributes:
        kind: `bind` (host path), `volume` (named volume, created on demand) or `tmpfs`.
        source: Absolute host path, or volume name; empty for tmpfs.
        target: Absolute path in the container.
        read_only: Whether the container must be unable to write to it, file systems mounted below the source included.
        options: Further engine mount options, passed through (`z`, `U`, `size=16m`, ...).
    """

    kind: Literal["bind", "volume", "tmpfs"]
    source: str
    target: str
    read_only: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class PortBinding:
    """One published TCP port. `host_port` 0 lets the engine choose a free one (no race)."""

    container_port: int
    host_ip: str = "127.0.0.1"
    host_port: int = 0


@dataclass(frozen=True)
class NetworkAttachment:
    """Where a container is connected.

    Attributes:
        mode: `default` (the engine's own choice for rootless or rootful), `host`, `none`, `named` (a network with DNS,
            which must exist: see `Backend.ensure_network`), or `raw` (an engine's own mode, passed through as `name`).
        name: Network name or raw mode.
        aliases: DNS names under which other containers of a named network reach this one.
    """

    mode: Literal["default", "host", "none", "named", "raw"] = "default"
    name: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class UserMapping:
    """Who the process in the container is, and whose its files are outside.

    The rule (see docs/architecture): files written to bind mounts belong to the caller. Each driver turns this
    into its engine's words by a pure function; rootless Podman by keep-id, rootful engines by `uid:gid`.

    Attributes:
        caller_uid, caller_gid: Identity of the calling user.
        uid, gid: Identity wanted inside; `None` means the caller's own (or what the driver's rule says).
        userns: `None` for the driver's rule, `host` for the engine's default mapping, or an engine's own mode.
        keep_groups: Keep the caller's supplementary groups where the engine can.
    """

    caller_uid: int
    caller_gid: int
    uid: int | None = None
    gid: int | None = None
    userns: str | None = None
    keep_groups: bool = True


@dataclass(frozen=True)
class GpuRequest:
    """GPUs by index, UUID, full CDI name, or `all`."""

    devices: tuple[str, ...]


@dataclass(frozen=True)
class ContainerSpec:
    """A container, fully decided: what `serving.plan` makes and a driver renders as API payload or argument list.

    Attributes:
        image: Image id or reference that exists locally (never pulled).
        command: Arguments of the image's entrypoint.
        env: Environment variables.
        labels: Ownership labels (`org.tesseract.*`).
        memory: Limit in engine syntax (`512m`).
        shm_size: Size of `/dev/shm` in engine syntax; the engine's choice (64 MiB) if not given.
        read_only_root: Read-only root file system (with writable /tmp and HOME).
        raw_args: Engine arguments of the user, appended last; where there are any, the container is created by the
            engine's executable instead of its API.
        remove: Remove the container (and its anonymous volumes) when it ends.
        stop_timeout: Seconds between TERM and KILL.
    """

    image: str
    name: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    network: NetworkAttachment = NetworkAttachment()
    user: UserMapping | None = None
    gpus: GpuRequest | None = None
    memory: str | None = None
    shm_size: str | None = None
    read_only_root: bool = False
    entrypoint: tuple[str, ...] | None = None
    extra_hosts: Mapping[str, str] = field(default_factory=dict)
    raw_args: tuple[str, ...] = ()
    remove: bool = False
    stop_timeout: int = 5


@dataclass(frozen=True)
class BuildSecret:
    """A file or environment variable of the host that build steps may mount, and that no layer ever holds."""

    id: str
    src: Path | None = None
    env: str | None = None


BUILD_MARK = "tesseract-build-"
"""How the marks of builds begin; hexadecimal digits follow."""


@dataclass(frozen=True)
class BuildSpec:
    """An image build.

    Attributes:
        context: Context directory.
        containerfile: File with the build instructions, inside or outside the context.
        tags: Names for the image (`name:tag`).
        pull: `missing` or `never`.
        ssh: Specifications of forwarded SSH agents (`default=/path/to/socket`).
        raw_args: Engine arguments of the user, appended last.
        mark: A word by which `Backend.end_build` finds this build; empty if nobody will ask.
    """

    context: Path
    containerfile: Path
    tags: tuple[str, ...]
    secrets: tuple[BuildSecret, ...] = ()
    ssh: tuple[str, ...] = ()
    platform: str | None = None
    pull: Literal["missing", "never"] = "missing"
    build_args: Mapping[str, str] = field(default_factory=dict)
    raw_args: tuple[str, ...] = ()
    mark: str = ""


# ---- what an engine tells -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EngineInfo:
    """Which engine this is. `why` says how it was chosen, for `tesseract info` and debug logs."""

    name: Literal["podman", "docker"]
    version: str
    rootless: bool
    endpoint: str
    why: str
    storage_driver: str | None = None
    network_backend: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageInfo:
    """An image of the store.

    Attributes:
        id: Full id, without a `sha256:` prefix where the engine has none.
        tags: Short references; `localhost/` is left out.
        size: Sum of its layers in bytes, before mapping.
        mapped_size: Bytes that copies of its layers for user mappings take besides; 0 where the engine makes none,
            or has its store on another machine.
        attrs: The engine's own inspect document.
    """

    id: str
    tags: tuple[str, ...]
    env: Mapping[str, str]
    labels: Mapping[str, str]
    size: int
    mapped_size: int = 0
    entrypoint: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id, after `sha256:` where the engine writes that."""
        return self.id[: len("sha256:") + 12] if self.id.startswith("sha256:") else self.id[:12]

    @property
    def platform(self) -> str:
        """What it runs on, such as `linux/amd64`."""
        return f"{self.attrs.get('Os', '')}/{self.attrs.get('Architecture', '')}"


@dataclass(frozen=True)
class PublishedPort:
    container_port: int
    host_ip: str
    host_port: int


@dataclass(frozen=True)
class ContainerInfo:
    """A container, as last seen.

    Attributes:
        status: `created`, `running`, `exited`, ...
        exit_code: Exit status once it has ended.
        error: What the engine says went wrong, or empty.
        shm_size: Bytes of its `/dev/shm`, if the engine says so.
        ports: Published ports with the host port that the engine really bound.
        networks: Named networks → the container's address there.
        attrs: The engine's own inspect document.
    """

    id: str
    name: str
    image_id: str
    image: str
    status: str
    env: Mapping[str, str]
    labels: Mapping[str, str]
    command: tuple[str, ...] = ()
    exit_code: int | None = None
    oom_killed: bool = False
    error: str = ""
    shm_size: int | None = None
    ports: tuple[PublishedPort, ...] = ()
    networks: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False
    attrs: Mapping[str, Any] = field(default_factory=dict)
