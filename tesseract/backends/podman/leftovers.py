"""What an interrupted `podman build` leaves: a working container, which pins image and layers, and the running step.

Buildah writes a build's options, its secrets among them, beside each working container. A secret that no step uses
therefore marks what belongs to one build and changes neither its image nor its cache.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tesseract import proc
from tesseract.errors import EngineError

logger = logging.getLogger("tesseract.podman")

_RUNTIMES = ("crun", "runc")


def remove(command: Sequence[str], mark: str, environ: Mapping[str, str]) -> None:
    """End the steps and remove the working containers of the build that had a secret with the id `mark`.

    Only of a store on this machine that the caller may read; elsewhere nothing happens.

    Args:
        command: The words that start Podman's command line.
        environ: The build's environment.
    """
    with suppress(EngineError, OSError, ValueError, LookupError):
        temporary = Path(environ.get("TMPDIR") or "/var/tmp")
        for container in working_containers(_graph_root(command), mark):
            logger.debug("removing the working container %s of an interrupted build", container)
            for bundle in bundles(temporary, container):
                for runtime in filter(shutil.which, _RUNTIMES):
                    proc.run([runtime, "delete", "--force", f"buildah-{bundle.name}"])
                (bundle / "mnt").chmod(0o700)
                (bundle / "mnt/rootfs").rmdir()  # which nobody may list: a mount point, empty now
                shutil.rmtree(bundle)
            proc.run([*command, "rm", "--force", container])


def _graph_root(command: Sequence[str]) -> Path:
    """Where the store is, told by an image: `podman info` also looks at cgroups, and fails where they are odd."""
    image = proc.run([*command, "images", "--all", "--quiet"]).stdout.split()[0].decode()
    layer = proc.run([*command, "image", "inspect", "--format={{.GraphDriver.Data.UpperDir}}", image]).stdout.decode()
    return Path(layer.strip()).parents[2]  # ROOT/overlay/LAYER/diff


def working_containers(graph_root: Path, mark: str) -> Iterator[str]:
    """Ids of a build's working containers, from the records in the store."""
    for record in graph_root.glob("*-containers/*/userdata/buildah.json"):
        with suppress(OSError, ValueError):
            said: dict[str, Any] = json.loads(record.read_text())
            secrets = (said.get("CommonBuildOpts") or {}).get("Secrets") or ()
            if any(secret.startswith(f"id={mark},") for secret in secrets):
                yield str(said.get("container-id") or record.parents[1].name)


def bundles(temporary: Path, container: str) -> Iterator[Path]:
    """Directories of the steps that ran in a working container."""
    for record in temporary.glob("buildah*/run/.containerenv"):
        with suppress(OSError):
            if record.stat().st_uid == os.getuid() and f'id="{container}"' in record.read_text():
                yield record.parents[1]
