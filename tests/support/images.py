"""Images that tests make."""

from __future__ import annotations

import subprocess


def remove_image(name: str) -> None:
    """Remove the images of a name with all their tags; that there are none is fine."""
    listed = ["podman", "images", "--quiet", "--no-trunc", f"localhost/{name}"]
    ids = set(subprocess.run(listed, capture_output=True, text=True, check=False).stdout.split())
    if ids:
        subprocess.run(["podman", "rmi", "--force", *ids], capture_output=True, check=False)
