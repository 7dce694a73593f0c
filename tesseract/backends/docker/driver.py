"""The Docker driver: the thin layer between the contract (`backends.base`) and the Docker Engine API."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tesseract import proc
from tesseract.backends import mounts, variables
from tesseract.backends.base import LineSink
from tesseract.backends.docker import builds, passwd, remembered, render, store
from tesseract.backends.docker.api import DockerApi
from tesseract.backends.docker.endpoint import Endpoint, find
from tesseract.backends.docker.gpus import DeviceRequest, device_request
from tesseract.backends.docker.identity import identity
from tesseract.backends.fullness import build_with_room, is_full
from tesseract.backends.http import quote
from tesseract.backends.inspect import container_info
from tesseract.backends.refusals import engine_error
from tesseract.backends.rest import OWNED, RestBackend, label_filter
from tesseract.backends.spec import BuildSpec, ContainerInfo, ContainerSpec, EngineInfo, ImageInfo, UserMapping
from tesseract.backends.text import with_variables
from tesseract.backends.users import supplementary_groups
from tesseract.deadline import Deadline
from tesseract.errors import APIError, BuildError, NotFound

_CREATE_TIMEOUT = 600.0


def connect(executable: tuple[str, ...] | None, why: str) -> DockerBackend:
    """The daemon that the user's words, the environment or the defaults name."""
    return DockerBackend(find(executable, why))


class DockerBackend(RestBackend):
    """A Docker daemon. Implements `backends.base.Backend`.

    Args:
        endpoint: Where its API is.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(DockerApi(endpoint))
        self.endpoint = endpoint
        self._info: EngineInfo | None = None

    # ---- the engine ------------------------------------------------------------------------------------------------
    def info(self) -> EngineInfo:
        if self._info is None:
            raw = self.api.request("GET", "/info", timeout=20)
            options = raw.get("SecurityOptions") or ()
            self._info = EngineInfo(
                "docker",
                str(raw.get("ServerVersion") or ""),
                any("rootless" in option for option in options),
                self.api.url,
                self.endpoint.why,
                storage_driver=raw.get("Driver"),
                network_backend="libnetwork",
                raw=raw,
            )
        return self._info

    def report(self) -> EngineInfo:
        return self.info()

    def limits_memory(self) -> bool:
        return bool(self.info().raw.get("MemoryLimit", True))

    # ---- images ----------------------------------------------------------------------------------------------------
    def build(self, spec: BuildSpec, on_line: LineSink) -> str:
        try:
            return builds.build(self.endpoint, spec, on_line)
        except BuildError as exc:
            if not self._local() or not is_full(exc):
                raise
            raise build_with_room(exc, "docker", self._store_path(), Path(tempfile.gettempdir()), None) from exc

    def _store_path(self) -> str | None:
        return self.info().raw.get("DockerRootDir")

    def build_command(self, spec: BuildSpec) -> list[str]:
        first, *more = self.endpoint.executable or ("docker",)
        words = [Path(first).name, *more, *builds.build_arguments(spec)]
        return with_variables({"DOCKER_BUILDKIT": "1"}, words)

    def image(self, reference: str, deadline: Deadline | None = None, sizes: bool = True) -> ImageInfo:
        return store.image(self.api, reference, deadline)

    def remove_image(self, reference: str) -> None:
        store.remove(self.api, reference)

    def remove_if_unused(self, image_id: str) -> bool:
        return store.remove_if_unused(self.api, image_id)

    def prepare_mapping(self, image_id: str, user: UserMapping) -> bool:
        """Docker maps no image; what its first container would ask about is asked here."""
        if identity(user, self._is_rootless()).user not in (None, "0:0") and remembered.recall(image_id) is None:
            payload = {"Image": image_id, "Entrypoint": ["true"], "HostConfig": {"NetworkMode": "none"}}
            container_id = self._post_create(f"tesseract-mapping-{secrets.token_hex(4)}", payload, None)
            try:
                self._passwd(container_id, image_id, None)
            finally:
                self._clean_up(container_id)
        return False

    # ---- containers ------------------------------------------------------------------------------------------------
    def remove(self, reference: str, force: bool = True, deadline: Deadline | None = None, grace: float = 0.0) -> None:
        if force and grace:
            with suppress(NotFound, APIError):  # not there, or removed by somebody else: the removal knows better
                self.stop(reference, grace)
        super().remove(reference, force, deadline)

    # ---- networks and volumes --------------------------------------------------------------------------------------
    def ensure_network(self, name: str, labels: Mapping[str, str]) -> bool:
        body = {"Name": name, "Driver": "bridge", "CheckDuplicate": True, "Labels": dict(labels)}
        try:
            self.api.request("POST", "/networks/create", body=body)
        except APIError as exc:
            if exc.status == 409:
                return False
            raise
        return True

    def remove_network_if_empty(self, name: str) -> bool:
        try:
            network = self.api.request("GET", f"/networks/{quote(name)}")
            if network.get("Containers") or not any(key.startswith(OWNED) for key in network.get("Labels") or {}):
                return False
            self.api.request("DELETE", f"/networks/{quote(name)}")
        except NotFound:
            return False
        except APIError as exc:
            if exc.status in (403, 404, 409):  # 403: a container has joined meanwhile
                return False
            raise
        return True

    def networks(self, labels: Mapping[str, str] | None = None) -> list[str]:
        listed = self.api.request("GET", "/networks", params={"filters": label_filter(labels)})
        return [network["Name"] for network in listed or ()]

    def volumes(self) -> list[str]:
        return [volume["Name"] for volume in self.api.request("GET", "/volumes").get("Volumes") or ()]

    # ---- inside ----------------------------------------------------------------------------------------------------
    def _create(self, spec: ContainerSpec, deadline: Deadline | None, attached: bool = False) -> str:
        container_id = self._create_only(spec, deadline)
        try:
            self._name_user(container_id, spec, deadline)
        except BaseException:
            self._clean_up(container_id)
            raise
        return container_id

    def _create_only(self, spec: ContainerSpec, deadline: Deadline | None) -> str:
        """By the API or, for the sake of raw engine arguments, by the executable."""
        if any(mount.kind == "bind" and mount.read_only for mount in spec.mounts):
            completed = mounts.with_nested(mounts.resolved(spec.mounts), mounts.MOUNTINFO.read_text())
            spec = replace(spec, mounts=completed)
        spec = replace(spec, image=store.docker_reference(spec.image))
        self._make_volumes_writable(spec, deadline)
        options: dict[str, Any] = {
            "rootless": self._is_rootless(),
            "groups": supplementary_groups(),
            "gpus": self._gpus(spec),
        }
        if not spec.raw_args:
            payload = render.create_payload(spec, **options)
            return self._post_create(spec.name, payload, deadline)
        argv = [*builds.command(self.endpoint), *render.create_arguments(spec, **options)]
        own = variables.environment(spec.env, inherited=len(self.endpoint.executable) == 1)
        done = proc.run(
            argv,
            timeout=deadline.remaining(_CREATE_TIMEOUT) if deadline else _CREATE_TIMEOUT,
            env=own | builds.environment(self.endpoint),
            stdin=variables.file(spec.env),
        )
        if done.returncode != 0:
            raise engine_error("Docker", done.stderr.decode(errors="replace").strip())
        return done.stdout.decode().split()[-1]

    def _local(self) -> bool:
        return self.endpoint.socket is not None

    def _is_rootless(self) -> bool:
        """A daemon whose socket is root's is root's; any other has to be asked, because a socket may be forwarded."""
        if self._info is None and self.endpoint.socket is not None:
            with suppress(OSError):
                if self.endpoint.socket.stat().st_uid == 0:
                    return False
        return self.info().rootless

    def _name_user(self, container_id: str, spec: ContainerSpec, deadline: Deadline | None) -> None:
        """Give the container's user a name that resolves; not where the root file system is read-only, even to us."""
        user = identity(spec.user, self._is_rootless()).user
        if user is None or user.startswith("0:") or spec.read_only_root:
            return
        given = self._passwd(container_id, spec.image, deadline)
        archive = given and passwd.with_user(given, user, spec.env.get("HOME", "/tmp"))
        if archive is not None:
            with suppress(NotFound, APIError):
                path = f"/containers/{quote(container_id)}/archive"
                self.api.request("PUT", path, params={"path": "/etc"}, body=archive, deadline=deadline)

    def _passwd(self, container_id: str, image: str, deadline: Deadline | None) -> bytes | None:
        """`/etc/passwd` of the image that a container was just made from; None where there is none."""
        if (known := remembered.recall(image)) is not None:
            return known
        path = f"/containers/{quote(container_id)}/archive"
        with suppress(NotFound, APIError):
            with self.api.stream("GET", path, params={"path": "/etc/passwd"}, deadline=deadline) as answer:
                archive = answer.read(passwd.AT_MOST + 1)
            if len(archive) > passwd.AT_MOST:  # no list of users; an image may hold anything
                return None
            remembered.remember(image, archive)
            return archive
        return None

    def _post_create(self, name: str, payload: Mapping[str, Any], deadline: Deadline | None) -> str:
        created = self.api.request(
            "POST",
            "/containers/create",
            params={"name": name},
            body=payload,
            deadline=deadline,
            timeout=_CREATE_TIMEOUT,
        )
        return str(created["Id"])

    def _make_volumes_writable(self, spec: ContainerSpec, deadline: Deadline | None) -> None:
        """Give new named volumes to the container's user, as Podman does; Docker leaves them to root."""
        wanted = [mount for mount in spec.mounts if mount.kind == "volume" and not mount.read_only]
        owner = identity(spec.user, self._is_rootless()).user
        if not wanted or owner in (None, "0:0"):
            return
        known, name = self.volumes(), f"{spec.name}-volume"
        for mount in wanted:
            if mount.source in known:
                continue
            payload = {
                "Image": spec.image,
                "Entrypoint": ["chown", owner, mount.target],
                "User": "0:0",
                # One of them is the name, by which our own containers are known.
                "Labels": {label: name if value == spec.name else value for label, value in spec.labels.items()},
                "HostConfig": {"NetworkMode": "none", "Mounts": [render.mount_payload(mount)]},
            }
            helper = self._post_create(name, payload, deadline)
            try:
                self._post(helper, "start", deadline)
                self._exit_status(helper, deadline)
            finally:
                self._clean_up(helper)

    def _gpus(self, spec: ContainerSpec) -> DeviceRequest | None:
        if spec.gpus is None:
            return None
        return device_request(spec.gpus.devices, self.info().raw, self.endpoint.socket is not None)

    def _container_info(self, attrs: Mapping[str, Any]) -> ContainerInfo:
        return container_info(attrs)

    def _exit_status(self, reference: str, deadline: Deadline | None) -> int:
        # The daemon sends its headers at once and the answer at the end: only reading is bounded by the deadline.
        return int(self._post(reference, "wait", deadline, timeout=None)["StatusCode"])

    def _stop_query(self, timeout: float) -> Mapping[str, Any]:
        return {"t": max(0, round(timeout))}

    def _remove_query(self, force: bool, grace: float) -> Mapping[str, Any]:
        return {"force": force, "v": True}
