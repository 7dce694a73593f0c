"""The Podman driver: the thin layer between the contract (`backends.base`) and libpod's API."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tesseract import proc
from tesseract.backends import cdi, mounts
from tesseract.backends.base import ByteSink, LineSink
from tesseract.backends.frames import frames, join
from tesseract.backends.podman import attach, builds, render, service, store
from tesseract.backends.podman.api import Api, quote
from tesseract.backends.podman.endpoint import Endpoint
from tesseract.backends.podman.identity import identity
from tesseract.backends.podman.inspect import container_info
from tesseract.backends.spec import BuildSpec, ContainerInfo, ContainerSpec, EngineInfo, ImageInfo, UserMapping
from tesseract.backends.text import engine_error
from tesseract.deadline import Deadline
from tesseract.errors import (
    APIError,
    ContainerNotFound,
    EngineError,
    GpuNotFound,
    ImageNotFound,
    NetworkNotFound,
    NotFound,
)

# The first container of an image may have to copy the image for its mapping; gigabytes take minutes.
_CREATE_TIMEOUT = 1800.0
_CLEAN_UP_TIMEOUT = 30.0
OWNED = "org.tesseract."


class PodmanBackend:
    """Podman behind an endpoint. Implements `backends.base.Backend`.

    Args:
        endpoint: Where its API is.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.api = Api(endpoint)
        self._info: EngineInfo | None = None

    # ---- the engine ------------------------------------------------------------------------------------------------
    def info(self) -> EngineInfo:
        if self._info is None:
            version = service.ensure(self.endpoint)
            self._info = EngineInfo("podman", version, self._is_rootless(), self.endpoint.url, self.endpoint.why)
        return self._info

    def report(self) -> EngineInfo:
        known = self.info()
        raw = self.api.request("GET", "/info")
        host, stored = raw.get("host") or {}, raw.get("store") or {}
        return EngineInfo(
            "podman",
            str((raw.get("version") or {}).get("Version") or known.version),
            bool((host.get("security") or {}).get("rootless", known.rootless)),
            known.endpoint,
            known.why,
            storage_driver=stored.get("graphDriverName"),
            network_backend=host.get("networkBackend"),
            raw=raw,
        )

    def close(self) -> None:
        self.api.close()

    def _is_rootless(self) -> bool:
        """Who owns the socket runs the engine; only an engine elsewhere has to be asked (a quarter of a second)."""
        socket = self.endpoint.socket
        if socket is not None:
            with suppress(OSError):
                owner = socket.stat().st_uid
                if len(self.endpoint.executable) == 1 and not self.endpoint.remote:
                    return os.getuid() != 0
                if owner == os.getuid() != 0 and self.endpoint.remote:
                    return True
        security = (self.api.request("GET", "/info").get("host") or {}).get("security") or {}
        return bool(security.get("rootless"))

    # ---- images ----------------------------------------------------------------------------------------------------
    def build(self, spec: BuildSpec, on_line: LineSink) -> str:
        return builds.build(self.endpoint.command, self.info().version, spec, on_line)

    def build_command(self, spec: BuildSpec) -> list[str]:
        words = [Path(word).name if i == 0 else word for i, word in enumerate(self.endpoint.command)]
        return [*(words or ["podman"]), *builds.build_arguments(spec)]

    def image(self, reference: str, deadline: Deadline | None = None, sizes: bool = True) -> ImageInfo:
        return store.image(self.api, reference, deadline, sizes)

    def images(self, label: Mapping[str, str] | None = None) -> list[ImageInfo]:
        return store.images(self.api, label)

    def remove_image(self, reference: str) -> None:
        store.remove(self.api, reference)

    def remove_if_unused(self, image_id: str) -> bool:
        return store.remove_if_unused(self.api, image_id)

    def prepare_mapping(self, image_id: str, user: UserMapping) -> bool:
        who = identity(user, self.info().rootless)
        if who.nsmode != "keep-id":
            return False
        before = store.image(self.api, image_id).mapped_size
        name = f"tesseract-mapping-{secrets.token_hex(4)}"
        spec = ContainerSpec(image=image_id, name=name, entrypoint=("true",), user=user)
        try:
            self._create(spec, None, attached=True)
        finally:
            self._clean_up(name)
        return store.image(self.api, image_id).mapped_size > before

    # ---- containers ------------------------------------------------------------------------------------------------
    def start(self, spec: ContainerSpec, deadline: Deadline | None = None) -> ContainerInfo:
        reference = spec.name
        try:
            reference = self._create(spec, deadline)
            self._post(reference, "start", deadline, accept=(304,))
            return self.container(reference, deadline)
        except BaseException as exc:
            # The name belongs to a stranger if it was refused; a container that ended and removed itself is gone.
            if not isinstance(exc, NotFound) and not (isinstance(exc, APIError) and reference == spec.name):
                self._clean_up(reference)
            raise

    def run(
        self, spec: ContainerSpec, stdout: ByteSink, stderr: ByteSink, deadline: Deadline | None = None
    ) -> tuple[int, ContainerInfo]:
        reference: str | None = None
        try:
            reference = self._create(spec, deadline, attached=True)
            attach.run_attached(self.api, reference, stdout, stderr, deadline)
            status = self.wait(reference, deadline)
            last = self.container(reference, deadline)
            return status, last
        except APIError:
            raise
        except BaseException:
            reference = reference or spec.name  # cut off while it was being created
            raise
        finally:
            if reference is not None:
                self._clean_up(reference)

    def container(self, reference: str, deadline: Deadline | None = None) -> ContainerInfo:
        try:
            attrs = self.api.request("GET", f"/containers/{quote(reference)}/json", deadline=deadline)
        except NotFound as exc:
            raise _no_container(reference) from exc
        return container_info(attrs)

    def containers(self, all: bool = False, labels: Mapping[str, str] | None = None) -> list[ContainerInfo]:
        filters = {"label": [f"{name}={value}" if value else name for name, value in (labels or {}).items()]}
        listed = self.api.request(
            "GET", "/containers/json", params={"all": all, "filters": filters if labels else None}
        )
        found = []
        for entry in listed or ():
            with suppress(NotFound):  # gone meanwhile
                found.append(self.container(entry["Id"]))
        return found

    def logs(self, reference: str, stdout: bool = True, stderr: bool = True, deadline: Deadline | None = None) -> bytes:
        params = {"stdout": stdout, "stderr": stderr, "follow": False}
        with self._known(reference), self._logs(reference, params, deadline, 60.0) as answer:
            return b"".join(payload for _, payload in frames(answer.read))

    def follow_logs(self, reference: str) -> Iterator[bytes]:
        params = {"stdout": True, "stderr": True, "follow": True}
        with self._known(reference), self._logs(reference, params, None, None) as answer:
            yield from (payload for _, payload in frames(answer.read))

    def exec(self, reference: str, command: Sequence[str]) -> tuple[int, bytes, bytes]:
        body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True}
        with self._known(reference):
            session = self._post(reference, "exec", None, body=body)["Id"]
        with self.api.stream("POST", f"/exec/{session}/start", body={"Detach": False}, timeout=None) as answer:
            out, err = join(frames(answer.read))
        return int(self.api.request("GET", f"/exec/{session}/json").get("ExitCode") or 0), out, err

    def stop(self, reference: str, timeout: float | None = None) -> None:
        params = None if timeout is None else {"timeout": max(0, round(timeout))}
        bound = None if timeout is None else Deadline(timeout + _CLEAN_UP_TIMEOUT)
        with self._known(reference):
            self._post(reference, "stop", bound, params=params, accept=(304,))

    def kill(self, reference: str, signal: str = "KILL") -> None:
        with self._known(reference):
            self._post(reference, "kill", None, params={"signal": signal})

    def wait(self, reference: str, deadline: Deadline | None = None) -> int:
        # By default Podman looks every 250 ms.
        params = [("condition", "stopped"), ("interval", "20ms")]
        with self._known(reference):
            return int(self._post(reference, "wait", deadline, params=dict(params), timeout=None))

    def remove(self, reference: str, force: bool = True, deadline: Deadline | None = None) -> None:
        params = {"force": force, "volumes": True, **({"timeout": 0} if force else {})}
        self.api.request("DELETE", f"/containers/{quote(reference)}", params=params, accept=(404,), deadline=deadline)

    # ---- networks and volumes --------------------------------------------------------------------------------------
    def ensure_network(self, name: str, labels: Mapping[str, str]) -> bool:
        body = {"name": name, "driver": "bridge", "dns_enabled": True, "labels": dict(labels)}
        try:
            self.api.request("POST", "/networks/create", body=body)
        except APIError as exc:
            if "already exists" in str(exc) or "already used" in str(exc):
                return False
            raise
        return True

    def remove_network_if_empty(self, name: str) -> bool:
        try:
            network = self.api.request("GET", f"/networks/{quote(name)}/json")
            if not any(label.startswith(OWNED) for label in network.get("labels") or {}):
                return False
            self.api.request("DELETE", f"/networks/{quote(name)}")
        except (NetworkNotFound, NotFound):
            return False
        except APIError as exc:
            if exc.status in (409, 500) and "being used" in str(exc):
                return False
            raise
        return True

    def networks(self, labels: Mapping[str, str] | None = None) -> list[str]:
        filters = {"label": [f"{name}={value}" if value else name for name, value in (labels or {}).items()]}
        listed = self.api.request("GET", "/networks/json", params={"filters": filters if labels else None})
        return [network["name"] for network in listed or ()]

    def volumes(self) -> list[str]:
        return [volume["Name"] for volume in self.api.request("GET", "/volumes/json") or ()]

    def remove_volume(self, name: str) -> None:
        self.api.request("DELETE", f"/volumes/{quote(name)}")

    # ---- inside ----------------------------------------------------------------------------------------------------
    def _create(self, spec: ContainerSpec, deadline: Deadline | None, attached: bool = False) -> str:
        """Create a container, by the API or (raw engine arguments) by the executable. Returns its id."""
        spec = self._complete(spec)
        options: dict[str, Any] = {
            "rootless": self.info().rootless,
            "has_groups": bool({*os.getgroups()} - {os.getgid()}) and not self.endpoint.remote,
            "gpus": self._gpus(spec),
            "log_driver": "none" if attached else "k8s-file",
        }
        if not spec.raw_args:
            payload = render.create_payload(spec, **options)
            created = self.api.request(
                "POST", "/containers/create", body=payload, deadline=deadline, timeout=_CREATE_TIMEOUT
            )
            return str(created["Id"])
        argv = [*self.endpoint.command, *render.create_arguments(spec, **options)]
        done = proc.run(argv, timeout=deadline.remaining(_CREATE_TIMEOUT) if deadline else _CREATE_TIMEOUT)
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise engine_error("Podman", next((line for line in lines if line.startswith("Error:")), " ".join(lines)))
        return done.stdout.decode().split()[-1]

    def _complete(self, spec: ContainerSpec) -> ContainerSpec:
        """Add the read-only binds of file systems below read-only ones."""
        if not self._local() or not any(mount.kind == "bind" and mount.read_only for mount in spec.mounts):
            return spec
        return replace(spec, mounts=mounts.with_nested(mounts.resolved(spec.mounts), mounts.MOUNTINFO.read_text()))

    def _gpus(self, spec: ContainerSpec) -> tuple[str, ...]:
        if spec.gpus is None:
            return ()
        if not self._local():
            return tuple(cdi.full_name(device) for device in spec.gpus.devices)
        version = tuple(int(part) for part in re.findall(r"\d+", self.info().version)[:2])
        return cdi.resolve(spec.gpus.devices, cdi.read_specs(cdi.spec_dirs(version)))

    def _local(self) -> bool:
        return self.endpoint.socket is not None

    def _post(self, reference: str, verb: str, deadline: Deadline | None, **kwargs: Any) -> Any:
        return self.api.request("POST", f"/containers/{quote(reference)}/{verb}", deadline=deadline, **kwargs)

    def _logs(self, reference: str, params: Mapping[str, Any], deadline: Deadline | None, timeout: float | None) -> Any:
        path = f"/containers/{quote(reference)}/logs"
        return self.api.stream("GET", path, params=params, deadline=deadline, timeout=timeout)

    def _known(self, reference: str) -> Any:
        return _Translated(reference)

    def _clean_up(self, reference: str) -> None:
        """Best effort, also after the deadline: what failed is reported already."""
        with suppress(EngineError):
            self.remove(reference, deadline=Deadline(_CLEAN_UP_TIMEOUT))


class _Translated:
    """Names the container in the error for one that is not there."""

    def __init__(self, reference: str) -> None:
        self.reference = reference

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, NotFound) and not isinstance(exc, (ImageNotFound, GpuNotFound, NetworkNotFound)):
            raise _no_container(self.reference) from exc


def _no_container(reference: str) -> ContainerNotFound:
    return ContainerNotFound(f"Container {reference} not found. Use `tesseract ps` to see what runs.")
