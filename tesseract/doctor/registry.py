"""All checks, in the order in which a person should read them: what others rest on comes first."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tesseract.doctor.model import Check
from tesseract.errors import UsageError

NAMES = (
    "engine",
    "idmap_tools",
    "subids",
    "user_namespaces",
    "runtime_dir",
    "linger",
    "cgroups",
    "storage",
    "space",
    "network",
    "oci_runtime",
    "init_program",
    "selinux",
    "gpus",
    "service",
    "mapping_cost",
    "nested",
    "base_image",
    "python_index",
    "exposure",
    "smoke",
)


def checks(engine: str, only: tuple[str, ...] = ()) -> list[Check[Any]]:
    """The checks that concern an engine; `only` names some of them. Raises: UsageError for an unknown name."""
    unknown = sorted(set(only) - {name.replace("_", "-") for name in NAMES})
    if unknown:
        raise UsageError(f"No such check: {', '.join(unknown)}. There are: {', '.join(NAMES).replace('_', '-')}.")
    found: list[Check[Any]] = [import_module(f"tesseract.doctor.checks.{name}").CHECK for name in NAMES]
    return [check for check in found if check.engine in (None, engine) and (not only or check.name in only)]
