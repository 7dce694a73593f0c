"""No subordinate ids: said before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tesseract.backends.podman import subids
from tesseract.errors import EngineUnavailable

pytestmark = pytest.mark.fast


def _podman(folder: Path, uid_map: str) -> list[str]:
    """A program that answers `unshare cat /proc/self/uid_map` as Podman does on a machine with such a map."""
    program = folder / "podman"
    program.write_text(f"#!/bin/sh\nprintf '{uid_map}'\n")
    program.chmod(0o755)
    return [str(program)]


def test_lines_of_the_file() -> None:
    text = "ann:100000:65536\n1001:165536:65536\n"
    assert subids.listed(text, ("ann", "1000"))
    assert subids.listed(text, ("bob", "1001"))
    assert not subids.listed(text, ("an", "100"))


def test_one_mapped_id_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="usermod --add-subuids"):
        subids.require(_podman(tmp_path, "0 1000 1\\n"), tmp_path / "no-file")


def test_a_range_from_a_directory_service_is_fine(tmp_path: Path) -> None:
    subids.require(_podman(tmp_path, "0 1000 1\\n1 100000 65536\\n"), tmp_path / "no-file")
