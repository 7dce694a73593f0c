"""What an interrupted `podman build` leaves: a working container, which pins image and layers, and the running step.
Where it was about to make a container or an image, what there is of it so far is in the way of others, too.

Buildah writes a build's options, its secrets among them, beside each working container. A secret that no step uses
therefore marks what belongs to one build and changes neither its image nor its cache.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tesseract import proc
from tesseract.backends.spec import BUILD_MARK
from tesseract.errors import EngineError

logger = logging.getLogger("tesseract.podman")

_RUNTIMES = ("crun", "runc")
# Buildah commits the image of each step under a random name, which it takes away at once.
_COMMIT_NAME = re.compile(r"(^|/)[0-9a-f]{64}-tmp:latest$")
_WORKING = re.compile(r"-working-container(-\d+)?$")
_INSTANT = 0.5
_OLD = 2 * 24 * 3600.0


def remove(command: Sequence[str], mark: str, environ: Mapping[str, str]) -> None:
    """End the steps and remove the working containers of the build that had a secret with the id `mark`.

    Only of a store on this machine that the caller may read; elsewhere nothing happens.

    Args:
        command: The words that start Podman's command line.
        environ: The build's environment.
    """
    with suppress(EngineError, OSError, ValueError, LookupError):
        temporary = Path(environ.get("TMPDIR") or "/var/tmp")
        graph_root = _graph_root(command)
        _end_torn(command, graph_root)
        for container in working_containers(graph_root, mark):
            logger.debug("removing the working container %s of an interrupted build", container)
            for bundle in bundles(temporary, container):
                for runtime in filter(shutil.which, _RUNTIMES):
                    proc.run([runtime, "delete", "--force", f"buildah-{bundle.name}"])
                _remove_bundle(bundle)
            proc.run([*command, "rm", "--force", container])
        remove_old(temporary)


def marks(command: Sequence[str]) -> set[str]:
    """Marks of the builds that left working containers in the store; none where it may not be read."""
    with suppress(EngineError, OSError, ValueError, LookupError):
        found = {mark for _, mark in _marked(_graph_root(command))}
        return {mark for mark in found if not any(proc.leaders(f"--secret=id={mark},"))}
    return set()


def _remove_bundle(bundle: Path) -> None:
    with suppress(OSError):  # one that cannot be removed must not keep the others
        if (bundle / "mnt").exists():
            (bundle / "mnt").chmod(0o700)
            (bundle / "mnt/rootfs").rmdir()  # which nobody may list: a mount point, empty now
        shutil.rmtree(bundle)


def remove_old(temporary: Path) -> None:
    """Remove what no build can be using any more: of a commit that was cut off, nothing says whose it was."""
    for directory in temporary.glob("buildah[0-9]*"):
        with suppress(OSError):
            state = directory.stat()
            if state.st_uid == os.getuid() and state.st_mtime < time.time() - _OLD:
                shutil.rmtree(directory)


def _graph_root(command: Sequence[str]) -> Path:
    """Where the store is, told by an image: `podman info` also looks at cgroups, and fails where they are odd."""
    listed = proc.run([*command, "images", "--all", "--quiet"])
    if listed.returncode != 0:  # a commit was cut off
        return Path(proc.run([*command, "info", "--format={{.Store.GraphRoot}}"]).stdout.decode().strip() or "/nowhere")
    image = listed.stdout.split()[0].decode()
    layer = proc.run([*command, "image", "inspect", "--format={{.GraphDriver.Data.UpperDir}}", image]).stdout.decode()
    return Path(layer.strip()).parents[2]  # ROOT/overlay/LAYER/diff


def _end_torn(command: Sequence[str], graph_root: Path) -> None:
    found = torn(graph_root)
    if any(found):
        time.sleep(_INSTANT)  # another build may be at it, and will have come further
        images, names, containers = (was & still for was, still in zip(found, torn(graph_root), strict=True))
        for words in (
            *(["rmi", "--force", image] for image in images),
            *(["untag", name] for name in names),
            *(["rm", "--force", container] for container in containers),
        ):
            logger.debug("cleaning up after an interrupted build")
            proc.run([*command, *words])


def torn(graph_root: Path) -> tuple[set[str], set[str], set[str]]:
    """What a build was making at the instant when it was cut off, which bears no mark yet.

    Returns:
        Ids of images without a manifest, over which Podman stumbles whenever it lists images; names that images have
        only while they are committed; ids of working containers without a record.
    """
    images: set[str] = set()
    names: set[str] = set()
    containers: set[str] = set()
    for listed in graph_root.glob("*-images/images.json"):
        for image in json.loads(listed.read_text()):
            if "manifest" not in image.get("big-data-names", ()):
                images.add(image["id"])
            names.update(filter(_COMMIT_NAME.search, image.get("names") or ()))
    for listed in graph_root.glob("*-containers/containers.json"):
        for container in json.loads(listed.read_text()):
            record = listed.parent / container["id"] / "userdata/buildah.json"
            if any(map(_WORKING.search, container.get("names") or ())) and not record.exists():
                containers.add(container["id"])
    return images, names, containers


def working_containers(graph_root: Path, mark: str) -> Iterator[str]:
    """Ids of a build's working containers, from the records in the store."""
    return (container for container, found in _marked(graph_root) if found == mark)


def _marked(graph_root: Path) -> Iterator[tuple[str, str]]:
    """Working containers of builds of ours, and the marks of these."""
    for record in graph_root.glob("*-containers/*/userdata/buildah.json"):
        with suppress(OSError, ValueError):
            said: dict[str, Any] = json.loads(record.read_text())
            for secret in (said.get("CommonBuildOpts") or {}).get("Secrets") or ():
                if found := re.match(rf"id=({BUILD_MARK}[0-9a-f]+),", secret):
                    yield str(said.get("container-id") or record.parents[1].name), found[1]


def bundles(temporary: Path, container: str) -> Iterator[Path]:
    """Directories of the steps that ran in a working container."""
    for record in temporary.glob("buildah*/run/.containerenv"):
        with suppress(OSError):
            if record.stat().st_uid == os.getuid() and f'id="{container}"' in record.read_text():
                yield record.parents[1]
