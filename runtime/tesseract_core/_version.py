"""The one place where the version stands; both distributions read it."""

__version__ = "1.15.0+podman.1"
