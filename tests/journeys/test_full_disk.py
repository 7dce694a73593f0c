"""A disk that is full while a container is made: a store on a small file system, in namespaces of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engine import podman
from support.images import remove_image

pytestmark = pytest.mark.needs_engine("podman")

SCRIPT = """
mount -t tmpfs -o mode=700 run /run
mount -t tmpfs shm /dev/shm
mount -t tmpfs -o size=3m store {store}
printf '[storage]\\ndriver = "overlay"\\ngraphroot = "{store}/root"\\nrunroot = "/run/root"\\n' > /run/storage.conf
export CONTAINERS_STORAGE_CONF=/run/storage.conf XDG_RUNTIME_DIR=/run
podman load --quiet --input {image} >&2
cat /dev/zero > {store}/fill 2> /dev/null || :
{tesseract} run full-disk apply '{{}}'
"""


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Path]:
    """A Tesseract of a few bytes, which no container is ever made of."""
    (tmp_path / "Containerfile").write_text(
        'FROM scratch\nENV TESSERACT_NAME=full-disk TESSERACT_VERSION=1\nCOPY Containerfile /\nENTRYPOINT ["/none"]\n'
    )
    podman("build", "--quiet", "--tag", "full-disk", str(tmp_path))
    podman("save", "--quiet", "--output", str(tmp_path / "image.tar"), "full-disk")
    yield tmp_path / "image.tar"
    remove_image("full-disk")


def test_a_full_disk_is_named(archive: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    tesseract = Path(sys.executable).parent / "tesseract"
    script = SCRIPT.format(store=store, image=archive, tesseract=tesseract)
    environ = {name: value for name, value in os.environ.items() if name not in ("CONTAINER_HOST", "DOCKER_HOST")}
    words = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--pid", "--mount-proc"]
    words += ["--fork", "--kill-child"]
    done = subprocess.run(
        [*words, "sh", "-ec", script], capture_output=True, text=True, timeout=120, env=environ, check=False
    )
    assert done.returncode == 1, done.stderr
    assert f"The disk is full: {store} has 0 B of 3.15 MB left (" in done.stderr
    assert "Make room there: `podman image prune`." in done.stderr
    assert "not found" not in done.stderr
