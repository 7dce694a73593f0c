"""The Podman driver: the thin layer between the contract (`backends.base`) and libpod's API."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from tesseract import proc
from tesseract.backends import cdi, mounts, variables
from tesseract.backends.base import LineSink
from tesseract.backends.fullness import build_with_room, is_full
from tesseract.backends.http import ConnectionLost, quote
from tesseract.backends.inspect import container_info
from tesseract.backends.podman import builds, leftovers, render, service, store, subids
from tesseract.backends.podman.api import PodmanApi
from tesseract.backends.podman.creating import one_at_a_time
from tesseract.backends.podman.endpoint import Endpoint
from tesseract.backends.podman.identity import identity
from tesseract.backends.refusals import engine_error
from tesseract.backends.rest import OWNED, RestBackend, label_filter
from tesseract.backends.spec import BuildSpec, ContainerInfo, ContainerSpec, EngineInfo, ImageInfo, UserMapping
from tesseract.backends.text import with_variables
from tesseract.backends.users import supplementary_groups
from tesseract.deadline import Deadline
from tesseract.errors import APIError, BuildError, EngineError, NotFound

# The first container of an image may have to copy the image for its mapping; gigabytes take minutes.
_CREATE_TIMEOUT = 1800.0
# How many lines, or pieces of lines, are read to find out that a log is short.
_SHORT_LOG = 2000


class PodmanBackend(RestBackend):
    """Podman behind an endpoint. Implements `backends.base.Backend`.

    Args:
        endpoint: Where its API is.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(PodmanApi(endpoint))
        self.endpoint = endpoint
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
        return replace(
            known,
            version=str((raw.get("version") or {}).get("Version") or known.version),
            storage_driver=stored.get("graphDriverName"),
            network_backend=host.get("networkBackend"),
            raw=raw,
        )

    def limits_memory(self) -> bool:
        if not self.info().rootless:
            return True
        host = self.report().raw.get("host") or {}
        controllers = host.get("cgroupControllers", ("memory",))  # absent: unknown
        return host.get("cgroupVersion") != "v1" and "memory" in (controllers or ())

    def _is_rootless(self) -> bool:
        """Who runs the command line runs the engine; only one elsewhere has to be asked (a quarter of a second)."""
        if not self.endpoint.remote and len(self.endpoint.executable) == 1:
            return os.getuid() != 0
        security = (self.api.request("GET", "/info").get("host") or {}).get("security") or {}
        return bool(security.get("rootless"))

    # ---- images ----------------------------------------------------------------------------------------------------
    def build(self, spec: BuildSpec, on_line: LineSink) -> str:
        if self._local() and self.info().rootless:
            subids.require(self.endpoint.command)
        try:
            return builds.build(self.endpoint.command, self.info().version, spec, on_line)
        except BuildError as exc:
            if not self._local() or not is_full(exc):
                raise
            scratch = builds.scratch(self.info().version)
            raise build_with_room(exc, "podman", self._store_path(), scratch, self.build_cache()) from exc

    def _store_path(self) -> str | None:
        try:
            return (self.report().raw.get("store") or {}).get("graphRoot")
        except EngineError:  # a full disk stops Podman, too
            return None

    def build_command(self, spec: BuildSpec) -> list[str]:
        first, *more = self.endpoint.command or ["podman"]
        words = [Path(first).name, *more, *builds.build_arguments(spec)]
        return with_variables(builds.build_environment(self.info().version), words)

    def end_build(self, mark: str) -> None:
        if self._local() and self.endpoint.command:
            builds.end(self.endpoint.command, self.info().version, mark)

    def build_marks(self) -> set[str]:
        return leftovers.marks(self.endpoint.command) if self._local() and self.endpoint.command else set()

    def build_cache(self) -> Path | None:
        return builds.cache_mounts(self.info().version) if self._local() else None

    def clear_build_cache(self) -> None:
        if self._local():
            builds.clear_cache_mounts(self.endpoint.command, self.info().version)

    def image(self, reference: str, deadline: Deadline | None = None, sizes: bool = True) -> ImageInfo:
        return store.image(self.api, reference, deadline, sizes)

    def remove_image(self, reference: str) -> None:
        store.remove(self.api, reference)

    def remove_if_unused(self, image_id: str) -> bool:
        return store.remove_if_unused(self.api, image_id)

    def prepare_mapping(self, image_id: str, user: UserMapping) -> bool:
        if identity(user, self.info().rootless).nsmode != "keep-id":
            return False
        before = store.image(self.api, image_id).mapped_size
        name = f"tesseract-mapping-{secrets.token_hex(4)}"
        try:
            with self._room_told(image_id):
                self._create_whole(ContainerSpec(image_id, name, entrypoint=("true",), user=user), None, attached=True)
        finally:
            self._clean_up(name)
        return store.image(self.api, image_id).mapped_size > before

    # ---- networks and volumes --------------------------------------------------------------------------------------
    def last_logs(self, reference: str, lines: int, deadline: Deadline | None = None) -> Iterator[bytes]:
        # Asked for the last lines, Podman 4 moves or loses what a program wrote of a line before the rest of it: the
        # reason of a short life, often. A short log is read whole.
        whole = self._log(reference, deadline=deadline)
        start = list(islice(whole, _SHORT_LOG + 1))
        whole.close()
        return iter(start) if len(start) <= _SHORT_LOG else super().last_logs(reference, lines, deadline)

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
        except NotFound:
            return False
        except APIError as exc:
            if exc.status in (404, 409) or "being used" in str(exc):
                return False
            raise
        return True

    def networks(self, labels: Mapping[str, str] | None = None) -> list[str]:
        listed = self.api.request("GET", "/networks/json", params={"filters": label_filter(labels)})
        return [network["name"] for network in listed or ()]

    def volumes(self) -> list[str]:
        return [volume["Name"] for volume in self.api.request("GET", "/volumes/json") or ()]

    # ---- inside ----------------------------------------------------------------------------------------------------
    def _create(self, spec: ContainerSpec, deadline: Deadline | None, attached: bool = False) -> str:
        """By the API or, for the sake of raw engine arguments, by the executable."""
        if self._local() and any(mount.kind == "bind" and mount.read_only for mount in spec.mounts):
            completed = mounts.with_nested(mounts.resolved(spec.mounts), mounts.MOUNTINFO.read_text())
            spec = replace(spec, mounts=completed)
        options: dict[str, Any] = {
            "rootless": self.info().rootless,
            "has_groups": bool(supplementary_groups()) and not self.endpoint.remote,
            "gpus": self._gpus(spec),
            "log_driver": "none" if attached else "k8s-file",
        }
        if not spec.raw_args:
            payload = render.create_payload(spec, **options)
            with one_at_a_time(self.endpoint):
                try:
                    return self._post_create(payload, deadline)
                except ConnectionLost:
                    if not self.endpoint.private:
                        raise
                    self._clean_up(spec.name)
                    return self._post_create(payload, deadline)
        argv = [*self.endpoint.command, *render.create_arguments(spec, **options)]
        done = proc.run(
            argv,
            timeout=deadline.remaining(_CREATE_TIMEOUT) if deadline else _CREATE_TIMEOUT,
            env=variables.environment(spec.env, inherited=len(self.endpoint.executable) == 1),
            stdin=variables.file(spec.env),
        )
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise engine_error("Podman", next((line for line in lines if line.startswith("Error:")), " ".join(lines)))
        return done.stdout.decode().split()[-1]

    def _post_create(self, payload: Mapping[str, Any], deadline: Deadline | None) -> str:
        path = "/containers/create"
        created = self.api.request("POST", path, body=payload, deadline=deadline, timeout=_CREATE_TIMEOUT)
        return str(created["Id"])

    def _gpus(self, spec: ContainerSpec) -> tuple[str, ...]:
        if spec.gpus is None:
            return ()
        if not self._local():
            return tuple(cdi.full_name(device) for device in spec.gpus.devices)
        dirs = cdi.spec_dirs(cdi.version_tuple(self.info().version))
        return cdi.resolve(spec.gpus.devices, cdi.read_specs(dirs))

    def _local(self) -> bool:
        return self.endpoint.socket is not None

    def _container_info(self, attrs: Mapping[str, Any]) -> ContainerInfo:
        return container_info(attrs)

    def _exit_status(self, reference: str, deadline: Deadline | None) -> int:
        # By default Podman looks every 250 ms.
        query = {"condition": "stopped", "interval": "20ms"}
        return int(self._post(reference, "wait", deadline, params=query, timeout=None))

    def _stop_query(self, timeout: float) -> Mapping[str, Any]:
        return {"timeout": max(0, round(timeout))}

    def _remove_query(self, force: bool, grace: float) -> Mapping[str, Any]:
        return {"force": force, "volumes": True, **({"timeout": max(0, round(grace))} if force else {})}
