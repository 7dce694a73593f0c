"""What the REST APIs of Podman and Docker have in common: listing images, and all that is done with containers."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from tesseract import disk, proc
from tesseract.backends import attach, variables
from tesseract.backends.base import ByteSink
from tesseract.backends.frames import frames, join
from tesseract.backends.fullness import with_room
from tesseract.backends.http import EngineApi, quote
from tesseract.backends.spec import ContainerInfo, ContainerSpec, ImageInfo
from tesseract.backends.whole import whole
from tesseract.deadline import Deadline
from tesseract.errors import (
    APIError,
    ContainerNotFound,
    DiskFull,
    EngineError,
    EngineUnavailable,
    GpuNotFound,
    ImageNotFound,
    NetworkNotFound,
    NotFound,
)

logger = logging.getLogger("tesseract.backends")

CLEAN_UP_TIMEOUT = 30.0
OWNED = "org.tesseract."
# Why a removal fails that succeeds a moment later: somebody else removes it, it ends, its file system is still in use.
_IN_TRANSITION = ("already in progress", "state improper", "resource busy")


class RestBackend:
    """The part of `backends.base.Backend` that both engines' APIs offer alike.

    Args:
        api: Connection to the engine.
    """

    def __init__(self, api: EngineApi) -> None:
        self.api = api

    # ---- what differs ----------------------------------------------------------------------------------------------
    def image(self, reference: str, deadline: Deadline | None = None, sizes: bool = True) -> ImageInfo:
        raise NotImplementedError

    def require_room(self) -> None:
        store = self._store_path() if self._local() else None
        found = disk.room(store) if store else None
        if found is not None and found.is_full:
            error = DiskFull("what is in its image store cannot be read")
            raise with_room(error, self.api.engine.lower(), store=store, build_cache=self.build_cache())

    def _store_path(self) -> str | None:
        """Where images are kept on this machine, if the engine says so."""
        raise NotImplementedError

    def _local(self) -> bool:
        """Whether paths and devices of this machine are the engine's too."""
        raise NotImplementedError

    def _create(self, spec: ContainerSpec, deadline: Deadline | None, attached: bool = False) -> str:
        """Create a container and return its id. `attached`: its output is read while it runs, no log is needed."""
        raise NotImplementedError

    def _container_info(self, attrs: Mapping[str, Any]) -> ContainerInfo:
        raise NotImplementedError

    def _exit_status(self, reference: str, deadline: Deadline | None) -> int:
        """Wait for the end."""
        raise NotImplementedError

    def _stop_query(self, timeout: float) -> Mapping[str, Any]:
        raise NotImplementedError

    def _remove_query(self, force: bool, grace: float) -> Mapping[str, Any]:
        raise NotImplementedError

    # ---- the engine ------------------------------------------------------------------------------------------------
    def close(self) -> None:
        self.api.close()

    # ---- images ----------------------------------------------------------------------------------------------------
    def images(self, label: Mapping[str, str] | None = None) -> list[ImageInfo]:
        found, odd = [], {}
        for entry in self._listed_images(label):
            if not any(tag and "<none>" not in tag for tag in entry.get("RepoTags") or ()):
                continue
            try:
                found.append(self.image(entry["Id"]))
            except (NotFound, APIError, KeyError) as exc:
                odd[entry.get("Id")] = entry["RepoTags"][0], exc
        # One that was removed meanwhile is not missed.
        for broken in odd.keys() & {entry.get("Id") for entry in self._listed_images(label)} if odd else ():
            logger.warning("The image %s is left out, as it cannot be read: %s", *odd[broken])
        return found

    def _listed_images(self, label: Mapping[str, str] | None) -> list[Mapping[str, Any]]:
        return list(self.api.request("GET", "/images/json", params={"filters": label_filter(label)}) or ())

    def end_build(self, mark: str) -> None:
        """An engine that builds in its own process ends what its client has left."""
        proc.end_groups(f".{mark}/id")  # the file for the image's id, in its command line

    def build_marks(self) -> set[str]:
        return set()

    def build_cache(self) -> Path | None:
        return None

    def clear_build_cache(self) -> None:
        pass

    def unnamed_images(self, label: Mapping[str, str]) -> list[str]:
        filters = {**(label_filter(label) or {}), "dangling": ["true"]}
        return [entry["Id"] for entry in self.api.request("GET", "/images/json", params={"filters": filters}) or ()]

    # ---- containers ------------------------------------------------------------------------------------------------
    def start(self, spec: ContainerSpec, deadline: Deadline | None = None) -> ContainerInfo:
        reference: str | None = None
        try:
            with self._room_told(spec.image):
                reference = self._create_whole(spec, deadline)
                self._post(reference, "start", deadline, accept=(304,))
            return self.container(reference, deadline)
        except BaseException as exc:
            self._clean_up(reference or _cut_off(spec, exc))
            raise

    def run(
        self, spec: ContainerSpec, stdout: ByteSink, stderr: ByteSink, deadline: Deadline | None = None
    ) -> tuple[int, ContainerInfo]:
        reference: str | None = None
        try:
            # Removed by us, below: an engine that removes it by itself leaves nothing to read the last state from.
            with self._room_told(spec.image):
                reference = self._create_whole(replace(spec, remove=False), deadline, attached=True)
                attach.run_attached(self.api, reference, stdout, stderr, deadline)
            status = self.wait(reference, deadline)
            return status, self.container(reference, deadline)
        except BaseException as exc:
            reference = reference or _cut_off(spec, exc)
            raise
        finally:
            self._clean_up(reference)

    @contextmanager
    def _room_told(self, image: str) -> Iterator[None]:
        """A full disk is told with what can be seen of it."""
        try:
            yield
        except DiskFull as exc:
            if not self._local():
                raise
            info = None
            with suppress(EngineError):
                info = self.image(image)
            raise with_room(exc, self.api.engine.lower(), info, build_cache=self.build_cache()) from exc

    def _create_whole(self, spec: ContainerSpec, deadline: Deadline | None, attached: bool = False) -> str:
        lifted = variables.lifted(spec)
        return whole(lambda: self._create(lifted, None, attached), "Creating the container", deadline)

    def container(self, reference: str, deadline: Deadline | None = None) -> ContainerInfo:
        with _named(reference):
            return self._container_info(
                self.api.request("GET", f"/containers/{quote(reference)}/json", deadline=deadline)
            )

    def containers(self, all: bool = False, labels: Mapping[str, str] | None = None) -> list[ContainerInfo]:
        listed = self.api.request("GET", "/containers/json", params={"all": all, "filters": label_filter(labels)})
        found = []
        for entry in listed or ():
            with suppress(NotFound):  # gone meanwhile
                found.append(self.container(entry["Id"]))
        return found

    def logs(self, reference: str, stdout: bool = True, stderr: bool = True, deadline: Deadline | None = None) -> bytes:
        return b"".join(self._log(reference, stdout=stdout, stderr=stderr, deadline=deadline))

    def last_logs(self, reference: str, lines: int, deadline: Deadline | None = None) -> Iterator[bytes]:
        return self._log(reference, tail=str(lines), deadline=deadline)

    def follow_logs(self, reference: str) -> Iterator[bytes]:
        return self._log(reference, follow=True, timeout=None)

    def exec(self, reference: str, command: Sequence[str]) -> tuple[int, bytes, bytes]:
        body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True}
        with _named(reference):
            session = self._post(reference, "exec", None, body=body)["Id"]
        with self.api.stream("POST", f"/exec/{session}/start", body={"Detach": False}, timeout=None) as answer:
            out, err = join(frames(answer.read))
        return int(self.api.request("GET", f"/exec/{session}/json").get("ExitCode") or 0), out, err

    def stop(self, reference: str, timeout: float | None = None) -> None:
        query = None if timeout is None else self._stop_query(timeout)
        bound = None if timeout is None else Deadline(timeout + CLEAN_UP_TIMEOUT)
        with _named(reference):
            self._post(reference, "stop", bound, params=query, timeout=None if bound else 300, accept=(304,))

    def kill(self, reference: str, signal: str = "KILL") -> None:
        with _named(reference):
            self._post(reference, "kill", None, params={"signal": signal})

    def wait(self, reference: str, deadline: Deadline | None = None) -> int:
        with _named(reference):
            return self._exit_status(reference, deadline)

    def remove(self, reference: str, force: bool = True, deadline: Deadline | None = None, grace: float = 0.0) -> None:
        query, path = self._remove_query(force, grace), f"/containers/{quote(reference)}"
        for pause in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, None):
            try:
                self.api.request("DELETE", path, params=query, accept=(404,), deadline=deadline)
                return
            except APIError as exc:
                if pause is None or not any(words in str(exc) for words in _IN_TRANSITION):
                    raise
            time.sleep(pause)

    # ---- networks and volumes --------------------------------------------------------------------------------------
    def volumes(self) -> list[str]:
        raise NotImplementedError

    def ensure_volume(self, name: str) -> None:
        if name not in self.volumes():
            self.api.request("POST", "/volumes/create", body={"Name": name})

    def remove_volume(self, name: str) -> None:
        self.api.request("DELETE", f"/volumes/{quote(name)}")

    # ---- inside ----------------------------------------------------------------------------------------------------
    def _post(self, reference: str, verb: str, deadline: Deadline | None, **kwargs: Any) -> Any:
        return self.api.request("POST", f"/containers/{quote(reference)}/{verb}", deadline=deadline, **kwargs)

    def _log(
        self,
        reference: str,
        *,
        stdout: bool = True,
        stderr: bool = True,
        follow: bool = False,
        tail: str = "all",
        deadline: Deadline | None = None,
        timeout: float | None = 60.0,
    ) -> Generator[bytes, None, None]:
        query = {"stdout": stdout, "stderr": stderr, "follow": follow, "tail": tail}
        path = f"/containers/{quote(reference)}/logs"
        with (
            _named(reference),
            self.api.stream("GET", path, params=query, deadline=deadline, timeout=timeout) as answer,
        ):
            yield from (payload for _, payload in frames(answer.read))

    def _clean_up(self, reference: str | None) -> None:
        """With time of its own, and without raising: what went wrong before is what the caller has to know."""
        if reference is not None:
            try:
                self.remove(reference, deadline=Deadline(CLEAN_UP_TIMEOUT))
            except EngineUnavailable:  # which is being reported
                pass
            except EngineError as exc:
                logger.warning("Container %s could not be removed: %s", reference, exc)


def label_filter(labels: Mapping[str, str] | None) -> dict[str, list[str]] | None:
    """The filter for objects that carry all these labels; an empty value asks for the label only."""
    if not labels:
        return None
    return {"label": [f"{name}={value}" if value else name for name, value in labels.items()]}


def _cut_off(spec: ContainerSpec, exc: BaseException) -> str | None:
    """The name to clean up when creating a container ended by `exc`: None where the engine refused, because then
    there is none, or one of that name that belongs to somebody else."""
    return None if isinstance(exc, (APIError, NotFound)) else spec.name


@contextmanager
def _named(reference: str) -> Iterator[None]:
    """Name the container in the error for one that is not there, whatever the engine says."""
    try:
        yield
    except (ImageNotFound, GpuNotFound, NetworkNotFound):
        raise
    except NotFound as exc:
        raise _no_container(reference) from exc
    except APIError as exc:
        if exc.status == 404:
            raise _no_container(reference) from exc
        raise


def _no_container(reference: str) -> ContainerNotFound:
    return ContainerNotFound(f"Container {reference} not found. Use `tesseract ps` to see what runs.")
