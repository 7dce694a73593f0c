"""Docker: rootful and rootless."""
