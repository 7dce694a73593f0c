"""What the specification of a regression test says about the command line that runs it (`cli_config`)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tesseract.serving.requests import RunRequest
from tesseract.serving.volumes import parse_volume
from tesseract.transfer.remote import is_url


def with_test_defaults(request: RunRequest, cwd: Path) -> RunRequest:
    """Fill what `request` leaves open from the test's `cli_config`: `input_path`, `volume_mounts`, `user`.

    Relative paths start at the directory of the specification's file, or at `cwd` for inline JSON. A payload that
    cannot be read here is left for the runtime to complain about.
    """
    if not request.args:
        return request
    text, base = request.args[-1], cwd
    try:
        if text.startswith("@"):
            path = cwd / Path(text.lstrip("@")).expanduser()
            text, base = path.read_text(encoding="utf-8"), path.resolve().parent
        defaults = json.loads(text).get("cli_config") or {}
        return replace(request, **_settings(request, defaults, base))
    except (OSError, ValueError, TypeError, AttributeError):
        return request


def _settings(request: RunRequest, defaults: dict[str, Any], base: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if request.input_path is None and (input_path := defaults.get("input_path")):
        settings["input_path"] = input_path if is_url(input_path) else base / input_path
    if not request.volumes and (volumes := defaults.get("volume_mounts")):
        settings["volumes"] = [_absolute(spec, base) for spec in volumes]
    if request.user is None and (user := defaults.get("user")):
        settings["user"] = str(user)
    return settings


def _absolute(spec: str, base: Path) -> str:
    mount = parse_volume(spec, base)
    return f"{mount.source}:{spec.partition(':')[2]}"
