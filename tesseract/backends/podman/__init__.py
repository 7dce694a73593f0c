"""Podman: rootless first, rootful too."""
